//! Softmax and sigmoid, as one operator or written out by hand.

use elucid_graph::{Graph, Node, ValueId};
use elucid_rules::{Algebra, OpKind};

use super::Probabilities;

/// A softmax or a sigmoid, by what goes into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Squash {
    pub scores: ValueId,
    pub by: Probabilities,
    /// As the file states it, where one operator does it all.
    pub axis: Option<i64>,
}

/// What makes probabilities, or their logarithms, of scores, if `value` holds such.
pub(crate) fn squash(graph: &Graph, value: ValueId) -> Option<Squash> {
    let node = graph.producer(value)?;
    let of = |scores, by| Squash {
        scores,
        by,
        axis: None,
    };
    if graph.algebra(node) == Algebra::Softmax {
        return Some(Squash {
            axis: node.op.axis(),
            ..of(input(node, 0)?, Probabilities::Softmax)
        });
    }
    if node.op.kind() == OpKind::Sigmoid {
        return Some(of(input(node, 0)?, Probabilities::Sigmoid));
    }
    let see = See(graph);
    let softmax = see.softmax(node).or_else(|| see.log_softmax(node));
    softmax
        .map(|scores| of(scores, Probabilities::Softmax))
        .or_else(|| Some(of(see.sigmoid(node)?, Probabilities::Sigmoid)))
}

/// The value in a slot.
pub(crate) fn input(node: &Node, slot: usize) -> Option<ValueId> {
    node.inputs.get(slot).copied().flatten()
}

/// The number that a constant repeats, if it is one number.
pub(crate) fn number(graph: &Graph, value: ValueId) -> Option<f32> {
    /// No one writes a factor longer than this.
    const LONGEST: usize = 1 << 16;
    let host = graph.constant(value)?;
    if host.len() > LONGEST {
        return None;
    }
    let numbers = host.floats();
    let (first, rest) = numbers.split_first()?;
    rest.iter().all(|number| number == first).then_some(*first)
}

/// The one input that depends on the image, and the number beside it.
pub(crate) fn with_number(graph: &Graph, node: &Node) -> Option<(ValueId, f32)> {
    let [Some(a), Some(b)] = node.inputs[..] else {
        return None;
    };
    match (number(graph, a), number(graph, b)) {
        (None, Some(number)) => Some((a, number)),
        (Some(number), None) => Some((b, number)),
        _ => None,
    }
}

const REDUCE_SUM: OpKind = OpKind::new("ReduceSum");
const REDUCE_MAX: OpKind = OpKind::new("ReduceMax");
const REDUCE_LOG_SUM_EXP: OpKind = OpKind::new("ReduceLogSumExp");

/// Patterns of nodes.
struct See<'g>(&'g Graph);

impl<'g> See<'g> {
    /// The node of this kind that makes `value`.
    fn made_by(&self, value: ValueId, kind: OpKind) -> Option<&'g Node> {
        let node = self.0.producer(value)?;
        (node.op.kind() == kind).then_some(node)
    }

    /// The first input of the node of this kind that makes `value`.
    fn behind(&self, value: ValueId, kind: OpKind) -> Option<ValueId> {
        input(self.made_by(value, kind)?, 0)
    }

    /// The value before what only widens it, or keeps it from zero.
    fn plain(&self, mut value: ValueId) -> ValueId {
        while let Some(node) = self.0.producer(value) {
            let next = match node.op.kind() {
                OpKind::Expand | OpKind::Identity | OpKind::Cast | OpKind::Clip => input(node, 0),
                OpKind::Add | OpKind::Max => with_number(self.0, node)
                    .filter(|(_, least)| (0.0..=1e-3).contains(least))
                    .map(|(value, _)| value),
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => break,
            }
        }
        value
    }

    /// `z` where `value` is `z - max(z)`, else the value itself.
    fn before_maximum(&self, value: ValueId) -> ValueId {
        let shifted = self.made_by(value, OpKind::Sub).and_then(|node| {
            let (z, largest) = (input(node, 0)?, self.plain(input(node, 1)?));
            let of = self.behind(largest, REDUCE_MAX)?;
            (self.plain(of) == self.plain(z)).then_some(z)
        });
        shifted.unwrap_or(value)
    }

    /// `exp(z) / sum exp(z)`, or `exp(z) * (1 / sum exp(z))`.
    fn softmax(&self, node: &Node) -> Option<ValueId> {
        let (a, b) = (input(node, 0)?, input(node, 1)?);
        let (powers, sum) = match node.op.kind() {
            OpKind::Div => (a, self.plain(b)),
            OpKind::Mul => match self.behind(b, OpKind::Reciprocal) {
                Some(sum) => (a, self.plain(sum)),
                None => (b, self.plain(self.behind(a, OpKind::Reciprocal)?)),
            },
            _ => return None,
        };
        let z = self.behind(powers, OpKind::Exp)?;
        let of = self.behind(sum, REDUCE_SUM)?;
        let same = of == powers || self.behind(of, OpKind::Exp) == Some(z);
        same.then(|| self.before_maximum(z))
    }

    /// `z - log sum exp(z)`.
    fn log_softmax(&self, node: &Node) -> Option<ValueId> {
        if node.op.kind() != OpKind::Sub {
            return None;
        }
        let (z, log) = (input(node, 0)?, self.plain(input(node, 1)?));
        let of = match self.behind(log, REDUCE_LOG_SUM_EXP) {
            Some(of) => of,
            None => {
                let sum = self.plain(self.behind(log, OpKind::Log)?);
                self.behind(self.behind(sum, REDUCE_SUM)?, OpKind::Exp)?
            }
        };
        let same = of == z || self.before_maximum(of) == self.before_maximum(z);
        same.then(|| self.before_maximum(z))
    }

    /// `1 / (1 + exp(-z))` or `exp(z) / (1 + exp(z))`.
    fn sigmoid(&self, node: &Node) -> Option<ValueId> {
        let (above, below) = match node.op.kind() {
            OpKind::Reciprocal => (None, input(node, 0)?),
            OpKind::Div => (Some(input(node, 0)?), input(node, 1)?),
            _ => return None,
        };
        let sum = self.made_by(below, OpKind::Add)?;
        let (power, one) = with_number(self.0, sum)?;
        let exponent = self.behind(power, OpKind::Exp).filter(|_| one == 1.0)?;
        match above {
            Some(above) if above == power => Some(exponent),
            Some(above) if number(self.0, above) != Some(1.0) => None,
            _ => self.negated(exponent),
        }
    }

    /// `z` where `value` is `-z`.
    fn negated(&self, value: ValueId) -> Option<ValueId> {
        let node = self.0.producer(value)?;
        match node.op.kind() {
            OpKind::Neg => input(node, 0),
            OpKind::Mul => {
                let (z, factor) = with_number(self.0, node)?;
                (factor == -1.0).then_some(z)
            }
            OpKind::Sub if number(self.0, input(node, 0)?) == Some(0.0) => input(node, 1),
            _ => None,
        }
    }
}
