//! A graph under construction, from whatever it is read or written by hand.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use elucid_rules::OpKind;

use crate::attributes::Attributes;
use crate::error::GraphError;
use crate::fold;
use crate::graph::{Graph, GraphInput, Node, NodeId, ValueId};
use crate::host::{ElementType, HostTensor};
use crate::limits::{Limits, host_bytes};
use crate::operator::Operator;
use crate::registry::Registry;

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
    module: String,
    is_body: bool,
    limits: Limits,
    held: u64,
}

/// The newest operator set that is understood.
pub(crate) const NEWEST_OPSET: i64 = 24;

impl GraphBuilder {
    /// Nothing yet; nodes are those of ONNX's newest operator set.
    pub fn new() -> Self {
        Self {
            opset: NEWEST_OPSET,
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

    /// Says how many bytes are taken already, those of the constants included.
    pub(crate) fn set_held(&mut self, held: u64) {
        self.held = held;
    }

    /// Something inside another graph: what it reads and nobody makes is taken from there.
    pub(crate) fn body(mut self) -> Self {
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
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a constant has this name.
    pub(crate) fn holds(&self, name: &str) -> bool {
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
        let Some(entry) = self.registry.find(domain, kind, self.opset) else {
            let label = label_of(name, outputs);
            return Err(GraphError::UnsupportedOperators(vec![(
                operator.to_owned(),
                vec![label.to_owned()],
            )]));
        };
        let attributes = attributes(Attributes::new(self.opset, inputs.len(), outputs.len()));
        let operator = (entry.parse)(&attributes).map_err(|reason| GraphError::Operator {
            node: format!("{} \"{}\"", entry.kind(), label_of(name, outputs)),
            reason,
        })?;
        self.operator(operator, name, inputs, outputs)
    }

    /// A node of any operator.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when an output is left out before one that is named.
    pub fn operator(
        &mut self,
        operator: Arc<dyn Operator>,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> Result<&mut Self, GraphError> {
        let module = self.module.clone();
        self.place(operator, name, &module, inputs, outputs)
    }

    /// Nodes from here on stand in this module of the program that the network comes from: `layer4.1`. They
    /// can be asked for by its path then. An empty path ends it.
    pub fn within(&mut self, module: &str) -> &mut Self {
        module.clone_into(&mut self.module);
        self
    }

    /// The same with the module that the node stands in.
    pub(crate) fn place(
        &mut self,
        op: Arc<dyn Operator>,
        name: &str,
        module: &str,
        inputs: &[&str],
        outputs: &[&str],
    ) -> Result<&mut Self, GraphError> {
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
            module: module.to_owned(),
            op,
            inputs: read,
            outputs: made,
        });
        Ok(self)
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
    pub fn build(mut self) -> Result<Graph, GraphError> {
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
            limits: self.limits,
            held: self.held,
            given: HashSet::new(),
            index: OnceLock::new(),
        };
        fold::constants(&mut graph)?;
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
                    node: format!("{} \"{name}\"", node.op.kind()),
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

pub(crate) fn nameless(what: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("{what} has no name"),
    }
}

pub(crate) fn made_twice(name: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("tensor \"{name}\" is made twice"),
    }
}

/// An operator that nobody here knows. It stops what depends on it and nothing else.
#[derive(Debug)]
pub(crate) struct Missing(pub OpKind);

impl Operator for Missing {
    fn kind(&self) -> OpKind {
        self.0
    }

    fn algebra(&self, _constant: &[bool]) -> elucid_rules::Algebra {
        elucid_rules::Algebra::Other
    }

    fn resolve(
        &self,
        _inputs: &crate::operator::Operands<'_>,
    ) -> Result<crate::operator::Resolved, crate::operator::Refused> {
        let reason = format!("the operator {} is not supported", self.0);
        Err(crate::operator::Refused::Unsupported(reason))
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
