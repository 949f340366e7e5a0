//! Effective complexity: how many pixels the map needs.
//!
//! The number of pixels whose absolute value is more than `eps` times the largest one; smaller is better. With
//! [`EffectiveComplexity::share`] it is their share of all pixels, so that images of all sizes compare.
//!
//! It is Quantus' `EffectiveComplexity`, whose `eps` of 1e-5 is the default here. Nguyen and Martinez, *On quantitative aspects of model
//! interpretability* (2020), from whom it has its name, ask for the smallest number of features that keep the expected loss of the
//! *network* below a tolerance, which takes the network; [`insertion`](crate::insertion_deletion) asks something of that kind.
//! They take the attribution of every number of the input; this takes the map as it is shown, at the size of the image. A smooth map
//! of a coarse layer is above so small a number nearly everywhere: give a larger one, such as 0.1, to tell such maps apart.
//! [`sparseness`](crate::sparseness) and [`complexity`](crate::complexity) need no threshold.
//!
//! A map of zeros has no such pixel: 0.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::metric::{Halt, flags, info, measures};
use crate::options::{TRUE_OR_FALSE, is_share};
use crate::table::MetricInfo;

/// The number of pixels that are not next to nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct EffectiveComplexity {
    eps: f64,
    share: bool,
}

impl Default for EffectiveComplexity {
    fn default() -> Self {
        Self::new()
    }
}

impl EffectiveComplexity {
    /// Pixels above 1e-5 of the largest one.
    pub fn new() -> Self {
        Self {
            eps: 1e-5,
            share: false,
        }
    }

    flags! {
        /// Their share of all pixels.
        share => share,
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        let values = map.iter().map(|&v| f64::from(v.abs()));
        let least = self.eps * values.clone().fold(0.0, f64::max);
        let count = values.filter(|&value| value > least).count() as f64;
        Ok(match self.share {
            true => count / map.len() as f64,
            false => count,
        })
    }
}

crate::options!(EffectiveComplexity {
    {
        /// From which share of the largest value on pixels count, 1e-5 by default.
        eps: f64 as "eps", "above which share of the largest value pixels count", "a share from 0 to 1", is_share
    }
    {
        share as "share", "whether the value is the share of all pixels, rather than their number", TRUE_OR_FALSE
    }
});

measures!(EffectiveComplexity as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "effective-complexity": "Effective complexity", Smaller, Complexity, needs(), "Nguyen and Martinez 2020; Quantus";
    EffectiveComplexity::OPTIONS, EffectiveComplexity::new()
);
