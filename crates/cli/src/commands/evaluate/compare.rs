//! `elucid evaluate compare`: which methods are better than which, on the same images.

use std::path::PathBuf;

use clap::Args;
use elucid::render::file::write_atomically;
use elucid::study::{self, COMPARISONS, Comparison, LEVEL, Studies, split};
use serde::Serialize;

use crate::console::{Console, Output, table};
use crate::error::CliError;
use crate::known;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folders of evaluations, or of merges: of one network, over the same images; of what several have measured, the first
    /// counts
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Compare every method with this one only, named as in the table [default: every two methods]
    #[arg(long, value_name = "METHOD")]
    with: Option<String>,

    /// Only these metrics, named as in the table, several with commas
    #[arg(long, value_name = "NAME,...")]
    metrics: Option<String>,

    /// Only these images, several with commas: numbers as in images.csv, ranges such as 0-99, names of files
    #[arg(long, value_name = "IMAGE,...")]
    images: Option<String>,

    /// Where to write the comparisons [default: comparisons.csv in the first folder]
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Print no remarks
    #[arg(long, short)]
    quiet: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct List {
    /// Below which p, corrected, methods are told apart.
    level: f64,
    comparisons: Vec<Comparison>,
    file: String,
}

pub fn run(args: &CompareArgs) -> Result<(), CliError> {
    let mut studies = Studies::read(&args.folders)?;
    if let Some(images) = &args.images {
        studies = studies.only(images)?;
    }
    let made = study::metrics(
        known::metrics(),
        studies.metrics(),
        studies.seed(),
        study::BATCH,
    )?;
    let only = args.metrics.as_deref().map(split).unwrap_or_default();
    let comparisons = Comparison::of(&studies, &made, args.with.as_deref(), &only)?;
    if comparisons.is_empty() {
        return Err(CliError::Failure(
            "no two methods have an image in common".to_owned(),
        ));
    }
    if let (Some(mixed), console) = (studies.mixed(), Console::new(args.quiet)) {
        console.note(format!(
            "numbers may differ between {}",
            mixed.join(", and ")
        ));
    }
    let usual = || args.folders[0].join(COMPARISONS);
    let file = args.csv.clone().unwrap_or_else(usual);
    write_atomically(&file, Comparison::to_csv(&comparisons).as_bytes())?;
    if args.json {
        let mut out = Output::new();
        let list = List {
            level: LEVEL,
            comparisons,
            file: file.display().to_string(),
        };
        out.json("evaluate compare", &list)?;
        return out.flush();
    }
    let mut rows = vec![
        [
            "metric",
            "method",
            "with",
            "images",
            "better by",
            "effect",
            "share",
            "p",
            "p (Holm)",
            "",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(comparisons.iter().map(|comparison| {
        let Comparison {
            difference,
            low,
            high,
            ..
        } = comparison;
        vec![
            comparison.metric.clone(),
            comparison.method.clone(),
            comparison.with.clone(),
            comparison.images.to_string(),
            format!("{difference:+.3} ({low:+.3} to {high:+.3})"),
            comparison
                .effect
                .map_or(String::new(), |effect| format!("{effect:+.2}")),
            format!("{:.2}", comparison.share),
            format!("{:.4}", comparison.p),
            format!("{:.4}", comparison.p_holm),
            match (comparison.is_told(), *difference > 0.0) {
                (false, _) => "not told apart",
                (true, true) => "better",
                (true, false) => "worse",
            }
            .to_owned(),
        ]
    }));
    let mut out = Output::new();
    for line in table(&rows, &[3, 5, 6, 7, 8]) {
        out.line(line)?;
    }
    let told = comparisons
        .iter()
        .filter(|comparison| comparison.is_told())
        .count();
    out.line("")?;
    out.line(format!(
        "{told} of {} comparisons tell methods apart: two-sided permutation test, p below {LEVEL} after Holm's \
         correction for all of them",
        comparisons.len()
    ))?;
    out.line(format!("file {}", file.display()))?;
    out.flush()
}
