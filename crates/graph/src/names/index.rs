//! What looking up names needs to know of a graph, found once.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;

use super::Layers;
use super::inception::Inception;
use crate::graph::{Graph, NodeId, ValueId};
use crate::rules::Places;

/// Which nodes stand in which module, who reads what, and which blocks are InceptionV1's.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// Nodes that stand in a module, by its path: those of a module and all within it are neighbours.
    by_module: Vec<NodeId>,
    /// Nodes that have a name, by it.
    by_name: Vec<NodeId>,
    /// The nodes that read each value.
    readers: Vec<Vec<NodeId>>,
    outputs: HashSet<ValueId>,
    pub inception: Inception,
    /// What lists of rules look at.
    pub places: OnceLock<Places>,
}

/// `a`, `a.b`, `a.b.c`, `ab`: a module comes before what is in it, and that before all others.
fn by_segments(a: &str, b: &str) -> Ordering {
    a.split('.').cmp(b.split('.'))
}

/// Whether `module` is the module at `path`, or one within it.
pub(super) fn is_within(module: &str, path: &str) -> bool {
    let rest = module.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Index {
    pub fn new(graph: &Graph) -> Self {
        let nodes = || (0..graph.nodes.len()).map(NodeId);
        let module = |id: &NodeId| graph.nodes[id.0].module.as_str();
        let name = |id: &NodeId| graph.nodes[id.0].name.as_str();
        let mut by_module: Vec<NodeId> = nodes().filter(|id| !module(id).is_empty()).collect();
        by_module.sort_by(|a, b| by_segments(module(a), module(b)));
        let mut by_name: Vec<NodeId> = nodes().filter(|id| !name(id).is_empty()).collect();
        by_name.sort_by(|a, b| name(a).cmp(name(b)));
        let mut readers = vec![Vec::new(); graph.names.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            for value in node.inputs.iter().flatten() {
                readers[value.0].push(NodeId(i));
            }
        }
        let mut made = Self {
            by_module,
            by_name,
            readers,
            outputs: graph.outputs.iter().copied().collect(),
            inception: Inception::default(),
            places: OnceLock::new(),
        };
        made.inception = Inception::find(graph, &made);
        made
    }

    /// The nodes that read a value.
    pub fn readers(&self, value: ValueId) -> &[NodeId] {
        &self.readers[value.0]
    }

    /// The one node with this name.
    pub fn named<'g>(&self, graph: &'g Graph, name: &str) -> Option<&'g crate::graph::Node> {
        let node = |id: &NodeId| &graph.nodes[id.0];
        let start = self
            .by_name
            .partition_point(|id| node(id).name.as_str() < name);
        let mut found = self.by_name[start..].iter().map(node);
        let mut found = found.by_ref().take_while(|node| node.name == name);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    fn range(&self, graph: &Graph, path: &str) -> Range<usize> {
        let module = |id: &NodeId| graph.nodes[id.0].module.as_str();
        let start = self
            .by_module
            .partition_point(|id| by_segments(module(id), path) == Ordering::Less);
        let within = self.by_module[start..].partition_point(|id| is_within(module(id), path));
        start..start + within
    }

    /// The nodes of the module at `path`, and of all within it.
    pub fn module(&self, graph: &Graph, path: &str) -> &[NodeId] {
        match path.is_empty() {
            true => &[],
            false => &self.by_module[self.range(graph, path)],
        }
    }

    /// Every module that nodes stand in, or that holds one of them, each once.
    pub fn paths<'g>(&self, graph: &'g Graph) -> Vec<&'g str> {
        let mut paths = Vec::new();
        let mut last = "";
        for id in &self.by_module {
            let module = graph.nodes[id.0].module.as_str();
            for (end, _) in module.match_indices('.').chain([(module.len(), "")]) {
                let path = &module[..end];
                if !is_within(last, path) {
                    paths.push(path);
                }
            }
            last = module;
        }
        paths
    }

    /// The modules whose path ends with `name`: `m.backbone.layer4` for `layer4`.
    pub fn ending_with<'g>(&self, graph: &'g Graph, name: &str) -> Vec<&'g str> {
        let mut paths: Vec<&str> = Vec::new();
        if name.is_empty() {
            return paths;
        }
        for id in &self.by_module {
            let module = graph.nodes[id.0].module.as_str();
            let boundary = |end: usize| module[end..].is_empty() || module[end..].starts_with('.');
            for (start, _) in module.match_indices(name) {
                let end = start + name.len();
                let begins = start == 0 || module[..start].ends_with('.');
                if begins && boundary(end) && paths.last() != Some(&&module[..end]) {
                    paths.push(&module[..end]);
                }
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Those of `values` that something else than the nodes which make them reads, or that are outputs of
    /// the graph.
    pub fn exits(&self, graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
        let makers = values.iter().filter_map(|value| graph.producer[value.0]);
        let inside: HashSet<NodeId> = makers.collect();
        let leaves = |value: &ValueId| {
            let mut readers = self.readers[value.0].iter();
            self.outputs.contains(value) || readers.any(|id| !inside.contains(id))
        };
        values.iter().copied().filter(leaves).collect()
    }

    /// The result of `nodes`: the one value that others read; of several the last, if all others lead
    /// to it, else all of them.
    pub fn results(
        &self,
        graph: &Graph,
        nodes: &[NodeId],
        is_layer: &dyn Fn(ValueId) -> bool,
    ) -> Vec<ValueId> {
        let mut order = nodes.to_vec();
        order.sort_unstable();
        let made = order
            .iter()
            .flat_map(|id| graph.nodes[id.0].outputs.iter().copied());
        let all = self.exits(graph, &made.collect::<Vec<_>>());
        // Sizes and indices are no layers, and a module's result is one if it has one.
        let layers: Vec<ValueId> = all.iter().copied().filter(|v| is_layer(*v)).collect();
        let exits = if layers.is_empty() { all } else { layers };
        match exits.split_last() {
            Some((&last, others)) if !others.is_empty() && leads(graph, others, last) => vec![last],
            _ => exits,
        }
    }
}

/// Whether `to` depends on all of `from`.
fn leads(graph: &Graph, from: &[ValueId], to: ValueId) -> bool {
    let mut missing: HashSet<ValueId> = from.iter().copied().collect();
    // Nodes stand in order: what comes before all of them depends on none.
    let makers = from.iter().map(|value| graph.producer[value.0]);
    let first = makers.min().flatten();
    let mut seen = HashSet::from([to]);
    let mut queue = vec![to];
    while let Some(value) = queue.pop() {
        missing.remove(&value);
        if missing.is_empty() {
            return true;
        }
        let maker = graph.producer[value.0];
        if let Some(id) = maker.filter(|_| maker >= first) {
            let inputs = graph.nodes[id.0].inputs.iter().flatten();
            queue.extend(inputs.filter(|input| seen.insert(**input)));
        }
    }
    false
}

/// A module of the program that a network was exported from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module<'m> {
    path: &'m str,
    results: Vec<&'m str>,
}

impl<'m> Module<'m> {
    /// Its path: `layer4.1.conv2`.
    pub fn path(&self) -> &'m str {
        self.path
    }

    /// The last part of its path: `conv2`.
    pub fn name(&self) -> &'m str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// How many modules it stands in.
    pub fn depth(&self) -> usize {
        self.path.matches('.').count()
    }

    /// The layer that its path means; none where it hands several values on.
    pub fn result(&self) -> Option<&'m str> {
        match self.results.as_slice() {
            &[only] => Some(only),
            _ => None,
        }
    }

    /// The layers that it hands on, if it is not clear which one is its result.
    pub fn results(&self) -> &[&'m str] {
        &self.results
    }
}

/// All modules as a tree is printed: in the order in which they first run, each before what is in it.
pub(crate) fn modules<'g>(graph: &'g Graph, layers: &Layers) -> Vec<Module<'g>> {
    let is_layer = |value| layers.contains(value);
    let index = graph.index();
    let mut children: Vec<Vec<usize>> = vec![Vec::new()];
    let mut paths: Vec<&str> = vec![""];
    let mut known: HashMap<&str, usize> = HashMap::new();
    for node in &graph.nodes {
        let module = node.module.as_str();
        if module.is_empty() || known.contains_key(module) {
            continue;
        }
        let mut parent = 0;
        for (end, _) in module.match_indices('.').chain([(module.len(), "")]) {
            let path = &module[..end];
            let next = paths.len();
            let at = *known.entry(path).or_insert(next);
            if at == next {
                paths.push(path);
                children.push(Vec::new());
                children[parent].push(at);
            }
            parent = at;
        }
    }
    let mut made = Vec::with_capacity(paths.len());
    let mut stack: Vec<usize> = children[0].iter().rev().copied().collect();
    while let Some(at) = stack.pop() {
        stack.extend(children[at].iter().rev());
        let results = index.results(graph, index.module(graph, paths[at]), &is_layer);
        made.push(Module {
            path: paths[at],
            results: results.into_iter().map(|value| graph.name(value)).collect(),
        });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_before_what_is_in_it_and_that_before_others() {
        let mut paths = ["a1", "a.b.c", "a-b", "b", "a.b", "a", "a.b1"];
        paths.sort_by(|x, y| by_segments(x, y));
        assert_eq!(paths, ["a", "a.b", "a.b.c", "a.b1", "a-b", "a1", "b"]);
    }

    #[test]
    fn a_module_is_within_itself_and_not_within_a_longer_name() {
        assert!(is_within("layer4.1", "layer4.1"));
        assert!(is_within("layer4.1.conv2", "layer4.1"));
        assert!(!is_within("layer4.10", "layer4.1"));
        assert!(!is_within("layer4", "layer4.1"));
    }
}
