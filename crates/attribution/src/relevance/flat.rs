use elucid_graph::{Activation, Step};

use super::RelevanceRule;
use super::share::{EPSILON, Stabiliser, Term, Weighted, map};
use crate::error::AttributionError;

/// The same share for every input of a window, whatever it holds and whatever its weight.
///
/// `R_i = sum_j R_j / (number of inputs of j)`, with `1e-6` added to the number as Zennit does;
/// inputs in the padding are none. Lapuschkin et al., *Unmasking Clever Hans predictors* (2019):
/// for the first layer, whose pixels are then smoothed over one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flat;

impl RelevanceRule for Flat {
    fn name(&self) -> String {
        "flat".to_owned()
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        step.weights().is_some()
    }

    fn propagate(
        &self,
        step: &Step<'_>,
        relevance: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let Some(op) = Weighted::new(step, relevance, &self.name())? else {
            return Ok(vec![None; step.inputs()]);
        };
        let ones = |values: &Activation| map(values, |v| v.ones_like());
        let terms = [Term::new(&ones(&op.x)?, &ones(&op.weights.weight)?, None)];
        op.slots(op.share(&terms, Stabiliser::Epsilon(EPSILON))?)
    }
}
