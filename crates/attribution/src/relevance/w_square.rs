use burn::tensor::Tensor;

use super::share::{EPSILON, Stabiliser, Term, Weighted, WeightedRule, map};
use crate::error::AttributionError;

/// Shares in proportion to the squared weights, whatever the inputs hold.
///
/// `R_i = sum_j w_ij^2 R_j / sum_i w_ij^2`, with `1e-6` added to the denominator. Montavon et al.
/// (2017): for a first layer whose inputs may be any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WSquare;

impl WeightedRule for WSquare {
    called!("w-square");

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let ones = map(&op.x, |x| x.ones_like())?;
        let squares = map(&op.weights.weight, |w| w.clone() * w)?;
        let terms = [Term::new(&ones, &squares, None)];
        op.share(&terms, Stabiliser::Epsilon(EPSILON))
    }
}
