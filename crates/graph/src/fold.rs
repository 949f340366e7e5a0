//! What does not depend on the input is computed once, when the graph is made.

use std::collections::{HashSet, VecDeque};

use burn::tensor::Device;
use elucid_rules::OpKind;

use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::{Graph, Node, ValueId};
use crate::host::HostTensor;
use crate::limits::{device_bytes, host_bytes};
use crate::operator::{Batch, Known, Ready, Refused, Resolved, Slots};
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
    let mut used: HashSet<ValueId> = graph
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter().flatten())
        .chain(&graph.outputs)
        .copied()
        .collect();
    let mut kept = Vec::new();
    let mut open = VecDeque::from(std::mem::take(&mut graph.nodes));
    while let Some(mut node) = open.pop_front() {
        // Outputs that nobody reads (a pool's indices, a dropout's mask) need not be computed.
        while node.outputs.len() > 1
            && !node.op.counts_outputs()
            && node.outputs.last().is_some_and(|o| !used.contains(o))
        {
            node.outputs.pop();
        }
        if let Some(placed) = in_place(graph, &node) {
            used.extend(placed.iter().flat_map(|node| node.inputs.iter().flatten()));
            placed
                .into_iter()
                .rev()
                .for_each(|node| open.push_front(node));
            continue;
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
        let ready = match graph.resolve_node(&node, &inputs, Batch::default(), graph.ledger(0)) {
            Ok(ready) => ready,
            // Whoever asks for what lies behind it is told.
            Err(Refused::Unsupported(_) | Refused::NeedsValue { .. }) => {
                kept.push(node);
                continue;
            }
            Err(refused) => return Err(graph.refusal(&node, refused)),
        };
        // A constant's values were counted when they were read.
        let is_counted = node.op.kind() == OpKind::new("Constant");
        if !is_counted {
            check_memory(graph, &node, &inputs, &ready)?;
        }
        let values = computed(graph, &node, &inputs, ready.resolved)?;
        for (&output, value) in node.outputs.iter().zip(values) {
            match is_counted {
                true => _ = graph.constants.insert(output, value),
                false => graph.hold(output, value),
            }
        }
    }
    graph.nodes = kept;
    Ok(())
}

/// The nodes of the body that constants choose.
fn in_place(graph: &mut Graph, node: &Node) -> Option<Vec<Node>> {
    let inputs = node.inputs.iter();
    let constants: Vec<_> = inputs
        .map(|slot| slot.and_then(|value| graph.constants.get(&value)))
        .collect();
    node.op.branch(&constants)?.place(graph, node)
}

/// Refuses what would take more memory than is left: a kernel also needs its inputs on a device, and
/// makes its outputs there.
fn check_memory(
    graph: &Graph,
    node: &Node,
    inputs: &[Option<Known>],
    ready: &Ready,
) -> Result<(), GraphError> {
    let resolved = &ready.resolved;
    let outputs = resolved.outputs.iter();
    let made = outputs.map(|known| host_bytes(known.kind, known.shape.iter().product()));
    let on_device = match &resolved.kernel {
        None => 0,
        Some(kernel) => {
            let tensors = inputs.iter().flatten().chain(&resolved.outputs);
            let tensors = tensors.map(|known| device_bytes(&known.shape));
            tensors.fold(
                kernel.working().saturating_add(ready.working),
                u64::saturating_add,
            )
        }
    };
    let needed = made.fold(on_device, u64::saturating_add);
    let what = || format!("the constants that {} makes", graph.label(node));
    let ledger = graph.ledger(0);
    ledger.check(needed).map_err(|excess| excess.of(what()))
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
            let made = kernel.try_run(slots, &resolved.outputs);
            let made = made.map_err(failed)?;
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
        if node.op.kind() == OpKind::Max
            && node.inputs.len() == 2
            && let Some(zero) = node.inputs.iter().position(is_zero)
        {
            node.inputs.remove(zero);
            node.op = std::sync::Arc::new(Relu);
        }
    }
}
