//! Where the numbers of an output come from that only moves what a sigmoid or a softmax made.

use std::collections::HashSet;
use std::sync::Arc;

use elucid_graph::{Activation, Graph, INPUT, ValueId, backward};
use elucid_rules::{Algebra, OpKind};
use elucid_vision::Model;
use ndarray::{ArcArray, IxDyn};

use super::axes::{self, Along};

/// A weighted sum of the numbers of a layer.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    pub layer: String,
    /// One for each number of an image.
    pub weights: Arc<[f32]>,
}

/// The scores behind which a number of an output, or a sum of some, is a probability: `None` where it
/// is not one, or is put together from several layers.
///
/// Operators that move numbers are linear, so that the gradient of what is asked for, at the values that
/// they start from, says which of those it is. Nothing below them is computed.
pub(super) fn before_probabilities(model: &Model, layer: &str, along: &[Along]) -> Option<Traced> {
    let graph = model.graph();
    let output = graph.value(layer)?;
    if !graph.outputs().contains(&output) || along.contains(&Along::Norm) {
        return None;
    }
    let starts = starts(graph, output);
    if !starts
        .iter()
        .any(|&start| probability_of(graph, start).is_some())
    {
        return None;
    }
    let mut leaves = Vec::with_capacity(starts.len());
    for &start in &starts {
        let name = graph.name(start);
        leaves.push((name, zeros(model, name)?.require_grad()));
    }
    let made = match starts[..] {
        [start] if start == output => leaves[0].1.clone(),
        _ => {
            let input = model.layer(INPUT).ok()?.value();
            let pass = match starts.contains(&input) {
                true => model.pass(),
                false => model.pass().feed(INPUT, zeros(model, INPUT)?),
            };
            let pass = leaves
                .iter()
                .fold(pass, |pass, (name, leaf)| pass.feed(name, leaf.clone()));
            pass.fetch([layer]).ok()?.get(layer).ok()?.clone()
        }
    };
    axes::check(layer, along, &made.shape()).ok()?;
    let score = axes::score(along, &made);
    if !score.is_tracked() {
        return None;
    }
    let gradients = backward(&score.sum());
    let mut found = None;
    for (&start, (_, leaf)) in starts.iter().zip(&leaves) {
        let Some(gradient) = leaf.gradient(&gradients) else {
            continue;
        };
        let weights = gradient.to_array().ok()?;
        if weights.iter().all(|&weight| weight == 0.0) {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some((probability_of(graph, start)?, weights));
    }
    let (scores, weights) = found?;
    Some(Traced {
        layer: model.layer(graph.name(scores)).ok()?.name().to_owned(),
        weights: weights.iter().copied().collect(),
    })
}

fn zeros(model: &Model, layer: &str) -> Option<Activation> {
    let shape = model.layer(layer).ok()?.shape();
    let zeros = ArcArray::zeros(IxDyn(shape));
    (!zeros.is_empty()).then(|| Activation::from_array(&zeros, model.device()))
}

/// The values that an output's numbers are moved from.
fn starts(graph: &Graph, output: ValueId) -> Vec<ValueId> {
    let (mut starts, mut seen) = (Vec::new(), HashSet::from([output]));
    let mut next = vec![output];
    while let Some(value) = next.pop() {
        let from = moved_to(graph, value);
        if from.is_empty() {
            starts.push(value);
        }
        let varying = from.into_iter().filter(|&v| graph.constant(v).is_none());
        next.extend(varying.filter(|&v| seen.insert(v)));
    }
    starts
}

/// The values whose numbers an operator moves to this one, the first input of most; none where it
/// computes.
pub(crate) fn moved_to(graph: &Graph, value: ValueId) -> Vec<ValueId> {
    let Some(node) = graph.producer(value) else {
        return Vec::new();
    };
    let count = match (graph.algebra(node), node.op.kind()) {
        (Algebra::Moves, OpKind::Concat) => node.inputs.len(),
        (Algebra::Moves, _) => 1,
        _ => 0,
    };
    node.inputs.iter().take(count).copied().flatten().collect()
}

/// What a sigmoid or a softmax makes this value of.
pub(crate) fn probability_of(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.producer(value)?;
    let is_probability =
        node.op.kind() == OpKind::Sigmoid || graph.algebra(node) == Algebra::Softmax;
    let scores = node.inputs.first().copied().flatten();
    scores.filter(|_| is_probability)
}
