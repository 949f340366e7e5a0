//! A node of a file to an operator, and a function of a file to the nodes that it stands for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use elucid_graph::message::quoted;
use elucid_graph::{
    Attribute, Attributes, GraphBuilder, GraphError, HostTensor, Ledger, Node, Registry,
};
use prost::Message;

use super::{DEEPEST, Source, tensor};
use crate::error::ImportError;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};

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
fn hold(ledger: &mut Ledger, bytes: u64, label: &str) -> Result<(), ImportError> {
    let taken = ledger.hold(bytes);
    taken.map_err(|excess| ImportError::too_large(label, excess))
}

impl Source<'_> {
    pub(super) fn nodes(
        &self,
        builder: &mut GraphBuilder,
        nodes: &[NodeProto],
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), ImportError> {
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
    ) -> Result<(), ImportError> {
        if builder.node_count() >= MOST_NODES {
            let reason = format!("the graph has more than {MOST_NODES} nodes");
            return Err(ImportError::malformed(reason));
        }
        let domain = Registry::domain(node.domain());
        let kind = node.op_type();
        let opset = self.opsets.version(domain);
        let entry = self.registry.find(domain, kind, opset);
        if entry.is_none()
            && let Some(function) = self.function(node)
        {
            return self.call(builder, node, function, ledger, depth + 1);
        }
        let attributes = match entry {
            Some(_) => self.attributes(node, opset, ledger, depth)?,
            None => Attributes::default(),
        };
        let captures = attributes.captures();
        let names = node.input.iter().chain(&node.output).chain(&node.name);
        let names = names.map(String::as_str).chain(captures);
        let names = names.map(|name| name.len() as u64 + NAME);
        let taken = size_of::<Node>() as u64 + names.sum::<u64>();
        hold(ledger, taken, &label(node))?;
        let [inputs, outputs] = [&node.input, &node.output]
            .map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        let name = node.name();
        builder.module(&self.scopes.module_of(node));
        match entry {
            Some(entry) => builder.read(entry, &attributes, name, &inputs, &outputs)?,
            None => builder.missing(&full_op_type(node), name, &inputs, &outputs),
        };
        Ok(())
    }

    /// The function of the file that a node calls.
    fn function(&self, node: &NodeProto) -> Option<&FunctionProto> {
        self.functions.iter().find(|function| {
            function.name() == node.op_type()
                && Registry::domain(function.domain()) == Registry::domain(node.domain())
                && function.overload() == node.overload()
        })
    }

    fn attributes(
        &self,
        node: &NodeProto,
        opset: i64,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<Attributes, ImportError> {
        let mut attributes = Attributes::new(opset, node.input.len(), node.output.len());
        for proto in &node.attribute {
            let name = proto.name();
            let value = self.attribute(proto, &label(node), ledger, depth)?;
            attributes = attributes.with(name, value);
        }
        Ok(attributes)
    }

    fn attribute(
        &self,
        proto: &AttributeProto,
        label: &str,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<Attribute, ImportError> {
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
        let name = proto.name();
        Ok(match stated {
            kind::FLOAT => Attribute::Float(proto.f.unwrap_or(0.0)),
            kind::INT => Attribute::Int(proto.i.unwrap_or(0)),
            kind::STRING => Attribute::Text(text(proto.s.as_deref().unwrap_or_default())),
            kind::FLOATS => Attribute::Floats(proto.floats.clone()),
            kind::INTS => Attribute::Ints(proto.ints.clone()),
            kind::STRINGS => Attribute::Texts(proto.strings.iter().map(|s| text(s)).collect()),
            kind::TENSOR => tensor_of(proto.t.as_ref().map(|tensor| {
                let what = format!("{label}: attribute {name}");
                tensor::decode(tensor, &what, self.folder, ledger)
            }))?,
            kind::SPARSE_TENSOR => tensor_of(proto.sparse_tensor.as_ref().map(|tensor| {
                let what = format!("{label}: attribute {name}");
                tensor::decode_sparse(tensor, &what, self.folder, ledger)
            }))?,
            kind::GRAPH => match proto.g.as_ref() {
                None => Attribute::Unreadable("it holds no graph".to_owned()),
                Some(body) => {
                    let mut inside = self.builder().body();
                    self.fill(&mut inside, body, ledger, depth + 1)?;
                    Attribute::Graph(Arc::new(inside.build_within(ledger)?))
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
    ) -> Result<(), ImportError> {
        if depth > DEEPEST {
            let reason = format!("{}: functions call each other without end", label(node));
            return Err(ImportError::malformed(reason));
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
        let inside = Source {
            opsets: self.opsets.within(function),
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
        builder.module("");
        for (inside, outside) in function.output.iter().zip(&node.output) {
            let source = function.input.iter().position(|input| input == inside);
            if let Some(source) = source.and_then(|slot| node.input.get(slot)) {
                let name = format!("{prefix}/{inside}");
                builder.node("Identity", &name, &[source], &[outside])?;
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
fn rename_captured(body: &mut GraphProto, renamed: &dyn Fn(&String) -> String) {
    let mut own: HashSet<String> = body
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
    match node.name() {
        "" => node.output.first().cloned().unwrap_or_default(),
        name => name.to_owned(),
    }
}

fn full_op_type(node: &NodeProto) -> String {
    let kind = node.op_type();
    match Registry::domain(node.domain()) {
        "" => kind.to_owned(),
        domain => format!("{domain}.{kind}"),
    }
}

fn label(node: &NodeProto) -> String {
    format!("{} {}", full_op_type(node), quoted(node_name(node)))
}

/// A tensor as an attribute. One that is wrong stops only the operator that asks for it.
fn tensor_of(tensor: Option<Result<HostTensor, ImportError>>) -> Result<Attribute, ImportError> {
    match tensor {
        None => Ok(Attribute::Unreadable("it holds no tensor".to_owned())),
        Some(Ok(value)) => Ok(Attribute::Tensor(value)),
        Some(Err(ImportError::Graph(GraphError::Malformed { reason }))) => {
            Ok(Attribute::Unreadable(reason))
        }
        Some(Err(other)) => Err(other),
    }
}
