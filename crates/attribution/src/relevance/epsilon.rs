use burn::tensor::Tensor;

use super::share::{EPSILON, Stabiliser, Term, Weighted, WeightedRule};
use crate::error::AttributionError;

/// `R_i = sum_j x_i w_ij R_j / (y_j + epsilon sign(y_j))`, with the bias in `y`.
///
/// Bach et al., *On pixel-wise explanations* (2015), equation 58. What falls to the bias and to
/// epsilon is lost; with neither, relevance is conserved. Epsilon is `1e-6` by default, as in
/// Zennit, with `sign(0) = 1`. With epsilon going to 0 and ReLU in between this is input times
/// gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epsilon {
    stabiliser: Stabiliser,
}

impl Epsilon {
    /// With another epsilon, above 0.
    pub fn new(epsilon: f32) -> Self {
        Self {
            stabiliser: Stabiliser::Epsilon(epsilon),
        }
    }

    /// In the limit of an epsilon going to 0, LRP-0: nothing goes through a `y` of 0. Where all other rules
    /// are of this kind, relevance is activation times a changed gradient, which single precision computes
    /// well however small `y` is.
    pub fn limit() -> Self {
        Self::stabilised(Stabiliser::Guard)
    }

    pub(super) fn stabilised(stabiliser: Stabiliser) -> Self {
        Self { stabiliser }
    }

    /// With an epsilon of `factor` times the root of the mean square of the operator's output, for each
    /// image: Montavon et al., *Layer-wise relevance propagation: an overview* (2019), whose code adds it
    /// whatever the sign of `y`.
    pub fn relative(factor: f32) -> Self {
        Self {
            stabiliser: Stabiliser::Relative(factor),
        }
    }
}

impl Default for Epsilon {
    fn default() -> Self {
        Self::new(EPSILON)
    }
}

impl WeightedRule for Epsilon {
    fn name(&self) -> String {
        match self.stabiliser {
            Stabiliser::Relative(factor) => format!("epsilon {factor} of the output's size"),
            Stabiliser::Epsilon(epsilon) => format!("epsilon {epsilon}"),
            Stabiliser::Added(epsilon) => format!("epsilon {epsilon:e}, added"),
            Stabiliser::Guard => "epsilon 0".to_owned(),
        }
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.stabiliser.check()
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let quotient = self
            .stabiliser
            .divide(op.relevance.clone(), op.step.output().rows());
        let terms = [Term::new(&op.x, &op.weights.weight, None)];
        op.hand_down(&terms, quotient)
    }
}
