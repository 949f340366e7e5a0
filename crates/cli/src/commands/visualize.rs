//! `elucid visualize`: pictures of what channels, directions and classes look for.

use std::path::PathBuf;

use clap::Args;
use elucid::prelude::*;
use elucid::render::ContactSheet;
use elucid::render::plate::number;
use ndarray::Array2;
use serde::Serialize;

use crate::args::{ModelArgs, OutArgs, RunArgs};
use crate::console::{Output, follow};
use crate::error::CliError;
use crate::icons::{Channels, IconArgs, IconFacts, check_memory, parse_channels, parse_sides};
use crate::output::Files;
use crate::report::{Clock, LayerFacts, RunFacts, Step};
use crate::session::Session;

use self::subjects::{Subject, Subjects};

mod directions;
mod subjects;

/// As reports name it.
const COMMAND: &str = "visualize";

/// All pictures in one.
const SHEET: &str = "contact_sheet.png";
/// What the objectives were worth at each step.
const VALUES: &str = "values.npy";

#[derive(Debug, Args)]
pub struct VisualizeArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// The layer of the channels or directions
    #[arg(
        long,
        value_name = "LAYER",
        required_unless_present = "classes",
        conflicts_with = "classes"
    )]
    layer: Option<String>,

    #[command(flatten)]
    of: Of,

    /// Height and width of each picture: HxW, or one number for a square
    #[arg(long, value_name = "HxW", value_parser = parse_sides, default_value = "128")]
    size: [usize; 2],

    #[command(flatten)]
    icons: IconArgs,

    #[command(flatten)]
    output: OutArgs,
}

/// What is to be shown.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Channels of the layer, a picture each: numbers and ranges with commas, such as 3,8-15
    #[arg(long = "channel", value_name = "N,...", value_parser = parse_channels)]
    channels: Option<Channels>,

    /// Directions in the space of the layer's channels, a picture each: a .npy file with an array
    /// [C] or [n, C]
    #[arg(long = "direction", value_name = "FILE.npy")]
    directions: Option<PathBuf>,

    /// Classes by name or number, a picture each, several with commas
    #[arg(long = "class", value_name = "CLASS,...", value_delimiter = ',')]
    classes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    run: RunFacts,
    layer: LayerFacts,
    height: usize,
    width: usize,
    #[serde(flatten)]
    icons: IconFacts,
    batch_size: usize,
    /// To which size the network saw the pictures resized, where it does not take theirs.
    network_size: Option<[usize; 2]>,
    pictures: Vec<PictureFacts>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PictureFacts {
    file: String,
    #[serde(flatten)]
    subject: Subject,
    objective: String,
    seed: u64,
    /// What the objective was worth at the first step and at the last one, as the transforms of
    /// these steps showed the picture.
    first_value: f32,
    last_value: f32,
}

pub fn run(args: &VisualizeArgs) -> Result<(), CliError> {
    let destination = args.output.check(COMMAND)?;
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let (model, console) = (&session.model, &session.console);
    let subjects = Subjects::of(args, model)?;
    check_memory(subjects.each.len(), args.size)?;

    let numbers: Vec<usize> = subjects.each.iter().map(Subject::number).collect();
    let bar = console.steps("optimise");
    let vis = args.icons.vis(args.size, &numbers, follow(&bar));
    let made = clock.time("optimise", || vis.render(model, subjects.objectives));
    bar.finish_and_clear();
    let made = made?;
    if let Some([height, width]) = made.network_size() {
        console.note(format!(
            "the network does not take pictures of this size here, and sees them resized to \
             {height} x {width}"
        ));
    }

    let mut files = Files::default();
    let title = format!("{}, {}", model.name(), subjects.layer.name());
    let pictures = clock.time("draw", || draw(&title, &subjects.each, &made, &mut files))?;
    let report = Report {
        run: RunFacts::of(COMMAND, &session),
        layer: LayerFacts::of(subjects.layer, &session.model)?,
        height: args.size[0],
        width: args.size[1],
        icons: args.icons.facts(),
        batch_size: args.icons.batch_size(),
        network_size: made.network_size(),
        pictures,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;

    let mut out = Output::new();
    if args.output.json {
        out.json_text(&report)?;
        return out.flush();
    }
    out.line(format!("folder  {}", args.output.out.display()))?;
    out.line(format!("sheet   {}", args.output.out.join(SHEET).display()))?;
    out.flush()
}

/// Adds the files.
fn draw(
    title: &str,
    subjects: &[Subject],
    made: &Visualisation,
    files: &mut Files,
) -> Result<Vec<PictureFacts>, CliError> {
    let mut sheet = ContactSheet::new(title);
    let mut facts = Vec::with_capacity(subjects.len());
    for (i, subject) in subjects.iter().enumerate() {
        let (Some(bytes), values) = (made.bytes(i), &made.values()[i]) else {
            continue;
        };
        let picture = Picture::from_rgb(bytes.view())?;
        let file = format!("{}.png", subject.slug());
        files.add(file.clone(), picture.to_png_bytes()?);
        let last_value = values.last().copied().unwrap_or(f32::NAN);
        let value = format!("value {}", number(last_value));
        sheet = sheet.picture(picture, subject.lines().into_iter().chain([value]));
        facts.push(PictureFacts {
            file,
            subject: subject.clone(),
            objective: made.objectives()[i].clone(),
            seed: made.seeds()[i],
            first_value: values.first().copied().unwrap_or(f32::NAN),
            last_value,
        });
    }
    let columns = (1..).find(|n| n * n >= facts.len()).unwrap_or(1);
    files.add(SHEET, sheet.draw(columns)?.to_png_bytes()?);
    let series = made.values();
    let steps = series.iter().map(Vec::len).min().unwrap_or(0);
    let values = Array2::from_shape_fn((series.len(), steps), |(i, step)| series[i][step]);
    files.add_npy(VALUES, &values)?;
    Ok(facts)
}
