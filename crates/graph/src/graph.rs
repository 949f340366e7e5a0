//! A network as its file describes it: typed operators between named values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use elucid_rules::Algebra;

use crate::error::GraphError;
use crate::host::{ElementType, HostTensor};
use crate::limits::{Ledger, Limits, Scope, host_bytes};
use crate::message::{few, quoted};
use crate::names::Index;
use crate::operator::{self, Batch, Known, Operands, Operator, Ready, Refused};

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
    /// The module of the program that the network was exported from, as far as the file names it:
    /// `layer4.1.conv2`. Empty where it does not.
    pub module: String,
    /// What it computes.
    pub op: Arc<dyn Operator>,
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
    /// Type of its elements.
    pub kind: ElementType,
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
    /// Inputs that a body takes from the graph around it, by name.
    pub(crate) captures: Vec<String>,
    pub(crate) opset: i64,
    /// What the file says of itself.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    /// Bytes that the constants take.
    pub(crate) held: u64,
    /// Constants that were given in an input's place, and are no weights.
    pub(crate) given: HashSet<ValueId>,
    /// What looking up names needs, found when it is first needed.
    pub(crate) index: OnceLock<Index>,
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
        let mut seen = self.given.clone();
        self.nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .filter(move |v| seen.insert(**v))
            .filter_map(|v| self.constants.get(v).map(|host| (*v, host)))
            .filter(|(_, host)| host.element_type().is_float())
    }

    /// What an input's elements are; floating-point numbers of anything else.
    pub(crate) fn stated_kind(&self, value: ValueId) -> ElementType {
        let input = self.inputs.iter().find(|input| input.value == value);
        input.map_or(ElementType::F32, |input| input.kind)
    }

    /// Version of the default operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// What the file says of itself, by key: its `metadata_props`, such as the `names` of classes.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Number of weights: the elements of all constants that nodes read.
    pub fn parameters(&self) -> usize {
        let read: HashSet<_> = self
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten())
            .collect();
        self.constants
            .iter()
            .filter(|(v, _)| read.contains(v) && !self.given.contains(v))
            .map(|(_, t)| t.len())
            .sum()
    }

    /// `Conv "conv1"`, or the output's name where the node has none.
    pub(crate) fn label(&self, node: &Node) -> String {
        format!("{} {}", node.op.kind(), quoted(self.node_name(node)))
    }

    /// A node's name, or its output's where it has none.
    pub(crate) fn node_name<'a>(&'a self, node: &'a Node) -> &'a str {
        match (node.name.is_empty(), node.outputs.first()) {
            (true, Some(&output)) => self.name(output),
            _ => &node.name,
        }
    }

    /// What patterns and names of operators are compared with: the value that a node makes, the node's
    /// name, the module that it stands in, and Lucid's name for it.
    pub(crate) fn find_names(&self, node: &Node) -> Vec<String> {
        let output = node.outputs.first().copied();
        let id = output.and_then(|output| self.producer[output.0]);
        let alias = id.and_then(|id| self.index().inception.alias(self, id));
        let mut names: Vec<String> = [
            output.map_or("", |v| self.name(v)),
            &node.name,
            &node.module,
        ]
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .chain(alias)
        .collect();
        names.dedup();
        names
    }

    /// What looking up names needs.
    pub(crate) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(self))
    }

    /// For each input of a node whether it is a weight, or left out.
    pub fn constants_of(&self, node: &Node) -> Vec<bool> {
        let inputs = node.inputs.iter();
        inputs
            .map(|slot| slot.is_none_or(|value| self.constants.contains_key(&value)))
            .collect()
    }

    /// What a node is to rules.
    pub fn algebra(&self, node: &Node) -> Algebra {
        node.op.algebra(&self.constants_of(node))
    }

    /// Inputs that a body takes from the graph around it, by name.
    pub fn captures(&self) -> &[String] {
        &self.captures
    }

    /// How much memory may be taken.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What is taken of that, with `computed` bytes beside the constants.
    pub(crate) fn ledger(&self, computed: u64) -> Ledger {
        Ledger::holding(self.limits, self.held.saturating_add(computed))
    }

    /// Adds a constant.
    pub(crate) fn keep(&mut self, value: ValueId, host: HostTensor) {
        self.held += host_bytes(host.element_type(), host.len());
        self.constants.insert(value, host);
    }

    /// Resolves one node within what the ledger leaves.
    pub(crate) fn resolve_node(
        &self,
        node: &Node,
        inputs: &[Option<Known>],
        batch: Batch,
        ledger: Ledger,
    ) -> Result<Ready, Refused> {
        let _scope = Scope::enter(ledger);
        let operands = Operands::new(inputs, node.outputs.len(), batch);
        operator::resolve(&*node.op, &operands)
    }

    /// A refusal as an error that names the node.
    pub(crate) fn refusal(&self, node: &Node, refused: Refused) -> GraphError {
        let reason = match refused {
            Refused::Reason(reason) | Refused::Unsupported(reason) => reason,
            Refused::NeedsValue { what, .. } => {
                format!("{what} depends on the image, so no sizes are known before it is seen")
            }
            Refused::TooLarge { shape, excess } => {
                let what = match shape.as_slice() {
                    [] => format!("what {} makes", self.label(node)),
                    shape => format!("{} with a tensor of {}", self.label(node), few(shape)),
                };
                return excess.of(what);
            }
        };
        GraphError::Operator {
            node: self.label(node),
            reason,
        }
    }

    /// The batch size that the file fixes, if it does.
    pub(crate) fn stated_batch(&self) -> Option<usize> {
        self.inputs
            .first()
            .and_then(|i| i.shape.first().copied().flatten())
    }
}
