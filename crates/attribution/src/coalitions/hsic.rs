//! HSIC attribution: how far the score depends on whether a segment is shown.
//!
//! Novello, Fel and Vigouroux, *Making sense of dependence: efficient black-box explanations using
//! dependence measure* (2022). Over random coalitions `z`, a segment's number is the Hilbert-Schmidt
//! independence criterion between its being shown and the score, in the estimate of Gretton et al.
//! (2005) from `p` samples,
//!
//! `trace(K H L H) / (p - 1)^2`, with `H = I - 1/p`,
//!
//! with the kernel `K` of whether it is shown, 1/2 for two samples that agree and -1/2 for two that
//! do not, and that of scores `L = exp(-(v - v')^2 / (2 s^2))`. It has no sign, is about 0.25 at most,
//! and zero, but for the estimate's error of order `1/p`, where scores are distributed alike with the
//! segment and without it: also for two segments of which the score tells only whether they agree.
//!
//! The width `s` is the median distance between two scores, as usual for this kernel; the largest
//! where more than half of the pairs have the same score. Xplique takes the median score, which
//! depends on where scores have their zero. Each segment is shown in half of the samples, rounded
//! down, so that the estimate does not vary with how often it is; the paper's designs are its
//! options in Xplique. A grid of 8 x 8 cells and 500 samples, as there.
//!
//! Memory: beside `batch_size` images, 4 bytes for each pair of samples, of which there may be 10000 at
//! most, and 20 bytes for each sample and segment.

use elucid_graph::INPUT;
use ndarray::Array1;

use crate::attributor::Setup;
use crate::budget::{DOUBLE, SINGLE};
use crate::coalitions::hidden::{HIDDEN, Hidden};
use crate::coalitions::superpixels::{SEGMENTS, SEGMENTS_HELP};
use crate::coalitions::{Coalitional, Game, Superpixels, Values, coalitional, shuffled};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Setting};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;

/// Most samples: 400 MB of the distances of their pairs.
const MAX_SAMPLES: usize = 10_000;

/// Dependence of the score on segments.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct HsicAttribution {
    pub(crate) setup: Setup,
    superpixels: Superpixels,
    baseline: Hidden,
    samples: usize,
}

impl HsicAttribution {
    /// 500 coalitions of the cells of a grid of 8 x 8.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            superpixels: Superpixels::grid(8).where_they_fit().or_patches(),
            baseline: Hidden::zero(),
            samples: 500,
        }
    }
}

coalitional!(HsicAttribution);

crate::options!(HsicAttribution {
    {
        /// What is hidden together.
        superpixels: Superpixels as "segments", SEGMENTS_HELP, SEGMENTS
    }
    {
        /// How many coalitions are scored, 2 to 10000, 500 by default.
        samples: usize as "samples", "how many coalitions are scored", "2 to 10000",
        |samples| (2..=MAX_SAMPLES).contains(samples)
    }
    {
        "baseline", HIDDEN_PIXELS, HIDDEN,
        |method, size| method.baseline.text(size),
        |method, text| {
            method.baseline = Setting::read(text)?;
            Some(())
        }
    }
});

impl Coalitional for HsicAttribution {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, _segments: usize) -> Result<usize, AttributionError> {
        Ok(self.samples)
    }

    /// Of each sample and segment its rank, whether it is shown, and its sign; of each pair of samples the
    /// distance of their scores.
    fn held(&self, segments: usize) -> [usize; 4] {
        let each = SINGLE + 2 * DOUBLE;
        let bytes = segments
            .saturating_mul(each)
            .saturating_add(self.samples * DOUBLE / 2);
        [1, 1, self.samples, bytes]
    }

    fn values(&self, game: &mut Game<'_, '_>, random: &mut Random) -> Values {
        let (n, p) = (game.players(), self.samples);
        let ranks: Vec<Vec<usize>> = (0..n).map(|_| shuffled(p, random)).collect();
        let shown = |sample: usize| ranks.iter().map(move |rank| rank[sample] < p / 2);
        let coalitions: Vec<Vec<f32>> = (0..p)
            .map(|sample| {
                shown(sample)
                    .map(|shown| f32::from(u8::from(shown)))
                    .collect()
            })
            .collect();
        let scores = game.scores(&coalitions)?;
        // Fewer, where it was stopped.
        let p = scores.len();
        let Some(width) = width(&scores) else {
            return Ok(Array1::zeros(n).into());
        };
        // With signs s of 1 and -1, K is s s^T / 2, and centring L is centring s.
        let sign = |shown: f32| 2.0 * f64::from(shown) - 1.0;
        let coalitions = &coalitions[..p];
        let centre = |player: usize| {
            let sum: f64 = coalitions.iter().map(|shown| sign(shown[player])).sum();
            sum / p as f64
        };
        let centres: Vec<f64> = (0..n).map(centre).collect();
        let signs: Vec<Vec<f64>> = coalitions
            .iter()
            .map(|shown| {
                let each = shown.iter().zip(&centres);
                each.map(|(&shown, centre)| sign(shown) - centre).collect()
            })
            .collect();
        let mut dependence = Array1::<f64>::zeros(n);
        for (i, (here, &score)) in signs.iter().zip(&scores).enumerate() {
            game.go_on()?;
            for (value, sign) in dependence.iter_mut().zip(here) {
                *value += sign * sign;
            }
            for (there, &other) in signs[..i].iter().zip(&scores) {
                let likeness = (-0.5 * ((score - other) / width).powi(2)).exp();
                for ((value, a), b) in dependence.iter_mut().zip(here).zip(there) {
                    *value += 2.0 * likeness * a * b;
                }
            }
        }
        let dependence = dependence / (2.0 * (p as f64 - 1.0).powi(2));
        Ok(dependence.into())
    }
}

/// The median distance between two scores, or the largest if that is 0; `None` if they are all the
/// same.
fn width(scores: &[f64]) -> Option<f64> {
    let mut distances: Vec<f64> = scores
        .iter()
        .enumerate()
        .flat_map(|(i, a)| scores[..i].iter().map(move |b| (a - b).abs()))
        .collect();
    let middle = distances.len() / 2;
    if distances.is_empty() {
        return None;
    }
    let median = *distances.select_nth_unstable_by(middle, f64::total_cmp).1;
    let largest = distances.into_iter().fold(0.0, f64::max);
    [median, largest].into_iter().find(|&width| width > 0.0)
}

pub(crate) const METHOD: Method = Method::new(
    "hsic",
    "HSIC attribution",
    "Novello, Fel and Vigouroux 2022",
    |options| options.apply(HsicAttribution::new()),
)
.random()
.keeps_partial()
.options(HsicAttribution::OPTIONS);
