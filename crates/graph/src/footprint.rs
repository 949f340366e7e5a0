//! What a pass holds in memory at its fullest.

use std::collections::HashMap;

use crate::error::GraphError;
use crate::graph::{Graph, NodeId, ValueId};
use crate::limits::device_bytes;
use crate::operator::Known;
use crate::plan::Plan;

/// The most that is held at once, and the step at which it is.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    bytes: u64,
    node: Option<NodeId>,
}

/// Refuses a pass that would hold more than the graph's limits allow for so many images.
///
/// `readers` says how often each value is read; a value is given up behind its last reader, unless the
/// pass `keeps` them all. `computed` are the bytes of what follows from shapes alone.
pub(crate) fn check(
    graph: &Graph,
    plan: &Plan,
    readers: &HashMap<ValueId, usize>,
    keeps: bool,
    computed: u64,
    images: usize,
) -> Result<(), GraphError> {
    let peak = peak(graph, plan, readers, keeps);
    let images = images.max(1) as u64;
    let ledger = graph.ledger(computed);
    ledger.check(peak.bytes / images).map_err(|excess| {
        let place = peak.node.map(|id| graph.label(&graph.nodes[id.0]));
        let what = match (keeps, place) {
            (true, _) => {
                "all that a pass on one image computes, kept for its gradients,".to_owned()
            }
            (false, Some(place)) => format!("a pass on one image up to {place}"),
            (false, None) => "a pass on one image".to_owned(),
        };
        excess.of(what)
    })
}

fn peak(graph: &Graph, plan: &Plan, readers: &HashMap<ValueId, usize>, keeps: bool) -> Peak {
    let size = |known: &Known| match known.host {
        Some(_) => 0,
        None => device_bytes(&known.shape),
    };
    let mut left = readers.clone();
    let mut live: HashMap<ValueId, u64> = HashMap::new();
    let made = plan
        .steps
        .iter()
        .flat_map(|step| &graph.nodes[step.node.0].outputs);
    let made: std::collections::HashSet<&ValueId> = made.collect();
    for (value, known) in plan.known.iter().filter(|(value, _)| !made.contains(value)) {
        live.insert(*value, size(known));
    }
    let mut held = live
        .values()
        .fold(0_u64, |all, &bytes| all.saturating_add(bytes));
    let mut peak = Peak {
        bytes: held,
        node: None,
    };
    for step in &plan.steps {
        let node = &graph.nodes[step.node.0];
        let mut working = 0_u64;
        if let Some(kernel) = &step.kernel {
            working = kernel.working().saturating_add(step.working);
            for (value, output) in node.outputs.iter().zip(&step.outputs) {
                let bytes = size(output);
                match keeps || readers.contains_key(value) {
                    true => {
                        held = held.saturating_add(bytes);
                        live.entry(*value).or_insert(bytes);
                    }
                    false => working = working.saturating_add(bytes),
                }
            }
        }
        let now = held.saturating_add(working);
        if now > peak.bytes {
            peak = Peak {
                bytes: now,
                node: Some(step.node),
            };
        }
        for value in node.inputs.iter().flatten() {
            let readers = left.entry(*value).or_default();
            *readers = readers.saturating_sub(1);
            if *readers == 0 && !keeps {
                held = held.saturating_sub(live.remove(value).unwrap_or(0));
            }
        }
    }
    peak
}
