use burn::tensor::Tensor;
use elucid_graph::Activation;

use super::share::{ADDED, EPSILON, Stabiliser, Term, Weighted, WeightedRule, negative, positive};
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
    stabiliser: Stabiliser,
    with_bias: bool,
}

impl ZPlus {
    /// With another epsilon, above 0.
    pub fn new(epsilon: f32) -> Self {
        Self {
            stabiliser: Stabiliser::Epsilon(epsilon),
            with_bias: true,
        }
    }

    /// Without the bias, which takes no share; `1e-9` is added to a denominator whatever its sign, and what is 0
    /// hands nothing on: Chefer et al., CVPR 2021.
    pub fn without_bias() -> Self {
        Self {
            stabiliser: Stabiliser::Added(ADDED),
            with_bias: false,
        }
    }
}

impl Default for ZPlus {
    fn default() -> Self {
        Self::new(EPSILON)
    }
}

impl WeightedRule for ZPlus {
    fn name(&self) -> String {
        match self.with_bias {
            true => "z-plus".to_owned(),
            false => "z-plus without bias".to_owned(),
        }
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.stabiliser.check()
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let mut terms = agreeing(op)?;
        if !self.with_bias {
            terms.iter_mut().for_each(|term| term.bias = None);
        }
        op.share(&terms, self.stabiliser)
    }
}

/// Contributions above 0, and the bias above 0.
pub(super) fn agreeing(op: &Weighted<'_, '_>) -> Result<Vec<Term>, AttributionError> {
    of_sign(op, positive, negative)
}

/// Contributions below 0, and the bias below 0.
pub(super) fn opposing(op: &Weighted<'_, '_>) -> Result<Vec<Term>, AttributionError> {
    of_sign(op, negative, positive)
}

type Part = fn(&Activation) -> Result<Activation, AttributionError>;

/// Contributions and bias of one sign: `same` is the part of weights and bias that has it, `other` the rest.
fn of_sign(op: &Weighted<'_, '_>, same: Part, other: Part) -> Result<Vec<Term>, AttributionError> {
    let (above, below) = op.signs()?;
    let weight = &op.weights.weight;
    let bias = op.weights.bias.as_ref().map(same).transpose()?;
    let mut terms = vec![Term::new(&above, &same(weight)?, bias.as_ref())];
    if let Some(below) = below {
        terms.push(Term::new(&below, &other(weight)?, None));
    }
    Ok(terms)
}
