//! From what people call a layer to the value that it is.

use std::collections::HashSet;

use crate::error::GraphError;
use crate::graph::{Graph, ValueId};

/// How many near misses an error offers.
const NEAREST: usize = 5;

/// Lucid's name for the layer whose Caffe name is meant, if it is one: `mixed4d` is `inception_4d`.
fn from_lucid(name: &str) -> Option<String> {
    let block = name.strip_prefix("mixed")?;
    let mut chars = block.chars();
    let valid = matches!(
        (chars.next(), chars.next(), chars.next()),
        (Some('3'..='5'), Some('a'..='e'), None)
    );
    valid.then(|| format!("inception_{block}"))
}

/// Lucid's name of a value, where its networks had one: the reverse of [`from_lucid`].
pub(crate) fn lucid_alias(name: &str) -> Option<String> {
    let (block, rest) = name.split_once('/')?;
    let alias = format!("mixed{}", block.strip_prefix("inception_")?);
    (rest.starts_with("output") && from_lucid(&alias).is_some()).then_some(alias)
}

/// Finds the layer called `name` among `layers`.
pub(crate) fn find(graph: &Graph, layers: &[ValueId], name: &str) -> Result<ValueId, GraphError> {
    let is_layer = |v: &ValueId| layers.contains(v);
    if let Some(value) = graph.value(name).filter(is_layer) {
        return Ok(value);
    }
    let mut named = graph
        .nodes
        .iter()
        .filter(|n| !n.name.is_empty() && n.name == name);
    if let (Some(node), None) = (named.next(), named.next())
        && let Some(&output) = node.outputs.first().filter(|v| is_layer(v))
    {
        return Ok(output);
    }
    let alias = from_lucid(name);
    let short = alias.as_deref().unwrap_or(name);
    let matched: Vec<ValueId> = layers
        .iter()
        .copied()
        .filter(|&v| has_segment(graph.name(v), short))
        .collect();
    match matched.as_slice() {
        [] => Err(GraphError::UnknownLayer {
            name: name.to_owned(),
            nearest: nearest(name, layers.iter().map(|&v| graph.name(v))),
        }),
        &[only] => Ok(only),
        several => match exits(graph, several).as_slice() {
            &[only] => Ok(only),
            [] => Err(ambiguous(graph, name, several)),
            exits => Err(ambiguous(graph, name, exits)),
        },
    }
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

/// Values of a block that something outside it reads.
fn exits(graph: &Graph, block: &[ValueId]) -> Vec<ValueId> {
    let inside: HashSet<ValueId> = block.iter().copied().collect();
    let mut read: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    for node in &graph.nodes {
        if !node.outputs.iter().any(|o| inside.contains(o)) {
            read.extend(node.inputs.iter().flatten());
        }
    }
    block.iter().copied().filter(|v| read.contains(v)).collect()
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
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let whole = strsim::jaro_winkler(&wanted, &lower);
            // A misspelt short form is near one segment, not near the whole name.
            let segment = lower
                .split('/')
                .map(|s| strsim::jaro_winkler(&wanted, s))
                .fold(0.0, f64::max);
            let contained = if lower.contains(&wanted) { 0.5 } else { 0.0 };
            (whole.max(segment - 0.01) + contained, candidate)
        })
        .filter(|(score, _)| *score > 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.len().cmp(&b.1.len())));
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
        assert_eq!(
            lucid_alias("inception_4d/output").as_deref(),
            Some("mixed4d")
        );
        assert_eq!(
            lucid_alias("inception_4d/output_1").as_deref(),
            Some("mixed4d")
        );
        assert_eq!(lucid_alias("inception_4d/1x1"), None);
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
