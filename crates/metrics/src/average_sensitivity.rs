//! Average sensitivity: how far the explanation moves, in the mean, when the image moves a little.
//!
//! With the attribution `Phi(x)` as one vector of numbers and `r` drawn uniformly from `-radius..radius` for every number of
//! the image,
//!
//! ```text
//! SENS = mean over r of |Phi(x + r) - Phi(x)| / |Phi(x)|
//! ```
//!
//! in Frobenius norms. Smaller is better.
//!
//! Bhatt, Weller and Moura, *Evaluating and aggregating feature-based model explanations* (2020), who take the mean where Yeh et
//! al. ([`sensitivity`](crate::sensitivity)) take the maximum: it does not grow with the number of samples, and is surer
//! with few. Both have the same samples, radius and division by default. Quantus' `AvgSensitivity` takes 200 samples within 0.2 of
//! the numbers that the network takes: [`SensitivityAverage::quantus`].
//!
//! The method is called again for every sample, at the layer that it attributes to. An attribution of zeros: not applicable.
//! Memory: one batch of images, and their attributions.

use elucid_attribution::Configurable;

use crate::case::{Case, Scale};
use crate::metric::{Halt, info};
use crate::sensitivity::small_moves;
use crate::table::MetricInfo;

small_moves! {
    /// The mean over small changes of how far the explanation moves.
    SensitivityAverage as METRIC
}

impl SensitivityAverage {
    /// 200 samples within 0.2 of the numbers that the network takes.
    pub fn quantus() -> Self {
        Self {
            radius: 0.2,
            samples: 200,
            scale: Scale::Absolute,
            ..Self::default()
        }
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let mut sum = 0.0;
        self.each_move(case, |moved| sum += moved)?;
        Ok(sum / self.samples as f64)
    }
}

pub(crate) const METRIC: MetricInfo = info!(
    "sensitivity-average" or "avg-sensitivity" or "average-sensitivity": "Average sensitivity", Smaller, Robustness,
    needs(attributor), "Bhatt, Weller and Moura 2020"; SensitivityAverage::OPTIONS, SensitivityAverage::new(),
    batch_size, seed
);
