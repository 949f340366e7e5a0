//! `elucid spatial`: which positions of one layer made each position of another light up.

use clap::Args;
use elucid::attribution::BoxFormat;
use elucid::prelude::*;
use serde::Serialize;

use crate::args::OutArgs;
use crate::error::CliError;
use crate::look::{LookArgs, LookFacts};
use crate::report::{GuessFacts, LayerFacts, RuleUseFacts, Step};
use crate::target::{self, TargetFacts, TargetList};

use self::compute::Work;

mod compute;
mod files;
mod page;

/// As reports name it.
const COMMAND: &str = "spatial";

/// The page, among the files of a run.
const PAGE: &str = "spatial.html";

/// The comparison of the notebook.
const ALL_RULES: &[&str] = &["true", "smooth", "smooth-blur"];

#[derive(Debug, Args)]
pub struct SpatialArgs {
    #[command(flatten)]
    look: LookArgs,

    /// The shallow layer, whose positions are the causes
    #[arg(long, value_name = "LAYER")]
    from: String,

    /// The deep layer, whose positions are explained
    #[arg(long, value_name = "LAYER")]
    to: String,

    /// One or two classes, by name or number, for the hints at both layers; by default the two best
    /// guesses
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        conflicts_with = "target"
    )]
    classes: Vec<String>,

    /// One or two targets of any kind for the hints, instead of classes: a difference A:B, a number
    /// NAME[I,J], a region of a dense map and more (all in elucid attribute --help)
    #[arg(long, value_name = "TARGET,...", value_parser = target::parse_list)]
    target: Option<TargetList>,

    /// How a detector writes its boxes, for A@detected: words between commas of cxcywh or xyxy, pixels
    /// or normalised, objectness, logits, anchors-first or anchors-last; by default cxcywh,pixels
    #[arg(long, value_name = "WORD,...", requires = "target")]
    boxes: Option<BoxFormat>,

    /// Which gradients: true, smooth, smooth-blur, guided, deconvnet, several with commas, or all
    /// for the first three
    #[arg(long, value_name = "RULES", default_value = "all", value_parser = parse_rules)]
    rules: RuleSets,

    #[command(flatten)]
    output: OutArgs,

    /// How many cotangents to propagate together; by default as many as keep the memory small
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
}

/// Presets, at least one and none twice.
#[derive(Debug, Clone)]
pub struct RuleSets(Vec<Rules>);

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

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    look: LookFacts,
    from: LayerFacts,
    to: LayerFacts,
    /// The classes that the hints are about.
    classes: Vec<GuessFacts>,
    /// All that the hints are about: two at most.
    targets: Vec<TargetFacts>,
    rules: Vec<RuleFacts>,
    batch_size: Option<u32>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RuleFacts {
    name: String,
    /// How many operators between the layers each rule took.
    rules_used: Vec<RuleUseFacts>,
    /// How many cotangents were propagated; one for each deep position at most.
    cotangents: usize,
}

pub fn run(args: &SpatialArgs) -> Result<(), CliError> {
    let targets = args.target.as_ref().map_or(0, |list| list.len());
    for (flag, given) in [("classes", args.classes.len()), ("target", targets)] {
        if given > 2 {
            return Err(CliError::Usage(format!(
                "--{flag} takes one or two of them, not {given}"
            )));
        }
    }
    let destination = args.output.check(COMMAND)?;
    let (image, session, mut clock) = args.look.open()?;
    let model = &session.model;
    let work = Work::new(&session, args)?;
    let photo = args.look.read(&session, &mut clock)?;
    let results = work.compute(&photo, &mut clock)?;

    let files = clock.time("draw", || files::of(&work, &results))?;
    let report = Report {
        look: LookFacts::of(COMMAND, &session, image, &results.seen),
        from: LayerFacts::of(work.from, model)?,
        to: LayerFacts::of(work.to, model)?,
        classes: results
            .hints
            .iter()
            .flat_map(|hint| hint.facts.classes.clone())
            .collect(),
        targets: results
            .hints
            .iter()
            .map(|hint| hint.facts.clone())
            .collect(),
        rules: results
            .views
            .iter()
            .map(|view| RuleFacts {
                name: view.rules.name().to_owned(),
                rules_used: view.maps.rule_uses().iter().map(Into::into).collect(),
                cotangents: view.maps.cotangents(),
            })
            .collect(),
        batch_size: args.batch_size,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;
    args.output.say([], PAGE, &report)
}
