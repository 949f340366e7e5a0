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

use crate::case::{Case, SCALES, Scale};
use crate::metric::{
    BATCH_SIZE, Category, Direction, Halt, Needs, at_least_one, measures, setters,
};
use crate::neighbours::Neighbours;
use crate::options::{is_positive, is_some_number};
use crate::sensitivity::each_move;
use crate::table::MetricInfo;

/// The mean over small changes of how far the explanation moves.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct SensitivityAverage {
    radius: f64,
    samples: usize,
    scale: Scale,
    batch_size: usize,
    seed: u64,
}

impl Default for SensitivityAverage {
    fn default() -> Self {
        Self {
            radius: 0.02,
            samples: 10,
            scale: Scale::Deviation,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }
}

impl SensitivityAverage {
    /// 10 samples within 0.02 deviations of the image.
    pub fn new() -> Self {
        Self::default()
    }

    /// 200 samples within 0.2 of the numbers that the network takes.
    pub fn quantus() -> Self {
        Self {
            radius: 0.2,
            samples: 200,
            scale: Scale::Absolute,
            ..Self::default()
        }
    }

    setters!(batch_size, seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        case.method()?;
        let neighbours = Neighbours {
            samples: self.samples,
            batch_size: self.batch_size,
        };
        let radius = self.radius * case.unit(self.scale)?;
        let mut sum = 0.0;
        each_move(case, radius, self.seed, &neighbours, |moved| sum += moved)?;
        Ok(sum / self.samples as f64)
    }
}

crate::options!(SensitivityAverage {
    {
        /// Largest change of a number of the image, in units of the [`Scale`].
        radius: f64 as "radius", "largest change of a number of the image", "more than 0", is_positive
    }
    {
        /// How many changes, 10 by default.
        samples: usize as "samples", "how many changes of the image", "1 or more", is_some_number
    }
    {
        /// What the radius is measured in, the image's deviation by default.
        scale: Scale as "scale", "what the radius is measured in", SCALES
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(SensitivityAverage as METRIC);

pub(crate) const METRIC: MetricInfo = MetricInfo::new(
    "sensitivity-average",
    "Average sensitivity",
    Direction::Smaller,
    "Bhatt, Weller and Moura 2020",
    |options| {
        let metric = SensitivityAverage::new();
        options.apply(metric.batch_size(options.rows()).seed(options.first_seed()))
    },
)
.also(&["avg-sensitivity", "average-sensitivity"])
.category(Category::Robustness)
.needs(Needs {
    attributor: true,
    ..Needs::MAP
})
.random()
.options(SensitivityAverage::OPTIONS);
