use elucid_graph::{Activation, Step};
use elucid_rules::OpKind;

use super::branches::Branches;
use super::norm::all_to;
use super::{RelevanceRule, Shares};

/// Differences `a - b` of values that both depend on the image: all to `a`.
///
/// What is subtracted has a weight below 0, and excitation backprop hands nothing to those. So a normalisation that is
/// written out, `x - mean(x)` over a deviation, hands on what one operator does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference;

impl RelevanceRule for Difference {
    called!("all to what is subtracted from");

    fn covers(&self, step: &Step<'_>) -> bool {
        step.kind() == OpKind::Sub && Branches.covers(step)
    }

    fn hands_to(&self, _step: &Step<'_>, slot: usize) -> bool {
        slot == 0
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        Ok(match relevance.first() {
            Some(Some(relevance)) => all_to(step, 0, relevance.clone()),
            _ => vec![None; step.inputs()],
        })
    }
}
