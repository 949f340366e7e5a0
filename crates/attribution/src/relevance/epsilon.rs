use elucid_graph::{Activation, Step};

use super::RelevanceRule;
use super::share::{EPSILON, Stabiliser, Term, Weighted};
use crate::error::AttributionError;

/// `R_i = sum_j x_i w_ij R_j / (y_j + epsilon sign(y_j))`, with the bias in `y`.
///
/// Bach et al., *On pixel-wise explanations* (2015), equation 58. What falls to the bias and to
/// epsilon is lost; with neither, relevance is conserved. Epsilon is `1e-6` by default, as in
/// Zennit, with `sign(0) = 1`. With epsilon going to 0 and ReLU in between this is input times
/// gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epsilon {
    epsilon: f32,
}

impl Epsilon {
    /// With another epsilon, above 0.
    pub fn new(epsilon: f32) -> Self {
        Self { epsilon }
    }
}

impl Default for Epsilon {
    fn default() -> Self {
        Self::new(EPSILON)
    }
}

impl RelevanceRule for Epsilon {
    fn name(&self) -> String {
        format!("epsilon {}", self.epsilon)
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        step.weights().is_some()
    }

    fn check(&self) -> Result<(), AttributionError> {
        Stabiliser::Epsilon(self.epsilon).check()
    }

    fn propagate(
        &self,
        step: &Step<'_>,
        relevance: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let Some(op) = Weighted::new(step, relevance, &self.name())? else {
            return Ok(vec![None; step.inputs()]);
        };
        let stabiliser = Stabiliser::Epsilon(self.epsilon);
        let quotient = stabiliser.divide(op.relevance.clone(), step.output().rows());
        let terms = [Term::new(&op.x, &op.weights.weight, None)];
        op.slots(op.hand_down(&terms, quotient)?)
    }
}
