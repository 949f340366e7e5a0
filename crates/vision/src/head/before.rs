//! What stands before an output that no softmax or sigmoid makes.

use elucid_graph::{Graph, Node, ValueId};
use elucid_rules::{Algebra, OpKind};

use super::Probabilities;
use super::written_out::{input, squash, with_number};

/// Whether a node makes something of scores that is no score any more: `Tanh`, `HardSigmoid`.
pub(super) fn bends(graph: &Graph, node: &Node) -> bool {
    let is_rectifier = matches!(
        node.op.kind().as_str(),
        "Relu" | "LeakyRelu" | "PRelu" | "Elu" | "Selu" | "Celu" | "ThresholdedRelu"
    );
    let algebra = graph.algebra(node);
    matches!(algebra, Algebra::Activation | Algebra::Function) && !is_rectifier
}

/// The value before what changes no number and no place of the output.
pub(super) fn behind_casts(graph: &Graph, mut value: ValueId) -> ValueId {
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
pub(super) fn is_normalised(graph: &Graph, value: ValueId) -> bool {
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
pub(super) fn hidden(graph: &Graph, end: ValueId) -> Option<&Node> {
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
