use burn::tensor::Tensor;

use super::share::{EPSILON, Stabiliser, Term, Weighted, WeightedRule, negative, positive};
use crate::error::AttributionError;

/// Positive contributions only: `x+ w+` and `x- w-`, with the positive part of the bias in the
/// denominator.
///
/// `R_i = sum_j (x+_i w+_ij + x-_i w-_ij) R_j / (z_j + epsilon)`,
/// `z_j = sum_i (x+_i w+_ij + x-_i w-_ij) + b+_j`. Montavon et al., *Explaining nonlinear
/// classification decisions with deep Taylor decomposition* (2017), for inputs of both signs as
/// Zennit has it, epsilon `1e-6`. [`Excitation`](super::Excitation) differs in leaving out the bias
/// and the epsilon, and in not splitting `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZPlus {
    epsilon: f32,
}

impl ZPlus {
    /// With another epsilon, above 0.
    pub fn new(epsilon: f32) -> Self {
        Self { epsilon }
    }
}

impl Default for ZPlus {
    fn default() -> Self {
        Self::new(EPSILON)
    }
}

impl WeightedRule for ZPlus {
    fn name(&self) -> String {
        "z-plus".to_owned()
    }

    fn check(&self) -> Result<(), AttributionError> {
        Stabiliser::Epsilon(self.epsilon).check()
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let terms = agreeing(op)?;
        op.share(&terms, Stabiliser::Epsilon(self.epsilon))
    }
}

/// Contributions above 0, and the bias above 0.
pub(super) fn agreeing(op: &Weighted<'_, '_>) -> Result<Vec<Term>, AttributionError> {
    let (above, below) = op.signs()?;
    let weight = &op.weights.weight;
    let bias = op.weights.bias.as_ref().map(positive).transpose()?;
    let mut terms = vec![Term::new(&above, &positive(weight)?, bias.as_ref())];
    if let Some(below) = below {
        terms.push(Term::new(&below, &negative(weight)?, None));
    }
    Ok(terms)
}

/// Contributions below 0, and the bias below 0.
pub(super) fn opposing(op: &Weighted<'_, '_>) -> Result<Vec<Term>, AttributionError> {
    let (above, below) = op.signs()?;
    let weight = &op.weights.weight;
    let bias = op.weights.bias.as_ref().map(negative).transpose()?;
    let mut terms = vec![Term::new(&above, &negative(weight)?, bias.as_ref())];
    if let Some(below) = below {
        terms.push(Term::new(&below, &positive(weight)?, None));
    }
    Ok(terms)
}
