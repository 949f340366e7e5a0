//! `elucid inspect`: what a network is made of.

use clap::{Args, ValueEnum};
use elucid::prelude::*;
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs, parse_size};
use crate::console::{Output, table};
use crate::error::CliError;
use crate::report::InputFacts;
use crate::session::Session;

/// As many classes are listed by name.
const FEW: usize = 20;

#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// Which layers to list; notable ones are where branches join or a stage ends
    #[arg(long, value_enum, default_value_t = Which::All)]
    layers: Which,

    /// Show the layers' shapes for an input of this height and width
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    All,
    Notable,
}

#[derive(Debug, Serialize)]
struct Facts {
    name: String,
    sha256: String,
    opset: i64,
    parameters: usize,
    input_layer: String,
    input: InputFacts,
    /// Absent where the network does not end in class scores.
    logits: Option<String>,
    classes: Option<usize>,
    /// What the classes are called together; absent where they have no names.
    class_names: Option<String>,
    layers: Vec<LayerFacts>,
}

#[derive(Debug, Serialize)]
struct LayerFacts {
    name: String,
    operator: String,
    shape: Vec<usize>,
    notable: bool,
}

impl From<&Layer> for LayerFacts {
    fn from(layer: &Layer) -> Self {
        Self {
            name: layer.name().to_owned(),
            operator: layer.kind().to_string(),
            shape: layer.shape().to_vec(),
            notable: layer.is_notable(),
        }
    }
}

pub fn run(args: &InspectArgs) -> Result<(), CliError> {
    let Session { model, .. } = Session::open(&args.run, &args.model)?;
    let facts = facts(&model, args)?;
    let mut out = Output::new();
    if args.json {
        out.json(&facts)?;
    } else {
        print(&mut out, &facts, &model)?;
    }
    out.flush()
}

fn facts(model: &Model, args: &InspectArgs) -> Result<Facts, CliError> {
    let layers = match args.size {
        Some(size) => {
            // Bounds the size, as any input is.
            InputSpec::new(size).map_err(|error| CliError::Usage(error.to_string()))?;
            model.layers_for(size)?
        }
        None => model.layers().to_vec(),
    };
    let listed = layers
        .iter()
        .filter(|l| args.layers == Which::All || l.is_notable());
    Ok(Facts {
        name: model.name().to_owned(),
        sha256: model.sha256().to_owned(),
        opset: model.graph().opset(),
        parameters: model.graph().parameters(),
        input_layer: model.layer(INPUT)?.name().to_owned(),
        input: InputFacts::of(model.input_spec()),
        logits: model.logits().ok().map(|l| l.name().to_owned()),
        classes: model.classes().ok(),
        class_names: model.labels().map(|labels| labels.set().to_owned()),
        layers: listed.map(LayerFacts::from).collect(),
    })
}

fn print(out: &mut Output, facts: &Facts, model: &Model) -> Result<(), CliError> {
    let input = &facts.input;
    let classes = match (facts.classes, model.labels()) {
        (Some(count), Some(labels)) if count <= FEW => {
            let names: Vec<&str> = labels.names().collect();
            format!("{count}: {}", names.join(", "))
        }
        (Some(count), Some(labels)) => format!("{count}, by the names of {}", labels.set()),
        (Some(count), None) => format!("{count}, without names"),
        (None, _) => "none".to_owned(),
    };
    let no_logits = || {
        model
            .logits()
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let rows = [
        ("model", facts.name.clone()),
        ("sha256", facts.sha256.clone()),
        ("opset", facts.opset.to_string()),
        ("parameters", facts.parameters.to_string()),
        (
            "input",
            format!(
                "{}, {} x {} pixels",
                facts.input_layer, input.height, input.width
            ),
        ),
        (
            "",
            format!("fitted by {}, {}", input.resize, input.channel_order),
        ),
        (
            "",
            format!(
                "(pixel * {} - {}) / {}",
                input.scale,
                triple(input.mean),
                triple(input.std)
            ),
        ),
        ("classes", classes),
        ("logits", facts.logits.clone().unwrap_or_else(no_logits)),
    ];
    for line in table(&rows.map(|(key, value)| vec![key.to_owned(), value]), &[]) {
        out.line(line)?;
    }
    out.line("")?;
    let mut rows = vec![
        ["", "layer", "operator", "shape"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(facts.layers.iter().map(|layer| {
        let mark = if layer.notable { "*" } else { "" };
        let shape = format!("{:?}", layer.shape);
        vec![
            mark.to_owned(),
            layer.name.clone(),
            layer.operator.clone(),
            shape,
        ]
    }));
    for line in table(&rows, &[]) {
        out.line(line)?;
    }
    out.line("")?;
    out.line("* where branches join or a stage ends: a useful place to look")
}

fn triple([a, b, c]: [f32; 3]) -> String {
    format!("({a}, {b}, {c})")
}
