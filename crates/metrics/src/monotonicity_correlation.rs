//! Monotonicity correlation: whether more salient pixels are those whose values the score depends on more.
//!
//! The pixels are cut into groups in the order of the map's absolute values. In each group `G` by itself numbers are drawn anew,
//! several times, and with the score `f` and the image `x'` with these numbers
//!
//! ```text
//! e(G) = mean over draws of (f(x') - f(x))^2
//! rho  = Spearman's correlation over G of (sum of |Phi| over G, e(G))
//! ```
//!
//! between -1 and 1; larger is better. 0 for a constant map, up to rounding and an uneven last group, and for a score that
//! does not change.
//!
//! Nguyen and Martinez, *On quantitative aspects of model interpretability* (2020), whose `e` is divided by `f(x)^2`, which
//! changes no order. Arya et al.'s monotonicity is another measure: [`monotonicity`](crate::monotonicity). They take
//! features one by one; here there are 32 groups of equally many pixels, but for the last, with all their channels, and 10
//! draws of each. Numbers are drawn uniformly between the smallest and the largest of each channel of the image, as
//! [`pixel_flipping`](crate::pixel_flipping) draws them; the paper draws from what is known of the data. Quantus'
//! `MonotonicityCorrelation` has 100 draws of each group of `features_in_step` channels, between the smallest and the largest
//! number of the image. The score is the logit, or the class's probability if asked for.
//!
//! Equal values go in row-major order. Memory: one batch of images.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::correlation::Correlation;
use crate::metric::{BATCH_SIZE, Halt, at_least_one, info, measures, setters};
use crate::options::{TRUE_OR_FALSE, is_some_number};
use crate::order::descending_of;
use crate::pixel_flipping::ends;
use crate::probe::Probe;
use crate::table::MetricInfo;

/// The rank correlation of the map with how far the score depends on each group of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct MonotonicityCorrelation {
    steps: usize,
    samples: usize,
    probability: bool,
    batch_size: usize,
    seed: u64,
}

impl Default for MonotonicityCorrelation {
    fn default() -> Self {
        Self::new()
    }
}

impl MonotonicityCorrelation {
    /// 10 draws of each of 32 groups, the logit.
    pub fn new() -> Self {
        Self {
            steps: 32,
            samples: 10,
            probability: false,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    setters!(probability, batch_size, seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        let weights: Vec<f64> = map.iter().map(|&v| f64::from(v.abs())).collect();
        let order = descending_of(&weights);
        let plane = weights.len();
        let groups: Vec<&[usize]> = order.chunks(plane.div_ceil(self.steps)).collect();
        let ends = ends(&case.pixels, plane);
        let mut random = case.random(self.seed);
        let count = groups.len().saturating_mul(self.samples).saturating_add(1);
        let scores = Probe::new(case, self.batch_size)?.scores(count, |i, batch| {
            let from = batch.len();
            batch.extend(&case.pixels);
            let Some(i) = i.checked_sub(1) else { return };
            for (channel, (low, high)) in batch[from..].chunks_mut(plane).zip(&ends) {
                for &pixel in groups[i / self.samples] {
                    channel[pixel] = low + (high - low) * random.uniform();
                }
            }
        })?;
        let whole = scores[0].of(self.probability);
        let spreads = scores[1..].chunks(self.samples).map(|scores| {
            let squares = scores.iter();
            let squares = squares.map(|score| (score.of(self.probability) - whole).powi(2));
            squares.sum::<f64>() / self.samples as f64
        });
        let sums = groups
            .iter()
            .map(|group| group.iter().map(|&pixel| weights[pixel]).sum());
        Ok(Correlation::Spearman.of(&sums.collect::<Vec<f64>>(), &spreads.collect::<Vec<f64>>()))
    }
}

crate::options!(MonotonicityCorrelation {
    {
        /// How many groups of pixels there are, 32 by default; as many as there are pixels at most.
        steps: usize as "steps", "how many groups of pixels are drawn anew, one after the other", "1 or more",
        is_some_number
    }
    {
        /// How many times each group is drawn anew, 10 by default.
        samples: usize as "samples", "how many times each group is drawn anew", "1 or more", is_some_number
    }
    {
        probability as "probability", "whether the score is the probability, rather than the logit", TRUE_OR_FALSE
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(MonotonicityCorrelation as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "monotonicity-correlation": "Monotonicity correlation", Larger, Faithfulness, needs(scores),
    "Nguyen and Martinez 2020"; MonotonicityCorrelation::OPTIONS, MonotonicityCorrelation::new(), batch_size, seed
);
