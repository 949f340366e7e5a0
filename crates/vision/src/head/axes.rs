//! Where the axes of an output are behind nodes that move its numbers.

use std::collections::HashSet;

use elucid_graph::{BoundGraph, Node, ValueId};
use elucid_rules::OpKind;

use super::written_out::{Squash, input};

/// The shape of a value for one image.
pub(super) fn shape_of(bound: &BoundGraph, value: ValueId) -> Option<Vec<usize>> {
    let layer = bound.layers().iter().find(|layer| layer.value() == value);
    layer.map(|layer| layer.shape().to_vec()).or_else(|| {
        let outputs = bound.outputs();
        let output = outputs.into_iter().find(|(output, _)| *output == value);
        output.and_then(|(_, shape)| shape)
    })
}

/// Whether a node that moves numbers leaves all axes whole and in their order, but for those of size 1
/// and for the classes, which may come last or come back from there; `classes` is the axis where they
/// are before, `None` where it is not known.
pub(super) fn keeps_order(bound: &BoundGraph, node: &Node, classes: Option<i64>) -> bool {
    let shape = |value: Option<ValueId>| shape_of(bound, value?);
    let Some(before) = shape(input(node, 0)) else {
        return false;
    };
    if node.op.kind() != OpKind::Transpose {
        let wide = |shape: Vec<usize>| shape.into_iter().filter(|n| *n != 1).collect::<Vec<_>>();
        let after = shape(node.outputs.first().copied());
        return after.is_some_and(|after| wide(after) == wide(before));
    }
    if before.iter().filter(|size| **size != 1).count() < 2 {
        return true;
    }
    let Some(order) = bound.graph().permutation(node, before.len()) else {
        return false;
    };
    let moved: Vec<usize> = order
        .iter()
        .copied()
        .filter(|axis| before.get(*axis).is_some_and(|size| *size != 1))
        .collect();
    match order[..] {
        [0, 2, 3, 1] => matches!(classes, None | Some(1 | -3)),
        [0, 3, 1, 2] => matches!(classes, None | Some(3 | -1)),
        _ => moved.windows(2).all(|pair| pair[0] < pair[1]),
    }
}

/// Whether a node moves numbers, and does nothing else.
fn is_move(node: &Node) -> bool {
    matches!(
        node.op.kind(),
        OpKind::Reshape | OpKind::Flatten | OpKind::Squeeze | OpKind::Unsqueeze | OpKind::Transpose
    )
}

/// The axis along which classes lie where they are made probabilities, if the file says it.
pub(super) fn classes_of(bound: &BoundGraph, squash: Squash) -> Option<usize> {
    let rank = shape_of(bound, squash.scores)?.len();
    from_front(squash.axis?, rank)
}

/// An axis of so many, which a file may count from behind.
pub(super) fn from_front(axis: i64, rank: usize) -> Option<usize> {
    let axis = match axis < 0 {
        true => axis.checked_add(rank as i64)?,
        false => axis,
    };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// The axis along which classes lie behind a node that moves numbers, where they lie along `classes` before
/// it; `None` unless they stay whole and in their order, and positions in theirs.
fn moved_classes(bound: &BoundGraph, node: &Node, classes: usize) -> Option<usize> {
    let before = shape_of(bound, input(node, 0)?)?;
    if node.op.kind() == OpKind::Transpose {
        let order = bound.graph().permutation(node, before.len())?;
        let others = order
            .iter()
            .filter(|&&axis| axis != classes && before.get(axis).is_some_and(|size| *size != 1));
        let is_kept = others.is_sorted();
        return order
            .iter()
            .position(|&axis| axis == classes)
            .filter(|_| is_kept);
    }
    let after = shape_of(bound, *node.outputs.first()?)?;
    if !is_cut_or_joined(&before, &after) {
        return None;
    }
    let count = *before.get(classes)?;
    let in_front: usize = before[..classes].iter().product();
    (0..after.len())
        .find(|&axis| after[axis] == count && after[..axis].iter().product::<usize>() == in_front)
}

/// Whether axes are only cut into several that follow each other, or joined to one.
fn is_cut_or_joined(before: &[usize], after: &[usize]) -> bool {
    // Where axes end, in numbers.
    let ends = |shape: &[usize]| -> HashSet<usize> {
        let sizes = shape.iter().filter(|size| **size != 1);
        sizes
            .scan(1, |product: &mut usize, size| {
                *product = product.saturating_mul(*size);
                Some(*product)
            })
            .collect()
    };
    let (before, after) = (ends(before), ends(after));
    before.is_subset(&after) || after.is_subset(&before)
}

/// The same of any node of a head, and from where classes have been decided on; `None` where something is
/// put in another order.
pub(super) fn moved(
    bound: &BoundGraph,
    node: &Node,
    classes: Option<usize>,
) -> Option<Option<usize>> {
    let is_decided = matches!(
        node.op.kind().as_str(),
        "ArgMax" | "TopK" | "Hardmax" | "ReduceMax"
    );
    match classes {
        _ if is_decided => Some(None),
        _ if !is_move(node) => Some(classes),
        Some(classes) => moved_classes(bound, node, classes).map(Some),
        None => keeps_order(bound, node, None).then_some(None),
    }
}

/// The map `[1, K, H, W]` that a row of scores for each position was made of by moving its numbers, where
/// classes lie along `classes` of it.
pub(super) fn map_before(bound: &BoundGraph, scores: ValueId, classes: i64) -> Option<ValueId> {
    let graph = bound.graph();
    let rank = shape_of(bound, scores)?.len();
    let mut at = (scores, from_front(classes, rank)?);
    loop {
        let (value, classes) = at;
        if let [1, _, height, width] = shape_of(bound, value)?[..]
            && classes == 1
            && height * width > 1
        {
            return Some(value);
        }
        let node = graph.producer(value)?;
        let before = input(node, 0)?;
        at = match node.op.kind() {
            OpKind::Cast | OpKind::Identity | OpKind::Dropout => (before, classes),
            _ if is_move(node) => {
                let axes = 0..shape_of(bound, before)?.len();
                let from = |axis: &usize| moved_classes(bound, node, *axis) == Some(classes);
                (before, axes.into_iter().find(from)?)
            }
            _ => return None,
        };
    }
}
