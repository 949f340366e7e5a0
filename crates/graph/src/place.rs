//! A body put in the place of its node, where constants decide which one runs.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::graph::{Graph, Node, ValueId};
use crate::ops::identity::Identity;

/// A body that stands for its node.
#[derive(Debug)]
pub struct Branch {
    pub(crate) body: Arc<Graph>,
    /// The node's inputs that the body takes from the graph around it.
    pub(crate) slots: Range<usize>,
}

impl Branch {
    /// The body's nodes, as nodes of `graph` in the place of `node`. Values keep their names; one that is
    /// taken in `graph` gets the node's name in front.
    ///
    /// `None` for a body that does not fit its node, which is an error of whoever runs it.
    pub(crate) fn place(&self, graph: &mut Graph, node: &Node) -> Option<Vec<Node>> {
        let body = &self.body;
        let given = node.inputs.get(self.slots.clone())?;
        if body.inputs.len() != given.len() || body.outputs.len() < node.outputs.len() {
            return None;
        }
        let mut outside: HashMap<ValueId, ValueId> = HashMap::new();
        for (input, given) in body.inputs.iter().zip(given) {
            outside.insert(input.value, (*given)?);
        }
        let results = body.outputs.iter().zip(&node.outputs);
        for (inside, result) in results.clone() {
            if body.producer(*inside).is_some() {
                outside.entry(*inside).or_insert(*result);
            }
        }
        let mut names = Names {
            graph,
            prefix: body_prefix(node, body),
        };
        let mut placed = Vec::with_capacity(body.nodes.len());
        for inner in &body.nodes {
            let mut value = |inside: ValueId| {
                let new = || names.add(body, inside);
                *outside.entry(inside).or_insert_with(new)
            };
            placed.push(Node {
                inputs: inner
                    .inputs
                    .iter()
                    .map(|slot| slot.map(&mut value))
                    .collect(),
                outputs: inner.outputs.iter().map(|v| value(*v)).collect(),
                ..inner.clone()
            });
        }
        // What the body hands through has no node of its own.
        for (inside, result) in results {
            if let Some(host) = body.constants.get(inside) {
                names.graph.constants.insert(*result, host.clone());
            } else if let Some(source) = outside.get(inside).filter(|source| *source != result) {
                placed.push(Node {
                    name: names.graph.names[result.0].clone(),
                    module: node.module.clone(),
                    op: Arc::new(Identity { dropout: false }),
                    inputs: vec![Some(*source)],
                    outputs: vec![*result],
                });
            }
        }
        Some(placed)
    }
}

fn body_prefix(node: &Node, graph: &Graph) -> String {
    match node.name.is_empty() {
        false => node.name.clone(),
        true => graph
            .outputs
            .first()
            .map_or("", |v| graph.name(*v))
            .to_owned(),
    }
}

/// Names of values that are new in a graph.
struct Names<'g> {
    graph: &'g mut Graph,
    prefix: String,
}

impl Names<'_> {
    /// A value of `body`, under its own name unless that is taken. Its elements, if they are known, were
    /// counted with the body.
    fn add(&mut self, body: &Graph, inside: ValueId) -> ValueId {
        let own = body.name(inside);
        let mut name = own.to_owned();
        let mut tries = 1;
        while self.graph.by_name.contains_key(&name) {
            name = match tries {
                1 => format!("{}/{own}", self.prefix),
                _ => format!("{}/{own}#{tries}", self.prefix),
            };
            tries += 1;
        }
        let value = ValueId(self.graph.names.len());
        self.graph.names.push(name.clone());
        self.graph.by_name.insert(name, value);
        self.graph.producer.push(None);
        if let Some(host) = body.constants.get(&inside) {
            self.graph.constants.insert(value, host.clone());
        }
        value
    }
}
