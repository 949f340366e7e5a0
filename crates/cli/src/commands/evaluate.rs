//! `elucid evaluate`: how well methods do on labelled images.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use elucid::study::{
    self, Begin, Data, Ended, Expected, Explainer, ForeignMaps, Item, Part, Study,
};
use serde::Serialize;

use crate::args::{GradientArgs, ModelArgs, RunArgs};
use crate::console::{Output, table};
use crate::error::CliError;
use crate::flags_or::FlagsOr;
use crate::interrupt::Interrupt;
use crate::known;
use crate::options::{MapArgs, MethodFlags};
use crate::report::{Clock, build, remarks};
use crate::session::Session;
use crate::settings::{MergeArgs, Shard, SharedArgs, ended as ended_by, parse_shard};
use crate::workers::StatusArgs;

pub use self::entries::{Entries, MetricNames};
use self::tables::{make_table, metrics, sum_up};
use self::watch::Watching;

mod compare;
mod curves;
mod entries;
mod examples;
mod merge;
mod outcome;
mod status;
pub mod study_file;
mod tables;
mod watch;

/// What only the command that measures can be told.
const TRY_AGAIN: &str = "; the same command with --resume --retry-failed tries them again";

/// An evaluation, or something done with evaluations.
pub type EvaluateArgs = FlagsOr<Evaluation, EvaluateCommand>;

#[derive(Debug, Subcommand)]
pub enum EvaluateCommand {
    /// Put the results of shards together, and sum them up
    Merge(MergeArgs),
    /// Say how far evaluations are, and who is working on them
    Status(StatusArgs),
    /// Make the tables of what an evaluation has measured so far
    Table(TableArgs),
    /// Say which methods are better than which, on the same images
    Compare(compare::CompareArgs),
}

#[derive(Debug, Args)]
pub struct TableArgs {
    /// The folder of an evaluation, running or not
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print no remarks
    #[arg(long, short)]
    quiet: bool,

    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Evaluation {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// A file, study.toml, that says what these flags say, and may have different methods for different images; flags take the
    /// place of its keys
    #[arg(long, value_name = "FILE")]
    study: Option<PathBuf>,

    /// Print such a file that says what the other flags say, and measure nothing
    #[arg(long)]
    write_study: bool,

    /// Which of methods and metrics the command line leaves to the parts of such a file.
    #[arg(skip)]
    pub of_study: Vec<&'static str>,

    /// Labelled images: a CSV file with the columns file and class_index (or label) and, where
    /// there are boxes, xmin, ymin, xmax and ymax; a folder with such a file, or with a folder
    /// of images for each class; a folder with Annotations of VOC or ILSVRC; a JSON file of COCO;
    /// a tar archive of WebDataset, or a folder of them
    #[arg(long, value_name = "FILE|DIR")]
    data: PathBuf,

    /// Which methods (see: elucid methods), several with commas, or all; NAME:OPTION=VALUE,... for
    /// options of one of them, among them layer, rules, reduce and smooth
    #[arg(long, value_name = "NAME,...", value_parser = entries::parse_methods, required_unless_present = "foreign")]
    methods: Option<Entries>,

    /// Measure maps that another program made, too, under a name of their own: a folder with a .npy file for each image, or
    /// one array [N, H, W] with an entry for each. Again for each program
    #[arg(long = "maps", value_name = "[NAME=]DIR|FILE.npy", value_parser = parse_foreign)]
    foreign: Vec<(String, PathBuf)>,

    /// Bring such maps of another size to that of the pictures as the network sees them (bilinear), instead of refusing them
    #[arg(long, requires = "foreign")]
    resize_maps: bool,

    /// Which metrics, several with commas: pointing, pointing:0, insertion, road:OPTION=VALUE,...;
    /// the first decides which examples are the best
    #[arg(long, value_name = "NAME,...", value_parser = entries::parse_metrics)]
    metrics: MetricNames,

    /// Where the objects are, as masks: a folder with a PNG file for each image, of which all but 0 is the object, or VOC's
    /// SegmentationClass or SegmentationObject
    #[arg(long, value_name = "DIR")]
    object_masks: Option<PathBuf>,

    /// Take objects, too, that VOC calls difficult, and COCO a crowd
    #[arg(long)]
    difficult: bool,

    /// What is explained: the image's label, or what the network takes it for
    #[arg(long, value_enum, default_value_t = Explained::Label)]
    target: Explained,

    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Only N images, drawn by the seed, of every class its share
    #[arg(long, value_name = "N", conflicts_with = "limit", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,

    /// Only every N-th image, from the K-th on
    #[arg(long, value_name = "K/N", value_parser = parse_shard, default_value = "1/1")]
    shard: Shard,

    /// Go on with what an evaluation that ended early left in the folder, or help one that runs
    #[arg(long)]
    resume: bool,

    /// With --resume, try again what failed, and images that could not be read
    #[arg(long, requires = "resume")]
    retry_failed: bool,

    /// Keep the map of every image under every method, in the folder maps of the results
    #[arg(long)]
    save_maps: bool,

    /// Keep the curves that values are means or areas of (insertion, road, sic and others), in the folder curves of the results,
    /// and draw their means beside the table
    #[arg(long)]
    save_curves: bool,

    #[command(flatten)]
    shared: SharedArgs,

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

    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,

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
            .allow_mixed(self.shared.allow_mixed)
            .save_maps(self.save_maps)
            .save_curves(self.save_curves)
            .stale_after(self.shared.stale.time())
    }

    /// What is to be measured.
    fn study<'m>(&self, data: Data, session: &'m Session) -> Result<Study<'m>, CliError> {
        let model = &session.model;
        let source = data.source.clone();
        let items = data.resolve(model)?;
        let items = match &self.object_masks {
            Some(folder) => study::with_masks(items, folder)?,
            None => items,
        };
        let facts = Data::facts(&source, &items);
        let mut methods: Vec<Explainer> = entries::under(self).map(Explainer::Method).collect();
        for (name, source) in &self.foreign {
            let maps = ForeignMaps::open(name, source, &items)?.resize(self.resize_maps);
            methods.push(Explainer::Maps(maps));
        }
        let limit = self.limit.map(|limit| limit as usize);
        let parts = self.parts(&items, &methods)?;
        let study = Study::new(
            model,
            (items, facts),
            methods,
            (known::metrics(), &self.metrics.0),
            (session.kind(), build()),
        )?
        .target(self.target.into())
        .seed(self.seed)?
        .batch_size(self.batch())?
        .parts(parts)?
        .remarks(remarks(model));
        let study = match self.sample {
            Some(count) => study.sample(count as usize),
            None => study,
        };
        let study =
            (study.part(limit, self.shard)).map_err(|error| CliError::Usage(error.to_string()))?;
        for (name, channels) in study.check_maps()? {
            session.console.note(format!(
                "{name}: the channels of each map, up to {channels}, are added up"
            ));
        }
        Ok(study)
    }
}

impl Evaluation {
    /// The parts of the file, if it has any.
    fn parts(&self, items: &[Item], methods: &[Explainer]) -> Result<Vec<Part>, CliError> {
        let Some(path) = &self.study else {
            return Ok(Vec::new());
        };
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut chosen: Vec<&Item> = items.iter().filter(|item| item.number < limit).collect();
        if let Some(count) = self.sample {
            let numbers = study::stratified(&chosen, count as usize, self.seed);
            chosen.retain(|item| numbers.binary_search(&item.number).is_ok());
        }
        let asked = study_file::Parts {
            rows: methods
                .iter()
                .map(|method| method.name().to_owned())
                .collect(),
            metrics: &self.metrics.0,
            foreign: self.foreign.iter().map(|(name, _)| name.clone()).collect(),
            of_study: &self.of_study,
            items: chosen,
            seed: self.seed,
        };
        asked.read(path)
    }
}

/// `NAME=PATH`, or a path whose last part is the name.
fn parse_foreign(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !name.contains(['/', '\\']) => (name.to_owned(), path),
        _ => {
            let stem = Path::new(text).file_stem();
            let name = stem.map(|stem| stem.to_string_lossy().into_owned());
            (name.unwrap_or_default(), text)
        }
    };
    match name.is_empty() || path.is_empty() {
        true => Err("expected NAME=DIR or NAME=FILE.npy".to_owned()),
        false => Ok((name, path.into())),
    }
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
    let data = Data::read_with(&args.data, args.difficult)?;
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    study::check_head(&session.model, args.target.into())?;
    let left_out = match &mut args.methods {
        Some(methods) => methods.keep_applicable(&session.model)?,
        None => Vec::new(),
    };
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        session.console.note(format!(
            "{names} look at attention, and this network has none: left out"
        ));
    }
    let args = &*args;
    let study = args.study(data, &session)?;
    let Some(interrupt) = interrupt else {
        return say_expected(&study, args.json);
    };
    let mut watching = Watching::new(&session.console, &args.out);
    let control = watching.control(interrupt.flag());
    let (ended, settings, found) = clock.time("evaluate", || {
        study.run(&args.out, &args.begin(), &control, &mut watching)
    })?;
    watching.finish();
    if ended == Ended::Stopped {
        let [done, all] = found.cells();
        let how_far = format!("{done} of {all} cells are measured");
        return Err(ended_by(&interrupt, how_far));
    }
    let metrics = metrics(&settings)?;
    let device = Some(session.device.as_str());
    sum_up(
        &args.out,
        (&settings, &found),
        &metrics,
        (device, Some(args.batch())),
        clock,
    )?
    .print(TRY_AGAIN, args.json)
}

#[derive(Debug, Serialize)]
struct Expectations {
    methods: Vec<Expected>,
}

/// Prints what each method would take.
fn say_expected(study: &Study<'_>, json: bool) -> Result<(), CliError> {
    let expected = study.expected()?;
    let mut out = Output::new();
    if json {
        out.json("evaluate dry-run", &Expectations { methods: expected })?;
        return out.flush();
    }
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
