//! How long the steps of a recording take on the way back.

use std::time::{Duration, Instant};

use super::Recording;
use crate::activation::{Activation, backward};
use crate::error::GraphError;
use crate::execute::execute;
use crate::graph::NodeId;
use crate::operator::Slots;

impl Recording<'_> {
    /// What the gradient of each step between `from` and `to` takes, last first, by its node, with the number
    /// of inputs that it is taken at. The operator runs anew, which does not count, and what arrives is a
    /// gradient of ones.
    pub(crate) fn time_backward(
        &self,
        from: &str,
        to: &[&str],
    ) -> Result<Vec<(NodeId, usize, Duration)>, GraphError> {
        let walk = self.walk(from, to)?;
        let mut taken = Vec::new();
        for step in self.order(&walk) {
            let planned = &self.steps[step.index];
            let Some(kernel) = &planned.kernel else {
                continue;
            };
            let inputs = self.slots_of(step.index).into_slots().into_iter();
            let inputs = inputs
                .enumerate()
                .map(|(slot, input)| match step.is_live(slot) {
                    true => input.map(Activation::require_grad),
                    false => input,
                });
            let inputs: Vec<Option<Activation>> = inputs.collect();
            let live = (0..inputs.len()).filter(|&slot| step.is_live(slot)).count();
            let rule = self.rules[step.index].clone();
            let made = execute(kernel, rule, Slots::new(inputs), &planned.outputs);
            let made = made.map_err(|reason| GraphError::Operator {
                node: step.label(),
                reason,
            })?;
            let mut took = Duration::ZERO;
            let known = planned.outputs.iter().map(|known| known.host.is_some());
            let mut differentiated = false;
            for (output, _) in made.into_iter().zip(known).filter(|(_, known)| !known) {
                let output = output.untyped();
                if !output.is_tracked() {
                    continue;
                }
                differentiated = true;
                let _ = self.model.device().sync();
                let began = Instant::now();
                let gradients = backward(&output);
                let _ = self.model.device().sync();
                took += began.elapsed();
                drop(gradients);
            }
            if differentiated {
                taken.push((planned.node, live, took));
            }
        }
        Ok(taken)
    }
}
