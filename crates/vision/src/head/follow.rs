//! From an output backwards to the scores that it is made of.

use std::collections::HashSet;

use elucid_graph::{BoundGraph, Graph, Node, ValueId};
use elucid_rules::{Algebra, OpKind};

use super::Probabilities;
use super::written_out::{Squash, input, number, squash, with_number};

/// What an output is made of.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub scores: ValueId,
    /// `None` where the file does not say it.
    pub probabilities: Option<Probabilities>,
    /// Along which classes lie, as the file states it.
    pub axis: Option<i64>,
    /// What is odd about it.
    pub remark: Option<String>,
}

/// What a node behind the scores does to them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Casts, rounds or moves numbers.
    Moves,
    /// Multiplies them by a positive number.
    Scales(f32),
    /// Cuts them off, or takes the logarithm.
    Bends,
    /// Says which is the largest, or how they are ordered.
    Decides { axis: Option<i64> },
    /// Takes the largest: of the classes behind a softmax, else perhaps of positions.
    Largest,
    /// Says where they are larger than a number.
    Compares(f32),
    /// Turns a decision round, or decides something else.
    Reverses,
    /// Puts the classes, or positions, in another order.
    Reorders,
    /// Gives a map another size.
    Resizes,
}

/// Follows `output` backwards.
pub(crate) fn follow(bound: &BoundGraph, output: ValueId) -> Found {
    let graph = bound.graph();
    let mut value = output;
    let mut passed: Vec<(ValueId, Step)> = Vec::new();
    loop {
        if let Some(found) = squash(graph, value) {
            return through(bound, output, &passed, value, found);
        }
        let Some((next, step)) = graph.producer(value).and_then(|node| behind(bound, node)) else {
            break;
        };
        passed.push((next, step));
        value = next;
    }
    // Nothing makes probabilities: a maximum is a pool, whose results are the scores.
    if let Some(pool) = passed.iter().position(|(_, step)| *step == Step::Largest) {
        passed.truncate(pool);
        value = passed.last().map_or(output, |(value, _)| *value);
    }
    let is_decided = |(_, step): &(ValueId, Step)| {
        matches!(
            step,
            Step::Decides { .. } | Step::Compares(_) | Step::Reverses
        )
    };
    if !passed.iter().any(is_decided)
        && let Some(resized) = passed.iter().position(|(_, step)| *step == Step::Resizes)
    {
        // Scores of another size are scores.
        value = match resized {
            0 => output,
            before => passed[before - 1].0,
        };
        passed.truncate(resized);
    }
    raw(graph, output, &passed, value)
}

/// The value that a node of a head is about, and what the node does to it.
fn behind(bound: &BoundGraph, node: &Node) -> Option<(ValueId, Step)> {
    let graph = bound.graph();
    let first = input(node, 0)?;
    let depends = |value: &ValueId| graph.constant(*value).is_none();
    let step = match node.op.kind().as_str() {
        "Identity" | "Dropout" | "Cast" | "QuantizeLinear" | "DequantizeLinear" => Step::Moves,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" => {
            match keeps_order(bound, node, None) {
                true => Step::Moves,
                false => Step::Reorders,
            }
        }
        "Resize" | "Upsample" => Step::Resizes,
        "Clip" | "Log" | "Exp" => Step::Bends,
        "Min" | "Max" => return with_number(graph, node).map(|(value, _)| (value, Step::Bends)),
        // Keeps a logarithm from zero.
        "Add" => {
            let (value, number) = with_number(graph, node)?;
            return (number.abs() <= 1e-3).then_some((value, Step::Bends));
        }
        "Mul" => {
            let (value, factor) = with_number(graph, node)?;
            return (factor > 0.0).then_some((value, Step::Scales(factor)));
        }
        "Div" => Step::Scales(1.0 / number(graph, input(node, 1)?).filter(|by| *by > 0.0)?),
        "ArgMin" => Step::Reverses,
        // Nothing but how it prints itself says which way it sorts.
        "TopK" if node.op.number("largest") == Some(0.0) => Step::Reverses,
        "ArgMax" | "TopK" | "Hardmax" => Step::Decides {
            axis: node.op.axis(),
        },
        "ReduceMax" => Step::Largest,
        "Not" => Step::Reverses,
        "Where" => {
            let chosen = |slot| number(graph, input(node, slot)?);
            match (chosen(1), chosen(2)) {
                (Some(yes), Some(no)) if yes > no => Step::Decides { axis: None },
                _ => Step::Reverses,
            }
        }
        "Round" | "Floor" | "Ceil" => Step::Decides { axis: None },
        kind @ ("Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual") => {
            let (value, number) = with_number(graph, node)?;
            let step = match kind.starts_with("Greater") == (value == first) {
                true => Step::Compares(number),
                false => Step::Reverses,
            };
            return Some((value, step));
        }
        _ => return None,
    };
    Some((first, step)).filter(|(value, _)| depends(value))
}

/// The shape of a value for one image.
fn shape_of(bound: &BoundGraph, value: ValueId) -> Option<Vec<usize>> {
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
fn keeps_order(bound: &BoundGraph, node: &Node, classes: Option<i64>) -> bool {
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
fn classes_of(bound: &BoundGraph, squash: Squash) -> Option<usize> {
    let rank = shape_of(bound, squash.scores)?.len();
    let axis = squash.axis?;
    let axis = if axis < 0 {
        axis.checked_add(rank as i64)?
    } else {
        axis
    };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// The axis along which classes lie behind a node that moves numbers, where they lie along `classes` before
/// it; `None` unless they stay whole and in their order, and positions in theirs.
pub(super) fn moved_classes(bound: &BoundGraph, node: &Node, classes: usize) -> Option<usize> {
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
fn moved(bound: &BoundGraph, node: &Node, classes: Option<usize>) -> Option<Option<usize>> {
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
    let classes = if classes < 0 {
        classes.checked_add(rank as i64)?
    } else {
        classes
    };
    let mut at = (scores, usize::try_from(classes).ok()?);
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

/// Why what stands behind a softmax or a sigmoid cannot be looked through, if it cannot.
fn obstacle(
    bound: &BoundGraph,
    output: ValueId,
    passed: &[(ValueId, Step)],
    squash: Squash,
) -> Option<&'static str> {
    let graph = bound.graph();
    if passed.iter().any(|(_, step)| *step == Step::Reverses) {
        return Some("reversed by a decision");
    }
    if passed.iter().any(|(_, step)| *step == Step::Resizes) {
        return Some("resized");
    }
    // What each step makes is what the step before it reads.
    let made = std::iter::once(output).chain(passed.iter().map(|(value, _)| *value));
    if let Some(classes) = classes_of(bound, squash) {
        let nodes: Vec<&Node> = made.filter_map(|value| graph.producer(value)).collect();
        // The last of them makes the probabilities.
        let behind = nodes.iter().rev().skip(1);
        return match behind
            .copied()
            .try_fold(Some(classes), |at, node| moved(bound, node, at))
        {
            Some(_) => made_one(bound, passed, squash),
            None => Some("put in another order"),
        };
    }
    let is_wide = |node: &&Node| {
        let shape = input(node, 0).and_then(|value| shape_of(bound, value));
        shape.is_none_or(|shape| shape.iter().filter(|size| **size != 1).count() > 1)
    };
    let turned: Vec<&Node> = made
        .filter_map(|value| graph.producer(value))
        .filter(|node| node.op.kind() == OpKind::Transpose)
        .filter(is_wide)
        .collect();
    let is_turned = match turned[..] {
        [] => false,
        [node] => !keeps_order(bound, node, squash.axis),
        _ => true,
    };
    if is_turned || passed.iter().any(|(_, step)| *step == Step::Reorders) {
        return Some("put in another order");
    }
    made_one(bound, passed, squash)
}

/// Why what is behind it cannot be looked through where a maximum is taken.
fn made_one(
    bound: &BoundGraph,
    passed: &[(ValueId, Step)],
    squash: Squash,
) -> Option<&'static str> {
    let row = shape_of(bound, squash.scores)
        .is_some_and(|shape| shape.iter().filter(|size| **size != 1).count() < 2);
    let is_largest = passed.iter().any(|(_, step)| *step == Step::Largest);
    (is_largest && !(row && squash.by == Probabilities::Softmax)).then_some("made one by a maximum")
}

/// What ends in a softmax or a sigmoid, which makes `value`.
fn through(
    bound: &BoundGraph,
    output: ValueId,
    passed: &[(ValueId, Step)],
    value: ValueId,
    squash: Squash,
) -> Found {
    /// Shares, percentages, and what is kept in eight bits or in thousandths.
    const FACTORS: [f32; 4] = [1.0, 100.0, 255.0, 1000.0];
    let graph = bound.graph();
    if let Some(why) = obstacle(bound, output, passed, squash) {
        let (name, scores) = (graph.name(output), graph.name(squash.scores));
        return Found {
            scores: output,
            probabilities: Some(Probabilities::None),
            axis: None,
            remark: Some(format!(
                "output \"{name}\" is a {} {why}, which is not looked through: its numbers are \
                 explained as they are, and are no logits; Opening::logits(\"{scores}\") explains what goes into \
                 the {}",
                squash.by, squash.by
            )),
        };
    }
    let factor: f32 = passed.iter().map(|(_, step)| step.factor()).product();
    let known = FACTORS
        .into_iter()
        .find(|known| (factor / known - 1.0).abs() < 1e-4);
    let (name, scores) = (graph.name(output), graph.name(squash.scores));
    let remark = match known {
        Some(1.0) => None,
        Some(known) => Some(format!(
            "output \"{name}\" is {known} times a {} and is taken for probabilities in other units: \
             the scores before it, \"{scores}\", are explained; Opening::scores(none) explains the output",
            squash.by
        )),
        None => {
            let is = format!(
                "output \"{name}\" is {factor} times a {} and is taken for a number in a range: it is \
                 explained as it is; Opening::logits(\"{scores}\") explains what goes into the {}",
                squash.by, squash.by
            );
            return Found {
                scores: behind_casts(graph, output),
                probabilities: Some(Probabilities::None),
                axis: None,
                remark: Some(is),
            };
        }
    };
    Found {
        scores: squash.scores,
        probabilities: Some(squash.by),
        axis: squash.axis,
        remark: remark.or_else(|| threshold(graph, output, passed, value)),
    }
}

/// A threshold on probabilities that is not a half is worth a word.
fn threshold(
    graph: &Graph,
    output: ValueId,
    passed: &[(ValueId, Step)],
    value: ValueId,
) -> Option<String> {
    let at = passed.iter().find_map(|(_, step)| match step {
        Step::Compares(at) if *at != 0.5 => Some(*at),
        _ => None,
    })?;
    let (name, value) = (graph.name(output), graph.name(value));
    Some(format!(
        "output \"{name}\" compares \"{value}\" with {at}: the scores before it are explained, \
         whatever the threshold"
    ))
}

impl Step {
    fn factor(self) -> f32 {
        match self {
            Self::Scales(factor) => factor,
            _ => 1.0,
        }
    }
}

/// What ends in neither; `end` is where following had to stop.
fn raw(graph: &Graph, output: ValueId, passed: &[(ValueId, Step)], end: ValueId) -> Found {
    let name = graph.name(output);
    let found = |scores, probabilities, remark| Found {
        scores,
        probabilities,
        axis: None,
        remark,
    };
    let none = Some(Probabilities::None);
    let bent = |by: &str, before: Option<ValueId>| {
        let before = match before {
            Some(value) => format!("Opening::logits(\"{}\")", graph.name(value)),
            None => "Opening::logits".to_owned(),
        };
        format!(
            "output \"{name}\" ends in {by}, and is explained as it is: its numbers are no logits; \
             {before} explains what comes before"
        )
    };
    if let Some(node) = hidden(graph, end).filter(|_| !is_normalised(graph, end)) {
        return found(
            behind_casts(graph, output),
            none,
            Some(format!(
                "output \"{name}\" is made of probabilities by {}, which is not looked through: its \
                 numbers are explained as they are, and are no logits; Opening::logits names the \
                 scores before",
                label(graph, node)
            )),
        );
    }
    if passed.iter().any(|(_, step)| *step == Step::Reverses) {
        let mut reversed = passed.iter().filter(|(_, step)| *step == Step::Reverses);
        let before = reversed.next_back().map_or(end, |(value, _)| *value);
        let remark = bent("a decision that is reversed", Some(before));
        return found(output, none, Some(remark));
    }
    let decided = passed
        .iter()
        .rfind(|(_, step)| matches!(step, Step::Decides { .. } | Step::Compares(_)));
    if let Some(&(scores, step)) = decided {
        let (axis, probabilities) = match step {
            Step::Compares(0.0) => (None, Some(Probabilities::Sigmoid)),
            Step::Compares(_) => (None, none),
            Step::Decides { axis } => (axis, None),
            _ => (None, None),
        };
        // What was resized before the decision has the size of the scores.
        let behind = passed.iter().take_while(|(value, _)| *value != scores);
        let is_resized = behind
            .map(|(_, step)| step)
            .any(|step| *step == Step::Resizes);
        let remark = is_resized.then(|| {
            format!(
                "output \"{name}\" is a decision in another size: the scores before it, \"{}\", are \
                 explained, and regions are in their pixels",
                graph.name(scores)
            )
        });
        return Found {
            axis,
            ..found(scores, probabilities, remark)
        };
    }
    if passed.iter().any(|(_, step)| *step == Step::Bends) {
        let remark = bent("what bends or cuts off its numbers", Some(end));
        return found(behind_casts(graph, output), none, Some(remark));
    }
    let scores = behind_casts(graph, output);
    if let Some(node) = graph.producer(end).filter(|node| bends(graph, node)) {
        return found(
            scores,
            none,
            Some(bent(node.op.kind().as_str(), input(node, 0))),
        );
    }
    found(scores, none.filter(|_| is_normalised(graph, end)), None)
}

/// Whether a node makes something of scores that is no score any more: `Tanh`, `HardSigmoid`.
fn bends(graph: &Graph, node: &Node) -> bool {
    let is_rectifier = matches!(
        node.op.kind().as_str(),
        "Relu" | "LeakyRelu" | "PRelu" | "Elu" | "Selu" | "Celu" | "ThresholdedRelu"
    );
    let algebra = graph.algebra(node);
    matches!(algebra, Algebra::Activation | Algebra::Function) && !is_rectifier
}

/// The value before what changes no number and no place of the output.
fn behind_casts(graph: &Graph, mut value: ValueId) -> ValueId {
    while let Some(node) = graph.producer(value) {
        let is_plain = matches!(
            node.op.kind(),
            OpKind::Cast | OpKind::Identity | OpKind::Dropout
        );
        match input(node, 0).filter(|_| is_plain) {
            Some(next) => value = next,
            None => break,
        }
    }
    value
}

/// Whether a vector was divided by its length: an embedding.
fn is_normalised(graph: &Graph, value: ValueId) -> bool {
    let Some(node) = graph.producer(value) else {
        return false;
    };
    let length = |mut value: ValueId| {
        // Widened, kept from zero, or with its root behind the sum.
        for _ in 0..4 {
            let Some(node) = graph.producer(value) else {
                return false;
            };
            match (node.op.kind().as_str(), input(node, 0)) {
                ("ReduceL2", _) => return true,
                ("Expand" | "Clip" | "Max" | "Add", Some(next)) => value = next,
                ("Sqrt", Some(sum)) => {
                    let sum = graph.producer(sum).map(|node| node.op.kind());
                    return sum.is_some_and(|kind| {
                        matches!(
                            kind.as_str(),
                            "ReduceSum" | "ReduceSumSquare" | "Clip" | "Add"
                        )
                    });
                }
                _ => return false,
            }
        }
        false
    };
    match node.op.kind().as_str() {
        "LpNormalization" => true,
        "Div" => input(node, 1).is_some_and(length),
        _ => false,
    }
}

/// The node at `end`, where probabilities stand before it and nothing with weights between.
fn hidden(graph: &Graph, end: ValueId) -> Option<&Node> {
    /// Heads are short.
    const MOST: usize = 256;
    let first = graph.producer(end)?;
    // With each value, whether only sums, factors and moves stand between it and the end.
    let mut waiting: Vec<(ValueId, bool)> = vec![(end, true)];
    let mut seen = 0;
    while let Some((value, is_plain)) = waiting.pop() {
        let Some(node) = graph.producer(value) else {
            continue;
        };
        seen += 1;
        if seen > MOST {
            break;
        }
        if is_gated(graph, node) {
            continue;
        }
        if is_share(graph, node) || squash(graph, value).is_some() {
            return Some(first);
        }
        let algebra = graph.algebra(node);
        let is_bent = matches!(node.op.kind().as_str(), "Tanh" | "HardSigmoid" | "Softsign");
        if value != end && is_plain && is_bent {
            return Some(first);
        }
        if is_weighted(graph, node) {
            if node.inputs.iter().flatten().any(|v| is_softmax(graph, *v)) {
                return Some(first);
            }
            continue;
        }
        let keeps = matches!(
            algebra,
            Algebra::Moves
                | Algebra::Affine
                | Algebra::Sum
                | Algebra::Linear
                | Algebra::Decision
                | Algebra::Maximum
                | Algebra::Minimum
        );
        let inputs = node.inputs.iter().flatten();
        waiting.extend(inputs.map(|input| (*input, is_plain && keeps)));
    }
    None
}

/// Whether a node multiplies by weights, which may be kept in eight bits.
fn is_weighted(graph: &Graph, node: &Node) -> bool {
    let algebra = graph.algebra(node);
    if matches!(
        algebra,
        Algebra::Convolution | Algebra::Dense | Algebra::Mixture
    ) {
        return true;
    }
    let kind = node.op.kind();
    let kind = kind.as_str();
    if matches!(kind, "DynamicQuantizeLinear" | "LSTM" | "GRU" | "RNN") {
        return true;
    }
    let is_product = ["Conv", "MatMul", "Gemm", "Einsum"]
        .iter()
        .any(|part| kind.contains(part));
    let is_constant = |value: ValueId| {
        let before = || input(graph.producer(value)?, 0);
        graph.constant(value).is_some()
            || before().is_some_and(|value| graph.constant(value).is_some())
    };
    is_product
        && node
            .inputs
            .iter()
            .take(5)
            .flatten()
            .any(|v| is_constant(*v))
}

/// Whether a value is a softmax, perhaps moved: no hidden layer is one.
fn is_softmax(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        if squash(graph, value).is_some_and(|found| found.by == Probabilities::Softmax) {
            return true;
        }
        let moved = graph
            .producer(value)
            .filter(|node| graph.algebra(node) == Algebra::Moves);
        match moved.and_then(|node| input(node, 0)) {
            Some(next) => value = next,
            None => return false,
        }
    }
}

/// Whether a node is `z sigmoid(z)`, an activation of hidden layers.
fn is_gated(graph: &Graph, node: &Node) -> bool {
    let (Some(a), Some(b)) = (input(node, 0), input(node, 1)) else {
        return false;
    };
    let is_gate = |gate: ValueId, signal: ValueId| {
        squash(graph, gate)
            .is_some_and(|found| found.by == Probabilities::Sigmoid && found.scores == signal)
    };
    node.op.kind() == OpKind::Mul && (is_gate(a, b) || is_gate(b, a))
}

/// Whether a node divides by a sum: its numbers are shares.
fn is_share(graph: &Graph, node: &Node) -> bool {
    let divisor = match node.op.kind().as_str() {
        "Div" => input(node, 1),
        "Reciprocal" => input(node, 0),
        _ => None,
    };
    let mut next = divisor;
    while let Some(node) = next.and_then(|value| graph.producer(value)) {
        next = match node.op.kind().as_str() {
            "ReduceSum" | "ReduceL1" => return true,
            "Expand" | "Clip" | "Unsqueeze" | "Reshape" | "Identity" | "Cast" => input(node, 0),
            "Add" | "Max" => with_number(graph, node).map(|(value, _)| value),
            _ => None,
        };
    }
    false
}

/// `Gather "pick"`.
pub(super) fn label(graph: &Graph, node: &Node) -> String {
    let output = node.outputs.first().map_or("", |v| graph.name(*v));
    let name = match node.name.as_str() {
        "" => output,
        name => name,
    };
    format!("{} \"{name}\"", node.op.kind())
}
