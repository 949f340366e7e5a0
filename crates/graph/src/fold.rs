//! What does not depend on the input is computed once, when the graph is made.

use std::collections::HashSet;

use burn::tensor::Device;

use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::{Graph, Node, ValueId};
use crate::host::{HostTensor, MAX_COMPUTED};
use crate::import::too_large;
use crate::operator::{Batch, Known, Refused, Resolved, Slots};
use crate::ops::activation::Relu;

/// Where constants are computed that only a kernel can compute.
pub(crate) fn device() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(not(feature = "flex"))]
    return Device::default();
}

/// Computes what does not depend on the input, within the limit that holds for all of it together.
pub(crate) fn constants(graph: &mut Graph) -> Result<(), GraphError> {
    let used: HashSet<ValueId> = graph
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter().flatten())
        .chain(&graph.outputs)
        .copied()
        .collect();
    let mut folded = 0;
    let mut kept = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        // Outputs that nobody reads (a pool's indices, a dropout's mask) need not be computed.
        while node.outputs.len() > 1
            && !node.op.counts_outputs()
            && node.outputs.last().is_some_and(|o| !used.contains(o))
        {
            node.outputs.pop();
        }
        let inputs: Option<Vec<Option<Known>>> = node
            .inputs
            .iter()
            .map(|slot| match slot {
                None => Some(None),
                Some(v) => graph.constants.get(v).map(|t| Some(Known::host(t.clone()))),
            })
            .collect();
        let Some(inputs) = inputs else {
            kept.push(node);
            continue;
        };
        let resolved = match graph.resolve_node(&node, &inputs, Batch::default()) {
            Ok(resolved) => resolved,
            // Whoever asks for what lies behind it is told.
            Err(Refused::Unsupported(_) | Refused::NeedsValue { .. }) => {
                kept.push(node);
                continue;
            }
            Err(refused) => return Err(graph.refusal(&node, refused)),
        };
        let counts = resolved.outputs.iter().map(|known| &known.shape);
        folded += counts
            .map(|shape| shape.iter().product::<usize>())
            .sum::<usize>();
        if folded > MAX_COMPUTED {
            let what = "the graph's computed constants";
            return Err(too_large(what, &[folded], MAX_COMPUTED));
        }
        let values = computed(graph, &node, &inputs, resolved)?;
        for (&output, value) in node.outputs.iter().zip(values) {
            graph.constants.insert(output, value);
        }
    }
    graph.nodes = kept;
    Ok(())
}

/// The values of a node of which everything is known.
pub(crate) fn computed(
    graph: &Graph,
    node: &Node,
    inputs: &[Option<Known>],
    resolved: Resolved,
) -> Result<Vec<HostTensor>, GraphError> {
    let failed = |reason| GraphError::Operator {
        node: graph.label(node),
        reason,
    };
    let known: Option<Vec<HostTensor>> = resolved.outputs.iter().map(|k| k.host.clone()).collect();
    match (known, &resolved.kernel) {
        (Some(known), _) => Ok(known),
        (None, None) => Err(failed("an output is neither known nor computed".to_owned())),
        (None, Some(kernel)) => {
            let device = device();
            let upload = |known: &Option<Known>| {
                let host = known.as_ref()?.host.as_ref()?;
                Activation::of_host(host, &device)
            };
            let slots = Slots::new(inputs.iter().map(upload).collect());
            let made = kernel.run(slots, &resolved.outputs);
            let read = |(made, known): (&Activation, &Known)| match &known.host {
                Some(host) => Ok(host.clone()),
                None => made.to_host(known.kind, &known.shape),
            };
            let values = made.iter().zip(&resolved.outputs).map(read);
            values.collect::<Result<Vec<_>, _>>().map_err(failed)
        }
    }
}

/// `Max` with zero is how frameworks without a ReLU of their own write it; what is true of ReLU must
/// be true of it.
pub(crate) fn recognise_relu(graph: &mut Graph) {
    let Graph {
        nodes, constants, ..
    } = graph;
    let is_zero = |slot: &Option<ValueId>| {
        let constant = slot.and_then(|value| constants.get(&value));
        // More dimensions than one might be more than the other operand has.
        constant.is_some_and(|host| {
            host.element_type().is_float() && host.shape().len() <= 1 && *host.floats() == [0.0]
        })
    };
    for node in nodes {
        if node.op.kind() == elucid_rules::OpKind::Max
            && node.inputs.len() == 2
            && let Some(zero) = node.inputs.iter().position(is_zero)
        {
            node.inputs.remove(zero);
            node.op = std::sync::Arc::new(Relu);
        }
    }
}
