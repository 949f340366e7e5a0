//! From an output backwards to the scores that it is made of.

use elucid_graph::{BoundGraph, Graph, Node, ValueId};
use elucid_rules::OpKind;

use super::Probabilities;
use super::axes::{classes_of, keeps_order, moved, shape_of};
use super::before::{behind_casts, bends, hidden, is_normalised, label};
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
                 explained as they are, and are no logits; Opening::logits(\"{scores}\") explains what \
                 goes into the {}",
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
