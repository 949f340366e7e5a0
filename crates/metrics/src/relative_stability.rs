//! Relative input and output stability: how far the explanation moves in proportion, for what moves in the image or in the scores.
//!
//! With the attribution `Phi` and the network's scores `h`, over images `x'` near `x` of which the network's best guess is the
//! same,
//!
//! ```text
//! RIS = max over x' of |(Phi(x) - Phi(x')) / Phi(x)| / max(|(x - x') / x|, eps)
//! ROS = max over x' of |(Phi(x) - Phi(x')) / Phi(x)| / max(|h(x) - h(x')|, eps)
//! ```
//!
//! with quotients number by number, in Euclidean norms; `eps` is 1e-6, and stands for numbers of `Phi` and `x` that are 0, too.
//! Smaller is better. The first asks for stability against the image, the second against what the network makes of it: a
//! network that jumps may be explained by jumps.
//!
//! Agarwal et al., *Rethinking stability for attribution-based explanations* (2022). Images near are the image with normal
//! noise of deviation 0.05 on every number, in units of the [`Scale`]; 10 of them, whose maximum grows with their number. Quantus'
//! `RelativeInputStability` and `RelativeOutputStability` have 200 with uniform noise of up to 0.2, and no number at
//! all as soon as one of them changes the best guess; here those are left out, and it is not applicable where none is left.
//!
//! Both are ruled by the attribution's smallest numbers: where one is nearly 0 its quotient is large, and where many are exactly
//! 0, as behind a ReLU, `eps` decides. Compare at equal layers, and look at the median over images beside the mean. The
//! attribution is that of the layer that the method attributes to. Memory: one batch of images, and their attributions.

use elucid_attribution::Configurable;

use crate::case::{Case, SCALES, Scale};
use crate::metric::{
    BATCH_SIZE, Halt, NotApplicable, at_least_one, forms, info, measures, setters,
};
use crate::neighbours::{Neighbours, length, noisy, own};
use crate::options::{is_positive, is_some_number};
use crate::probe::Probe;
use crate::table::MetricInfo;

/// What a change of the explanation is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    Input,
    Output,
}

/// How far the explanation moves in proportion.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct RelativeStability {
    against: Against,
    noise: f64,
    samples: usize,
    scale: Scale,
    batch_size: usize,
    seed: u64,
}

impl RelativeStability {
    fn new(against: Against) -> Self {
        Self {
            against,
            noise: 0.05,
            samples: 10,
            scale: Scale::Deviation,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    forms! {
        /// Against the change of the image (RIS).
        input => Against::Input,
        /// Against the change of the scores (ROS).
        output => Against::Output,
    }

    setters!(batch_size, seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        case.method()?;
        let unit = case.unit(self.scale)?;
        let first = own(case)?;
        let scores = Probe::new(case, 1)?.logits_of(case.image())?;
        let scores: Vec<f32> = scores.into_iter().collect();
        let guess = largest(&scores);
        let neighbours = Neighbours {
            samples: self.samples,
            batch_size: self.batch_size,
        };
        let change = noisy(self.noise * unit, case.random(self.seed));
        let mut worst: Option<f64> = None;
        neighbours.explain(case, true, change, |near| {
            if largest(near.scores) != guess {
                return Ok(());
            }
            let moved = near.attribution.iter().zip(&first);
            let moved = length(moved.map(|(&now, &before)| quotient(f64::from(now), before)));
            let by = match self.against {
                Against::Input => {
                    length(pairs(near.pixels, &case.pixels).map(|(a, b)| quotient(a, b)))
                }
                Against::Output => length(pairs(near.scores, &scores).map(|(a, b)| a - b)),
            };
            if !moved.is_finite() {
                return Err(NotApplicable::NotFinite.into());
            }
            worst = Some(worst.unwrap_or(0.0).max(moved / by.max(EPSILON)));
            Ok(())
        })?;
        Ok(worst.ok_or(NotApplicable::NoNeighbour)?)
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[match self.against {
            Against::Input => 0,
            Against::Output => 1,
        }]
    }
}

/// The least that anything is divided by.
const EPSILON: f64 = 1e-6;

/// The change as a share of what was before.
fn quotient(now: f64, before: f64) -> f64 {
    let by = match before {
        0.0 => EPSILON,
        before => before,
    };
    (before - now) / by
}

fn pairs<'p>(a: &'p [f32], b: &'p [f32]) -> impl Iterator<Item = (f64, f64)> + 'p {
    let pairs = a.iter().zip(b);
    pairs.map(|(&a, &b)| (f64::from(a), f64::from(b)))
}

/// Place of the first of the largest scores.
fn largest(scores: &[f32]) -> Option<usize> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter().position(|&score| score == most)
}

crate::options!(RelativeStability {
    {
        /// Deviation of the noise, 0.05 by default, in units of the [`Scale`].
        noise: f64 as "noise", "deviation of the noise that changes the image", "more than 0", is_positive
    }
    {
        /// How many changes, 10 by default.
        samples: usize as "samples", "how many changes of the image", "1 or more", is_some_number
    }
    {
        /// What the noise is measured in, the image's deviation by default.
        scale: Scale as "scale", "what the noise is measured in", SCALES
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(RelativeStability);

const REFERENCE: &str = "Agarwal et al. 2022";

pub(crate) const METRICS: [&MetricInfo; 2] = [
    &info!(
        "relative-input-stability" or "ris": "Relative input stability (RIS)", Smaller, Robustness,
        needs(scores, attributor), REFERENCE; RelativeStability::OPTIONS, RelativeStability::input(), batch_size, seed
    ),
    &info!(
        "relative-output-stability" or "ros": "Relative output stability (ROS)", Smaller, Robustness,
        needs(scores, attributor), REFERENCE; RelativeStability::OPTIONS, RelativeStability::output(), batch_size, seed
    ),
];
