//! `elucid evaluate`: how well methods do on labelled images.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use elucid::models::Labels;
use elucid::prelude::*;
use elucid::render::file::write_atomically;
use elucid::vision::HeadKind;

use crate::args::{ModelArgs, RunArgs};
use crate::console::{Output, to_json};
use crate::error::CliError;
use crate::flags_or::FlagsOr;
use crate::options::{MethodFlags, parse_fraction, reductions};
use crate::output::REPORT;
use crate::report::{BURN, Clock, HeadFacts, InputFacts, ModelFacts, remarks};
use crate::session::Session;
use crate::settings::{MergeArgs, SETTINGS, Shard, parse_shard};

use self::compute::Work;
use self::data::{Data, Item};
use self::entries::{Entries, MetricNames};
use self::outcome::{Outcome, PAGE};
use self::results::{IMAGES, Journal, NOTES, Planned, RESULTS, SKIPPED};
use self::settings::{DataFacts, Settings};
use self::summary::{SUMMARY, TABLE};

mod boxes;
mod compute;
mod data;
mod entries;
mod examples;
mod merge;
mod outcome;
mod results;
mod settings;
mod summary;

/// An evaluation, or something done with evaluations.
pub type EvaluateArgs = FlagsOr<Evaluation, EvaluateCommand>;

#[derive(Debug, Subcommand)]
pub enum EvaluateCommand {
    /// Put the results of shards together, and sum them up
    Merge(MergeArgs),
}

#[derive(Debug, Args)]
pub struct Evaluation {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Labelled images: a CSV file with the columns file and class_index (or label) and, where
    /// there are boxes, xmin, ymin, xmax and ymax; or a folder with such a file, or with a folder
    /// of images for each class
    #[arg(long, value_name = "FILE|DIR")]
    data: PathBuf,

    /// Which methods (see: elucid methods), several with commas, or all; NAME:OPTION=VALUE,... for
    /// options of one of them, among them layer, rules, reduce and smooth
    #[arg(long, value_name = "NAME,...", value_parser = entries::parse_methods)]
    methods: Entries,

    /// Which metrics, several with commas: pointing, pointing:0, insertion, road:OPTION=VALUE,...;
    /// the first decides which examples are the best
    #[arg(long, value_name = "NAME,...", value_parser = entries::parse_metrics)]
    metrics: MetricNames,

    /// What is explained: the image's label, or what the network takes it for
    #[arg(long, value_enum, default_value_t = Explained::Label)]
    target: Explained,

    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Only every N-th image, from the K-th on
    #[arg(long, value_name = "K/N", value_parser = parse_shard, default_value = "1/1")]
    shard: Shard,

    /// Go on with what an evaluation that ended early left in the folder
    #[arg(long)]
    resume: bool,

    /// Layer to attribute to, for methods that take one; by default what each is for
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,

    /// Which gradients: true, smooth, smooth-blur, guided, deconvnet, conservative-propagation,
    /// attn-lrp or libra-grad
    #[arg(long, value_name = "RULES", value_parser = Rules::preset)]
    rules: Option<Rules>,

    #[command(flatten)]
    options: MethodFlags,

    /// How channels become one map: sum (signed), abs-sum, max-abs, l2 or positive; by default as the
    /// method is usually shown, which for maps of features is positive
    #[arg(long, value_name = "NAME", value_parser = reductions())]
    reduce: Option<Reduce>,

    /// Smooth the maps at the size of the image by a Gaussian of this fraction of its longer side,
    /// such as 0.02
    #[arg(long, value_name = "FRACTION", value_parser = parse_fraction, default_value_t = 0.0)]
    smooth: f32,

    /// Where the results go: a folder that is new or empty, or with --resume one with results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How many images, or samples of images, to propagate together; by default 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Where the random numbers of methods, metrics, the random map and the bootstrap begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Explained {
    /// The class that the image is labelled with
    Label,
    /// The class that the network takes the image for
    Prediction,
}

impl Evaluation {
    /// How many images are read, attributed and written together.
    fn batch(&self) -> usize {
        self.batch_size.map_or(compute::BATCH, |size| size as usize)
    }

    fn settings(&self, model: &Model, data: DataFacts) -> Result<Settings, CliError> {
        let methods = self.methods.0.iter();
        Ok(Settings {
            elucid: env!("CARGO_PKG_VERSION").to_owned(),
            burn: BURN.to_owned(),
            model: ModelFacts::of(model),
            input: InputFacts::of(model).whoever_said_it(),
            head: Some(HeadFacts::of(model)),
            class_names: model.labels().map(|labels| labels.set().to_owned()),
            names: unknown_names(model),
            remarks: remarks(model),
            data,
            target: match self.target {
                Explained::Label => "label",
                Explained::Prediction => "prediction",
            }
            .to_owned(),
            methods: methods
                .map(|entry| entry.facts(self, model))
                .collect::<Result<_, _>>()?,
            metrics: self.metrics.0.clone(),
            seed: self.seed,
            shard: self.shard,
            limit: self.limit.map(|limit| limit as usize),
            merged_from: 0,
        })
    }
}

pub fn run(args: EvaluateArgs) -> Result<(), CliError> {
    match args {
        EvaluateArgs::Flags(mut args) => evaluate(&mut args),
        EvaluateArgs::Command(EvaluateCommand::Merge(args)) => merge::run(&args),
    }
}

/// The names of the classes, unless what they are called together says it all. Of a yes-or-no network
/// class 1 stands for no.
fn unknown_names(model: &Model) -> Vec<String> {
    match model.labels() {
        _ if model.head().kind() == HeadKind::Binary => {
            let yes = model.label(0);
            vec![yes.clone(), format!("not {yes}")]
        }
        Some(labels) if Labels::of_set(labels.set()).is_none() => {
            labels.names().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Refuses a network of which no class can be the best guess.
fn check_head(model: &Model, target: Explained) -> Result<(), CliError> {
    let head = model.head();
    let reason = match head.kind() {
        HeadKind::Classes | HeadKind::Labels => return Ok(()),
        HeadKind::Binary if target == Explained::Label => return Ok(()),
        HeadKind::Binary => format!(
            "\"{}\" scores yes and not no, so images of yes are explained by their labels, not by the \
             prediction",
            head.scores()
        ),
        HeadKind::Number | HeadKind::Numbers => format!(
            "images are evaluated by their classes, and \"{}\" scores none that could be the best \
             guess",
            head.scores()
        ),
        _ => match model.logits() {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
    };
    Err(CliError::Failure(reason))
}

fn evaluate(args: &mut Evaluation) -> Result<(), CliError> {
    entries::check(args)?;
    let metrics = entries::metrics(&args.metrics.0, args.seed, args.batch_size)?;
    let data = Data::read(&args.data)?;
    let source = data.source.display().to_string();
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let model = &session.model;
    check_head(model, args.target)?;
    let left_out = args.methods.keep_applicable(model)?;
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        session.console.note(format!(
            "{names} look at attention, and this network has none: left out"
        ));
    }
    let args = &*args;
    let items = data.resolve(model)?;
    let facts = DataFacts {
        source,
        sha256: data::fingerprint(&items),
        images: items.len(),
    };
    let settings = args.settings(model, facts)?;
    let mine: Vec<&Item> = (items.iter().take(settings.total()))
        .filter(|item| args.shard.takes(item.number))
        .collect();
    if mine.is_empty() {
        return Err(CliError::Usage(format!(
            "shard {} holds none of {} images",
            args.shard,
            settings.total()
        )));
    }
    let planned: Vec<Planned> = mine.iter().map(|item| Planned::from(*item)).collect();
    let (mut journal, mut found) =
        Journal::open(&args.out, &settings, &planned, args.resume, args.batch())?;
    if journal.done > 0 {
        let (done, all) = (journal.done, planned.len());
        session
            .console
            .note(format!("{done} of {all} images are done"));
    }
    clock.time("evaluate", || {
        Work::new(&session, args, &metrics, &found)?.run(&mine, &mut journal, &mut found)
    })?;

    let outcome = clock.time("sum up", || {
        Outcome::new(&settings, &metrics, &planned, &found)
    })?;
    let folders = examples::folders(&args.out, &settings.rows());
    for (folder, extremes) in folders.iter().zip(&outcome.extremes) {
        examples::prune(folder, &extremes.kept());
    }
    let page = outcome.page(|row, number| Some(folders[row].join(examples::file(number))))?;
    let names = [
        SETTINGS, IMAGES, RESULTS, SKIPPED, NOTES, SUMMARY, TABLE, PAGE, REPORT,
    ];
    let report = outcome.report(
        "evaluate",
        Some(&session.device),
        Some(args.batch()),
        clock.steps(),
        names.map(str::to_owned).to_vec(),
    );
    let report = to_json(&report)? + "\n";
    for (name, bytes) in [
        (SUMMARY, outcome.csv().as_bytes()),
        (TABLE, outcome.markdown().as_bytes()),
        (PAGE, &page),
        (REPORT, report.as_bytes()),
    ] {
        write_atomically(args.out.join(name), bytes)?;
    }
    say(&outcome, &args.out)
}

/// The table, and where everything lies.
fn say(outcome: &Outcome<'_>, folder: &std::path::Path) -> Result<(), CliError> {
    let mut out = Output::new();
    for line in outcome.summary.lines() {
        out.line(line)?;
    }
    let accuracy = outcome.summary.accuracy;
    out.line("")?;
    out.line(format!(
        "top-1 accuracy {:.1} %: {} of {} images",
        100.0 * accuracy.top1,
        accuracy.correct,
        accuracy.images
    ))?;
    match outcome.found.skipped.len() {
        0 => {}
        count => out.line(format!(
            "skipped {count}: {}",
            folder.join(SKIPPED).display()
        ))?,
    }
    out.line(format!("page {}", folder.join(PAGE).display()))?;
    out.flush()
}
