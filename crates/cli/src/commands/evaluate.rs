//! `elucid evaluate`: how well methods do on labelled images.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use elucid::metrics::Metric;
use elucid::study::{
    self, Begin, Data, Ended, Expected, Found, Merge, ORIGINS, Origins, SETTINGS, SUMMARY,
    Settings, Study, StudyError, TABLE, results,
};

use crate::args::{GradientArgs, ModelArgs, RunArgs};
use crate::console::{Console, Output, table, to_json};
use crate::error::{CliError, WITH_FAILURES};
use crate::flags_or::FlagsOr;
use crate::interrupt::Interrupt;
use crate::known;
use crate::options::{MapArgs, MethodFlags};
use crate::output::{MERGED, REPORT};
use crate::report::{Clock, Step, build, remarks};
use crate::session::Session;
use crate::settings::{MergeArgs, Shard, parse_shard};

use self::entries::{Entries, MetricNames};
use self::outcome::{Outcome, PAGE};
use self::watch::Watching;

mod compare;
mod entries;
mod examples;
mod merge;
mod outcome;
mod status;
mod watch;

/// Ended by a signal, and to be gone on with: EX_TEMPFAIL of sysexits.h.
const TO_GO_ON: u8 = 75;

/// What only the command that measures can be told.
const TRY_AGAIN: &str = "; the same command with --resume --retry-failed tries them again";

/// An evaluation, or something done with evaluations.
pub type EvaluateArgs = FlagsOr<Evaluation, EvaluateCommand>;

#[derive(Debug, Subcommand)]
pub enum EvaluateCommand {
    /// Put the results of shards together, and sum them up
    Merge(Merging),
    /// Say how far evaluations are, and who is working on them
    Status(status::StatusArgs),
    /// Make the tables of what an evaluation has measured so far
    Table(TableArgs),
    /// Say which methods are better than which, on the same images
    Compare(compare::CompareArgs),
}

#[derive(Debug, Args)]
pub struct Merging {
    #[command(flatten)]
    merge: MergeArgs,

    /// Take shards together that other devices or builds measured, whose numbers may differ
    #[arg(long)]
    allow_mixed: bool,
}

#[derive(Debug, Args)]
pub struct TableArgs {
    /// The folder of an evaluation, running or not
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print no remarks
    #[arg(long, short)]
    quiet: bool,
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

    /// Go on with what an evaluation that ended early left in the folder, or help one that runs
    #[arg(long)]
    resume: bool,

    /// With --resume, try again what failed, and images that could not be read
    #[arg(long, requires = "resume")]
    retry_failed: bool,

    /// With --resume, go on though another device or build began, whose numbers may differ; the table says so
    #[arg(long, requires = "resume")]
    allow_mixed: bool,

    /// After how many minutes without a sign of life a worker's images are given to others
    #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    stale_after: u32,

    /// Only say what each method would take, told from the first image, and measure nothing
    #[arg(long)]
    dry_run: bool,

    /// Layer to attribute to, for methods that take one; by default what each is for
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,

    #[command(flatten)]
    gradients: GradientArgs,

    #[command(flatten)]
    options: MethodFlags,

    #[command(flatten)]
    maps: MapArgs,

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
    /// How many images are read and attributed together.
    fn batch(&self) -> usize {
        self.batch_size.map_or(study::BATCH, |size| size as usize)
    }

    fn begin(&self) -> Begin {
        Begin::new()
            .resume(self.resume)
            .retry_failed(self.retry_failed)
            .allow_mixed(self.allow_mixed)
            .stale_after(minutes(self.stale_after))
    }

    /// What is to be measured.
    fn study<'m>(&self, data: Data, session: &'m Session) -> Result<Study<'m>, CliError> {
        let model = &session.model;
        let source = data.source.clone();
        let items = data.resolve(model)?;
        let facts = Data::facts(&source, &items);
        let study = Study::new(
            model,
            (items, facts),
            self.methods.under(self),
            (known::metrics(), &self.metrics.0),
            (session.kind(), build()),
        )?
        .target(self.target.into())
        .seed(self.seed)?
        .batch_size(self.batch())?
        .remarks(remarks(model));
        study
            .part(self.limit.map(|limit| limit as usize), self.shard)
            .map_err(|error| CliError::Usage(error.to_string()))
    }
}

fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(60 * u64::from(minutes))
}

impl From<Explained> for study::Explained {
    fn from(explained: Explained) -> Self {
        match explained {
            Explained::Label => Self::Label,
            Explained::Prediction => Self::Prediction,
        }
    }
}

pub fn run(args: EvaluateArgs) -> Result<(), CliError> {
    match args {
        EvaluateArgs::Flags(mut args) => evaluate(&mut args),
        EvaluateArgs::Command(EvaluateCommand::Merge(args)) => merge::run(&args),
        EvaluateArgs::Command(EvaluateCommand::Status(args)) => status::run(&args),
        EvaluateArgs::Command(EvaluateCommand::Table(args)) => make_table(&args),
        EvaluateArgs::Command(EvaluateCommand::Compare(args)) => compare::run(&args),
    }
}

fn evaluate(args: &mut Evaluation) -> Result<(), CliError> {
    entries::check(args)?;
    // From the beginning: a signal while the model opens ends it as any other does.
    let interrupt = match args.dry_run {
        true => None,
        false => Some(Interrupt::watch()?),
    };
    let data = Data::read(&args.data)?;
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    study::check_head(&session.model, args.target.into())?;
    let left_out = args.methods.keep_applicable(&session.model)?;
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        session.console.note(format!(
            "{names} look at attention, and this network has none: left out"
        ));
    }
    let args = &*args;
    let study = args.study(data, &session)?;
    let Some(interrupt) = interrupt else {
        return say_expected(&study);
    };
    let mut watching = Watching::new(&session.console, &args.out, study.metrics());
    let control = watching.control(interrupt.flag());
    let (ended, settings, found) = clock.time("evaluate", || {
        study.run(&args.out, &args.begin(), &control, &mut watching)
    })?;
    watching.finish();
    if ended == Ended::Stopped {
        let [done, all] = found.cells();
        return Err(CliError::Ended(
            TO_GO_ON,
            format!(
                "ended by {}: {done} of {all} cells are measured; the same command with --resume goes on",
                interrupt.by()
            ),
        ));
    }
    let metrics = study.metrics();
    let device = Some(session.device.as_str());
    sum_up(
        &args.out,
        (&settings, &found),
        metrics,
        (device, Some(args.batch())),
        clock,
    )?
    .print(TRY_AGAIN)
}

/// Prints what each method would take.
fn say_expected(study: &Study<'_>) -> Result<(), CliError> {
    let expected = study.expected()?;
    let heads = [
        "method",
        "cells",
        "passes per image",
        "s per image",
        "in all",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let all = |expected: &Expected| expected.images as f64 * expected.seconds;
    rows.extend(expected.iter().map(|expected| {
        vec![
            expected.method.clone(),
            expected.images.to_string(),
            expected.passes.to_string(),
            format!("{:.3}", expected.seconds),
            watch::duration(all(expected)),
        ]
    }));
    let mut out = Output::new();
    for line in table(&rows, &[1, 2, 3, 4]) {
        out.line(line)?;
    }
    let seconds = expected.iter().map(all).sum();
    out.line("")?;
    out.line(format!(
        "{} for attributing, on this machine, without metrics; nothing was measured",
        watch::duration(seconds)
    ))?;
    out.flush()
}

/// Makes the tables, the page and the report in the folder of an evaluation.
fn sum_up(
    folder: &Path,
    (settings, found): (&Settings, &Found),
    metrics: &[Box<dyn Metric>],
    (device, batch_size): (Option<&str>, Option<usize>),
    mut clock: Clock,
) -> Result<Said, CliError> {
    let outcome = clock.time("sum up", || Outcome::new(settings, metrics, found))?;
    let [done, all] = found.cells();
    if done == all && settings.merged_from == 0 {
        let folders = examples::folders(folder, &method_names(settings));
        for (folder, extremes) in folders.iter().zip(&outcome.extremes) {
            examples::prune(folder, &extremes.kept());
        }
    }
    write(folder, &outcome, (device, batch_size), clock.steps())?;
    Ok(Said::of(&outcome, folder))
}

fn method_names(settings: &Settings) -> Vec<&str> {
    let methods = settings.methods.iter();
    methods.map(|method| method.name.as_str()).collect()
}

/// Writes everything that is made of the journal into its folder.
fn write(
    folder: &Path,
    outcome: &Outcome<'_>,
    (device, batch_size): (Option<&str>, Option<usize>),
    seconds: Vec<Step>,
) -> Result<(), CliError> {
    let methods = method_names(outcome.settings);
    let origins = Origins::of(folder, outcome.settings);
    let page = outcome.page(|row, number| {
        let folders = examples::folders(origins.folder(number)?, &methods);
        Some(folders[row].join(examples::file(number)))
    })?;
    let (command, others): (_, &[&str]) = match outcome.settings.merged_from {
        0 => ("evaluate", &[]),
        _ => (MERGED, &[Merge::JOURNAL, ORIGINS]),
    };
    results::write(folder, outcome.settings, outcome.found)?;
    let names = [
        SETTINGS,
        study::IMAGES,
        results::RESULTS,
        results::SKIPPED,
        results::NOTES,
        results::FAILURES,
        SUMMARY,
        TABLE,
        PAGE,
        REPORT,
    ];
    let names = names
        .iter()
        .chain(others)
        .map(|name| (*name).to_owned())
        .collect();
    let report = outcome.report(command, device, batch_size, seconds, names);
    let report = to_json(&report)? + "\n";
    for (name, bytes) in [
        (SUMMARY, outcome.csv().as_bytes()),
        (TABLE, outcome.markdown().as_bytes()),
        (PAGE, page.as_slice()),
        (REPORT, report.as_bytes()),
    ] {
        elucid::render::file::write_atomically(folder.join(name), bytes)?;
    }
    Ok(())
}

fn make_table(args: &TableArgs) -> Result<(), CliError> {
    let mut clock = Clock::default();
    let (settings, found) = clock.time("read", || study::read(&args.folder))?;
    let [done, all] = found.cells();
    if done < all {
        let console = Console::new(args.quiet);
        console.note(format!("{done} of {all} cells are measured so far"));
    }
    if found.seen().next().is_none() {
        return Err(CliError::Failure("nothing is measured yet".to_owned()));
    }
    let metrics = metrics(&settings)?;
    sum_up(
        &args.folder,
        (&settings, &found),
        &metrics,
        (None, None),
        clock,
    )?
    .print("")
}

/// The metrics of a folder's study.
fn metrics(settings: &Settings) -> Result<Vec<Box<dyn Metric>>, StudyError> {
    study::metrics(
        known::metrics(),
        &settings.metrics,
        settings.seed,
        study::BATCH,
    )
}

/// What people are told of an outcome.
struct Said {
    /// The table, and where everything lies.
    lines: Vec<String>,
    /// How many values failed, and which file lists them.
    failed: (usize, PathBuf),
}

impl Said {
    /// Of an outcome whose files lie, or will lie, in `folder`.
    fn of(outcome: &Outcome<'_>, folder: &Path) -> Self {
        let mut rows = vec![[vec!["method".to_owned()], outcome.summary.heads()].concat()];
        let named = outcome.summary.rows().into_iter();
        rows.extend(named.map(|(name, cells)| [vec![name], cells].concat()));
        let mut lines = table(&rows, &[]);
        let accuracy = outcome.summary.accuracy;
        lines.push(String::new());
        lines.push(format!(
            "top-1 accuracy {:.1} %: {} of {} images",
            100.0 * accuracy.top1,
            accuracy.correct,
            accuracy.images
        ));
        if let Some(mixed) = outcome.found.mixed() {
            lines.push(format!(
                "numbers may differ between {}",
                mixed.join(", and ")
            ));
        }
        match outcome.found.skipped().count() {
            0 => {}
            count => lines.push(format!(
                "skipped {count}: {}",
                folder.join(results::SKIPPED).display()
            )),
        }
        lines.push(format!("page {}", folder.join(PAGE).display()));
        Self {
            lines,
            failed: (
                outcome.found.failures().len(),
                folder.join(results::FAILURES),
            ),
        }
    }

    /// Prints it; `hint` says what can be done about values that failed.
    fn print(&self, hint: &str) -> Result<(), CliError> {
        let mut out = Output::new();
        for line in &self.lines {
            out.line(line)?;
        }
        out.flush()?;
        match &self.failed {
            (0, _) => Ok(()),
            (count, file) => Err(CliError::Ended(
                WITH_FAILURES,
                format!("{count} values failed: {}{hint}", file.display()),
            )),
        }
    }
}
