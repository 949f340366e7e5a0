use elucid_graph::{Activation, Step};
use elucid_rules::Algebra;

use super::RelevanceRule;
use super::Shares;
use super::pass::Pass;
use super::share::Stabiliser;

/// Activations by the identity rule: relevance unchanged, but for what a bias that the operator adds first
/// (`com.microsoft.BiasGelu`) absorbs: `R_x = x R / (x + b)`.
///
/// Source: Achtibat et al., *AttnLRP* (ICML 2024).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Identity;

impl RelevanceRule for Identity {
    called!("identity");

    fn covers(&self, step: &Step<'_>) -> bool {
        step.algebra().is_activation() && Pass.covers(step)
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        let mut slots = Pass.propagate(step, relevance)?;
        let is_gate = step.algebra() == Algebra::Gate;
        if let (true, Some(Some(share)), Some(x), Some(bias)) =
            (is_gate, slots.first_mut(), step.input(0), step.input(1))
        {
            let shape = x.shape();
            let channels = shape.last().copied().unwrap_or(1);
            let count = shape.iter().product::<usize>() / channels.max(1);
            // One number for each channel, which lie last, or one for all.
            let bias = bias.rows().reshape([1, -1]);
            let rows = x.rows().reshape([count, channels]);
            let sum = rows.clone() + bias;
            let arrived = share.rows().reshape([count, channels]);
            let kept = rows * Stabiliser::Guard.divide(arrived, sum);
            let like = x.rows().dims();
            *share = Activation::from_rows(kept.reshape(like), &x)?;
        }
        Ok(slots)
    }
}
