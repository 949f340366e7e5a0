use elucid_graph::{Activation, Step};
use elucid_rules::{Algebra, OpKind};

use super::RelevanceRule;
use super::Shares;
use super::norm::all_to;
use super::share::{Stabiliser, through};
use crate::error::AttributionError;

/// Products of values that both depend on the image: all to the signal where the other factor is a gate, else
/// in equal parts.
///
/// A **gate** is what a sigmoid or a hard sigmoid made, and the factor of SiLU, GELU, HardSwish or Mish
/// that are written out; in squeeze-and-excitation whatever its shape. It gets nothing, and neither does
/// what computes it: Arras et al., *Explaining Recurrent Neural Network Predictions in Sentiment Analysis*
/// (2017). In `y = x g(x)` so `x` gets `R`, the *identity rule* of AttnLRP.
///
/// Of other products `y = a b`, element by element and of matrices alike, each of the `k` factors that
/// depend on the image gets `R_a = a ((R / (k y)) b^T)`: the *uniform rule* of Achtibat et al., *AttnLRP*
/// (ICML 2024). So what is handed down adds up to `R`, not to `k R`.
///
/// With [constant attention](Product::constant_attention) a factor that a softmax made is a constant, and
/// the other one gets `R_v = v (A^T (R / y))`: CP-LRP, Ali et al., *XAI for Transformers* (ICML 2022).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    stabiliser: Stabiliser,
    gates_only: bool,
    constant_attention: bool,
}

impl Product {
    /// In the limit of an epsilon going to 0: nothing goes through a product of 0.
    pub fn new() -> Self {
        Self::stabilised(Stabiliser::Guard)
    }

    /// With an epsilon, above 0, that keeps `y` from 0.
    pub fn with_epsilon(epsilon: f32) -> Self {
        Self::stabilised(Stabiliser::Epsilon(epsilon))
    }

    /// For products with a gate, and for no others.
    pub fn of_gates() -> Self {
        Self {
            gates_only: true,
            ..Self::new()
        }
    }

    /// Takes weights of attention as constants.
    #[must_use]
    pub fn constant_attention(mut self) -> Self {
        self.constant_attention = true;
        self
    }

    pub(super) fn stabilised(stabiliser: Stabiliser) -> Self {
        Self {
            stabiliser,
            gates_only: false,
            constant_attention: false,
        }
    }

    /// The factors among which relevance is shared.
    fn receivers(&self, step: &Step<'_>) -> Vec<usize> {
        let site = step.site();
        let variables = || (0..site.len()).filter(|&slot| !site[slot].is_constant);
        let is_held = |slot: &usize| {
            let factor = site[*slot];
            factor.is_gate || (self.constant_attention && factor.is_attention)
        };
        let free: Vec<usize> = variables().filter(|slot| !is_held(slot)).collect();
        // Of two gates neither is the signal.
        match free.is_empty() {
            true => variables().collect(),
            false => free,
        }
    }
}

impl Default for Product {
    fn default() -> Self {
        Self::new()
    }
}

impl RelevanceRule for Product {
    fn name(&self) -> String {
        match (self.gates_only, self.constant_attention) {
            (true, false) => "all to the signal".to_owned(),
            (true, true) => "all to the signal or the values".to_owned(),
            (false, true) => "all to the signal or the values, else equal parts".to_owned(),
            (false, false) => "all to the signal, else equal parts".to_owned(),
        }
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        step.algebra() == Algebra::Product && (!self.gates_only || self.receivers(step).len() == 1)
    }

    fn hands_to(&self, step: &Step<'_>, slot: usize) -> bool {
        self.receivers(step).contains(&slot)
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.stabiliser.check()
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        let receivers = self.receivers(step);
        if let ([signal], Some(Some(relevance)), OpKind::Mul) =
            (receivers.as_slice(), relevance.first(), step.kind())
            && step.input(*signal).map(|x| x.shape()) == Some(relevance.shape())
        {
            return Ok(all_to(step, *signal, relevance.clone()));
        }
        let part = 1.0 / receivers.len().max(1) as f32;
        through(step, relevance, self.stabiliser, |quotient| {
            let inputs = (0..step.inputs()).map(|slot| step.input(slot)).collect();
            let gradients = step.pullback(inputs, quotient)?.into_iter().enumerate();
            let parts = gradients.map(|(slot, gradient)| {
                let gradient = gradient.filter(|_| receivers.contains(&slot));
                gradient.map(|gradient| gradient.map(|d| d * part))
            });
            Ok(parts.collect())
        })
    }
}
