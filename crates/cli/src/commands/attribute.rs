//! `elucid attribute`: what in a photograph speaks for a target, by one method or several.

use std::path::PathBuf;

use clap::Args;
use elucid::attribution::{BoxFormat, Configuration, Fuse, Method, Views};
use serde::{Serialize, Serializer};

use crate::args::{GradientArgs, ModelArgs, OutArgs, RunArgs};
use crate::console::{Output, table};
use crate::error::CliError;
use crate::images::{self, Several, Skipped};
use crate::interrupt::Interrupt;
use crate::known;
use crate::options::{MapArgs, MethodFlags, PictureArgs};
use crate::report::{
    Clock, CompletenessFacts, GuessFacts, ImageFacts, LayerFacts, RuleUseFacts, RunFacts, Step,
};
use crate::session::Session;
use crate::target::{self, TargetFacts};

use self::compute::Work;

mod compute;
mod figure;
mod page;
mod run;

/// As reports name it.
const COMMAND: &str = "attribute";

/// The comparison, among the files of a run with several results.
const PAGE: &str = "index.html";

#[derive(Debug, Args)]
pub struct AttributeArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Photographs: PNG, JPEG, WebP, BMP, GIF or TIFF, one after the other or with the flag repeated; folders, of
    /// which every picture is taken, by name; patterns such as 'photos/*.png'; - for one on standard input;
    /// arrays: .npy, FILE.npz:MEMBER
    #[arg(long = "image", required = true, value_name = "FILE", num_args = 1..)]
    images: Vec<PathBuf>,

    /// Which method (see: elucid methods), several with commas, or all
    #[arg(long, value_name = "NAME,...", value_parser = parse_methods)]
    method: MethodList,

    /// What is explained: a class A, a difference A:B, a number NAME[I,J], a region of a dense map
    /// A@box:XMIN,YMIN,XMAX,YMAX and more (all in --help); by default the best guess for each photograph
    #[arg(long, value_name = "TARGET", value_parser = target::parse, long_help = target::SPELLINGS)]
    target: Option<String>,

    /// How a detector writes its boxes, for A@detected: words between commas of cxcywh or xyxy, pixels
    /// or normalised, objectness, logits, anchors-first or anchors-last; by default cxcywh,pixels
    #[arg(long, value_name = "WORD,...", requires = "target")]
    boxes: Option<BoxFormat>,

    /// Explain the likeness to this picture: the cosine of the network's scores, or of --embedding
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["target", "probability"])]
    like: Option<PathBuf>,

    /// The layer whose cosine --like takes
    #[arg(long, value_name = "LAYER", requires = "like")]
    embedding: Option<String>,

    /// Explain the probability of the class, or of a number of an output, instead of the logit
    #[arg(long)]
    probability: bool,

    /// Layers to attribute to, several with commas, @input and @features among them; by default
    /// what the method is for
    #[arg(long = "layer", value_name = "LAYER,...", value_delimiter = ',')]
    layers: Vec<String>,

    #[command(flatten)]
    gradients: GradientArgs,

    /// One map of all layers of --layer for each method: mean or product of their maps, each over its largest
    /// value, on the finest grid
    #[arg(long, value_name = "HOW", requires = "layers")]
    fuse: Option<Fuse>,

    /// Average the maps of several views of each photograph: flip (mirrored), scale (0.9 and 1.1 times as
    /// large), intensity (its numbers times 0.9 and 1.1), several with commas
    #[arg(long, value_name = "VIEW,...", value_delimiter = ',')]
    tta: Vec<Views>,

    #[command(flatten)]
    options: MethodFlags,

    #[command(flatten)]
    maps: MapArgs,

    #[command(flatten)]
    pictures: PictureArgs,

    #[command(flatten)]
    output: OutArgs,

    /// How many images, or samples of images, to propagate together; by default 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Where the random numbers of sampling methods begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Methods, at least one and none twice.
#[derive(Debug, Clone)]
pub struct MethodList(Vec<&'static Method>);

fn parse_methods(text: &str) -> Result<MethodList, String> {
    let mut methods: Vec<&'static Method> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let named = match name {
            "all" => known::methods().collect(),
            name => vec![known::method(name)?],
        };
        for method in named {
            if methods.iter().all(|known| known.name != method.name) {
                methods.push(method);
            }
        }
    }
    Ok(MethodList(methods))
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    run: RunFacts,
    images: Vec<PhotoFacts>,
    /// Pictures that could not be read.
    skipped: Vec<Skipped>,
    seed: u64,
    batch_size: Option<u32>,
    /// Standard deviation of the smoothing as a fraction of the longer side; 0 for none.
    smooth: f32,
    /// How much of the photograph a map covers.
    opacity: f32,
    results: Vec<ResultFacts>,
    /// Whether Ctrl-C or SIGTERM ended the work early.
    interrupted: bool,
    /// What could not be computed.
    failures: Vec<FailureFacts>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PhotoFacts {
    #[serde(flatten)]
    image: ImageFacts,
    predictions: Vec<GuessFacts>,
    target: TargetFacts,
}

/// One method at one layer on one photograph.
#[derive(Debug, Serialize)]
struct ResultFacts {
    method: &'static str,
    title: &'static str,
    layer: LayerFacts,
    image: String,
    target: String,
    score: f32,
    rules: String,
    /// How many operators each rule took; empty for the true gradient.
    rules_used: Vec<RuleUseFacts>,
    /// The method's options as they were in effect: those that had no part in it are absent.
    options: Configuration,
    /// What hides pixels, or where a path begins, in words; absent for methods without a baseline.
    hidden_by: Option<String>,
    /// Absent where nothing is random.
    seed: Option<u64>,
    /// Absent where nothing is promised.
    completeness: Option<CompletenessFacts>,
    evaluations: usize,
    /// How many evaluations there would have been; absent unless they were ended early.
    planned_evaluations: Option<usize>,
    /// Absent for methods without a tolerance.
    tolerance_met: Option<bool>,
    /// What whoever reads the result should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
    /// Absent where the layer has no positions.
    map: Option<MapFacts>,
    /// Where the files lie in the folder; empty for the folder itself.
    folder: String,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MapFacts {
    reduction: String,
    height: usize,
    width: usize,
    colors: String,
    normalisation: String,
    /// The values at the ends of the colours.
    range: [f32; 2],
    /// Why there is nothing to see, in words; reports say whether that is so.
    #[serde(rename = "blank", serialize_with = "is_there")]
    why_blank: Option<String>,
    /// Whether it is the same everywhere, so that it points nowhere.
    constant: bool,
}

fn is_there<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(text.is_some())
}

#[derive(Debug, Serialize)]
struct FailureFacts {
    method: &'static str,
    /// As it was asked for.
    layer: String,
    error: String,
}

pub fn run(args: &AttributeArgs) -> Result<(), CliError> {
    args.options.check(&args.method.0)?;
    check_target(args)?;
    let destination = args.output.check(COMMAND)?;
    // Options are understood, and files are there, before minutes are spent.
    let runs = run::runs(args)?;
    let given = images::expand(&args.images)?;
    let mut several = Several::new(given.len(), args.run.console());
    let mut pictures = Vec::with_capacity(given.len());
    for path in given {
        if let Some(facts) = several.keep(&path, ImageFacts::of(&path))? {
            pictures.push((path, facts));
        }
    }
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let interrupt = Interrupt::watch()?;
    if let Some(remark) = args.pictures.remark() {
        session.console.note(remark);
    }
    let work = Work::new(
        (&session, args),
        runs,
        (pictures, &mut several),
        interrupt.clone(),
        &mut clock,
    )?;
    let results = work.compute(&mut clock)?;

    let page = match work.is_grid() {
        true => {
            let page = clock.time("draw the page", || -> Result<String, elucid::Error> {
                Ok(page::of(&work, &results)?.render()?)
            });
            Some(page?.into_bytes())
        }
        false => None,
    };
    let figure = match args.pictures.figure {
        true => Some(clock.time("draw the figure", || figure::of(&work, &results))?),
        false => None,
    };
    let mut files = results.files;
    if let Some(page) = page {
        files.add(PAGE, page);
    }
    for (name, bytes) in figure.into_iter().flatten() {
        files.add(name, bytes);
    }
    let lines = lines(&results.facts, args);
    let report = Report {
        run: RunFacts::of(COMMAND, &session),
        images: work
            .photos
            .iter()
            .map(|photo| PhotoFacts {
                image: photo.facts.clone(),
                predictions: GuessFacts::list(&photo.guesses),
                target: photo.target.clone(),
            })
            .collect(),
        skipped: several.skipped.clone(),
        seed: args.seed,
        batch_size: args.batch_size,
        smooth: args.maps.smooth,
        opacity: args.pictures.opacity,
        results: results.facts,
        interrupted: interrupt.is_set(),
        failures: results.failures.iter().map(|f| f.facts()).collect(),
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;

    let mut out = Output::new();
    if args.output.json {
        out.json_text(&report)?;
    } else {
        for line in lines {
            out.line(line)?;
        }
        if work.is_grid() {
            out.line(format!("page  {}", args.output.out.join(PAGE).display()))?;
        }
        if args.pictures.figure {
            let figure = args.output.out.join(figure::DRAWING);
            out.line(format!("figure  {}", figure.display()))?;
        }
    }
    out.flush()?;
    match interrupt.is_set() {
        true => Err(interrupt.ended()),
        false => several.end(),
    }
}

/// Refuses a probability of anything but one class.
fn check_target(args: &AttributeArgs) -> Result<(), CliError> {
    match &args.target {
        Some(text) if args.probability && !target::may_be_probability(text) => {
            Err(CliError::Usage(format!(
                "--probability explains one class, the answer no (none:CLASS) or one number of an output, and \
                 \"{text}\" is none of them"
            )))
        }
        _ => Ok(()),
    }
}

/// One line for each result.
fn lines(results: &[ResultFacts], args: &AttributeArgs) -> Vec<String> {
    let row = |result: &ResultFacts| {
        let completeness = match &result.completeness {
            Some(completeness) => format!("completeness error {}", percent(completeness.error)),
            None => String::new(),
        };
        let mut evaluations = count(result.evaluations, "evaluation");
        if let Some(planned) = result.planned_evaluations {
            evaluations.push_str(&format!(" of {planned}"));
        }
        if result.tolerance_met == Some(false) {
            evaluations.push_str(", tolerance not met");
        }
        vec![
            result.method.to_owned(),
            result.layer.name.clone(),
            format!("score {:.4}", result.score),
            completeness,
            evaluations,
            match result.folder.as_str() {
                "" => args.output.out.display().to_string(),
                folder => args.output.out.join(folder).display().to_string(),
            },
        ]
    };
    let mut rows: Vec<Vec<String>> = results.iter().map(row).collect();
    if rows.iter().all(|row| row[3].is_empty()) {
        rows.iter_mut().for_each(|row| drop(row.remove(3)));
    }
    table(&rows, &[])
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A share with two significant digits or two decimals.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        p if p == 0.0 || p >= 0.01 => format!("{p:.2} %"),
        p => format!("{p:.1e} %"),
    }
}
