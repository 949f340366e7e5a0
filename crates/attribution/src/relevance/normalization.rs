use std::sync::Arc;

use elucid_graph::{Activation, Step};
use elucid_rules::{Algebra, ConstantStatistics};

use super::RelevanceRule;
use super::Shares;
use super::norm::all_to;
use super::share::{Stabiliser, through};
use crate::error::AttributionError;

/// Normalisations by statistics of the image itself, with the deviation as a constant: `y = w (x - mean) /
/// deviation + b` is linear in `x` then, and `R_x = x J^T (R / y)` with `J^T v = w v / deviation` less its
/// mean over the axes. The offset `b` absorbs its share.
///
/// For `LayerNormalization`, `RMSNormalization`, `GroupNormalization` and `InstanceNormalization`; where
/// they are written out, [`Quotient`](super::Quotient), [`Product`](super::Product) and
/// [`Norm`](super::Norm) come to the same.
///
/// Sources: Ali et al., *XAI for Transformers* (ICML 2022), the *LN-rule*; the same in Achtibat et al.,
/// *AttnLRP* (ICML 2024).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Constant(Stabiliser),
    Identity,
}

impl Normalization {
    /// In the limit of an epsilon going to 0: nothing goes through an output of 0.
    pub fn new() -> Self {
        Self::stabilised(Stabiliser::Guard)
    }

    /// With an epsilon, above 0, that keeps `y` from 0.
    pub fn with_epsilon(epsilon: f32) -> Self {
        Self::stabilised(Stabiliser::Epsilon(epsilon))
    }

    /// Relevance unchanged, as if the normalisation were not there: what Achtibat et al. call the identity
    /// rule, and Chefer et al. (CVPR 2021) do.
    pub fn identity() -> Self {
        Self { how: How::Identity }
    }

    pub(super) fn stabilised(stabiliser: Stabiliser) -> Self {
        Self {
            how: How::Constant(stabiliser),
        }
    }
}

impl Default for Normalization {
    fn default() -> Self {
        Self::new()
    }
}

impl RelevanceRule for Normalization {
    fn name(&self) -> String {
        match self.how {
            How::Constant(_) => "constant statistics".to_owned(),
            How::Identity => "normalization passed".to_owned(),
        }
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        step.algebra() == Algebra::Normalization
            && match self.how {
                How::Constant(_) => step.check_rule(&ConstantStatistics).is_ok(),
                How::Identity => step.input(0).map(|x| x.shape()) == Some(step.output().shape()),
            }
    }

    fn hands_to(&self, _step: &Step<'_>, slot: usize) -> bool {
        slot == 0
    }

    fn check(&self) -> Result<(), AttributionError> {
        match self.how {
            How::Constant(stabiliser) => stabiliser.check(),
            How::Identity => Ok(()),
        }
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        match (self.how, relevance.first()) {
            (How::Constant(stabiliser), _) => through(step, relevance, stabiliser, |quotient| {
                let mut slots = step.gradient_by(Arc::new(ConstantStatistics), quotient)?;
                slots.truncate(1);
                slots.resize(step.inputs(), None);
                Ok(slots)
            }),
            (How::Identity, Some(Some(relevance))) => Ok(all_to(step, 0, relevance.clone())),
            (How::Identity, _) => Ok(vec![None; step.inputs()]),
        }
    }
}
