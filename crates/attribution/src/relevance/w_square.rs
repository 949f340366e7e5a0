use elucid_graph::{Activation, Step};

use super::RelevanceRule;
use super::share::{EPSILON, Stabiliser, Term, Weighted, map};
use crate::error::AttributionError;

/// Shares in proportion to the squared weights, whatever the inputs hold.
///
/// `R_i = sum_j w_ij^2 R_j / sum_i w_ij^2`, with `1e-6` added to the denominator. Montavon et al.
/// (2017): for a first layer whose inputs may be any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WSquare;

impl RelevanceRule for WSquare {
    fn name(&self) -> String {
        "w-square".to_owned()
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
        let ones = map(&op.x, |x| x.ones_like())?;
        let squares = map(&op.weights.weight, |w| w.clone() * w)?;
        let terms = [Term::new(&ones, &squares, None)];
        op.slots(op.share(&terms, Stabiliser::Epsilon(EPSILON))?)
    }
}
