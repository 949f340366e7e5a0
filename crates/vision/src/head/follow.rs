//! From an output backwards to the scores that it is made of.

use elucid_graph::{Graph, Node, ValueId};
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
    /// Compares them with a number.
    Compares(f32),
}

/// Follows `output` backwards.
pub(crate) fn follow(graph: &Graph, output: ValueId) -> Found {
    let mut value = output;
    let mut passed: Vec<(ValueId, Step)> = Vec::new();
    loop {
        if let Some(found) = squash(graph, value) {
            return through(graph, output, &passed, value, found);
        }
        let Some((next, step)) = graph.producer(value).and_then(|node| behind(graph, node)) else {
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
    raw(graph, output, &passed, value)
}

/// The value that a node of a head is about, and what the node does to it.
fn behind(graph: &Graph, node: &Node) -> Option<(ValueId, Step)> {
    let first = input(node, 0)?;
    let depends = |value: &ValueId| graph.constant(*value).is_none();
    let step = match node.op.kind().as_str() {
        "Identity" | "Dropout" | "Cast" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"
        | "Transpose" | "QuantizeLinear" | "DequantizeLinear" => Step::Moves,
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
        "ArgMax" | "TopK" | "Hardmax" => Step::Decides {
            axis: node.op.axis(),
        },
        "ReduceMax" => Step::Largest,
        "Not" | "Round" | "Floor" | "Ceil" | "Where" => Step::Decides { axis: None },
        "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
            let (value, number) = with_number(graph, node)?;
            return Some((value, Step::Compares(number)));
        }
        _ => return None,
    };
    Some((first, step)).filter(|(value, _)| depends(value))
}

/// What ends in a softmax or a sigmoid, which makes `value`.
fn through(
    graph: &Graph,
    output: ValueId,
    passed: &[(ValueId, Step)],
    value: ValueId,
    squash: Squash,
) -> Found {
    /// Shares, percentages, and what is kept in eight bits or in thousandths.
    const FACTORS: [f32; 4] = [1.0, 100.0, 255.0, 1000.0];
    let factor: f32 = passed.iter().map(|(_, step)| step.factor()).product();
    let known = FACTORS
        .into_iter()
        .find(|known| (factor / known - 1.0).abs() < 1e-4);
    let (name, scores) = (graph.name(output), graph.name(squash.scores));
    let remark = match known {
        Some(1.0) => None,
        Some(known) => Some(format!(
            "output \"{name}\" is {known} times a {} and is taken for probabilities in other units: \
             the scores before it, \"{scores}\", are explained; --scores none explains the output",
            squash.by
        )),
        None => {
            let is = format!(
                "output \"{name}\" is {factor} times a {} and is taken for a number in a range: it is \
                 explained as it is; --logits {scores} explains what goes into the {}",
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
        let before = before.map_or("NAME", |value| graph.name(value));
        format!(
            "output \"{name}\" ends in {by}, and is explained as it is: its numbers are no logits; \
             --logits {before} explains what comes before"
        )
    };
    if let Some(node) = hidden(graph, end) {
        return found(
            behind_casts(graph, output),
            none,
            Some(format!(
                "output \"{name}\" is made of probabilities by {}, which is not looked through: its \
                 numbers are explained as they are, and are no logits; --logits NAME names the \
                 scores before",
                label(graph, node)
            )),
        );
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
        return Found {
            axis,
            ..found(scores, probabilities, None)
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
    const MOST: usize = 64;
    let first = graph.producer(end)?;
    let mut waiting: Vec<ValueId> = Vec::new();
    let mut seen = 0;
    let passes = |node: &Node| {
        matches!(
            graph.algebra(node),
            Algebra::Moves | Algebra::Affine | Algebra::Sum | Algebra::Linear | Algebra::Decision
        )
    };
    let mut look = |node: &Node, waiting: &mut Vec<ValueId>| {
        seen += 1;
        if passes(node) && seen < MOST {
            waiting.extend(node.inputs.iter().flatten());
        }
    };
    look(first, &mut waiting);
    while let Some(value) = waiting.pop() {
        if squash(graph, value).is_some() {
            return Some(first);
        }
        if let Some(node) = graph.producer(value) {
            look(node, &mut waiting);
        }
    }
    None
}

/// `Gather "pick"`.
fn label(graph: &Graph, node: &Node) -> String {
    let output = node.outputs.first().map_or("", |v| graph.name(*v));
    let name = match node.name.as_str() {
        "" => output,
        name => name,
    };
    format!("{} \"{name}\"", node.op.kind())
}
