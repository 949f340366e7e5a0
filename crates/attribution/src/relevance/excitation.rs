use burn::tensor::Tensor;

use super::share::{Stabiliser, Term, Weighted, WeightedRule, positive};
use crate::error::AttributionError;

/// Excitation backprop's rule: `p_i = x_i sum_j w+_ij p_j / z_j`, `z_j = sum_i x_i w+_ij`.
///
/// Zhang et al., *Top-down neural attention by excitation backprop* (2016), equation 3. No bias, and
/// `x` is taken as it is: the rule is meant for inputs of 0 and more. Where `z_j` is 0 nothing is
/// handed on, as in the Caffe original; TorchRay adds `1e-20` to `z_j` instead, which has a scale
/// and loses mass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Excitation;

impl WeightedRule for Excitation {
    called!("excitation");

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let weight = positive(&op.weights.weight)?;
        let terms = [Term::new(&op.x, &weight, None)];
        op.share(&terms, Stabiliser::Guard)
    }
}

/// [`Excitation`] with the weights negated: what speaks against a class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inhibition;

impl WeightedRule for Inhibition {
    called!("excitation by negated weights");

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let weight = super::share::map(&op.weights.weight, |w| (-w).clamp_min(0.0))?;
        let terms = [Term::new(&op.x, &weight, None)];
        op.share(&terms, Stabiliser::Guard)
    }
}
