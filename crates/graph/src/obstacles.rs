//! What stops a part of a network.

use std::collections::{BTreeMap, HashSet};

use elucid_rules::OpKind;

use crate::graph::{Graph, NodeId, ValueId};
use crate::operator::{Known, Refused};
use crate::plan::Plan;

/// An operator that stops what depends on it, with all nodes that are such ones.
#[derive(Debug, Clone)]
pub struct Obstacle {
    operator: OpKind,
    is_supported: bool,
    reason: String,
    nodes: Vec<String>,
    outputs: Vec<String>,
}

impl Obstacle {
    /// The operator.
    pub fn operator(&self) -> OpKind {
        self.operator
    }

    /// Whether it can be computed once an image is there: only its output's sizes are not known before.
    /// Else nothing that depends on it can be had.
    pub fn is_supported(&self) -> bool {
        self.is_supported
    }

    /// Why the first of its nodes stops.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The nodes, by their names, or their outputs' where they have none.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The graph's outputs that depend on one of them.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }
}

/// The obstacles of a graph when its input has this shape.
pub(crate) fn find(graph: &Graph, input: Option<(ValueId, Vec<usize>)>) -> Vec<Obstacle> {
    let mut found: BTreeMap<(bool, OpKind), (String, Vec<NodeId>)> = BTreeMap::new();
    let mut add = |is_supported: bool, id: NodeId, reason: String| {
        let kind = graph.nodes[id.0].op.kind();
        let group = found.entry((is_supported, kind));
        group.or_insert_with(|| (reason, Vec::new())).1.push(id);
    };
    for (i, node) in graph.nodes.iter().enumerate() {
        if node.op.is_missing() {
            let reason = format!("the operator {} is not supported", node.op.kind());
            add(false, NodeId(i), reason);
        }
    }
    if let Some((input, shape)) = input {
        let mut left_out = Vec::new();
        // A network that opened was planned before, in the same way.
        let feed = [(input, Known::computed(shape, graph.stated_kind(input)))];
        let _ = Plan::reachable_or(graph, &feed, |id, refused| left_out.push((id, refused)));
        for (id, refused) in left_out {
            match refused {
                _ if graph.nodes[id.0].op.is_missing() => {}
                Refused::NeedsValue { what, .. } => {
                    let reason = format!("{what} depends on the image");
                    add(true, id, reason);
                }
                Refused::Unsupported(reason) | Refused::Reason(reason) => add(false, id, reason),
                Refused::TooLarge { excess, .. } => {
                    add(false, id, format!("it would take {excess}"));
                }
            }
        }
    }
    let groups = found.into_iter();
    let made = groups.map(|((is_supported, operator), (reason, nodes))| Obstacle {
        operator,
        is_supported,
        reason,
        outputs: stopped(graph, &nodes),
        nodes: nodes
            .iter()
            .map(|id| graph.node_name(&graph.nodes[id.0]).to_owned())
            .collect(),
    });
    made.collect()
}

/// The outputs that depend on one of `nodes`.
fn stopped(graph: &Graph, nodes: &[NodeId]) -> Vec<String> {
    let stops: HashSet<NodeId> = nodes.iter().copied().collect();
    let mut behind: HashSet<ValueId> = HashSet::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let reads = || {
            node.inputs
                .iter()
                .flatten()
                .any(|value| behind.contains(value))
        };
        if stops.contains(&NodeId(i)) || reads() {
            behind.extend(&node.outputs);
        }
    }
    let outputs = graph.outputs.iter().filter(|value| behind.contains(value));
    outputs.map(|value| graph.name(*value).to_owned()).collect()
}
