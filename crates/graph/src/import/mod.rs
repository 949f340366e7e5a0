//! ONNX bytes to a [`Graph`].

mod attributes;
mod ops;
mod tensor;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use self::ops::Parsed;
pub(crate) use self::tensor::too_large;
use crate::error::GraphError;
use crate::graph::{Graph, GraphInput, Node, NodeId, ValueId};
use crate::host::{ElementType, HostBinary, HostTensor, MAX_COMPUTED, MAX_ELEMENTS};
use crate::op::{Op, Unary};
use crate::proto::{GraphProto, ModelProto, NodeProto, data_type as dt};
use crate::resolve::{Batch, Known};

/// Operator sets that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 3..=21;

/// The largest file that is read into memory, the limit of the protobuf format itself.
pub(crate) const MAX_FILE: u64 = 2 << 30;

impl Graph {
    /// Imports a model from the bytes of an `.onnx` file.
    ///
    /// Weights that the model keeps in other files are looked for in `folder`.
    ///
    /// # Errors
    ///
    /// Every way in which a file can be unusable has its own [`GraphError`]; operators that are not
    /// supported are listed all at once.
    pub fn import(bytes: impl Into<Bytes>, folder: Option<&Path>) -> Result<Self, GraphError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(GraphError::Decode {
                reason: "the file is empty".to_owned(),
            });
        }
        let model = ModelProto::decode(bytes).map_err(|e| GraphError::Decode {
            reason: format!("{e}; the file is cut short, or not an ONNX file"),
        })?;
        let Some(graph) = &model.graph else {
            return Err(GraphError::Decode {
                reason: "it holds no graph, so it is not an ONNX model".to_owned(),
            });
        };
        if graph.node.is_empty() {
            return Err(GraphError::Malformed {
                reason: "the graph has no nodes".to_owned(),
            });
        }
        let opset = opset(&model)?;
        Importer::default().run(graph, opset, folder)
    }
}

fn opset(model: &ModelProto) -> Result<i64, GraphError> {
    let version = model
        .opset_import
        .iter()
        .find(|o| matches!(o.domain.as_deref(), None | Some("" | "ai.onnx")))
        .map(|o| o.version.unwrap_or(0))
        .ok_or_else(|| GraphError::Malformed {
            reason: "the model names no version of the ONNX operator set".to_owned(),
        })?;
    if OPSETS.contains(&version) {
        Ok(version)
    } else {
        Err(GraphError::Malformed {
            reason: format!(
                "operator set {version} is not supported, only {} to {}",
                OPSETS.start(),
                OPSETS.end()
            ),
        })
    }
}

#[derive(Default)]
struct Importer {
    names: Vec<String>,
    by_name: HashMap<String, ValueId>,
}

impl Importer {
    fn id(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = ValueId(self.names.len());
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        id
    }

    fn run(
        mut self,
        graph: &GraphProto,
        opset: i64,
        folder: Option<&Path>,
    ) -> Result<Graph, GraphError> {
        let constants = self.constants(graph, folder)?;
        let inputs = self.inputs(graph, &constants)?;
        let nodes = self.parse(graph, opset)?;
        let mut available: HashSet<ValueId> = constants.keys().copied().collect();
        available.extend(inputs.iter().map(|i| i.value));
        self.check_names(&nodes, &available)?;
        let nodes = self.sort(nodes, &available)?;
        let outputs = self.outputs(graph, &nodes, &available)?;

        let producer = vec![None; self.names.len()];
        let mut graph = Graph {
            names: self.names,
            by_name: self.by_name,
            nodes,
            producer,
            constants,
            inputs,
            outputs,
            opset,
        };
        fold_constants(&mut graph)?;
        recognise_relu(&mut graph);
        for (i, node) in graph.nodes.iter().enumerate() {
            for output in &node.outputs {
                graph.producer[output.0] = Some(NodeId(i));
            }
        }
        Ok(graph)
    }

    fn constants(
        &mut self,
        graph: &GraphProto,
        folder: Option<&Path>,
    ) -> Result<HashMap<ValueId, HostTensor>, GraphError> {
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse
                .values
                .as_ref()
                .and_then(|v| v.name.as_deref())
                .unwrap_or_default();
            return Err(GraphError::Malformed {
                reason: format!("initializer \"{name}\" is sparse, which is not supported"),
            });
        }
        let mut constants = HashMap::new();
        let mut total = 0;
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or_default();
            let what = format!("initializer \"{name}\"");
            if name.is_empty() {
                return Err(nameless("an initializer"));
            }
            let value = tensor::decode(tensor, &what, folder)?;
            // Many tensors may name the same bytes of one external file.
            total += value.len();
            if total > MAX_ELEMENTS {
                return Err(too_large(
                    "all initializers together",
                    &[total],
                    MAX_ELEMENTS,
                ));
            }
            if constants.insert(self.id(name), value).is_some() {
                return Err(made_twice(name));
            }
        }
        Ok(constants)
    }

    fn outputs(
        &self,
        graph: &GraphProto,
        nodes: &[Node],
        available: &HashSet<ValueId>,
    ) -> Result<Vec<ValueId>, GraphError> {
        let mut made = available.clone();
        made.extend(nodes.iter().flat_map(|n| &n.outputs));
        let mut outputs = Vec::new();
        for output in &graph.output {
            let name = output.name.as_deref().unwrap_or_default();
            let known = self.by_name.get(name).copied().filter(|v| made.contains(v));
            outputs.push(known.ok_or_else(|| GraphError::MissingTensor {
                node: "the list of outputs".to_owned(),
                tensor: name.to_owned(),
            })?);
        }
        if outputs.is_empty() {
            return Err(GraphError::Malformed {
                reason: "the graph names no output".to_owned(),
            });
        }
        Ok(outputs)
    }

    /// Inputs that are not initializers: old files list both.
    fn inputs(
        &mut self,
        graph: &GraphProto,
        constants: &HashMap<ValueId, HostTensor>,
    ) -> Result<Vec<GraphInput>, GraphError> {
        let mut inputs = Vec::new();
        for info in &graph.input {
            let name = info.name.as_deref().unwrap_or_default();
            if name.is_empty() {
                return Err(nameless("an input"));
            }
            let value = self.id(name);
            if constants.contains_key(&value) {
                continue;
            }
            if inputs.iter().any(|i: &GraphInput| i.value == value) {
                return Err(made_twice(name));
            }
            let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            if let Some(kind) = tensor.and_then(|t| t.elem_type)
                && !matches!(kind, dt::FLOAT | dt::FLOAT16 | dt::BFLOAT16 | dt::DOUBLE)
            {
                return Err(GraphError::Malformed {
                    reason: format!(
                        "input \"{name}\" has element type {kind}, expected floating point"
                    ),
                });
            }
            let shape = tensor.and_then(|t| t.shape.as_ref());
            let dims = shape.map(|s| s.dim.as_slice()).unwrap_or_default();
            let shape = dims
                .iter()
                .map(|d| usize::try_from(d.dim_value?).ok().filter(|&d| d > 0));
            inputs.push(GraphInput {
                value,
                shape: shape.collect(),
            });
        }
        if inputs.is_empty() {
            return Err(GraphError::Malformed {
                reason: "the graph has no input".to_owned(),
            });
        }
        Ok(inputs)
    }

    fn parse(&mut self, graph: &GraphProto, opset: i64) -> Result<Vec<Node>, GraphError> {
        let mut unsupported: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut nodes = Vec::new();
        // An error in one node must not hide that another's operator is missing.
        let mut first_error = None;
        for proto in &graph.node {
            let label = label(proto);
            match ops::parse(proto, &label, opset) {
                Ok(Parsed::Op(op)) => {
                    let mut ids = |names: &[String]| -> Vec<Option<ValueId>> {
                        names
                            .iter()
                            .map(|n| (!n.is_empty()).then(|| self.id(n)))
                            .collect()
                    };
                    let inputs = ids(&proto.input);
                    let named = |n: &String| !n.is_empty();
                    let last = proto.output.iter().rposition(named).map_or(0, |i| i + 1);
                    if !proto.output[..last].iter().all(named) {
                        let reason = "an output is left out before one that is used".to_owned();
                        let error = GraphError::Operator {
                            node: label,
                            reason,
                        };
                        first_error = first_error.or(Some(error));
                        continue;
                    }
                    let outputs = ids(&proto.output[..last]).into_iter().flatten().collect();
                    let name = proto.name.clone().unwrap_or_default();
                    nodes.push(Node {
                        name,
                        op,
                        inputs,
                        outputs,
                    });
                }
                Ok(Parsed::Unsupported) => {
                    unsupported
                        .entry(full_op_type(proto))
                        .or_default()
                        .push(node_name(proto));
                }
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        if !unsupported.is_empty() {
            return Err(GraphError::UnsupportedOperators(
                unsupported.into_iter().collect(),
            ));
        }
        match first_error {
            Some(e) => Err(e),
            None => Ok(nodes),
        }
    }

    /// Every value has exactly one origin, and every value that is read has one.
    fn check_names(&self, nodes: &[Node], available: &HashSet<ValueId>) -> Result<(), GraphError> {
        let mut made = available.clone();
        for &output in nodes.iter().flat_map(|n| &n.outputs) {
            if !made.insert(output) {
                return Err(made_twice(&self.names[output.0]));
            }
        }
        for node in nodes {
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

/// Computes what does not depend on the input, within the limit that holds for one tensor.
fn fold_constants(graph: &mut Graph) -> Result<(), GraphError> {
    let used: HashSet<ValueId> = graph
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter().flatten())
        .chain(&graph.outputs)
        .copied()
        .collect();
    let mut folded = 0;
    let mut kept = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        // Outputs that nobody reads (a pool's indices, a dropout's mask) need not be computed.
        while node.outputs.len() > 1
            && !matches!(node.op, Op::Split { .. })
            && node.outputs.last().is_some_and(|o| !used.contains(o))
        {
            node.outputs.pop();
        }
        let inputs: Option<Vec<Option<Known>>> = node
            .inputs
            .iter()
            .map(|slot| match slot {
                None => Some(None),
                Some(v) => graph.constants.get(v).map(|t| Some(Known::host(t.clone()))),
            })
            .collect();
        let Some(inputs) = inputs else {
            kept.push(node);
            continue;
        };
        let (_, known) =
            graph.resolve_node(&node, &inputs, node.outputs.len(), Batch::default())?;
        if known.iter().all(|k| k.host.is_some()) {
            for (&output, value) in node.outputs.iter().zip(known) {
                if let Some(host) = value.host {
                    folded += host.len();
                    if folded > MAX_COMPUTED {
                        let what = "the graph's computed constants";
                        return Err(too_large(what, &[folded], MAX_COMPUTED));
                    }
                    graph.constants.insert(output, host);
                }
            }
        } else {
            kept.push(node);
        }
    }
    graph.nodes = kept;
    Ok(())
}

/// `Max` with zero is how frameworks without a ReLU of their own write it; what is true of ReLU must
/// be true of it.
fn recognise_relu(graph: &mut Graph) {
    let Graph {
        nodes, constants, ..
    } = graph;
    let is_zero = |slot: &Option<ValueId>| {
        let constant = slot.and_then(|value| constants.get(&value));
        // More dimensions than one might be more than the other operand has.
        constant.is_some_and(|host| {
            host.element_type() == ElementType::F32
                && host.shape().len() <= 1
                && *host.floats() == [0.0]
        })
    };
    for node in nodes {
        if let Op::Binary {
            op: HostBinary::Max,
            ..
        } = node.op
            && let Some(zero) = node.inputs.iter().position(is_zero)
        {
            node.inputs.remove(zero);
            node.op = Op::Unary(Unary::Relu);
        }
    }
}

fn nameless(what: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("{what} has no name"),
    }
}

fn made_twice(name: &str) -> GraphError {
    GraphError::Malformed {
        reason: format!("tensor \"{name}\" is made twice"),
    }
}

fn node_name(node: &NodeProto) -> String {
    match node.name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => node.output.first().cloned().unwrap_or_default(),
    }
}

fn full_op_type(node: &NodeProto) -> String {
    let kind = node.op_type.as_deref().unwrap_or_default();
    match node.domain.as_deref() {
        None | Some("" | "ai.onnx") => kind.to_owned(),
        Some(domain) => format!("{domain}.{kind}"),
    }
}

fn label(node: &NodeProto) -> String {
    format!("{} \"{}\"", full_op_type(node), node_name(node))
}
