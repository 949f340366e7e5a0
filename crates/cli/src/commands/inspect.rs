//! `elucid inspect`: what a network is made of.

use std::collections::{BTreeMap, HashMap};

use clap::{Args, ValueEnum};
use elucid::graph::{Block, Blocks, Graph, Obstacle, ValueId};
use elucid::prelude::*;
use elucid::vision::{Head, HeadKind};
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs, parse_size};
use crate::console::{Output, table};
use crate::error::CliError;
use crate::report::{HeadFacts, InputFacts, remarks};
use crate::session::Session;

/// As many classes are listed by name.
const FEW: usize = 20;

/// As many nodes of an operator that is not supported.
const SHOWN_NODES: usize = 4;

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

    /// Print the modules of the program that was exported as a tree, with the layer that each one's path
    /// means
    #[arg(long)]
    tree: bool,

    /// Print the blocks of operators that are one thing (attention, a normalisation, a gate, a linear layer
    /// and its bias) instead of the layers: for each the module, the layer that it makes, what the axes of that
    /// are, and what there is to tell: heads, grids, prefixes
    #[arg(long, conflicts_with = "tree")]
    blocks: bool,

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
    /// What the file names as results.
    outputs: Vec<OutputFacts>,
    head: HeadFacts,
    /// Absent where the network does not end in class scores.
    logits: Option<String>,
    classes: Option<usize>,
    /// What the classes are called together; absent where they have no names.
    class_names: Option<String>,
    /// What was assumed where nobody said it.
    remarks: Vec<String>,
    layers: Vec<LayerFacts>,
    /// With `--tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    modules: Option<Vec<ModuleFacts>>,
    /// With `--blocks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<Vec<BlockFacts>>,
    /// What stops a part of the network.
    not_supported: Vec<ObstacleFacts>,
    /// What has no shape before an image is seen.
    sized_by_image: Vec<ObstacleFacts>,
}

#[derive(Debug, Serialize)]
struct OutputFacts {
    name: String,
    /// Absent where it has none before an image is seen, or cannot be computed.
    shape: Option<Vec<usize>>,
}

#[derive(Debug, Serialize)]
struct LayerFacts {
    name: String,
    operator: String,
    /// Absent where the file names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    shape: Vec<usize>,
    notable: bool,
}

#[derive(Debug, Serialize)]
struct ModuleFacts {
    path: String,
    /// The layer that the path means; absent where several could be meant.
    result: Option<String>,
    shape: Option<Vec<usize>>,
    results: Vec<String>,
}

#[derive(Debug, Serialize)]
struct BlockFacts {
    block: String,
    /// Absent where the file names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    output: String,
    /// What the axes of the output are.
    layout: String,
    details: String,
    inputs: Vec<String>,
    /// The values that matter in it: `q`, `scores`, `mean`.
    values: BTreeMap<String, String>,
    /// What its operators make beside the output.
    inside: Vec<String>,
    /// Those of them that operators outside read, too.
    read_elsewhere: Vec<String>,
}

impl BlockFacts {
    fn of(block: &Block, blocks: &Blocks, graph: &Graph) -> Self {
        let name = |value: &ValueId| graph.name(*value).to_owned();
        let names = |values: &[ValueId]| values.iter().map(name).collect();
        let values = block.values().into_iter();
        Self {
            block: block.name().to_owned(),
            module: Some(block.module(graph)).filter(|module| !module.is_empty()),
            output: name(&block.output()),
            layout: blocks.layout(block.output()).to_string(),
            details: block.details(),
            inputs: names(block.inputs()),
            values: values
                .map(|(field, value)| (field.to_owned(), name(&value)))
                .collect(),
            inside: names(block.inside()),
            read_elsewhere: names(block.read_elsewhere()),
        }
    }
}

#[derive(Debug, Serialize)]
struct ObstacleFacts {
    operator: String,
    reason: String,
    nodes: Vec<String>,
    /// The outputs that depend on one of the nodes.
    outputs: Vec<String>,
}

impl From<&Obstacle> for ObstacleFacts {
    fn from(obstacle: &Obstacle) -> Self {
        Self {
            operator: obstacle.operator().to_string(),
            reason: obstacle.reason().to_owned(),
            nodes: obstacle.nodes().to_vec(),
            outputs: obstacle.outputs().to_vec(),
        }
    }
}

impl From<&Layer> for LayerFacts {
    fn from(layer: &Layer) -> Self {
        Self {
            name: layer.name().to_owned(),
            operator: layer.kind().to_string(),
            module: Some(layer.module().to_owned()).filter(|module| !module.is_empty()),
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
        out.json("inspect", &facts)?;
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
    let modules = args.tree.then(|| modules(model, &layers));
    let blocks = match args.blocks {
        true => {
            let graph = model.graph();
            let found = match args.size {
                Some(size) => model.blocks_for(size)?,
                None => model.blocks()?,
            };
            Some(
                found
                    .iter()
                    .map(|block| BlockFacts::of(block, &found, graph))
                    .collect(),
            )
        }
        false => None,
    };
    let obstacles = model.obstacles();
    let (later, never): (Vec<_>, Vec<_>) = obstacles.iter().partition(|o| o.is_supported());
    let listed = layers
        .iter()
        .filter(|l| args.layers == Which::All || l.is_notable());
    Ok(Facts {
        name: model.name().to_owned(),
        sha256: model.sha256().to_owned(),
        opset: model.graph().opset(),
        parameters: model.graph().parameters(),
        input_layer: model.layer(INPUT)?.name().to_owned(),
        input: InputFacts::of(model),
        outputs: outputs(model),
        head: HeadFacts::of(model),
        logits: model.logits().ok().map(|l| l.name().to_owned()),
        classes: model.classes().ok(),
        class_names: model.labels().map(|labels| labels.set().to_owned()),
        remarks: remarks(model),
        layers: listed.map(LayerFacts::from).collect(),
        modules,
        blocks,
        not_supported: never.into_iter().map(ObstacleFacts::from).collect(),
        sized_by_image: later.into_iter().map(ObstacleFacts::from).collect(),
    })
}

fn outputs(model: &Model) -> Vec<OutputFacts> {
    let outputs = model.outputs().into_iter();
    let facts = outputs.map(|(value, shape)| OutputFacts {
        name: model.graph().name(value).to_owned(),
        shape,
    });
    facts.collect()
}

/// The outputs with their shapes, as one text.
fn named_outputs(outputs: &[OutputFacts]) -> String {
    let named = outputs.iter().take(FEW).map(|output| {
        let shape = output.shape.as_ref();
        let shape = shape.map_or("of no known shape".to_owned(), |shape| format!("{shape:?}"));
        format!("{} {shape}", shortened(&output.name))
    });
    let mut named: Vec<String> = named.collect();
    if outputs.len() > FEW {
        named.push(format!("{} more", outputs.len() - FEW));
    }
    named.join(", ")
}

/// What the scores are about, in words.
fn in_words(head: &Head) -> String {
    let count = head.count().unwrap_or(0);
    match head.kind() {
        HeadKind::Classes => format!("{count} classes that exclude each other, by softmax"),
        HeadKind::Labels => format!("{count} labels, each by its own sigmoid"),
        HeadKind::Binary => "yes or no, by sigmoid".to_owned(),
        HeadKind::Number => "one number".to_owned(),
        HeadKind::Numbers => format!("{count} numbers that are no class scores"),
        HeadKind::Map => format!("a score for each of {count} classes at each position"),
        HeadKind::Boxes => "numbers for each of many boxes or positions".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn modules(model: &Model, layers: &[Layer]) -> Vec<ModuleFacts> {
    let shapes: HashMap<&str, &[usize]> = layers.iter().map(|l| (l.name(), l.shape())).collect();
    let modules = model.modules().into_iter();
    let facts = modules.map(|module| ModuleFacts {
        path: module.path().to_owned(),
        result: module.result().map(str::to_owned),
        shape: module
            .result()
            .and_then(|result| shapes.get(result))
            .map(|shape| shape.to_vec()),
        results: module
            .results()
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
    });
    facts.collect()
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
                listed(&input.mean),
                listed(&input.std)
            ),
        ),
        (
            "",
            format!(
                "preparation: {}",
                input.preparation.as_deref().unwrap_or_default()
            ),
        ),
        ("outputs", named_outputs(&facts.outputs)),
        ("explained", in_words(model.head())),
        ("classes", classes),
        ("logits", facts.logits.clone().unwrap_or_else(no_logits)),
    ];
    for line in table(&rows.map(|(key, value)| vec![key.to_owned(), value]), &[]) {
        out.line(line)?;
    }
    out.line("")?;
    match (&facts.blocks, &facts.modules) {
        (Some(blocks), _) => print_blocks(out, blocks)?,
        (None, Some(modules)) => print_tree(out, modules)?,
        (None, None) => print_layers(out, &facts.layers)?,
    }
    if !facts.not_supported.is_empty() {
        out.line("")?;
    }
    for obstacle in &facts.not_supported {
        let stops = match obstacle.outputs.len() {
            0 => "stops no output".to_owned(),
            1 => format!("stops 1 output, \"{}\"", shortened(&obstacle.outputs[0])),
            count => format!("stops {count} outputs"),
        };
        let lacks = format!("the operator {} is not supported", obstacle.operator);
        let why = match obstacle.reason == lacks {
            true => String::new(),
            false => format!(": {}", obstacle.reason),
        };
        let named = named(obstacle);
        out.line(format!("not supported: {named} - {stops}{why}"))?;
    }
    if !facts.sized_by_image.is_empty() {
        out.line("")?;
    }
    for obstacle in &facts.sized_by_image {
        let (named, reason) = (named(obstacle), &obstacle.reason);
        out.line(format!(
            "no shape before an image is seen: {named}: {reason}"
        ))?;
    }
    Ok(())
}

/// Rows below the names of their columns, without that of the modules where there are none.
fn print_rows(
    out: &mut Output,
    names: [&str; 5],
    rows: impl Iterator<Item = [String; 5]>,
    has_modules: bool,
) -> Result<(), CliError> {
    let all = [names.map(str::to_owned)].into_iter().chain(rows);
    let shown = |row: [String; 5]| -> Vec<String> {
        let cells = names.iter().zip(row);
        let cells = cells.filter(|(name, _)| has_modules || **name != "module");
        cells.map(|(_, cell)| cell).collect()
    };
    for line in table(&all.map(shown).collect::<Vec<_>>(), &[]) {
        out.line(line)?;
    }
    out.line("")
}

fn print_layers(out: &mut Output, layers: &[LayerFacts]) -> Result<(), CliError> {
    let has_modules = layers.iter().any(|layer| layer.module.is_some());
    let rows = layers.iter().map(|layer| {
        let mark = if layer.notable { "*" } else { "" };
        [
            mark.to_owned(),
            shortened(&layer.name),
            layer.module.as_deref().map(shortened).unwrap_or_default(),
            layer.operator.clone(),
            format!("{:?}", layer.shape),
        ]
    });
    let names = ["", "layer", "module", "operator", "shape"];
    print_rows(out, names, rows, has_modules)?;
    out.line("* where branches join or a stage ends: a useful place to look")
}

fn print_blocks(out: &mut Output, blocks: &[BlockFacts]) -> Result<(), CliError> {
    if blocks.is_empty() {
        return out.line("no blocks: each operator stands for itself");
    }
    let has_modules = blocks.iter().any(|block| block.module.is_some());
    let rows = blocks.iter().map(|block| {
        [
            block.block.clone(),
            block.module.as_deref().map(shortened).unwrap_or_default(),
            shortened(&block.output),
            block.layout.clone(),
            block.details.clone(),
        ]
    });
    let names = ["block", "module", "layer", "axes", ""];
    print_rows(out, names, rows, has_modules)?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for block in blocks {
        *counts.entry(&block.block).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    out.line(format!("in all: {}", counts.join(", ")))
}

fn print_tree(out: &mut Output, modules: &[ModuleFacts]) -> Result<(), CliError> {
    if modules.is_empty() {
        return out.line(
            "the file names no modules: its layers have the names that are listed without --tree",
        );
    }
    let mut rows = vec![["module", "layer", "shape"].map(str::to_owned).to_vec()];
    rows.extend(modules.iter().map(|module| {
        let depth = module.path.matches('.').count();
        let name = module.path.rsplit('.').next().unwrap_or_default();
        let shape = module.shape.as_ref().map(|shape| format!("{shape:?}"));
        let result = match (&module.result, module.results.len()) {
            (Some(result), _) => shortened(result),
            (None, 0) => String::new(),
            (None, count) => format!("({count} results)"),
        };
        vec![
            format!("{}{name}", "  ".repeat(depth)),
            result,
            shape.unwrap_or_default(),
        ]
    }));
    for line in table(&rows, &[]) {
        out.line(line)?;
    }
    Ok(())
}

/// `NonMaxSuppression ("node_12", "node_13" and 4 more)`.
fn named(obstacle: &ObstacleFacts) -> String {
    let shown = obstacle.nodes.iter().take(SHOWN_NODES);
    let shown: Vec<String> = shown
        .map(|node| format!("\"{}\"", shortened(node)))
        .collect();
    let more = match obstacle.nodes.len().saturating_sub(SHOWN_NODES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} ({}{more})", obstacle.operator, shown.join(", "))
}

/// The beginning of a name that would fill a screen.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 200;
    match name.chars().count() {
        0..=SHOWN => name.to_owned(),
        _ => format!("{}...", name.chars().take(SHOWN).collect::<String>()),
    }
}

fn listed(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(f32::to_string).collect();
    format!("({})", values.join(", "))
}
