use elucid_graph::{Activation, Step};

use super::RelevanceRule;
use super::Shares;
use super::norm::{all_to, only_variable};

/// Relevance unchanged, for operators of one activation that work element by element, or are
/// treated as if they did.
///
/// Activations; arithmetic with a constant; a batch normalisation that no convolution precedes;
/// local response normalisation, through which the Caffe original of excitation backprop copies
/// relevance likewise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass;

impl RelevanceRule for Pass {
    called!("pass");

    fn covers(&self, step: &Step<'_>) -> bool {
        let input = only_variable(step).and_then(|slot| step.input(slot));
        input.is_some_and(|x| x.shape() == step.output().shape())
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        match (relevance.first(), only_variable(step)) {
            (Some(Some(relevance)), Some(slot)) => Ok(all_to(step, slot, relevance.clone())),
            (_, Some(_)) => Ok(vec![None; step.inputs()]),
            (_, None) => Err(super::share::uncovered(step, &self.name())),
        }
    }
}
