//! What a network's layers are, and which of them are worth a look.

use std::collections::HashSet;

use elucid_rules::{Algebra, OpKind};

use crate::error::GraphError;
use crate::graph::{Graph, Node, ValueId};
use crate::host::ElementType;
use crate::operator::Known;
use crate::plan::Plan;

/// A named value of the network.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(crate) value: ValueId,
    pub(crate) name: String,
    kind: OpKind,
    algebra: Algebra,
    module: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) element: ElementType,
    notable: bool,
}

impl Layer {
    /// The value.
    pub fn value(&self) -> ValueId {
        self.value
    }

    /// The ONNX name of the tensor.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator that makes it.
    pub fn kind(&self) -> OpKind {
        self.kind
    }

    /// What that operator is to rules.
    pub fn algebra(&self) -> Algebra {
        self.algebra
    }

    /// The module that the operator stands in, by the exporter's path: `layer4.1.conv2`. Empty where
    /// the file names none.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Its shape for one image of the model's input size, mostly `[1, C, H, W]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether it is a useful place to look: where branches join, or the end of a stage.
    pub fn is_notable(&self) -> bool {
        self.notable
    }
}

pub(crate) fn list_layers(
    graph: &Graph,
    input: ValueId,
    [height, width]: [usize; 2],
) -> Result<Vec<Layer>, GraphError> {
    let channels = graph
        .inputs
        .iter()
        .find(|i| i.value == input)
        .and_then(|i| i.shape.get(1).copied().flatten())
        .unwrap_or(3);
    let shape = vec![1, channels, height, width];
    let kind = graph.stated_kind(input);
    let plan = Plan::reachable(graph, &[(input, Known::computed(shape.clone(), kind))])?;
    let notable = notable_values(graph, &plan);
    let mut layers = vec![Layer {
        value: input,
        name: graph.name(input).to_owned(),
        kind: OpKind::Input,
        algebra: Algebra::Moves,
        module: String::new(),
        shape,
        element: kind,
        notable: false,
    }];
    for step in &plan.steps {
        let node = &graph.nodes[step.node.0];
        for (&value, known) in node.outputs.iter().zip(&step.outputs) {
            if known.host.is_some() || !known.kind.is_float() {
                continue;
            }
            layers.push(Layer {
                value,
                name: graph.name(value).to_owned(),
                kind: node.op.kind(),
                algebra: graph.algebra(node),
                module: node.module.clone(),
                shape: known.shape.clone(),
                element: known.kind,
                notable: notable.contains(&value),
            });
        }
    }
    Ok(layers)
}

/// Layers where branches join, residual sums (behind their activation), and what pools read.
fn notable_values(graph: &Graph, plan: &Plan) -> HashSet<ValueId> {
    let nodes: Vec<_> = plan.steps.iter().map(|s| &graph.nodes[s.node.0]).collect();
    let is_image = |v: ValueId| plan.known.get(&v).is_some_and(|k| k.shape.len() == 4);
    let is_activation = |v: &ValueId| plan.known.get(v).is_some_and(|k| k.host.is_none());
    // The activation that follows immediately and alone, else the value itself.
    let settled = |value: ValueId| {
        let mut readers = nodes.iter().filter(|n| n.inputs.contains(&Some(value)));
        match (readers.next(), readers.next()) {
            (Some(only), None) if graph.algebra(only).is_activation() => only.outputs[0],
            _ => value,
        }
    };
    // Densely connected layers concatenate again and again: only the last one ends a block.
    let concats: Vec<_> = nodes
        .iter()
        .filter(|n| n.op.kind() == OpKind::Concat)
        .collect();
    let is_continued = |node: &Node| {
        let longer = |other: &Node| other.inputs.len() > node.inputs.len();
        let includes = |other: &Node| {
            let reads = |v: &Option<ValueId>| other.inputs.contains(v);
            node.inputs.iter().all(reads)
        };
        let follows = |other: &Node| {
            let reads = |&v: &ValueId| other.inputs.contains(&Some(v));
            node.outputs.iter().any(reads)
        };
        concats.iter().any(|c| follows(c)) || concats.iter().any(|c| longer(c) && includes(c))
    };
    let mut notable = HashSet::new();
    for node in &nodes {
        let joined = node
            .inputs
            .iter()
            .flatten()
            .filter(|v| is_activation(v))
            .count()
            > 1;
        match node.op.kind() {
            OpKind::Concat if joined && !is_continued(node) => {
                notable.extend(node.outputs.iter().copied());
            }
            OpKind::Add | OpKind::Sum if joined => {
                notable.extend(node.outputs.iter().map(|&v| settled(v)));
            }
            OpKind::MaxPool | OpKind::AveragePool | OpKind::GlobalAveragePool => {
                // A pool of stride 1 is a branch inside a block, not the end of a stage.
                let size = |v: &ValueId| plan.known.get(v).map(|k| k.shape.clone());
                if let Some(input) = node.inputs.first().copied().flatten()
                    && size(&input) != size(&node.outputs[0])
                {
                    notable.insert(input);
                }
            }
            _ => {}
        }
    }
    notable.retain(|&v| is_image(v) && graph.producer(v).is_some());
    notable
}
