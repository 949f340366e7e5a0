//! Local Lipschitz estimate: the largest change of the explanation for a change of the image.
//!
//! With the attribution `Phi(x)` as one vector of numbers and images `x'` near `x`,
//!
//! ```text
//! L = max over x' of |Phi(x') - Phi(x)| / |x' - x|
//! ```
//!
//! in Euclidean norms. Smaller is better.
//!
//! Alvarez-Melis and Jaakkola, *On the robustness of interpretability methods* (2018), who look for the largest ratio in a box
//! around the image by Bayesian optimisation, and sample where they cannot. Here images are sampled, as by Quantus'
//! `LocalLipschitzEstimate`: normal noise of deviation 0.1 on every number, in units of the [`Scale`]. Quantus takes 200
//! samples and the *sum* of absolute values above the line unless told otherwise. A maximum grows with the number of samples:
//! compare at equal numbers, 10 here. The estimate is a lower bound of the Lipschitz constant.
//!
//! Attributions are divided by their largest absolute value first, as Quantus does, since a method whose numbers are twice as
//! large is not half as stable; [`LipschitzEstimate::raw`] leaves them. An attribution of zeros stays one.
//!
//! The method is called again for every sample, at the layer that it attributes to. Methods that draw random numbers draw the
//! same ones each time. Memory: one batch of images, and their attributions.

use elucid_attribution::Configurable;

use crate::case::{Case, SCALES, Scale};
use crate::metric::{BATCH_SIZE, Halt, NotApplicable, at_least_one, info, measures, setters};
use crate::neighbours::{Neighbours, doubles, length, noisy, normalised, own};
use crate::options::{TRUE_OR_FALSE, is_positive, is_some_number};
use crate::table::MetricInfo;

/// The largest ratio of changes of the explanation and of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct LipschitzEstimate {
    noise: f64,
    samples: usize,
    normalised: bool,
    scale: Scale,
    batch_size: usize,
    seed: u64,
}

impl Default for LipschitzEstimate {
    fn default() -> Self {
        Self {
            noise: 0.1,
            samples: 10,
            normalised: true,
            scale: Scale::Deviation,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }
}

impl LipschitzEstimate {
    /// 10 samples of noise of 0.1 deviations of the image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes attributions as they are, without dividing by their largest absolute value.
    pub fn raw(mut self) -> Self {
        self.normalised = false;
        self
    }

    setters!(batch_size, seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        case.method()?;
        let scaled = |values| match self.normalised {
            true => normalised(values),
            false => values,
        };
        let unit = case.unit(self.scale)?;
        let first = scaled(own(case)?);
        let neighbours = Neighbours {
            samples: self.samples,
            batch_size: self.batch_size,
        };
        let change = noisy(self.noise * unit, case.random(self.seed));
        let mut largest: Option<f64> = None;
        neighbours.explain(case, false, change, |near| {
            let moved = scaled(doubles(near.attribution));
            let moved = length(moved.iter().zip(&first).map(|(a, b)| a - b));
            let pixels = near.pixels.iter().zip(&case.pixels);
            let distance = length(pixels.map(|(&a, &b)| f64::from(a) - f64::from(b)));
            if !moved.is_finite() {
                return Err(NotApplicable::NotFinite.into());
            }
            // Noise that rounding has swallowed is no neighbour.
            if distance > 0.0 {
                largest = Some(largest.unwrap_or(0.0).max(moved / distance));
            }
            Ok(())
        })?;
        Ok(largest.ok_or(NotApplicable::Rounded)?)
    }
}

crate::options!(LipschitzEstimate {
    {
        /// Deviation of the noise, 0.1 by default, in units of the [`Scale`].
        noise: f64 as "noise", "deviation of the noise that changes the image", "more than 0", is_positive
    }
    {
        /// How many changes, 10 by default.
        samples: usize as "samples", "how many changes of the image", "1 or more", is_some_number
    }
    {
        normalised as "normalised", "whether attributions are divided by their largest absolute value",
        TRUE_OR_FALSE
    }
    {
        /// What the noise is measured in, the image's deviation by default.
        scale: Scale as "scale", "what the noise is measured in", SCALES
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(LipschitzEstimate as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "lipschitz" or "local-lipschitz-estimate": "Local Lipschitz estimate", Smaller, Robustness, needs(attributor),
    "Alvarez-Melis and Jaakkola 2018"; LipschitzEstimate::OPTIONS, LipschitzEstimate::new(), batch_size, seed
);
