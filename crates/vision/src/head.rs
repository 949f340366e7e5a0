//! What a network's output means: where its class scores are.

use elucid_graph::{Graph, ValueId};
use elucid_rules::{Algebra, OpKind};

/// The value before the softmax that ends the network, or the output itself.
pub(crate) fn find_logits(graph: &Graph) -> Option<ValueId> {
    let output = *graph.outputs().first()?;
    let mut value = output;
    while let Some(node) = graph.producer(value) {
        let Some(input) = node.inputs.first().copied().flatten() else {
            break;
        };
        match (graph.algebra(node), node.op.kind()) {
            (Algebra::Softmax, _) => return Some(input),
            (
                _,
                OpKind::Identity
                | OpKind::Dropout
                | OpKind::Reshape
                | OpKind::Flatten
                | OpKind::Squeeze,
            ) => value = input,
            _ => break,
        }
    }
    Some(output)
}
