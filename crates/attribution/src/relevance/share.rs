//! What rules have in common: dividing relevance by a response, and handing the quotient down in
//! proportion to an input.

use std::fmt::Debug;

use burn::tensor::Tensor;
use elucid_graph::{Activation, GraphError, LongRows, Step, Weights};

use super::RelevanceRule;
use super::Shares;
use crate::error::AttributionError;
use crate::work::to_vec;

/// The default epsilon of every rule that has one.
pub(super) const EPSILON: f32 = 1e-6;

/// What the program of Chefer et al. adds to every denominator.
pub(super) const ADDED: f32 = 1e-9;

/// Responses closer to 0 than this are none: their reciprocal is no number of single precision.
const NO_RESPONSE: f32 = 1e-30;

/// What keeps a denominator from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stabiliser {
    /// `y + epsilon` where `y >= 0`, `y - epsilon` elsewhere.
    Epsilon(f32),
    /// The same with epsilon times the root of the mean square of the image's `y`.
    Relative(f32),
    /// `y + epsilon` whatever the sign; no relevance goes through a response of 0.
    Added(f32),
    /// No relevance goes through a response of 0.
    Guard,
}

impl Stabiliser {
    pub fn divide(self, relevance: Tensor<2>, response: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Epsilon(epsilon) => {
                let below = response.clone().lower_scalar(0.0).float();
                relevance / (response + (below * -2.0 + 1.0) * epsilon)
            }
            Self::Relative(epsilon) => {
                let square = (response.clone() * response.clone()).row_means();
                // Where all responses are 0, so is all relevance.
                let size = square.sqrt().mul_scalar(epsilon).clamp_min(NO_RESPONSE);
                let below = response.clone().lower_scalar(0.0).float();
                relevance / (response + (below * -2.0 + 1.0) * size)
            }
            Self::Added(epsilon) => {
                let none = response.clone().equal_scalar(0.0);
                let quotient = relevance / (response + epsilon).mask_fill(none.clone(), 1.0);
                quotient.mask_fill(none, 0.0)
            }
            Self::Guard => {
                let none = response.clone().abs().lower_scalar(NO_RESPONSE);
                let quotient = relevance / response.mask_fill(none.clone(), 1.0);
                quotient.mask_fill(none, 0.0)
            }
        }
    }

    pub fn check(self) -> Result<(), AttributionError> {
        match self {
            Self::Epsilon(epsilon) | Self::Relative(epsilon) | Self::Added(epsilon)
                if !(epsilon > 0.0 && epsilon.is_finite()) =>
            {
                Err(AttributionError::Parameter {
                    parameter: "epsilon",
                    value: epsilon.to_string(),
                    expected: "a number above 0",
                })
            }
            _ => Ok(()),
        }
    }
}

/// `x_i` times what `back` makes of the relevance over the operator's output: the transpose of an operator
/// that is linear, or is taken as such.
pub(super) fn through(
    step: &Step<'_>,
    relevance: &[Option<Activation>],
    stabiliser: Stabiliser,
    back: impl FnOnce(&[Option<Activation>]) -> Result<Vec<Option<Activation>>, GraphError>,
) -> Result<Vec<Option<Activation>>, AttributionError> {
    let Some(Some(relevance)) = relevance.first() else {
        return Ok(vec![None; step.inputs()]);
    };
    let output = step.output();
    let quotient = stabiliser.divide(relevance.rows(), output.rows());
    let quotient = Activation::from_rows(quotient, &output)?;
    let slots = back(&[Some(quotient)])?.into_iter().enumerate();
    slots
        .map(|(slot, back)| match (back, step.input(slot)) {
            (Some(back), Some(x)) => Ok(Some(Activation::from_rows(x.rows() * back.rows(), &x)?)),
            _ => Ok(None),
        })
        .collect()
}

/// A part of a weighted operator's response: `weight x + bias`.
pub(super) struct Term {
    pub x: Activation,
    pub weight: Activation,
    pub bias: Option<Activation>,
}

impl Term {
    pub fn new(x: &Activation, weight: &Activation, bias: Option<&Activation>) -> Self {
        Self {
            x: x.clone(),
            weight: weight.clone(),
            bias: bias.cloned(),
        }
    }
}

/// A weighted operator and what arrived at its output.
pub(super) struct Weighted<'s, 'r> {
    pub step: &'s Step<'r>,
    pub x: Activation,
    pub weights: &'s Weights,
    pub relevance: Tensor<2>,
}

impl<'s, 'r> Weighted<'s, 'r> {
    /// `None` when nothing arrived.
    pub fn new(
        step: &'s Step<'r>,
        relevance: &[Option<Activation>],
        rule: &str,
    ) -> Result<Option<Self>, AttributionError> {
        let Some(Some(relevance)) = relevance.first() else {
            return Ok(None);
        };
        let (Some(x), Some(weights)) = (step.input(0), step.weights()) else {
            return Err(uncovered(step, rule));
        };
        Ok(Some(Self {
            step,
            x,
            weights,
            relevance: relevance.rows(),
        }))
    }

    /// Sum of the terms' responses, one row per image.
    pub fn response(&self, terms: &[Term]) -> Result<Tensor<2>, AttributionError> {
        let mut total: Option<Tensor<2>> = None;
        for term in terms {
            let part = self
                .step
                .linear(term.x.clone(), &term.weight, term.bias.as_ref())?
                .rows();
            total = Some(match total {
                Some(before) => before + part,
                None => part,
            });
        }
        Ok(total.unwrap_or_else(|| self.relevance.zeros_like()))
    }

    /// Sum over the terms of `x * weight^T quotient`.
    pub fn hand_down(
        &self,
        terms: &[Term],
        quotient: Tensor<2>,
    ) -> Result<Tensor<2>, AttributionError> {
        let quotient = Activation::from_rows(quotient, &self.step.output())?;
        let mut total: Option<Tensor<2>> = None;
        for term in terms {
            let back = self.step.transpose(quotient.clone(), &term.weight)?.rows();
            let part = term.x.rows() * back;
            total = Some(match total {
                Some(before) => before + part,
                None => part,
            });
        }
        Ok(total.unwrap_or_else(|| self.x.rows().zeros_like()))
    }

    /// Shares the relevance in proportion to the terms.
    pub fn share(
        &self,
        terms: &[Term],
        stabiliser: Stabiliser,
    ) -> Result<Tensor<2>, AttributionError> {
        let response = self.response(terms)?;
        self.hand_down(terms, stabiliser.divide(self.relevance.clone(), response))
    }

    /// The slots of the operator, of which the first gets relevance.
    fn slots(&self, share: Tensor<2>) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut slots = vec![None; self.step.inputs()];
        if let Some(first) = slots.first_mut() {
            *first = Some(Activation::from_rows(share, &self.x)?);
        }
        Ok(slots)
    }

    /// The positive part of the input, and the negative part if there is any.
    pub fn signs(&self) -> Result<(Activation, Option<Activation>), AttributionError> {
        let rows = self.x.rows();
        let lowest = to_vec(&rows.clone().row_minima().into())?;
        // What comes out of a ReLU costs half.
        if lowest.iter().all(|&v| v >= 0.0) {
            return Ok((self.x.clone(), None));
        }
        Ok((positive(&self.x)?, Some(negative(&self.x)?)))
    }
}

/// A rule for operators with weights: what of the relevance goes to the input that they are linear in.
pub(super) trait WeightedRule: Debug + Send + Sync {
    fn name(&self) -> String;

    fn check(&self) -> Result<(), AttributionError> {
        Ok(())
    }

    /// Shaped like the input, one row per image.
    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError>;
}

impl<R: WeightedRule> RelevanceRule for R {
    fn name(&self) -> String {
        WeightedRule::name(self)
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        step.weights().is_some()
    }

    fn check(&self) -> Result<(), AttributionError> {
        WeightedRule::check(self)
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        match Weighted::new(step, relevance, &WeightedRule::name(self))? {
            Some(op) => op.slots(self.share(&op)?),
            None => Ok(vec![None; step.inputs()]),
        }
    }
}

pub(super) fn uncovered(step: &Step<'_>, rule: &str) -> AttributionError {
    AttributionError::Uncovered {
        method: format!("the rule \"{rule}\""),
        nodes: vec![step.label()],
    }
}

/// `max(v, 0)`.
pub(super) fn positive(values: &Activation) -> Result<Activation, AttributionError> {
    map(values, |v| v.clamp_min(0.0))
}

/// `min(v, 0)`.
pub(super) fn negative(values: &Activation) -> Result<Activation, AttributionError> {
    map(values, |v| v.clamp_max(0.0))
}

pub(super) fn map(
    values: &Activation,
    f: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> Result<Activation, AttributionError> {
    Ok(Activation::from_rows(f(values.rows()), values)?)
}

/// A number that must be 0 or more.
pub(super) fn check_not_negative(
    parameter: &'static str,
    value: f32,
) -> Result<(), AttributionError> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(AttributionError::Parameter {
        parameter,
        value: value.to_string(),
        expected: "a number, 0 or more",
    })
}
