use burn::tensor::Tensor;

use super::share::{EPSILON, Stabiliser, Weighted, WeightedRule, check_not_negative};
use super::z_plus::{agreeing, opposing};
use crate::error::AttributionError;

/// Positive contributions times `alpha`, less negative ones times `beta`, each normalised by its
/// own sum.
///
/// `R_i = sum_j (alpha p_ij / p_j - beta n_ij / n_j) R_j`, where `p_ij` is the positive part of
/// `x_i w_ij`, `p_j` its sum over `i` plus the positive part of the bias, and `n` likewise the
/// negative parts. Bach et al. (2015), equation 60; `alpha - beta = 1`, so that relevance is
/// conserved. The usual choices are 2 and 1 ([`AlphaBeta::alpha2_beta1`]) and 1 and 0, which is
/// [`ZPlus`](super::ZPlus).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlphaBeta {
    alpha: f32,
    beta: f32,
}

impl AlphaBeta {
    /// `alpha` and `beta`, both 0 or more, with `alpha - beta = 1`.
    pub fn new(alpha: f32, beta: f32) -> Self {
        Self { alpha, beta }
    }

    /// Alpha 2, beta 1.
    pub fn alpha2_beta1() -> Self {
        Self::new(2.0, 1.0)
    }
}

impl WeightedRule for AlphaBeta {
    fn name(&self) -> String {
        format!("alpha {}, beta {}", self.alpha, self.beta)
    }

    fn check(&self) -> Result<(), AttributionError> {
        check_not_negative("alpha", self.alpha)?;
        check_not_negative("beta", self.beta)?;
        if (self.alpha - self.beta - 1.0).abs() < 1e-5 {
            return Ok(());
        }
        Err(AttributionError::Parameter {
            parameter: "alpha - beta",
            value: (self.alpha - self.beta).to_string(),
            expected: "1, so that relevance is conserved",
        })
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let stabiliser = Stabiliser::Epsilon(EPSILON);
        let mut share = op.share(&agreeing(op)?, stabiliser)? * self.alpha;
        if self.beta > 0.0 {
            share = share - op.share(&opposing(op)?, stabiliser)? * self.beta;
        }
        Ok(share)
    }
}
