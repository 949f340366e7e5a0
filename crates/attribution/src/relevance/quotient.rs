use elucid_graph::{Activation, Step};
use elucid_rules::Algebra;

use super::RelevanceRule;
use super::Shares;
use super::norm::all_to;
use super::share::{Stabiliser, through};

/// Quotients with the divisor as a constant: all of the relevance goes to the dividend, and what computes the
/// divisor gets nothing.
///
/// The last step of a layer normalisation that is written out, where this is what
/// [`Normalization`](super::Normalization) is for one operator; also `x / (1 + exp(-x))`. Source: Ali et al.,
/// *XAI for Transformers* (ICML 2022).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotient;

impl RelevanceRule for Quotient {
    called!("all to the dividend");

    fn covers(&self, step: &Step<'_>) -> bool {
        step.algebra() == Algebra::Quotient && !step.is_constant(0)
    }

    fn hands_to(&self, _step: &Step<'_>, slot: usize) -> bool {
        slot == 0
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        if let Some(Some(relevance)) = relevance.first()
            && step.input(0).map(|x| x.shape()) == Some(relevance.shape())
        {
            return Ok(all_to(step, 0, relevance.clone()));
        }
        through(step, relevance, Stabiliser::Guard, |quotient| {
            let inputs = (0..step.inputs()).map(|slot| step.input(slot)).collect();
            let gradients = step.pullback(inputs, quotient)?.into_iter().enumerate();
            Ok(gradients.map(|(slot, d)| d.filter(|_| slot == 0)).collect())
        })
    }
}
