//! `elucid classify`: what a network takes photographs for.

use std::path::{Path, PathBuf};

use clap::Args;
use elucid::vision::Probabilities;
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs};
use crate::console::{Output, table};
use crate::error::CliError;
use crate::images::{self, Several, Skipped};
use crate::report::{GuessFacts, HeadFacts, InputFacts, ModelFacts, remarks};
use crate::session::Session;
use crate::target;

#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// Photographs: PNG, JPEG, WebP, BMP, GIF or TIFF; folders, of which every picture is taken, by name; patterns
    /// such as 'photos/*.png'; - for one on standard input; arrays: .npy, or FILE.npz:MEMBER
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// How many classes to name for each photograph
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    top: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    model: ModelFacts,
    input: InputFacts,
    head: HeadFacts,
    device: String,
    remarks: Vec<String>,
    images: Vec<Classified>,
    /// Pictures that could not be read.
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Classified {
    image: String,
    guesses: Vec<GuessFacts>,
}

pub fn run(args: &ClassifyArgs) -> Result<(), CliError> {
    let given = images::expand(&args.images)?;
    let session = Session::open(&args.run, &args.model)?;
    let mut several = Several::new(given.len(), session.console);
    let mut out = Output::new();
    if args.json {
        let bar = session.console.steps("photographs");
        bar.set_length(given.len() as u64);
        let mut images = Vec::with_capacity(given.len());
        for path in &given {
            images.extend(several.keep(path, classify(&session, path, args.top))?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let report = Report {
            images,
            skipped: several.skipped.clone(),
            model: ModelFacts::of(&session.model),
            input: InputFacts::of(&session.model),
            head: HeadFacts::of(&session.model),
            remarks: remarks(&session.model),
            device: session.device,
        };
        out.json("classify", &report)?;
    } else {
        let mut is_first = true;
        for path in &given {
            let done = classify(&session, path, args.top);
            let Some(classified) = several.keep(path, done)? else {
                continue;
            };
            if given.len() > 1 {
                if !is_first {
                    out.line("")?;
                }
                out.line(format!("{}:", classified.image))?;
                is_first = false;
            }
            print(&mut out, &classified, session.model.head().probabilities())?;
            out.flush()?;
        }
    }
    out.flush()?;
    several.end()
}

fn classify(session: &Session, path: &Path, top: usize) -> Result<Classified, CliError> {
    let photo = session.read(path)?;
    let mut guesses = session.model.classify(&photo)?.top(usize::MAX);
    target::finite(&guesses, path)?;
    guesses.truncate(top);
    Ok(Classified {
        image: images::name(path),
        guesses: guesses.into_iter().map(GuessFacts::from).collect(),
    })
}

fn print(out: &mut Output, classified: &Classified, by: Probabilities) -> Result<(), CliError> {
    let row = |g: &GuessFacts| match (g.probability, by) {
        // Numbers of a regression or an embedding.
        (None, _) => vec![g.label.clone(), format!("{:.2}", g.logit)],
        (Some(p), by) => {
            let said = match by {
                Probabilities::Sigmoid => format!("p = {p:.6}"),
                _ => format!("{:.1} %", 100.0 * p),
            };
            let of = format!("class {}, logit {:.2}", g.index, g.logit);
            vec![said, g.label.clone(), of]
        }
    };
    if let ([only], Probabilities::None) = (&classified.guesses[..], by) {
        return out.line(format!("{} {:.2}", only.label, only.logit));
    }
    let rows: Vec<_> = classified.guesses.iter().map(row).collect();
    let right: &[usize] = if by == Probabilities::None {
        &[1]
    } else {
        &[0]
    };
    for line in table(&rows, right) {
        out.line(line)?;
    }
    Ok(())
}
