//! Complexity: over how many pixels the map is spread.
//!
//! The entropy of the absolute values `v` of the map as shares of their sum, in nats:
//!
//! ```text
//! H = - sum of p ln p,  p = v / sum of v
//! ```
//!
//! 0 for one pixel alone, `ln d` for a constant map of `d` pixels; smaller is better, in the sense of
//! Bhatt, Weller and Moura, *Evaluating and aggregating feature-based model explanations* (2020), and
//! of Quantus' `Complexity`. They take the attribution of every number of the input; this takes the
//! map as it is shown, at the size of the image, so compare images of one size only. A map of zeros
//! only has no entropy: not applicable.

use crate::case::Case;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::table::MetricInfo;

/// The entropy of the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Complexity;

impl Complexity {
    fn entropy(case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        let sum: f64 = map.iter().map(|&v| f64::from(v.abs())).sum();
        if sum == 0.0 {
            return Err(NotApplicable::Zero.into());
        }
        let shares = map.iter().map(|&v| f64::from(v.abs()) / sum);
        let entropy: f64 = shares.filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
        // One pixel alone: not minus zero.
        Ok(entropy.max(0.0))
    }
}

measures!(Complexity as METRIC, Complexity::entropy);

pub(crate) const METRIC: MetricInfo = info!(
    "complexity": "Complexity (entropy)", Smaller, Complexity, needs(), "Bhatt, Weller and Moura 2020"; Complexity
);
