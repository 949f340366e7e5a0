//! Sensitivity-n: whether the map of any `n` pixels foretells how far the score falls without them.
//!
//! For each of several numbers `n`, with random sets `S` of `n` pixels, the map `Phi` and the score `f`,
//!
//! ```text
//! PCC(n) = Pearson's correlation over S of (sum of Phi over S, f(x) - f(x without S))
//! ```
//!
//! and the value is the mean over the numbers `n`; larger is better. A method *satisfies* sensitivity-n where the correlation
//! is 1, as completeness asks of all pixels together. 0 where the map, or the score, does not change.
//!
//! Ancona, Ceolini, Öztireli and Gross, *Towards better understanding of gradient-based attribution methods for deep neural
//! networks* (2018). As there: zeros of the prepared image, the logit, and `n` from 1 to 80 % of the pixels, evenly spread on a
//! logarithmic scale. They draw 100 sets for each of about a hundred `n`; here there are 8 `n` of 25 sets
//! each, whose mean is about as sure as one `n` with 200. They plot the correlation over `n`, which
//! [`SensitivityN::curve`] returns.
//!
//! Quantus' `SensitivityN` is another measure: it hides pixels in the order of the map, and correlates over the images of a
//! batch, not over sets. [`FaithfulnessCorrelation`](crate::FaithfulnessCorrelation) is the same for one `n`. Memory: one batch
//! of images, and two images more.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::correlation::Correlation;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{BATCH_SIZE, Halt, at_least_one, curve, info, setters};
use crate::options::{TRUE_OR_FALSE, is_part, is_some_number};
use crate::probe::Curve;
use crate::subsets::{Features, Hiding};
use crate::table::MetricInfo;
use crate::traced::traces;

/// Sensitivity-n.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct SensitivityN {
    sizes: usize,
    most: f64,
    samples: usize,
    baseline: Hidden,
    probability: bool,
    batch_size: usize,
    seed: u64,
}

impl Default for SensitivityN {
    fn default() -> Self {
        Self::new()
    }
}

impl SensitivityN {
    /// 25 sets of each of 8 sizes up to 80 % of the pixels.
    pub fn new() -> Self {
        Self {
            sizes: 8,
            most: 0.8,
            samples: 25,
            baseline: Hidden::Zero,
            probability: false,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    setters!(probability, batch_size, seed);

    /// How many pixels the sets have: each number once, upwards.
    fn numbers(&self, pixels: usize) -> Vec<usize> {
        let most = (self.most * pixels as f64).max(1.0);
        // More numbers than there are pixels are none.
        let sizes = self.sizes.min(pixels);
        let number = |i: usize| {
            let share = i as f64 / (sizes - 1).max(1) as f64;
            (most.powf(share).round() as usize).clamp(1, (pixels - 1).max(1))
        };
        let mut numbers: Vec<usize> = (0..sizes).map(number).collect();
        numbers.dedup();
        numbers
    }

    curve! {
        /// The correlation for each number of pixels, as a share of all, or why there is none.
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        let sum: f64 = curve.scores.iter().sum();
        Ok(sum / curve.scores.len().max(1) as f64)
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let [h, w] = case.size();
        let numbers = self.numbers(h * w);
        let features = Features::pixels(h * w);
        let hiding = Hiding {
            features: &features,
            baseline: self.baseline,
            batch_size: self.batch_size,
            probability: self.probability,
        };
        let sizes = numbers.iter();
        let sizes: Vec<usize> = sizes
            .flat_map(|&n| std::iter::repeat_n(n, self.samples))
            .collect();
        let effects = hiding.drawn(case, &sizes, &mut case.random(self.seed))?;
        let parts = effects.foretold.chunks(self.samples);
        let correlations = parts
            .zip(effects.falls.chunks(self.samples))
            .map(|(foretold, falls)| Correlation::Pearson.of(foretold, falls));
        Ok(Curve {
            fractions: numbers.iter().map(|&n| n as f64 / (h * w) as f64).collect(),
            scores: correlations.collect(),
        })
    }
}

crate::options!(SensitivityN {
    {
        /// How many numbers of pixels there are, 8 by default.
        sizes: usize as "sizes", "how many numbers of pixels there are", "1 or more", is_some_number
    }
    {
        /// The largest number of pixels, as a share of all, 0.8 by default.
        most: f64 as "most", "the largest number of pixels, as a share of all", "more than 0, less than 1",
        is_part
    }
    {
        /// How many sets of each number of pixels are hidden, 25 by default.
        samples: usize as "samples", "how many sets of each number of pixels are hidden", "2 or more",
        |samples| *samples > 1
    }
    {
        /// What hidden pixels become, zero by default.
        baseline: Hidden as "baseline", "what hidden pixels become", HIDDEN
    }
    {
        probability as "probability", "whether the score is the probability, rather than the logit", TRUE_OR_FALSE
    }
} check |metric| at_least_one("batch size", metric.batch_size));

traces!(SensitivityN as METRIC, |_metric| [
    "share of the pixels hidden",
    "correlation"
]);

pub(crate) const METRIC: MetricInfo = info!(
    "sensitivity-n": "Sensitivity-n", Larger, Faithfulness, needs(scores), "Ancona et al. 2018";
    SensitivityN::OPTIONS, SensitivityN::new(), batch_size, seed
);
