//! IROF, *iterative removal of features*: how fast the class vanishes when segments of the image are removed, most salient
//! first.
//!
//! The image is cut into `L` segments. They are overwritten by the mean of the image in the order of the mean of the map over
//! each, and with the class's probability `p_k` after `k` of them the value is the area over the curve,
//!
//! ```text
//! IROF = 1 - (r_0 / 2 + r_1 + ... + r_(L-1) + r_L / 2) / L,  r_k = p_k / p_0
//! ```
//!
//! at most 1; larger is better. Below 0 where removing raises the probability.
//!
//! Rieger and Hansen, *IROF: a low resource evaluation metric for explanation methods* (2020). Segments are those of SLIC,
//! about 50 of them of compactness 10, and of no more than there are pixels. Quantus' `IROF` begins after the first segment,
//! takes the area under the curve from the *number* of segments, and has whatever score the model gives for `p`;
//! [`Irof::curve`] has all there is for either.
//!
//! Equal segments go in the order of their labels. A network whose scores are no logits of probabilities has no `r`: not
//! applicable. Memory: one batch of images and three images more.

use elucid_attribution::{Configurable, Superpixels};

use crate::case::Case;
use crate::error::MetricError;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{BATCH_SIZE, Halt, NotApplicable, at_least_one, curve, info, setters};
use crate::order::{copy_pixels, descending_of};
use crate::probe::{Curve, Probe};
use crate::subsets::Features;
use crate::table::MetricInfo;
use crate::traced::traces;

/// The area over the curve of the probability while segments are removed.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Irof {
    segments: Superpixels,
    baseline: Hidden,
    batch_size: usize,
}

impl Default for Irof {
    fn default() -> Self {
        Self::new()
    }
}

impl Irof {
    /// About 50 segments of SLIC, overwritten by the mean of the image.
    pub fn new() -> Self {
        Self {
            segments: Superpixels::slic(50).where_they_fit(),
            baseline: Hidden::Mean,
            batch_size: BATCH_SIZE,
        }
    }

    setters!(batch_size);

    curve! {
        /// The class's probability after every segment, or why there is none.
    }

    fn check_segments(&self) -> Result<(), MetricError> {
        self.segments.check()?;
        at_least_one("batch size", self.batch_size)
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        match curve.scores[0] {
            first if first > 0.0 => Ok(1.0 - curve.area() / first),
            _ => Err(NotApplicable::NoProbability.into()),
        }
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let map = case.finite_map()?;
        let weights: Vec<f64> = map.iter().map(|&v| f64::from(v)).collect();
        let segments = self.segments.segments(case.network, &case.image)?.remove(0);
        let segments = Features::labels(segments.labels(), segments.count());
        let mean = |group: usize| {
            let pixels = segments.of(group);
            let sum: f64 = pixels.iter().map(|&pixel| weights[pixel]).sum();
            sum / pixels.len().max(1) as f64
        };
        let order = descending_of(&(0..segments.count()).map(mean).collect::<Vec<f64>>());
        let hidden = self.baseline.pixels(case)?;
        let plane = weights.len();
        let mut now = case.pixels.clone();
        let mut removed = 0;
        let mut fractions = Vec::with_capacity(order.len() + 1);
        let scores =
            Probe::new(case, self.batch_size)?.scores(order.len() + 1, |step, batch| {
                if let Some(before) = step.checked_sub(1) {
                    let pixels = segments.of(order[before]);
                    removed += pixels.len();
                    copy_pixels(pixels, plane, &hidden, &mut now);
                }
                fractions.push(removed as f64 / plane as f64);
                batch.extend(&now);
            })?;
        match scores[0].is_probability {
            true => Ok(Curve {
                fractions,
                scores: scores.iter().map(|score| score.probability).collect(),
            }),
            false => Err(NotApplicable::NoProbability.into()),
        }
    }
}

crate::options!(Irof {
    {
        /// What is removed together, about 50 segments of SLIC by default.
        segments: Superpixels as "segments", "what is removed together",
        "slic:N, slic:N:COMPACTNESS, grid:N (N x N cells), grid:ROWSxCOLUMNS or patches (of a transformer)"
    }
    {
        /// What removed pixels become, the mean of the image by default.
        baseline: Hidden as "baseline", "what removed pixels become", HIDDEN
    }
} check Irof::check_segments);

traces!(Irof as METRIC, |_metric| [
    "share of the pixels taken away",
    "probability"
]);

pub(crate) const METRIC: MetricInfo = info!(
    "irof" or "iterative-removal-of-features": "Iterative removal of features (IROF)", Larger, Faithfulness,
    needs(scores), "Rieger and Hansen 2020"; Irof::OPTIONS, Irof::new(), batch_size
);
