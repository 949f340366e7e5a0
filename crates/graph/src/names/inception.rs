//! The nine blocks of InceptionV1 under Lucid's names, whatever a file calls them.

use std::collections::HashMap;

use elucid_rules::{Algebra, OpKind};

use super::has_segment;
use super::index::Index;
use crate::graph::{Graph, Node, NodeId, ValueId};

/// The blocks, in order.
const BLOCKS: [&str; 9] = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];

/// Blocks before which a pool stands.
const POOLED: [usize; 2] = [2, 7];

const QUANTIZE: OpKind = OpKind::new("QuantizeLinear");
const DEQUANTIZE: OpKind = OpKind::new("DequantizeLinear");

/// How many nodes may stand between two layers of a block: a bias, a normalisation, an activation.
const BETWEEN: usize = 16;

/// Where Lucid's layers are in a graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inception {
    results: [Option<ValueId>; BLOCKS.len()],
    inside: HashMap<NodeId, usize>,
}

impl Inception {
    /// Finds the blocks by Caffe's names (`inception_4d/output`), by the modules of torchvision
    /// (`inception4d`), and else by what they are made of.
    pub fn find(graph: &Graph, index: &Index) -> Self {
        let mut found = Self::default();
        for (i, (called, mut nodes)) in BLOCKS.iter().zip(by_caffe(graph)).enumerate() {
            if nodes.is_empty() {
                let modules = index.ending_with(graph, &format!("inception{called}"));
                if let &[path] = modules.as_slice() {
                    nodes = index.module(graph, path).to_vec();
                }
            }
            if let &[result] = index.results(graph, &nodes, &|_| true).as_slice() {
                found.add(i, result, &nodes);
            }
        }
        if found.results.iter().any(Option::is_none)
            && let Some(blocks) = by_structure(graph)
        {
            for (i, (result, nodes)) in blocks.into_iter().enumerate() {
                if found.results[i].is_none() {
                    found.add(i, result, &nodes);
                }
            }
        }
        found
    }

    fn add(&mut self, block: usize, result: ValueId, nodes: &[NodeId]) {
        self.results[block] = Some(result);
        self.inside.extend(nodes.iter().map(|id| (*id, block)));
    }

    /// The layer that Lucid calls `name`.
    pub fn layer(&self, name: &str) -> Option<ValueId> {
        let block = name.strip_prefix("mixed")?;
        let at = BLOCKS.iter().position(|known| *known == block)?;
        self.results[at]
    }

    /// The names by which the layers that are there can be asked for.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let there = BLOCKS.iter().zip(&self.results);
        there
            .filter(|(_, value)| value.is_some())
            .map(|(block, _)| format!("mixed{block}"))
    }

    /// What a node is called besides: `mixed4d` for the one that makes that layer, `mixed4d/3x3` for one
    /// within the block.
    pub fn alias(&self, graph: &Graph, id: NodeId) -> Option<String> {
        let block = *self.inside.get(&id)?;
        let output = *graph.nodes[id.0].outputs.first()?;
        let mixed = format!("mixed{}", BLOCKS[block]);
        if self.results[block] == Some(output) {
            return Some(mixed);
        }
        let name = graph.name(output);
        let last = name.rsplit('/').next().unwrap_or(name);
        Some(format!("{mixed}/{last}"))
    }
}

/// The nodes of each block by Caffe's names.
fn by_caffe(graph: &Graph) -> [Vec<NodeId>; BLOCKS.len()] {
    let mut blocks: [Vec<NodeId>; BLOCKS.len()] = Default::default();
    for (i, node) in graph.nodes.iter().enumerate() {
        let Some(&output) = node.outputs.first() else {
            continue;
        };
        let name = graph.name(output);
        if !name.contains("inception_") {
            continue;
        }
        for (block, nodes) in BLOCKS.iter().zip(&mut blocks) {
            if has_segment(name, &format!("inception_{block}")) {
                nodes.push(NodeId(i));
            }
        }
    }
    blocks
}

/// A layer that a branch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Conv(usize),
    Pool,
}

/// A part, the nodes that it is made of, and the value that it reads.
struct Step {
    part: Part,
    nodes: Vec<NodeId>,
    source: ValueId,
}

/// The blocks by what they are made of: nine concatenations of four branches (a convolution of 1x1, 3x3
/// behind 1x1, 5x5 or again 3x3 behind 1x1, 1x1 behind a pool), each on the one before, with a pool
/// before the third and the eighth. Nothing unless all of it is there and no more.
fn by_structure(graph: &Graph) -> Option<Vec<(ValueId, Vec<NodeId>)>> {
    let mut blocks: Vec<(ValueId, Vec<NodeId>)> = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        if node.op.kind() != OpKind::Concat {
            continue;
        }
        let Some((source, mut inside)) = block(graph, node) else {
            continue;
        };
        if let Some((before, _)) = blocks.last() {
            let pooled = step(graph, source).filter(|step| step.part == Part::Pool);
            let is_pooled = pooled.is_some();
            let source = pooled.map_or(source, |step| step.source);
            if source != *before || is_pooled != POOLED.contains(&blocks.len()) {
                return None;
            }
        }
        if blocks.len() == BLOCKS.len() {
            return None;
        }
        inside.push(NodeId(i));
        blocks.push((*node.outputs.first()?, inside));
    }
    (blocks.len() == BLOCKS.len()).then_some(blocks)
}

/// What a block reads, and its nodes without the concatenation itself.
fn block(graph: &Graph, concat: &Node) -> Option<(ValueId, Vec<NodeId>)> {
    let [a, b, c, d] = concat.inputs.as_slice() else {
        return None;
    };
    let mut inside = Vec::new();
    let mut short = Vec::new();
    let mut source = None;
    let mut kernels = Vec::new();
    for value in [a, b, c, d] {
        let step = step(graph, (*value)?)?;
        match step.part {
            Part::Conv(1) => short.push(step),
            Part::Conv(kernel) => {
                let reduce = self::step(graph, step.source)?;
                if reduce.part != Part::Conv(1) || source.is_some_and(|s| s != reduce.source) {
                    return None;
                }
                source = Some(reduce.source);
                kernels.push(kernel);
                inside.extend(step.nodes);
                inside.extend(reduce.nodes);
            }
            Part::Pool => return None,
        }
    }
    kernels.sort_unstable();
    // The third branch of torchvision's is of 3x3, too.
    let source = source.filter(|_| matches!(kernels.as_slice(), [3, 3 | 5]))?;
    let mut pools = 0;
    for step in short {
        if step.source != source {
            let pool = self::step(graph, step.source)?;
            if pool.part != Part::Pool || pool.source != source {
                return None;
            }
            pools += 1;
            inside.extend(pool.nodes);
        }
        inside.extend(step.nodes);
    }
    (pools == 1).then_some((source, inside))
}

/// The layer whose result `value` is, biases, normalisations and activations included.
fn step(graph: &Graph, value: ValueId) -> Option<Step> {
    let (value, mut nodes) = settle(graph, value);
    let id = graph.producer[value.0]?;
    let node = &graph.nodes[id.0];
    let part = match graph.algebra(node) {
        Algebra::Convolution => {
            let weight = node.inputs.get(1).copied().flatten()?;
            match graph.constant(weight)?.shape() {
                &[_, _, height, width] if height == width => Part::Conv(height),
                _ => return None,
            }
        }
        _ if node.op.kind() == OpKind::MaxPool => Part::Pool,
        _ => return None,
    };
    nodes.push(id);
    let (source, _) = settle(graph, node.inputs.first().copied().flatten()?);
    Some(Step {
        part,
        nodes,
        source,
    })
}

/// The value behind biases, normalisations, activations and what changes no numbers, and their nodes.
fn settle(graph: &Graph, mut value: ValueId) -> (ValueId, Vec<NodeId>) {
    let mut passed = Vec::new();
    while let Some(id) = graph.producer[value.0].filter(|_| passed.len() < BETWEEN) {
        let node = &graph.nodes[id.0];
        let inputs = node.inputs.iter().flatten();
        let mut inputs = inputs.filter(|input| !graph.constants.contains_key(*input));
        let (Some(&input), None) = (inputs.next(), inputs.next()) else {
            break;
        };
        let algebra = graph.algebra(node);
        let passes = algebra.is_activation()
            || matches!(algebra, Algebra::Affine | Algebra::Sum)
            || matches!(
                node.op.kind(),
                OpKind::Identity
                    | OpKind::Dropout
                    | OpKind::Cast
                    | OpKind::Transpose
                    | OpKind::Pad
                    | QUANTIZE
                    | DEQUANTIZE
            );
        if !passes {
            break;
        }
        passed.push(id);
        value = input;
    }
    (value, passed)
}
