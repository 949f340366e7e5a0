//! Steps of a pass that run as one: what nobody looks at between them is not made.
//!
//! A function of each number runs in the epilogue of the convolution before it, and `x sigmoid(x)`, which exporters write as
//! two operators, as the one function that it is. That is done where no value between is fetched, kept or read by others
//! and no rule stands at any of the steps; numbers differ from those of the steps by rounding.

use std::collections::HashMap;
use std::sync::Arc;

use elucid_rules::{OpKind, Pointwise};

use crate::graph::{Graph, ValueId};
use crate::operator::Kernel;
use crate::plan::{Plan, Step};

/// What becomes of a step.
#[derive(Debug, Clone, Default)]
pub(crate) enum Role {
    /// It runs by itself.
    #[default]
    Alone,
    /// It runs with a later step, which reads its inputs.
    Waits,
    /// It is a factor of a later step, which is a function of the same input.
    Factor,
    /// It runs `kernel` on the inputs of the step at the place `of`, its own where there is none.
    Ends {
        of: Option<usize>,
        kernel: Arc<dyn Kernel>,
    },
}

/// The roles of the steps from `first` on. `readers` says how often a value is read, as a fetch, too; `is_plain` of which
/// steps no rule takes the place.
pub(crate) fn roles(
    graph: &Graph,
    plan: &Plan,
    first: usize,
    readers: &HashMap<ValueId, usize>,
    is_plain: impl Fn(&Step) -> bool,
) -> Vec<Role> {
    let steps = &plan.steps[first..];
    let mut roles = vec![Role::Alone; steps.len()];
    let mut makers: HashMap<ValueId, usize> = HashMap::new();
    let read = |value: ValueId| readers.get(&value).copied().unwrap_or(0);
    for (i, step) in steps.iter().enumerate() {
        let Some(kernel) = &step.kernel else {
            continue;
        };
        let node = &graph.nodes[step.node.0];
        if let [made] = node.outputs[..] {
            makers.insert(made, i);
        }
        if step.outputs.len() != 1
            || step.outputs[0].host.is_some()
            || !step.outputs[0].kind.is_float()
        {
            continue;
        }
        let constant = |slot: &Option<ValueId>| slot.is_none_or(|v| graph.constant(v).is_some());
        // The function, its argument, how many steps read that, and which of them is a factor.
        let (function, x, reads, factor) = match (kernel.bends(), &node.inputs[..]) {
            (Some(function), [Some(x), rest @ ..]) if rest.iter().all(constant) => {
                (function, *x, 1, None)
            }
            (None, &[Some(a), Some(b)]) if node.op.kind() == OpKind::Mul => {
                let gated = |x: ValueId, factor: ValueId| {
                    let place = *makers.get(&factor)?;
                    let maker = &steps[place];
                    let inputs = &graph.nodes[maker.node.0].inputs;
                    let same = inputs.first() == Some(&Some(x)) && inputs[1..].iter().all(constant);
                    let gate = gate_of(maker.kernel.as_ref()?.bends()?)?;
                    let fits = same && read(factor) == 1 && is_plain(maker);
                    fits.then_some((gate, x, 2, Some(place)))
                };
                match gated(a, b).or_else(|| gated(b, a)) {
                    Some(found) => found,
                    None => continue,
                }
            }
            _ => continue,
        };
        if !is_plain(step) {
            continue;
        }
        let before = makers.get(&x).copied().filter(|&place| {
            let single = graph.nodes[steps[place].node.0].outputs.len() == 1;
            single
                && read(x) == reads
                && matches!(roles[place], Role::Alone)
                && is_plain(&steps[place])
        });
        let joined = before.and_then(|place| {
            let kernel = steps[place].kernel.as_ref()?.then(function)?;
            Some((place, kernel))
        });
        roles[i] = match (joined, factor) {
            (Some((place, kernel)), _) => {
                roles[place] = Role::Waits;
                Role::Ends {
                    of: Some(first + place),
                    kernel,
                }
            }
            (None, Some(_)) => Role::Ends {
                of: None,
                kernel: crate::ops::of_each_number(function),
            },
            (None, None) => continue,
        };
        if let Some(place) = factor {
            roles[place] = Role::Factor;
        }
    }
    roles
}

/// What a number times this function of it is.
fn gate_of(function: Pointwise) -> Option<Pointwise> {
    match function {
        Pointwise::Sigmoid => Some(Pointwise::Swish { alpha: 1.0 }),
        Pointwise::HardSigmoid { alpha, beta } if alpha == 1.0 / 6.0 && beta == 0.5 => {
            Some(Pointwise::HardSwish)
        }
        _ => None,
    }
}
