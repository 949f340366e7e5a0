//! Softmax and sigmoid, as one operator or written out by hand.

use elucid_graph::{Graph, Node, ValueId};
use elucid_rules::{Algebra, OpKind};

use super::Probabilities;

/// A softmax or a sigmoid, by what goes into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Squash {
    pub scores: ValueId,
    pub by: Probabilities,
    /// Along which the probabilities add up to 1, as the file states it.
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
        .map(|(scores, axis)| Squash {
            axis,
            ..of(scores, Probabilities::Softmax)
        })
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
/// Of powers, which are above zero, the same.
const REDUCE_L1: OpKind = OpKind::new("ReduceL1");
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

    /// What was added up, and along which axis, where `value` is a sum of numbers above zero, in their
    /// rank again if it was lost.
    fn sum(&self, value: ValueId) -> Option<(ValueId, Option<i64>)> {
        let mut node = self.0.producer(value)?;
        let put_in = match node.op.kind() == OpKind::Unsqueeze {
            true => Some(self.one_axis(node)?),
            false => None,
        };
        if put_in.is_some() {
            node = self.0.producer(self.plain(input(node, 0)?))?;
        }
        let axis = self.one_axis(node);
        let is_sum = node.op.kind() == REDUCE_SUM || node.op.kind() == REDUCE_L1;
        let is_back = put_in.is_none() || put_in == axis;
        Some((input(node, 0)?, axis)).filter(|_| is_sum && is_back)
    }

    /// The axis that a node states, among its attributes or as a constant.
    fn one_axis(&self, node: &Node) -> Option<i64> {
        let given = || {
            let axes = self.0.constant(input(node, 1)?)?.ints().ok()?;
            <[i64; 1]>::try_from(axes).ok()
        };
        node.op.axis().or_else(|| given().map(|[axis]| axis))
    }

    /// `z` where `value` is `z - max(z)`, else the value itself.
    fn before_maximum(&self, value: ValueId) -> ValueId {
        let shifted = self.made_by(value, OpKind::Sub).and_then(|node| {
            let (z, mut largest) = (input(node, 0)?, self.plain(input(node, 1)?));
            if let Some(put_in) = self.made_by(largest, OpKind::Unsqueeze) {
                largest = self.plain(input(put_in, 0)?);
                let reduced = self.made_by(largest, REDUCE_MAX)?;
                if self.one_axis(put_in) != self.one_axis(reduced) {
                    return None;
                }
            }
            let of = self.behind(largest, REDUCE_MAX)?;
            (self.plain(of) == self.plain(z)).then_some(z)
        });
        shifted.unwrap_or(value)
    }

    /// `exp(z) / sum exp(z)`, or `exp(z) * (1 / sum exp(z))`.
    fn softmax(&self, node: &Node) -> Option<(ValueId, Option<i64>)> {
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
        let (of, axis) = self.sum(sum)?;
        let same = of == powers || self.behind(of, OpKind::Exp) == Some(z);
        same.then(|| (self.before_maximum(z), axis))
    }

    /// `z - log sum exp(z)`.
    fn log_softmax(&self, node: &Node) -> Option<(ValueId, Option<i64>)> {
        if node.op.kind() != OpKind::Sub {
            return None;
        }
        let (z, log) = (input(node, 0)?, self.plain(input(node, 1)?));
        let (of, axis) = match self.made_by(log, REDUCE_LOG_SUM_EXP) {
            Some(node) => (input(node, 0)?, self.one_axis(node)),
            None => {
                let (powers, axis) = self.sum(self.plain(self.behind(log, OpKind::Log)?))?;
                (self.behind(powers, OpKind::Exp)?, axis)
            }
        };
        let same = of == z || self.before_maximum(of) == self.before_maximum(z);
        same.then(|| (self.before_maximum(z), axis))
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
