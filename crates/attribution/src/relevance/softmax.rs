use elucid_graph::{Activation, Step};
use elucid_rules::OpKind;

use super::RelevanceRule;
use super::Shares;
use super::share::{Stabiliser, through};

/// Softmax by its Taylor expansion at the scores: `R_s = s (R_a - a sum R_a)`, with `a` the probabilities
/// and the sum along the softmax's axis.
///
/// Scores below -1e30, which a mask hides, get nothing. The rule depends on the scores themselves, which a
/// softmax does not: adding one constant to all of them changes it. They are taken as the file has them
/// before its operator `Softmax`.
///
/// Source: Achtibat et al., *AttnLRP* (ICML 2024), proposition 3.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Softmax;

/// Scores below this are masked.
pub(crate) const MASKED: f32 = -1e30;

impl RelevanceRule for Softmax {
    called!("softmax by its expansion");

    fn covers(&self, step: &Step<'_>) -> bool {
        step.kind() == OpKind::Softmax
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        // The gradient is `a (g - sum a g)`, and `g` the relevance over `a`.
        let mut slots = through(step, relevance, Stabiliser::Guard, |quotient| {
            step.gradient(quotient)
        })?;
        if let (Some(Some(share)), Some(scores)) = (slots.first_mut(), step.input(0)) {
            let masked = scores.rows().lower_scalar(MASKED);
            *share = Activation::from_rows(share.rows().mask_fill(masked, 0.0), &scores)?;
        }
        Ok(slots)
    }
}
