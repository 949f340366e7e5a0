//! Sparseness: on how few pixels the map rests.
//!
//! The Gini index of the absolute values `v` of the map, sorted upwards, of `d` pixels:
//!
//! ```text
//! G = 1 - 2 sum over k = 1..d of (v_k / sum of v) (d - k + 1/2) / d
//! ```
//!
//! 0 for a constant map, `1 - 1/d` for one pixel alone; larger is better, in the sense of Chalasani
//! et al., *Concise explanations of neural networks using adversarial training* (2020), and of
//! Quantus' `Sparseness`. They take the attribution of every number of the input; this takes the map
//! as it is shown, at the size of the image, so that maps of coarse layers are smooth and far from
//! sparse. A map of zeros only has no Gini index: not applicable.

use crate::case::Case;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::table::MetricInfo;

/// The Gini index of the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sparseness;

impl Sparseness {
    fn gini(case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        let mut values: Vec<f64> = map.iter().map(|&v| f64::from(v.abs())).collect();
        values.sort_by(f64::total_cmp);
        let sum: f64 = values.iter().sum();
        if sum == 0.0 {
            return Err(NotApplicable::Zero.into());
        }
        let d = values.len() as f64;
        let weighted: f64 = values
            .iter()
            .enumerate()
            .map(|(k, v)| v / sum * (d - k as f64 - 0.5) / d)
            .sum();
        Ok(1.0 - 2.0 * weighted)
    }
}

measures!(Sparseness as METRIC, Sparseness::gini);

pub(crate) const METRIC: MetricInfo = info!(
    "sparseness": "Sparseness (Gini index)", Larger, Complexity, needs(), "Chalasani et al. 2020"; Sparseness
);
