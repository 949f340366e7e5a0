//! Pixel flipping: how fast the score falls when regions are overwritten, most relevant first.
//!
//! The image is cut into a grid of `patch` x `patch` pixels. Patches are overwritten in the order of
//! the mean of the map over each, and with the score `f(x_k)` after `k` of them the value is
//!
//! ```text
//! AOPC = 1 / (L + 1) sum over k = 0..=L of (f(x_0) - f(x_k))
//! ```
//!
//! the *area over the perturbation curve*; larger is better. A map that orders patches at random has
//! an AOPC too, which is what to compare with.
//!
//! Bach et al. (*On pixel-wise explanations*, 2015) flip single pixels; Samek et al. (*Evaluating the
//! visualization of what a deep neural network has learned*, 2017) replace regions of 9 x 9 pixels by
//! numbers drawn uniformly, in 100 steps: [`PixelFlipping::samek`], the default. They let regions lie
//! anywhere, chosen one after the other so that none overlap; here they lie on a grid, of which the
//! last row and column may be smaller, hence means rather than sums. Their range of colours is that of
//! all images; here it is that of each channel of the image at hand. Quantus' `PixelFlipping` returns
//! the curve rather than a number, and replaces by black; its `RegionPerturbation` has patches of
//! 8 pixels. The score here is the logit, or the class's probability if
//! asked for.
//!
//! Equal patches go in row-major order. Where the image has fewer patches than steps were asked for,
//! all are overwritten. Memory: one batch of images and one image more.

use elucid_attribution::{Configurable, Scaled, Setting};
use ndarray::s;

use crate::case::Case;
use crate::hidden::Hidden;
use crate::metric::{BATCH_SIZE, Halt, at_least_one, curve, info, setters};
use crate::options::{TRUE_OR_FALSE, is_some_number, number_or, words};
use crate::order::descending_of;
use crate::probe::{Curve, Probe};
use crate::table::MetricInfo;
use crate::traced::traces;

words! {
    /// What patches are overwritten with.
    pub enum Filling: "filling", FILLINGS = "uniform, zero, mean, black or white", default Uniform {
        /// Numbers drawn uniformly between the smallest and the largest of the image's channel.
        Uniform = "uniform",
        /// Zeros of the prepared image, mostly the mean colour.
        Zero = "zero",
        /// The mean of the image's channel.
        Mean = "mean",
        /// Black pixels, as the model's preparation makes the network see them.
        Black = "black",
        /// White pixels, as the model's preparation makes the network see them.
        White = "white",
    }
}

/// Side of a region in pixels, smaller where the shorter side of the image has less than 128.
const PATCH: Scaled<usize> = Scaled::usual(9);

/// The area over the perturbation curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct PixelFlipping {
    patch: Scaled<usize>,
    steps: usize,
    filling: Filling,
    probability: bool,
    batch_size: usize,
    seed: u64,
}

impl PixelFlipping {
    /// Regions of 9 x 9 pixels, smaller where the shorter side has less than 128, 100 steps, uniform numbers, the logit.
    pub fn samek() -> Self {
        Self {
            patch: PATCH,
            steps: 100,
            filling: Filling::Uniform,
            probability: false,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    /// Side of a region, in pixels.
    pub fn patch(mut self, patch: usize) -> Self {
        self.patch = Scaled::given(patch);
        self
    }

    setters!(probability, batch_size, seed);

    curve! {
        /// The score after every region, or why there is none.
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        let first = curve.scores.first().copied().unwrap_or(0.0);
        let falls: f64 = curve.scores.iter().map(|score| first - score).sum();
        Ok(falls / curve.scores.len().max(1) as f64)
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let map = case.finite_map()?;
        let [h, w] = case.size();
        let plane = h * w;
        let patch = self.patch.at(case.size());
        let columns = w.div_ceil(patch);
        let region = |i: usize| {
            let (y, x) = (i / columns * patch, i % columns * patch);
            let end = |at: usize, size: usize| size.min(at.saturating_add(patch));
            (y..end(y, h), x..end(x, w))
        };
        let count = columns * h.div_ceil(patch);
        let means: Vec<f64> = (0..count)
            .map(|i| {
                let (rows, columns) = region(i);
                let values = map.slice(s![rows, columns]);
                values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
            })
            .collect();
        let order = descending_of(&means);
        let steps = self.steps.min(count);
        let ends = ends(&case.pixels, plane);
        // What hides is the same at every pixel of a channel.
        let hidden = match self.filling {
            Filling::Uniform | Filling::Zero => Hidden::Zero,
            Filling::Mean => Hidden::Mean,
            Filling::Black => Hidden::Black,
            Filling::White => Hidden::White,
        };
        let flat: Vec<f32> = hidden.pixels(case)?.into_iter().step_by(plane).collect();
        let fillings: Vec<_> = ends.into_iter().zip(flat).collect();
        let mut random = case.random(self.seed);
        let mut now = case.pixels.clone();
        let mut covered = 0;
        let mut fractions = Vec::with_capacity(steps + 1);
        let scores = Probe::new(case, self.batch_size)?.scores(steps + 1, |step, batch| {
            if let Some(before) = step.checked_sub(1) {
                let (rows, columns) = region(order[before]);
                covered += rows.len() * columns.len();
                for (channel, ((low, high), flat)) in now.chunks_mut(plane).zip(&fillings) {
                    for y in rows.clone() {
                        for value in &mut channel[y * w + columns.start..y * w + columns.end] {
                            *value = match self.filling {
                                Filling::Uniform => low + (high - low) * random.uniform(),
                                _ => *flat,
                            };
                        }
                    }
                }
            }
            fractions.push(covered as f64 / plane as f64);
            batch.extend(&now);
        })?;
        let scores = scores.iter().map(|score| score.of(self.probability));
        Ok(Curve {
            fractions,
            scores: scores.collect(),
        })
    }
}

/// The smallest and the largest number of each channel of an image.
pub(crate) fn ends(pixels: &[f32], plane: usize) -> Vec<(f32, f32)> {
    let ends = |channel: &[f32]| {
        let low = channel.iter().copied().fold(f32::INFINITY, f32::min);
        let high = channel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (low, high)
    };
    pixels.chunks(plane).map(ends).collect()
}

crate::options!(PixelFlipping {
    {
        "patch",
        "side of a region, in pixels: 9 as usual, less where the shorter side has less than 128",
        "1 or more, or usual",
        |metric, size| metric.patch.text(size),
        |metric, text| {
            metric.patch = number_or("usual", text)?.map_or(PATCH, Scaled::given);
            Some(())
        },
        |metric| metric.patch.value().is_none_or(is_some_number)
    }
    {
        /// How many regions are overwritten, one after the other.
        steps: usize as "steps", "how many regions are overwritten", "1 or more", is_some_number
    }
    {
        /// What regions are overwritten with.
        filling: Filling as "filling", "what regions are overwritten with", FILLINGS
    }
    {
        probability as "probability", "whether the score is the probability, rather than the logit", TRUE_OR_FALSE
    }
} check |metric| at_least_one("batch size", metric.batch_size));

/// What a score is called on an axis.
fn score_name(probability: bool) -> &'static str {
    if probability { "probability" } else { "logit" }
}

traces!(PixelFlipping as METRIC, |metric| [
    "share of the pixels overwritten",
    score_name(metric.probability)
]);

pub(crate) const METRIC: MetricInfo = info!(
    "pixel-flipping" or "region-perturbation" or "aopc": "Pixel flipping (AOPC)", Larger, Faithfulness, needs(scores),
    "Bach et al. 2015; Samek et al. 2017"; PixelFlipping::OPTIONS, PixelFlipping::samek(), batch_size, seed
);
