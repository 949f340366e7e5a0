//! `elucid spatial`: which positions of one layer made each position of another light up.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use elucid::attribution::AttributionError;
use elucid::prelude::*;
use elucid::GraphError;
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs};
use crate::console::Output;
use crate::error::CliError;
use crate::output::{Destination, Files};
use crate::report::{Clock, GuessFacts, ImageFacts, InputFacts, ModelFacts, Step, Versions};
use crate::session::Session;

mod page;
mod pictures;

/// How many guesses the page and the report show.
const GUESSES: usize = 5;

/// The comparison of the notebook.
const ALL_RULES: &[&str] = &["true", "smooth", "smooth-blur"];

#[derive(Debug, Args)]
pub struct SpatialArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// The photograph: PNG, JPEG, WebP, BMP or GIF
    #[arg(long, value_name = "FILE")]
    image: PathBuf,

    /// The shallow layer, whose positions are the causes
    #[arg(long, value_name = "LAYER")]
    from: String,

    /// The deep layer, whose positions are explained
    #[arg(long, value_name = "LAYER")]
    to: String,

    /// One or two classes, by name or number, for the class hints; by default the two best guesses
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    classes: Vec<String>,

    /// Which gradients: true, smooth, smooth-blur, guided, deconvnet, several with commas, or all
    /// for the first three
    #[arg(long, value_name = "RULES", default_value = "all", value_parser = parse_rules)]
    rules: RuleSets,

    /// Where the results go: a folder that is new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace the results of an earlier run in the folder
    #[arg(long)]
    force: bool,

    /// How many cotangents to propagate together; by default as many as keep the memory small
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Recorded in the report; nothing here is random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Presets, at least one and none twice.
#[derive(Debug, Clone)]
struct RuleSets(Vec<Rules>);

fn parse_rules(text: &str) -> Result<RuleSets, String> {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let named: &[&str] = if name == "all" { ALL_RULES } else { &[name] };
        names.extend(named);
    }
    let mut sets: Vec<Rules> = Vec::new();
    for name in names {
        let rules = Rules::preset(name).map_err(|error| format!("{error}, and all"))?;
        if sets.iter().all(|known| known.name() != rules.name()) {
            sets.push(rules);
        }
    }
    Ok(RuleSets(sets))
}

/// Everything that was computed under one set of rules.
struct View {
    rules: Rules,
    maps: SpatialMaps,
    hints: Option<SpatialHints>,
}

/// A class whose hints are shown.
#[derive(Debug, Serialize)]
struct Class {
    #[serde(flatten)]
    guess: GuessFacts,
    /// Its name as part of a file name.
    #[serde(skip)]
    slug: String,
}

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    versions: Versions,
    device: String,
    model: ModelFacts,
    input: InputFacts,
    image: ImageFacts,
    predictions: Vec<GuessFacts>,
    from: LayerFacts,
    to: LayerFacts,
    classes: Vec<GuessFacts>,
    rules: Vec<RuleFacts>,
    seed: u64,
    batch_size: Option<u32>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LayerFacts {
    name: String,
    shape: Vec<usize>,
}

impl From<&Layer> for LayerFacts {
    fn from(layer: &Layer) -> Self {
        Self { name: layer.name().to_owned(), shape: layer.shape().to_vec() }
    }
}

#[derive(Debug, Serialize)]
struct RuleFacts {
    name: String,
    /// How many backward passes' worth of work the maps took.
    cotangents: usize,
    maps: String,
}

pub fn run(args: &SpatialArgs) -> Result<(), CliError> {
    if args.classes.len() > 2 {
        return Err(CliError::Usage(format!(
            "--classes takes one or two classes, not {}",
            args.classes.len()
        )));
    }
    let destination = Destination::check(&args.out, args.force)?;
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let model = &session.model;
    let (from, to) = (model.layer(&args.from)?.clone(), model.layer(&args.to)?.clone());
    check_layers(&from, &to, args.rules.0.len())?;

    let image = ImageFacts::of(&args.image)?;
    let photo = clock.time("read the photograph", || model.read_image(&args.image))?;
    let guesses = clock.time("classify", || classify(model, &photo))?;
    let classes = choose_classes(model, &args.classes, &guesses)?;

    let mut views = Vec::with_capacity(args.rules.0.len());
    for rules in &args.rules.0 {
        let name = rules.name();
        let maps = clock.time(format!("attribute between the layers, {name}"), || {
            attribute(&session, &photo, (&from, &to), rules, args.batch_size)
        })?;
        let hints = clock.time(format!("attribute to the classes, {name}"), || {
            hints(model, &photo, (&from, &to), rules, &classes)
        })?;
        views.push(View { rules: rules.clone(), maps, hints: hints.ok() });
    }
    todo!()
}
