//! A graph under construction, from whatever it is read or written by hand.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use elucid_rules::{Algebra, OpKind};

use crate::attributes::Attributes;
use crate::error::GraphError;
use crate::fold;
use crate::graph::{Graph, GraphInput, Node, NodeId, ValueId};
use crate::host::{ElementType, HostTensor};
use crate::limits::{Ledger, Limits, host_bytes};
use crate::message::quoted;
use crate::operator::{Operands, Operator, Refused, Resolved};
use crate::registry::{Entry, Registry};

/// Makes a [`Graph`]: values by name, in any order, checked as a whole at the end.
///
/// ```
/// use elucid_graph::{Attributes, ElementType, GraphBuilder, HostTensor};
///
/// let mut builder = GraphBuilder::new();
/// builder.input("x", ElementType::F32, &[None, Some(2)])?;
/// let weight = HostTensor::of_floats(ElementType::F32, &[2, 1], vec![3.0, -1.0]);
/// builder.constant("w", weight.unwrap())?;
/// builder.node("MatMul", "dense", &["x", "w"], &["scores"])?;
/// builder.node_with("LeakyRelu", "act", &["scores"], &["y"], |a| a.with("alpha", 0.1))?;
/// builder.output("y");
/// let graph = builder.build()?;
/// assert_eq!(graph.nodes().len(), 2);
/// # Ok::<(), elucid_graph::GraphError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct GraphBuilder {
    registry: Registry,
    opset: i64,
    names: Vec<String>,
    by_name: HashMap<String, ValueId>,
    nodes: Vec<Node>,
    constants: HashMap<ValueId, HostTensor>,
    inputs: Vec<GraphInput>,
    outputs: Vec<String>,
    captures: Vec<String>,
    metadata: BTreeMap<String, String>,
    is_body: bool,
    /// The module that the next node stands in.
    module: String,
    limits: Limits,
    held: u64,
}

impl GraphBuilder {
    /// The newest version of ONNX's operator set that is understood.
    pub const NEWEST_OPSET: i64 = 24;

    /// Nothing yet; nodes are those of ONNX's newest operator set.
    pub fn new() -> Self {
        Self {
            opset: Self::NEWEST_OPSET,
            ..Self::default()
        }
    }

    /// With the operators of `registry`, at this version of the operator set.
    pub fn with(registry: &Registry, opset: i64) -> Self {
        Self {
            registry: registry.clone(),
            opset,
            ..Self::default()
        }
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// For the body of a loop or the branch of a condition, [`Attribute::Graph`](crate::Attribute::Graph):
    /// what is read in it and nobody makes is taken from the graph around it, by name.
    #[must_use]
    pub fn body(mut self) -> Self {
        self.is_body = true;
        self
    }

    fn id(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = ValueId(self.names.len());
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        id
    }

    fn is_given(&self, value: ValueId) -> bool {
        self.constants.contains_key(&value) || self.inputs.iter().any(|i| i.value == value)
    }

    /// An input. Dimensions that are left open are `None`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Malformed`] without a name, or when it is taken.
    pub fn input(
        &mut self,
        name: &str,
        kind: ElementType,
        shape: &[Option<usize>],
    ) -> Result<&mut Self, GraphError> {
        if name.is_empty() {
            return Err(nameless("an input"));
        }
        let value = self.id(name);
        if self.is_given(value) {
            return Err(made_twice(name));
        }
        self.inputs.push(GraphInput {
            value,
            shape: shape.to_vec(),
            kind,
        });
        Ok(self)
    }

    /// A weight, or another value that does not depend on the input.
    ///
    /// # Errors
    ///
    /// As [`GraphBuilder::input`].
    pub fn constant(&mut self, name: &str, tensor: HostTensor) -> Result<&mut Self, GraphError> {
        if name.is_empty() {
            return Err(nameless("an initializer"));
        }
        let value = self.id(name);
        if self.is_given(value) {
            return Err(made_twice(name));
        }
        self.held += host_bytes(tensor.element_type(), tensor.len());
        self.constants.insert(value, tensor);
        Ok(self)
    }

    /// Number of nodes so far.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a constant has this name.
    pub fn has_constant(&self, name: &str) -> bool {
        let value = self.by_name.get(name);
        value.is_some_and(|value| self.constants.contains_key(value))
    }

    /// A node without attributes, its operator by ONNX's name. An empty name among `inputs` stands for
    /// an optional input left out.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnsupportedOperators`] for an operator that is not known, and
    /// [`GraphError::Operator`] for attributes or outputs that do not do.
    pub fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> Result<&mut Self, GraphError> {
        self.node_with(operator, name, inputs, outputs, |attributes| attributes)
    }

    /// The same with attributes.
    ///
    /// # Errors
    ///
    /// As [`GraphBuilder::node`].
    pub fn node_with(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: impl FnOnce(Attributes) -> Attributes,
    ) -> Result<&mut Self, GraphError> {
        let (domain, kind) = operator.rsplit_once('.').unwrap_or(("", operator));
        let entry = self.registry.find(domain, kind, self.opset).copied();
        let entry = entry.ok_or_else(|| {
            let label = label_of(name, outputs).to_owned();
            GraphError::UnsupportedOperators(vec![(operator.to_owned(), vec![label])])
        })?;
        let attributes = attributes(Attributes::new(self.opset, inputs.len(), outputs.len()));
        self.read(&entry, &attributes, name, inputs, outputs)
    }

    /// A node of the operator that `entry` makes of its attributes. What
    /// [bodies](GraphBuilder::body) among them take from this graph becomes an input behind `inputs`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] for attributes that do not do.
    pub fn read(
        &mut self,
        entry: &Entry,
        attributes: &Attributes,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> Result<&mut Self, GraphError> {
        let operator = (entry.parse)(attributes).map_err(|reason| GraphError::Operator {
            node: format!("{} {}", entry.kind(), quoted(label_of(name, outputs))),
            reason,
        })?;
        let inputs: Vec<&str> = inputs
            .iter()
            .copied()
            .chain(attributes.captures())
            .collect();
        Ok(self.operator(operator, name, &inputs, outputs))
    }

    /// A node of an operator that nobody here knows, named with its domain. It stops what depends on it and
    /// nothing else.
    pub fn missing(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> &mut Self {
        let missing = Missing(OpKind::named(operator));
        self.operator(Arc::new(missing), name, inputs, outputs)
    }

    /// The nodes that follow stand in this module of the program that the network comes from:
    /// `layer4.1.conv2`, or none, which is empty.
    pub fn module(&mut self, path: &str) -> &mut Self {
        path.clone_into(&mut self.module);
        self
    }

    /// A node of any operator.
    pub fn operator(
        &mut self,
        op: Arc<dyn Operator>,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> &mut Self {
        let last = outputs
            .iter()
            .rposition(|n| !n.is_empty())
            .map_or(0, |i| i + 1);
        // An output that is left out before one that is named still takes its place.
        let mut made = Vec::new();
        for (i, output) in outputs[..last].iter().enumerate() {
            let value = match output.is_empty() {
                false => self.id(output),
                true => {
                    let place = self.nodes.len();
                    self.id(&format!("#{place}/unnamed output {i}"))
                }
            };
            made.push(value);
        }
        let mut read = Vec::new();
        for input in inputs {
            read.push((!input.is_empty()).then(|| self.id(input)));
        }
        self.nodes.push(Node {
            name: name.to_owned(),
            module: self.module.clone(),
            op,
            inputs: read,
            outputs: made,
        });
        self
    }

    /// Names a result.
    pub fn output(&mut self, name: &str) -> &mut Self {
        self.outputs.push(name.to_owned());
        self
    }

    /// States something of the graph as a whole, as a file's `metadata_props` do: the `names` of its
    /// classes, say. The last value of a key counts.
    pub fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The graph: every name is checked, nodes are put in an order in which they can run, and what
    /// does not depend on the input is computed.
    ///
    /// # Errors
    ///
    /// [`GraphError::Malformed`], [`GraphError::MissingTensor`], [`GraphError::Cycle`] for a graph that
    /// is none; [`GraphError::Operator`] and [`GraphError::TooLarge`] for constants that cannot be
    /// computed.
    pub fn build(self) -> Result<Graph, GraphError> {
        let mut ledger = Ledger::holding(self.limits, self.held);
        self.build_within(&mut ledger)
    }

    /// The same where `ledger` says what is allowed and what of it is taken: it has counted the constants,
    /// and whatever else stays. What is computed from them is counted, too.
    ///
    /// # Errors
    ///
    /// As [`GraphBuilder::build`].
    pub fn build_within(mut self, ledger: &mut Ledger) -> Result<Graph, GraphError> {
        if self.is_body {
            self.capture();
        }
        let mut available: HashSet<ValueId> = self.constants.keys().copied().collect();
        available.extend(self.inputs.iter().map(|i| i.value));
        self.check_names(&available)?;
        let outputs = self.find_outputs(&available)?;
        let nodes = std::mem::take(&mut self.nodes);
        let nodes = self.sort(nodes, &available)?;
        let mut graph = Graph {
            producer: vec![None; self.names.len()],
            names: self.names,
            by_name: self.by_name,
            nodes,
            constants: self.constants,
            inputs: self.inputs,
            outputs,
            captures: self.captures,
            opset: self.opset,
            metadata: self.metadata,
            limits: ledger.limits(),
            held: ledger.held(),
            given: HashSet::new(),
            index: OnceLock::new(),
        };
        fold::constants(&mut graph)?;
        *ledger = graph.ledger(0);
        fold::recognise_relu(&mut graph);
        for (i, node) in graph.nodes.iter().enumerate() {
            for output in &node.outputs {
                graph.producer[output.0] = Some(NodeId(i));
            }
        }
        Ok(graph)
    }

    /// Makes inputs of what is read and not made.
    fn capture(&mut self) {
        let mut made: HashSet<ValueId> = self.constants.keys().copied().collect();
        made.extend(self.inputs.iter().map(|i| i.value));
        made.extend(self.nodes.iter().flat_map(|n| &n.outputs));
        let outputs = self.outputs.clone();
        let read: Vec<ValueId> = outputs.iter().map(|name| self.id(name)).collect();
        let read = self
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().flatten().copied())
            .chain(read);
        let mut missing: Vec<ValueId> = Vec::new();
        for value in read.filter(|v| !made.contains(v)) {
            if !missing.contains(&value) {
                missing.push(value);
            }
        }
        for value in missing {
            self.captures.push(self.names[value.0].clone());
            self.inputs.push(GraphInput {
                value,
                shape: Vec::new(),
                kind: ElementType::F32,
            });
        }
    }

    fn find_outputs(&self, available: &HashSet<ValueId>) -> Result<Vec<ValueId>, GraphError> {
        let mut made = available.clone();
        made.extend(self.nodes.iter().flat_map(|n| &n.outputs));
        let mut outputs = Vec::new();
        for name in &self.outputs {
            let known = self.by_name.get(name).copied().filter(|v| made.contains(v));
            outputs.push(known.ok_or_else(|| GraphError::MissingTensor {
                node: "the list of outputs".to_owned(),
                tensor: name.clone(),
            })?);
        }
        if outputs.is_empty() {
            return Err(GraphError::Malformed {
                reason: "the graph names no output".to_owned(),
            });
        }
        Ok(outputs)
    }

    /// Every value has exactly one origin, and every value that is read has one.
    fn check_names(&self, available: &HashSet<ValueId>) -> Result<(), GraphError> {
        let mut made = available.clone();
        for &output in self.nodes.iter().flat_map(|n| &n.outputs) {
            if !made.insert(output) {
                return Err(made_twice(&self.names[output.0]));
            }
        }
        for node in &self.nodes {
            if let Some(&missing) = node.inputs.iter().flatten().find(|&i| !made.contains(i)) {
                let name = node
                    .outputs
                    .first()
                    .map_or(&node.name, |o| &self.names[o.0]);
                return Err(GraphError::MissingTensor {
                    node: format!("{} {}", node.op.kind(), quoted(name)),
                    tensor: self.names[missing.0].clone(),
                });
            }
        }
        Ok(())
    }

    /// Orders nodes so that each comes after those that it reads from.
    fn sort(
        &self,
        nodes: Vec<Node>,
        available: &HashSet<ValueId>,
    ) -> Result<Vec<Node>, GraphError> {
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        let mut waiting: Vec<usize> = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            let needs: HashSet<_> = node
                .inputs
                .iter()
                .flatten()
                .filter(|v| !available.contains(v))
                .collect();
            waiting.push(needs.len());
            for &&value in &needs {
                readers.entry(value).or_default().push(i);
            }
        }
        // Of those that can run, the first in the file goes first: a file in order stays as it is.
        let mut ready: BinaryHeap<Reverse<usize>> = (0..nodes.len())
            .filter(|&i| waiting[i] == 0)
            .map(Reverse)
            .collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(Reverse(i)) = ready.pop() {
            order.push(i);
            for reader in nodes[i]
                .outputs
                .iter()
                .filter_map(|o| readers.get(o))
                .flatten()
            {
                waiting[*reader] -= 1;
                if waiting[*reader] == 0 {
                    ready.push(Reverse(*reader));
                }
            }
        }
        if order.len() < nodes.len() {
            let stuck = nodes
                .iter()
                .zip(&waiting)
                .filter(|(_, w)| **w > 0)
                .map(|(n, _)| {
                    n.outputs
                        .first()
                        .map_or_else(|| n.name.clone(), |o| self.names[o.0].clone())
                });
            return Err(GraphError::Cycle {
                nodes: stuck.collect(),
            });
        }
        let mut slots: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|i| slots[i].take()).collect())
    }
}

fn label_of<'a>(name: &'a str, outputs: &[&'a str]) -> &'a str {
    match name.is_empty() {
        true => outputs.first().copied().unwrap_or_default(),
        false => name,
    }
}

fn nameless(what: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("{what} has no name"),
    }
}

fn made_twice(name: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("tensor {} is made twice", quoted(name)),
    }
}

/// An operator that nobody here knows. It stops what depends on it and nothing else.
#[derive(Debug)]
struct Missing(OpKind);

impl Operator for Missing {
    fn kind(&self) -> OpKind {
        self.0
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        Algebra::Other
    }

    fn resolve(&self, _inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let reason = format!("the operator {} is not supported", self.0);
        Err(Refused::Unsupported(reason))
    }

    fn most_outputs(&self) -> usize {
        usize::MAX
    }

    fn counts_outputs(&self) -> bool {
        true
    }

    fn is_missing(&self) -> bool {
        true
    }
}
