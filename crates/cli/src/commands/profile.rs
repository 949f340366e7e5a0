//! `elucid profile`: what each operator of a network takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use elucid::attribution::images_together;
use elucid::graph::{Cost, OperatorProfile, Profile, Profiling};
use elucid::prelude::*;
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs, parse_size};
use crate::console::{Output, table, to_json};
use crate::error::CliError;
use crate::report::RunFacts;
use crate::schema::Versioned;
use crate::session::Session;

#[derive(Debug, Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Time the gradient to the input, too
    #[arg(long)]
    backward: bool,

    /// The photograph that the network runs on: noise without
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,

    /// How many pictures go through together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Height and width of the noise [default: the network's]
    #[arg(long, value_name = "HxW", value_parser = parse_size, conflicts_with = "image")]
    size: Option<[usize; 2]>,

    /// The layer up to which the network runs [default: its outputs; with --backward its scores]
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,

    /// How often the network runs: times are medians
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,

    /// List only so many operators, those that take longest first
    #[arg(long, value_name = "N")]
    top: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    run: RunFacts,
    /// Of the pictures, `[N, C, H, W]`.
    shape: Vec<usize>,
    layers: Vec<String>,
    repeats: usize,
    forward: PassFacts,
    /// With `--backward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<PassFacts>,
    /// Of the pass that records and the way back together, with `--backward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    gradient_milliseconds: Option<f64>,
    kinds: Vec<KindFacts>,
    operators: Vec<OperatorFacts>,
}

#[derive(Debug, Serialize)]
struct PassFacts {
    /// What a pass takes that nobody looks into.
    milliseconds: f64,
    /// Of the operators together.
    operators_milliseconds: f64,
    /// Of shapes and checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    planning_milliseconds: Option<f64>,
    flops: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct CostFacts {
    milliseconds: f64,
    flops: u64,
    /// Absent without arithmetic.
    gflops_per_second: Option<f64>,
    bytes: u64,
    /// Of the time of all operators, from 0 to 1.
    share: f64,
}

#[derive(Debug, Serialize)]
struct KindFacts {
    kind: String,
    operators: usize,
    forward: CostFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<CostFacts>,
}

#[derive(Debug, Serialize)]
struct OperatorFacts {
    layer: String,
    /// Absent where the file names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    kind: String,
    shape: Vec<usize>,
    forward: CostFacts,
    /// Absent where no gradient goes through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<CostFacts>,
}

/// What all operators take together, each way.
struct Totals {
    forward: Cost,
    backward: Cost,
}

impl Totals {
    fn of(profile: &Profile) -> Self {
        Self {
            forward: profile.total(),
            backward: profile.total_backward().unwrap_or_default(),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn share(time: Duration, total: Duration) -> f64 {
    match total.as_secs_f64() {
        0.0 => 0.0,
        total => time.as_secs_f64() / total,
    }
}

impl CostFacts {
    fn of(cost: Cost, total: Cost) -> Self {
        Self {
            milliseconds: milliseconds(cost.time),
            flops: cost.flops,
            gflops_per_second: cost.gflops(),
            bytes: cost.bytes,
            share: share(cost.time, total.time),
        }
    }
}

pub fn run(args: &ProfileArgs) -> Result<(), CliError> {
    let session = Session::open(&args.run, &args.model)?;
    let model = &session.model;
    let image = match &args.image {
        Some(path) => Photo::stack(&[session.read(path)?])?,
        None => model
            .noise(1, args.size)
            .map_err(|error| CliError::Usage(error.to_string()))?,
    };
    let layers: Vec<String> = match &args.layer {
        Some(layer) => vec![model.layer(layer)?.name().to_owned()],
        None if args.backward => vec![model.scores()?.name().to_owned()],
        None => {
            let outputs = model.graph().outputs().iter();
            outputs
                .map(|&value| model.graph().name(value).to_owned())
                .collect()
        }
    };
    let batch = usize::from(args.batch);
    for layer in &layers {
        let fitting = images_together(model, layer, image.dims(), batch);
        if fitting < batch {
            let reason = format!(
                "--batch {batch} takes more memory than the network may: {fitting} fit; \
                 --memory-limit raises it"
            );
            return Err(CliError::Usage(reason));
        }
    }
    let images = image.repeat_dim(0, batch);
    let profiling = Profiling::new()
        .repeats(usize::from(args.repeat))
        .backward(args.backward);
    let pass = model.pass().input(&images);
    let profile = pass.profile(&layers, &profiling)?;
    let mut out = Output::new();
    if args.json {
        let shape = images.dims().to_vec();
        let report = report(args, &session, &profile, layers, shape);
        out.json_text(&to_json(&Versioned::of("profile", &report))?)?;
    } else {
        print(&mut out, args, &profile)?;
    }
    out.flush()
}

/// The operators that are listed.
fn listed<'p>(args: &ProfileArgs, profile: &'p Profile) -> Vec<&'p OperatorProfile> {
    let mut operators: Vec<_> = profile.operators().iter().collect();
    if let Some(top) = args.top {
        let time = |o: &&OperatorProfile| o.forward().time + o.backward().unwrap_or_default().time;
        operators.sort_by_key(|operator| std::cmp::Reverse(time(operator)));
        operators.truncate(top);
    }
    operators
}

fn report(
    args: &ProfileArgs,
    session: &Session,
    profile: &Profile,
    layers: Vec<String>,
    shape: Vec<usize>,
) -> Report {
    let totals = Totals::of(profile);
    let pass = |time: Duration, total: Cost, planning: Option<Duration>| PassFacts {
        milliseconds: milliseconds(time),
        operators_milliseconds: milliseconds(total.time),
        planning_milliseconds: planning.map(milliseconds),
        flops: total.flops,
        bytes: total.bytes,
    };
    let back = |cost: Option<Cost>| cost.map(|cost| CostFacts::of(cost, totals.backward));
    let kinds = profile.kinds();
    let kinds = kinds.iter().map(|kind| KindFacts {
        kind: kind.kind().to_string(),
        operators: kind.operators(),
        forward: CostFacts::of(kind.forward(), totals.forward),
        backward: back(kind.backward()),
    });
    let operators = listed(args, profile).into_iter();
    let operators = operators.map(|operator| OperatorFacts {
        layer: operator.layer().to_owned(),
        module: Some(operator.module().to_owned()).filter(|module| !module.is_empty()),
        kind: operator.kind().to_string(),
        shape: operator.shape().to_vec(),
        forward: CostFacts::of(operator.forward(), totals.forward),
        backward: back(operator.backward()),
    });
    let backward = profile.backward();
    Report {
        run: RunFacts::of("profile", session),
        shape,
        layers,
        repeats: profile.repeats(),
        forward: pass(profile.forward(), totals.forward, Some(profile.planning())),
        backward: backward.map(|time| pass(time, totals.backward, None)),
        gradient_milliseconds: profile.gradient().map(milliseconds),
        kinds: kinds.collect(),
        operators: operators.collect(),
    }
}

/// What a table says of a cost.
fn cells(cost: Cost, total: Cost) -> [String; 4] {
    [
        format!("{:.3}", milliseconds(cost.time)),
        format!("{:.1} %", 100.0 * share(cost.time, total.time)),
        cost.gflops()
            .map_or(String::new(), |rate| format!("{rate:.1}")),
        format!("{:.2}", cost.bytes as f64 / 1e6),
    ]
}

const COLUMNS: [&str; 4] = ["ms", "share", "GFLOP/s", "MB"];

fn print(out: &mut Output, args: &ProfileArgs, profile: &Profile) -> Result<(), CliError> {
    let totals = Totals::of(profile);
    let with_back = profile.backward().is_some();
    let head = |first: &[&str]| {
        let mut row: Vec<String> = first.iter().map(|&name| name.to_owned()).collect();
        row.extend(COLUMNS.map(str::to_owned));
        if with_back {
            row.extend(COLUMNS.map(|name| format!("back: {name}")));
        }
        row
    };
    let numbers = |forward: Cost, backward: Option<Cost>| {
        let mut row = Vec::from(cells(forward, totals.forward));
        if with_back {
            let back = backward.map(|cost| cells(cost, totals.backward));
            row.extend(back.unwrap_or_default());
        }
        row
    };
    let right: Vec<usize> = (3..11).collect();
    let mut rows = vec![head(&["layer", "operator", "shape"])];
    for operator in listed(args, profile) {
        let mut row = vec![
            operator.layer().to_owned(),
            operator.kind().to_string(),
            format!("{:?}", operator.shape()),
        ];
        row.extend(numbers(operator.forward(), operator.backward()));
        rows.push(row);
    }
    for line in table(&rows, &right) {
        out.line(line)?;
    }
    out.line("")?;
    let mut rows = vec![head(&["operator", "number"])];
    for kind in profile.kinds() {
        let mut row = vec![kind.kind().to_string(), kind.operators().to_string()];
        row.extend(numbers(kind.forward(), kind.backward()));
        rows.push(row);
    }
    let mut row = vec!["all".to_owned(), profile.operators().len().to_string()];
    row.extend(numbers(totals.forward, profile.total_backward()));
    rows.push(row);
    let right: Vec<usize> = (1..10).collect();
    for line in table(&rows, &right) {
        out.line(line)?;
    }
    out.line("")?;
    out.line(format!(
        "a pass: {:.3} ms, {:.3} of them for shapes and checks (medians of {})",
        milliseconds(profile.forward()),
        milliseconds(profile.planning()),
        profile.repeats()
    ))?;
    if let (Some(gradient), Some(backward)) = (profile.gradient(), profile.backward()) {
        out.line(format!(
            "its gradient: {:.3} ms with the pass, {:.3} of them on the way back",
            milliseconds(gradient),
            milliseconds(backward)
        ))?;
    }
    Ok(())
}
