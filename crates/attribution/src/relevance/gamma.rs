use burn::tensor::Tensor;
use elucid_graph::Activation;

use super::share::{
    EPSILON, Stabiliser, Term, Weighted, WeightedRule, check_not_negative, map, negative, positive,
};
use crate::error::AttributionError;

/// Favours the contributions that have the output's sign.
///
/// Where the output `y_j` is positive, `R_i = sum_j (x_i w_ij + gamma (x_i w_ij)+) R_j / z_j`, and
/// `z_j` is the sum of the numerators plus `b_j + gamma b+_j`; where it is negative, negative parts
/// take the place of positive ones; where it is 0, nothing is handed on. For outputs of a ReLU this
/// is Montavon et al., *Layer-wise relevance propagation: an overview* (2019); both signs are
/// Zennit's generalisation, as are the defaults: gamma `0.25`, and `1e-6` to keep `z` from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma {
    gamma: f32,
}

impl Gamma {
    /// With another gamma, 0 or more. 0 is [`Epsilon`](super::Epsilon) except where the output is 0;
    /// towards infinity it becomes [`ZPlus`](super::ZPlus).
    pub fn new(gamma: f32) -> Self {
        Self { gamma }
    }

    /// For outputs of one sign: `w + gamma favoured(w)` for positive inputs, and with the other part
    /// of the weights for negative ones.
    fn terms(
        &self,
        op: &Weighted<'_, '_>,
        favoured: fn(&Activation) -> Result<Activation, AttributionError>,
        other: fn(&Activation) -> Result<Activation, AttributionError>,
    ) -> Result<Vec<Term>, AttributionError> {
        let with =
            |values: &Activation, part: fn(&Activation) -> Result<Activation, AttributionError>| {
                let part = part(values)?.rows() * self.gamma;
                map(values, |v| v + part)
            };
        let (above, below) = op.signs()?;
        let weight = &op.weights.weight;
        let bias = op.weights.bias.as_ref();
        let bias = bias.map(|bias| with(bias, favoured)).transpose()?;
        let mut terms = vec![Term::new(&above, &with(weight, favoured)?, bias.as_ref())];
        if let Some(below) = below {
            terms.push(Term::new(&below, &with(weight, other)?, None));
        }
        Ok(terms)
    }
}

impl Default for Gamma {
    fn default() -> Self {
        Self::new(0.25)
    }
}

impl WeightedRule for Gamma {
    fn name(&self) -> String {
        format!("gamma {}", self.gamma)
    }

    fn check(&self) -> Result<(), AttributionError> {
        check_not_negative("gamma", self.gamma)
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let y = op.step.output().rows();
        let stabiliser = Stabiliser::Epsilon(EPSILON);
        let mut share = op.x.rows().zeros_like();
        for (outputs, terms) in [
            (
                y.clone().greater_scalar(0.0),
                self.terms(op, positive, negative)?,
            ),
            (y.lower_scalar(0.0), self.terms(op, negative, positive)?),
        ] {
            let relevance = op.relevance.clone() * outputs.float();
            let quotient = stabiliser.divide(relevance, op.response(&terms)?);
            share = share + op.hand_down(&terms, quotient)?;
        }
        Ok(share)
    }
}
