//! Squeeze-and-excitation: a map times factors that follow from its channels' means.

use std::collections::BTreeSet;

use elucid_rules::{Algebra, OpKind};

use super::view::{Nodes, View};
use super::{Block, Pattern};
use crate::graph::ValueId;

/// As many operators lie between the means and the product at most.
const MOST_NODES: usize = 24;

pub(super) fn find(view: &View<'_>, last: usize) -> Option<Block> {
    let [a, b] = view.pair(last).filter(|_| view.is(last, &[OpKind::Mul]))?;
    if view.is_constant(a) || view.is_constant(b) {
        return None;
    }
    let output = view.output(last);
    [[a, b], [b, a]].into_iter().find_map(|[signal, factor]| {
        let fits = view.shape(signal) == view.shape(output) && is_per_channel(view, factor, signal);
        fits.then_some(())?;
        let mut nodes = Nodes::from([last]);
        let plain = view.plain(signal, &mut nodes);
        let pooled = excitation(view, factor, plain, &mut nodes)?;
        let pattern = Pattern::SqueezeExcite {
            signal,
            pooled,
            factor,
        };
        Some(Block::new(view, pattern, nodes, output))
    })
}

/// Whether a value has one number for each channel of another, along one axis of several.
fn is_per_channel(view: &View<'_>, factor: ValueId, signal: ValueId) -> bool {
    let (Some(factor), Some(signal)) = (view.shape(factor), view.shape(signal)) else {
        return false;
    };
    let same = factor.len() == signal.len() && factor.first() == signal.first();
    let behind = || factor.iter().zip(signal).skip(1);
    let kept = behind().filter(|&(&f, &s)| f == s && s > 1).count();
    let reduced = behind().filter(|&(&f, &s)| f == 1 && s > 1).count();
    same && kept == 1 && reduced >= 1 && behind().all(|(&f, &s)| f == s || f == 1)
}

/// From the factors back to the means of `signal`, through at least one layer with weights.
fn excitation(
    view: &View<'_>,
    factor: ValueId,
    signal: ValueId,
    nodes: &mut Nodes,
) -> Option<ValueId> {
    let channels = view.count(factor)?;
    let mut open = BTreeSet::from([(view.maker(factor), factor)]);
    let mut pooled = None;
    let mut has_weights = false;
    while let Some((maker, _)) = open.pop_last() {
        let i = maker?;
        if !nodes.insert(i) {
            continue;
        }
        if nodes.len() > MOST_NODES {
            return None;
        }
        if pools(view, i, signal, channels, nodes) {
            // Only one mean, of only this map.
            if pooled.replace(view.output(i)).is_some() {
                return None;
            }
            continue;
        }
        let algebra = view.algebra(i);
        has_weights |= algebra.is_weighted();
        let allowed = algebra.is_weighted()
            || algebra.is_activation()
            || matches!(
                algebra,
                Algebra::Moves | Algebra::Sum | Algebra::Affine | Algebra::Function
            )
            || matches!(algebra, Algebra::Product | Algebra::Quotient);
        if !allowed {
            return None;
        }
        open.extend(
            view.live(i)
                .into_iter()
                .map(|value| (view.maker(value), value)),
        );
    }
    pooled.filter(|_| has_weights)
}

/// Whether a node takes the mean of a map over all positions, which leaves `channels` numbers.
fn pools(view: &View<'_>, i: usize, signal: ValueId, channels: usize, nodes: &mut Nodes) -> bool {
    let mut passed = Nodes::new();
    let input = view.input(i, 0).map(|value| view.plain(value, &mut passed));
    let is_pool = input == Some(signal)
        && view.algebra(i) == Algebra::Linear
        && view.count(view.output(i)) == Some(channels);
    if is_pool {
        nodes.append(&mut passed);
    }
    is_pool
}
