use burn::tensor::Tensor;
use elucid_graph::Activation;

use super::share::{EPSILON, Stabiliser, Term, Weighted, WeightedRule, map};
use crate::error::AttributionError;

/// The same share for every input of a window, whatever it holds and whatever its weight.
///
/// `R_i = sum_j R_j / (number of inputs of j)`, with `1e-6` added to the number as Zennit does;
/// inputs in the padding are none. Lapuschkin et al., *Unmasking Clever Hans predictors* (2019):
/// for the first layer, whose pixels are then smoothed over one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flat;

impl WeightedRule for Flat {
    called!("flat");

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let ones = |values: &Activation| map(values, |v| v.ones_like());
        let terms = [Term::new(&ones(&op.x)?, &ones(&op.weights.weight)?, None)];
        op.share(&terms, Stabiliser::Epsilon(EPSILON))
    }
}
