//! A node of a file to an operator, and a function of a file to the nodes that it stands for.

use std::collections::HashMap;
use std::sync::Arc;

use elucid_rules::OpKind;
use prost::Message;

use super::{DEEPEST, Source, tensor};
use crate::attributes::{Attribute, Attributes};
use crate::builder::{GraphBuilder, Missing};
use crate::error::GraphError;
use crate::graph::Node;
use crate::limits::Ledger;
use crate::operator::Operator;
use crate::proto::{AttributeProto, FunctionProto, NodeProto};
use crate::registry::canonical;

/// `AttributeProto.AttributeType`.
mod kind {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const TENSOR: i32 = 4;
    pub const GRAPH: i32 = 5;
    pub const FLOATS: i32 = 6;
    pub const INTS: i32 = 7;
    pub const STRINGS: i32 = 8;
    pub const SPARSE_TENSOR: i32 = 11;
}

/// More nodes than any network has: functions that call functions could make any number.
const MOST_NODES: usize = 1 << 20;

/// Bytes that a name takes beside its letters, with what looks it up.
const NAME: u64 = 100;

/// Bytes that one byte of a file may become when a function's node is copied.
const COPIED: u64 = 8;

/// Takes bytes for a node.
fn hold(ledger: &mut Ledger, bytes: u64, label: &str) -> Result<(), GraphError> {
    let taken = ledger.hold(bytes);
    taken.map_err(|excess| excess.of(label))
}

impl Source<'_> {
    pub(super) fn nodes(
        &self,
        builder: &mut GraphBuilder,
        nodes: &[NodeProto],
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), GraphError> {
        // An error in one node must not hide that of an earlier one.
        for node in nodes {
            self.node(builder, node, ledger, depth)?;
        }
        Ok(())
    }

    fn node(
        &self,
        builder: &mut GraphBuilder,
        node: &NodeProto,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), GraphError> {
        if builder.node_count() >= MOST_NODES {
            return Err(GraphError::Malformed {
                reason: format!("the graph has more than {MOST_NODES} nodes"),
            });
        }
        let domain = canonical(node.domain.as_deref().unwrap_or_default());
        let name = node.op_type.as_deref().unwrap_or_default();
        let opset = self.opsets.version(domain);
        let Some(entry) = self.registry.find(domain, name, opset) else {
            let overload = node.overload.as_deref().unwrap_or_default();
            let function = self.functions.iter().find(|f| {
                f.name.as_deref() == Some(name)
                    && canonical(f.domain.as_deref().unwrap_or_default()) == domain
                    && f.overload.as_deref().unwrap_or_default() == overload
            });
            return match function {
                Some(function) => self.call(builder, node, function, ledger, depth + 1),
                None => self.missing(builder, node, ledger),
            };
        };
        let (attributes, captures) = self.attributes(node, opset, ledger, depth)?;
        let operator = (entry.parse)(&attributes).map_err(|reason| GraphError::Operator {
            node: label(node),
            reason,
        })?;
        self.place(builder, node, operator, &captures, ledger)
    }

    fn missing(
        &self,
        builder: &mut GraphBuilder,
        node: &NodeProto,
        ledger: &mut Ledger,
    ) -> Result<(), GraphError> {
        let operator = Missing(OpKind::named(&full_op_type(node)));
        self.place(builder, node, Arc::new(operator), &[], ledger)
    }

    fn place(
        &self,
        builder: &mut GraphBuilder,
        node: &NodeProto,
        operator: Arc<dyn Operator>,
        captures: &[String],
        ledger: &mut Ledger,
    ) -> Result<(), GraphError> {
        let names = node.input.iter().chain(&node.output).chain(captures);
        let names = names.chain(&node.name).map(|name| name.len() as u64 + NAME);
        hold(
            ledger,
            size_of::<Node>() as u64 + names.sum::<u64>(),
            &label(node),
        )?;
        let inputs = node.input.iter().chain(captures).map(String::as_str);
        let outputs: Vec<&str> = node.output.iter().map(String::as_str).collect();
        let name = node.name.as_deref().unwrap_or_default();
        let module = self.scopes.module_of(node);
        let inputs: Vec<&str> = inputs.collect();
        builder.place(operator, name, &module, &inputs, &outputs)?;
        Ok(())
    }

    /// A node's attributes, and the names that its bodies take from the graph around it, in the order
    /// of the attributes' names.
    fn attributes(
        &self,
        node: &NodeProto,
        opset: i64,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(Attributes, Vec<String>), GraphError> {
        let mut attributes = Attributes::new(opset, node.input.len(), node.output.len());
        let mut bodies = Vec::new();
        for proto in &node.attribute {
            let name = proto.name.as_deref().unwrap_or_default();
            let value = self.attribute(proto, &label(node), ledger, depth)?;
            if let Attribute::Graph(body) = &value {
                bodies.push((name.to_owned(), body.captures.clone()));
            }
            attributes = attributes.with(name, value);
        }
        bodies.sort();
        let captures = bodies.into_iter().flat_map(|(_, names)| names);
        Ok((attributes, captures.collect()))
    }

    fn attribute(
        &self,
        proto: &AttributeProto,
        label: &str,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<Attribute, GraphError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Very old files do not say which field counts.
        let stated = proto.kind.filter(|kind| *kind != 0).unwrap_or_else(|| {
            if proto.t.is_some() {
                kind::TENSOR
            } else if proto.g.is_some() {
                kind::GRAPH
            } else if proto.s.is_some() {
                kind::STRING
            } else if proto.f.is_some() {
                kind::FLOAT
            } else if proto.i.is_some() {
                kind::INT
            } else if !proto.floats.is_empty() {
                kind::FLOATS
            } else if !proto.strings.is_empty() {
                kind::STRINGS
            } else {
                kind::INTS
            }
        });
        let name = proto.name.as_deref().unwrap_or_default();
        Ok(match stated {
            kind::FLOAT => Attribute::Float(proto.f.unwrap_or(0.0)),
            kind::INT => Attribute::Int(proto.i.unwrap_or(0)),
            kind::STRING => Attribute::Text(text(proto.s.as_deref().unwrap_or_default())),
            kind::FLOATS => Attribute::Floats(proto.floats.clone()),
            kind::INTS => Attribute::Ints(proto.ints.clone()),
            kind::STRINGS => Attribute::Texts(proto.strings.iter().map(|s| text(s)).collect()),
            kind::TENSOR => {
                let what = format!("{label}: attribute {name}");
                match proto.t.as_ref() {
                    None => Attribute::Unreadable("it holds no tensor".to_owned()),
                    Some(tensor) => match tensor::decode(tensor, &what, self.folder, ledger) {
                        Ok(value) => Attribute::Tensor(value),
                        Err(GraphError::Malformed { reason }) => Attribute::Unreadable(reason),
                        Err(other) => return Err(other),
                    },
                }
            }
            kind::SPARSE_TENSOR => {
                let what = format!("{label}: attribute {name}");
                match proto.sparse_tensor.as_ref() {
                    None => Attribute::Unreadable("it holds no tensor".to_owned()),
                    Some(tensor) => {
                        let value = tensor::decode_sparse(tensor, &what, self.folder, ledger);
                        Attribute::Tensor(value?)
                    }
                }
            }
            kind::GRAPH => match proto.g.as_ref() {
                None => Attribute::Unreadable("it holds no graph".to_owned()),
                Some(body) => {
                    let inside = GraphBuilder::with(self.registry, self.opsets.onnx);
                    let mut inside = inside.body().limits(self.limits);
                    self.fill(&mut inside, body, ledger, depth + 1)?;
                    inside.set_held(ledger.held());
                    let body = inside.build()?;
                    let folded = body.held.saturating_sub(ledger.held());
                    hold(ledger, folded, label)?;
                    Attribute::Graph(Arc::new(body))
                }
            },
            other => Attribute::Unreadable(format!("attributes of type {other} are not supported")),
        })
    }

    /// The nodes of a function in a node's place. What is inside gets the node's name in front.
    fn call(
        &self,
        builder: &mut GraphBuilder,
        node: &NodeProto,
        function: &FunctionProto,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), GraphError> {
        if depth > DEEPEST {
            return Err(GraphError::Malformed {
                reason: format!("{}: functions call each other without end", label(node)),
            });
        }
        let prefix = node_name(node);
        let mut names: HashMap<&str, String> = HashMap::new();
        for (inside, outside) in function.input.iter().zip(&node.input) {
            names.insert(inside, outside.clone());
        }
        for (inside, outside) in function.output.iter().zip(&node.output) {
            if !outside.is_empty() {
                names.insert(inside, outside.clone());
            }
        }
        for inside in function.input.iter().skip(node.input.len()) {
            // An optional input that the caller leaves out.
            names.insert(inside, String::new());
        }
        let renamed = |name: &String| match names.get(name.as_str()) {
            Some(outside) => outside.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{prefix}/{name}"),
        };
        let mut opsets = self.opsets.clone();
        for import in &function.opset_import {
            let domain = canonical(import.domain.as_deref().unwrap_or_default());
            let version = import.version.unwrap_or(0);
            match domain {
                "" => opsets.onnx = version,
                _ => opsets.others.push((domain.to_owned(), version)),
            }
        }
        let inside = Source {
            opsets,
            ..self.clone()
        };
        for template in &function.node {
            let length = prefix.len() + template.encoded_len();
            hold(ledger, COPIED * length as u64, &label(node))?;
            let mut copy = template.clone();
            copy.input = template.input.iter().map(renamed).collect();
            copy.output = template.output.iter().map(renamed).collect();
            copy.name = Some(format!("{prefix}/{}", node_name(template)));
            if copy.metadata_props.is_empty() {
                copy.metadata_props = node.metadata_props.clone();
            }
            copy.attribute = attributes_of_call(template, node, function);
            let given = copy
                .attribute
                .iter()
                .map(|attribute| attribute.encoded_len() as u64);
            hold(ledger, COPIED * given.sum::<u64>(), &label(node))?;
            for attribute in &mut copy.attribute {
                if let Some(body) = &mut attribute.g {
                    rename_captured(body, &renamed);
                }
            }
            inside.node(builder, &copy, ledger, depth)?;
        }
        // What a function hands through has no node of its own.
        for (inside, outside) in function.output.iter().zip(&node.output) {
            let source = function.input.iter().position(|input| input == inside);
            if let Some(source) = source.and_then(|slot| node.input.get(slot)) {
                builder.node(
                    "Identity",
                    &format!("{prefix}/{inside}"),
                    &[source],
                    &[outside],
                )?;
            }
        }
        Ok(())
    }
}

/// A node's attributes where those of the calling node stand for what they refer to.
fn attributes_of_call(
    template: &NodeProto,
    node: &NodeProto,
    function: &FunctionProto,
) -> Vec<AttributeProto> {
    let mut made = Vec::new();
    for attribute in &template.attribute {
        let Some(reference) = attribute.ref_attr_name.as_deref().filter(|r| !r.is_empty()) else {
            made.push(attribute.clone());
            continue;
        };
        let given = node
            .attribute
            .iter()
            .find(|a| a.name.as_deref() == Some(reference));
        let default = function
            .attribute_proto
            .iter()
            .find(|a| a.name.as_deref() == Some(reference));
        // Without either, the node inside has its own default.
        if let Some(value) = given.or(default) {
            let mut value = value.clone();
            value.name.clone_from(&attribute.name);
            value.ref_attr_name = None;
            made.push(value);
        }
    }
    made
}

/// Renames what a body reads from the function around it.
fn rename_captured(body: &mut crate::proto::GraphProto, renamed: &dyn Fn(&String) -> String) {
    let mut own: std::collections::HashSet<String> = body
        .input
        .iter()
        .filter_map(|input| input.name.clone())
        .chain(body.initializer.iter().filter_map(|t| t.name.clone()))
        .collect();
    own.extend(
        body.node
            .iter()
            .flat_map(|node| node.output.iter().cloned()),
    );
    let inner = |name: &String| match own.contains(name) {
        true => name.clone(),
        false => renamed(name),
    };
    for node in &mut body.node {
        node.input = node.input.iter().map(inner).collect();
        for attribute in &mut node.attribute {
            if let Some(body) = &mut attribute.g {
                rename_captured(body, &inner);
            }
        }
    }
    for output in &mut body.output {
        output.name = output.name.as_ref().map(inner);
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
    match canonical(node.domain.as_deref().unwrap_or_default()) {
        "" => kind.to_owned(),
        domain => format!("{domain}.{kind}"),
    }
}

fn label(node: &NodeProto) -> String {
    format!(
        "{} {}",
        full_op_type(node),
        crate::error::quoted(node_name(node))
    )
}
