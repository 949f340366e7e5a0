//! A network as its file describes it: typed operators between named values.

use std::collections::HashMap;

use crate::error::{GraphError, quoted};
use crate::host::{ElementType, HostTensor};
use crate::op::Op;
use crate::resolve::{Batch, Kernel, Known, Refused, resolve};

/// Index of a named value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

/// Index of a node, in execution order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub usize);

/// One operator of a graph.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node's name in the file; often empty.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Values that it reads; `None` for an optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Values that it makes.
    pub outputs: Vec<ValueId>,
}

/// An input of the graph.
#[derive(Debug, Clone)]
pub struct GraphInput {
    /// The value.
    pub value: ValueId,
    /// Its shape as stated; `None` for a dimension that is left open.
    pub shape: Vec<Option<usize>>,
}

/// A network: nodes in an order in which they can run, every value under its ONNX name.
#[derive(Debug, Clone)]
pub struct Graph {
    pub(crate) names: Vec<String>,
    pub(crate) by_name: HashMap<String, ValueId>,
    pub(crate) nodes: Vec<Node>,
    /// Which node makes a value.
    pub(crate) producer: Vec<Option<NodeId>>,
    pub(crate) constants: HashMap<ValueId, HostTensor>,
    pub(crate) inputs: Vec<GraphInput>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) opset: i64,
}

impl Graph {
    /// Nodes, in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What must be given: for a vision network, one batch of images.
    pub fn inputs(&self) -> &[GraphInput] {
        &self.inputs
    }

    /// What the file names as results.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// The ONNX name of a value.
    pub fn name(&self, value: ValueId) -> &str {
        &self.names[value.0]
    }

    /// The value with exactly this name.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }

    /// The node that makes a value; `None` for inputs and constants.
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        self.producer[value.0].map(|n| &self.nodes[n.0])
    }

    /// A weight, or another value that does not depend on the image.
    pub fn constant(&self, value: ValueId) -> Option<&HostTensor> {
        self.constants.get(&value)
    }

    /// The weights: constants of floating-point numbers that nodes read, in the order in which
    /// they are first read.
    pub fn weights(&self) -> impl Iterator<Item = (ValueId, &HostTensor)> {
        let mut seen = std::collections::HashSet::new();
        self.nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .filter(move |v| seen.insert(**v))
            .filter_map(|v| self.constants.get(v).map(|host| (*v, host)))
            .filter(|(_, host)| host.element_type() == ElementType::F32)
    }

    /// Version of the default operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Number of weights: the elements of all constants that nodes read.
    pub fn parameters(&self) -> usize {
        let read: std::collections::HashSet<_> = self
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .collect();
        self.constants
            .iter()
            .filter(|(v, _)| read.contains(v))
            .map(|(_, t)| t.len())
            .sum()
    }

    /// `Conv "conv1"`, or the output's name where the node has none.
    pub(crate) fn label(&self, node: &Node) -> String {
        let name = match (node.name.is_empty(), node.outputs.first()) {
            (true, Some(&output)) => self.name(output),
            _ => &node.name,
        };
        format!("{} {}", node.op.kind(), quoted(name))
    }

    /// Resolves one node, with errors that name it.
    pub(crate) fn resolve_node(
        &self,
        node: &Node,
        inputs: &[Option<Known>],
        used_outputs: usize,
        batch: Batch,
    ) -> Result<(Kernel, Vec<Known>), GraphError> {
        resolve(&node.op, inputs, used_outputs, batch).map_err(|refused| match refused {
            Refused::Reason(reason) => GraphError::Operator {
                node: self.label(node),
                reason,
            },
            Refused::TooLarge { shape, limit } => {
                let what = format!("the output of {}", self.label(node));
                crate::import::too_large(&what, &shape, limit)
            }
        })
    }

    /// The batch size that the file fixes, if it does.
    pub(crate) fn stated_batch(&self) -> Option<usize> {
        self.inputs
            .first()
            .and_then(|i| i.shape.first().copied().flatten())
    }
}
