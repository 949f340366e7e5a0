//! From what people call a layer to the value that it is.

mod inception;
mod index;

pub use self::index::Module;
pub(crate) use self::index::{Index, modules};

use crate::error::GraphError;
use crate::graph::{Graph, ValueId};

/// How many near misses an error offers.
const NEAREST: usize = 5;

/// Longer names are near nothing: comparing them takes time that grows with the square.
const LONGEST_COMPARED: usize = 256;

/// Caffe's name for the layer that Lucid's means, if it is one: `mixed4d` is `inception_4d`.
fn from_lucid(name: &str) -> Option<String> {
    let block = name.strip_prefix("mixed")?;
    let mut chars = block.chars();
    let valid = matches!(
        (chars.next(), chars.next(), chars.next()),
        (Some('3'..='5'), Some('a'..='e'), None)
    );
    valid.then(|| format!("inception_{block}"))
}

/// The values that can be asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    order: Vec<ValueId>,
    places: Vec<Option<usize>>,
}

impl Layers {
    /// The layers of a network.
    pub fn new(graph: &Graph, layers: impl Iterator<Item = ValueId>) -> Self {
        let mut made = Self {
            order: layers.collect(),
            places: vec![None; graph.names.len()],
        };
        for (place, value) in made.order.iter().enumerate() {
            made.places[value.0].get_or_insert(place);
        }
        made
    }

    /// All that a graph is given or makes.
    pub fn all(graph: &Graph) -> Self {
        let inputs = graph.inputs.iter().map(|input| input.value);
        let made = graph
            .nodes
            .iter()
            .flat_map(|node| node.outputs.iter().copied());
        Self::new(graph, inputs.chain(made))
    }

    /// Which one a value is.
    pub fn place(&self, value: ValueId) -> Option<usize> {
        self.places.get(value.0).copied().flatten()
    }

    fn contains(&self, value: ValueId) -> bool {
        self.place(value).is_some()
    }
}

/// Finds the layer called `name`. What is tried, in order, is what the crate's README lists.
pub(crate) fn find(graph: &Graph, layers: &Layers, name: &str) -> Result<ValueId, GraphError> {
    if let Some(value) = graph.value(name).filter(|v| layers.contains(*v)) {
        return Ok(value);
    }
    let index = graph.index();
    let made = index
        .named(graph, name)
        .and_then(|node| node.outputs.first());
    if let Some(&output) = made.filter(|v| layers.contains(**v)) {
        return Ok(output);
    }
    if let Some(value) = index.inception.layer(name) {
        return Ok(value);
    }
    let alias = from_lucid(name);
    let short = alias.as_deref().unwrap_or(name);
    let fits = |v: &ValueId| has_segment(graph.name(*v), short);
    let mut fitting: Vec<ValueId> = layers.order.iter().copied().filter(fits).collect();
    if let &[only] = fitting.as_slice() {
        return Ok(only);
    }
    let results = |path: &str| {
        let nodes = index.module(graph, path);
        index.results(graph, nodes, &|value| layers.contains(value))
    };
    // The module of this very path, before parts of names: `conv1` is not `layer1.0.conv1`.
    let module = results(name);
    if let &[result] = module.as_slice() {
        return Ok(result);
    }
    let exits = index.exits(graph, &fitting);
    match exits.as_slice() {
        &[only] => return Ok(only),
        [] => {}
        _ => fitting = exits,
    }
    if !module.is_empty() || !fitting.is_empty() {
        let several = if module.is_empty() { &fitting } else { &module };
        return Err(ambiguous(graph, name, several));
    }
    let modules = index.ending_with(graph, name);
    match modules.as_slice() {
        [] => {}
        &[path] => match results(path).as_slice() {
            [] => {}
            &[result] => return Ok(result),
            several => return Err(ambiguous(graph, name, several)),
        },
        several => {
            return Err(GraphError::AmbiguousLayer {
                name: name.to_owned(),
                candidates: several.iter().map(|path| (*path).to_owned()).collect(),
            });
        }
    }
    // Whoever asks for what cannot be computed is told why by whoever computes it.
    if let Some(&output) = made {
        return Ok(output);
    }
    let lucid: Vec<String> = index.inception.names().collect();
    let names = layers.order.iter().map(|&v| graph.name(v));
    let names = names
        .chain(index.paths(graph))
        .chain(lucid.iter().map(String::as_str));
    Err(GraphError::UnknownLayer {
        name: name.to_owned(),
        nearest: nearest(name, names),
    })
}

fn ambiguous(graph: &Graph, name: &str, candidates: &[ValueId]) -> GraphError {
    GraphError::AmbiguousLayer {
        name: name.to_owned(),
        candidates: candidates
            .iter()
            .map(|&v| graph.name(v).to_owned())
            .collect(),
    }
}

/// Whether `part` occurs in `name` as one or more whole segments.
fn has_segment(name: &str, part: &str) -> bool {
    let boundary = |c: Option<char>| c.is_none_or(|c| matches!(c, '/' | '.' | ':'));
    !part.is_empty()
        && name.match_indices(part).any(|(at, _)| {
            boundary(name[..at].chars().next_back())
                && boundary(name[at + part.len()..].chars().next())
        })
}

/// The names that `name` was most likely meant to be.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if name.len() > LONGEST_COMPARED {
        return Vec::new();
    }
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .filter(|candidate| candidate.len() <= LONGEST_COMPARED)
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let whole = strsim::jaro_winkler(&wanted, &lower);
            // A misspelt short form is near one segment, not near the whole name.
            let segment = lower
                .split(['/', '.'])
                .map(|s| strsim::jaro_winkler(&wanted, s))
                .fold(0.0, f64::max);
            let contained = if lower.contains(&wanted) { 0.5 } else { 0.0 };
            (whole.max(segment - 0.01) + contained, candidate)
        })
        .filter(|(score, _)| *score > 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.len().cmp(&b.1.len())));
    scored.dedup_by_key(|(_, name)| *name);
    scored
        .into_iter()
        .take(NEAREST)
        .map(|(_, n)| n.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lucid_names_are_understood() {
        assert_eq!(from_lucid("mixed4d").as_deref(), Some("inception_4d"));
        assert_eq!(from_lucid("mixed6a"), None);
        assert_eq!(from_lucid("mixed4d_x"), None);
    }

    #[test]
    fn segments_end_at_separators() {
        assert!(has_segment("inception_4d/output", "inception_4d"));
        assert!(has_segment(
            "/layer3/layer3.1/relu/Relu_output_0",
            "layer3.1"
        ));
        assert!(!has_segment("inception_4d/output", "inception_4"));
        assert!(!has_segment("anything", ""));
    }

    #[test]
    fn near_misses_are_ranked() {
        let names = ["inception_4d/output", "inception_4c/output", "conv1/7x7_s2"];
        assert_eq!(nearest("inception_4q", names.into_iter()).len(), 2);
        assert_eq!(nearest("conv1", names.into_iter())[0], "conv1/7x7_s2");
        assert!(nearest("zzz", names.into_iter()).is_empty());
    }
}
