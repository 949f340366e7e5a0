//! Average drop, increase in confidence and average gain: what becomes of the class when only what the map shows is left.
//!
//! The map is scaled to `0..1` by its smallest and largest value, and multiplies the image `x`; with the class's probability
//! `y` of the image and `o` of what is left of it,
//!
//! ```text
//! drop     = max(0, y - o) / y        smaller is better
//! increase = 1 if o > y, else 0       larger is better
//! gain     = max(0, o - y) / (1 - y)  larger is better
//! ```
//!
//! each between 0 and 1. Papers have the means over images in percent.
//!
//! Drop and increase: Chattopadhyay, Sarkar, Howlader and Balasubramanian, *Grad-CAM++: generalized gradient-based visual
//! explanations for deep convolutional networks* (2018); gain: Zhang et al., *Opti-CAM: optimizing saliency maps for
//! interpretability* (2024), since a method that shows all of the image has no drop: drop and gain are to be read together.
//! [`adcc`](crate::adcc) is one number of several.
//!
//! The product is taken with the image as the network takes it, so that pixels without saliency become zeros, mostly the mean
//! colour; with another [`Hidden`] `b` it is `b + map (x - b)`. A constant map is 0 everywhere and leaves nothing. A network
//! whose scores are no logits of probabilities: not applicable. Memory: two images.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{Halt, NotApplicable, forms, info, measures};
use crate::probe::Probe;
use crate::similarity::unit;
use crate::table::MetricInfo;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Drop,
    Increase,
    Gain,
}

/// The change of the probability when only what the map shows is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct AverageDrop {
    change: Change,
    baseline: Hidden,
}

impl AverageDrop {
    fn new(change: Change) -> Self {
        Self {
            change,
            baseline: Hidden::Zero,
        }
    }

    forms! {
        /// The share of the probability that is lost.
        drop => Change::Drop,
        /// Whether the probability rises.
        increase => Change::Increase,
        /// The share of what the probability lacks that is won.
        gain => Change::Gain,
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let [whole, left] = probabilities(case, self.baseline)?;
        Ok(match self.change {
            Change::Drop if whole <= left => 0.0,
            Change::Drop => (whole - left) / whole,
            Change::Increase => f64::from(u8::from(left > whole)),
            Change::Gain if left <= whole => 0.0,
            Change::Gain => (left - whole) / (1.0 - whole),
        })
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[match self.change {
            Change::Drop => 0,
            Change::Increase => 1,
            Change::Gain => 2,
        }]
    }
}

/// The class's probability of the image, and of what the map leaves of it.
pub(crate) fn probabilities(case: &Case<'_>, baseline: Hidden) -> Result<[f64; 2], Halt> {
    let shown = shown(case, baseline)?;
    let scores = Probe::new(case, 2)?.scores(2, |i, batch| {
        batch.extend(match i {
            0 => &case.pixels,
            _ => &shown,
        });
    })?;
    match scores[0].is_probability {
        true => Ok([scores[0].probability, scores[1].probability]),
        false => Err(NotApplicable::NoProbability.into()),
    }
}

/// What the map leaves of the image, `[C, H, W]`.
pub(crate) fn shown(case: &Case<'_>, baseline: Hidden) -> Result<Vec<f32>, Halt> {
    let weights = unit(case.finite_map()?);
    let weights: Vec<f64> = weights.iter().copied().collect();
    let hidden = baseline.pixels(case)?;
    let pixels = case.pixels.iter().zip(&hidden).zip(weights.iter().cycle());
    let shown = pixels.map(|((&x, &hidden), weight)| {
        let hidden = f64::from(hidden);
        (hidden + weight * (f64::from(x) - hidden)) as f32
    });
    Ok(shown.collect())
}

crate::options!(AverageDrop {
    {
        /// What pixels without saliency become, zero by default.
        baseline: Hidden as "baseline", "what pixels without saliency become", HIDDEN
    }
});

measures!(AverageDrop);

const GRAD_CAM_PLUS_PLUS: &str = "Chattopadhyay et al. 2018";

pub(crate) const METRICS: [&MetricInfo; 3] = [
    &info!(
        "average-drop": "Average drop", Smaller, Faithfulness, needs(scores), GRAD_CAM_PLUS_PLUS;
        AverageDrop::OPTIONS, AverageDrop::drop()
    ),
    &info!(
        "increase-in-confidence" or "average-increase": "Increase in confidence", Larger, Faithfulness, needs(scores),
        GRAD_CAM_PLUS_PLUS; AverageDrop::OPTIONS, AverageDrop::increase()
    ),
    &info!(
        "average-gain": "Average gain", Larger, Faithfulness, needs(scores), "Zhang et al. 2024";
        AverageDrop::OPTIONS, AverageDrop::gain()
    ),
];
