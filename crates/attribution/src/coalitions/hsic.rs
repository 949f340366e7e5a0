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
//! **Standard errors** ([`Attribution::standard_errors`](crate::Attribution::standard_errors)) are those of the asymptotic
//! distribution of the criterion (Gretton, Fukumizu, Teo, Song, Schölkopf and Smola, *A kernel statistical test of
//! independence*, NeurIPS 2007, theorem 1): `2 sd(r) / sqrt(p)` with `r_i = sum_j (HKH)_ij (HLH)_ij / p`. That is normal
//! where score and segment depend on each other; of a segment that has no part in the score, whose number is of the order
//! of its error, they tell the order alone. The width is taken as given, and samples as independent, though each segment is
//! shown in half of them: errors are rather too large than too small.
//!
//! Memory: beside `batch_size` images, 4 bytes for each pair of samples, of which there may be 10000 at
//! most, and 24 bytes for each sample and segment, which bounds their product. Time, beside that of the network: for `p`
//! samples `p^2` exponentials, and `p^2` multiplications for each segment.

use ndarray::{Array2, Axis, s};

use crate::budget::DOUBLE;
use crate::coalitions::{
    Coalitional, Estimate, Play, Superpixels, Values, Worth, coalitional, shuffled,
};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::random::Random;

/// Most samples: 400 MB of the distances of their pairs.
const MAX_SAMPLES: usize = 10_000;

coalitional! {
    /// Dependence of the score on segments.
    pub struct HsicAttribution of Superpixels::grid(8), {
        samples: usize = 500,
    }
    /// 500 coalitions of the cells of a grid of 8 x 8.
    new
    options {
        {
            /// How many coalitions are scored, 2 to 10000, 500 by default.
            samples: usize as "samples", "how many coalitions are scored", "2 to 10000",
            |samples| (2..=MAX_SAMPLES).contains(samples)
        }
    }
}

impl Coalitional for HsicAttribution {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, _segments: usize) -> Result<usize, AttributionError> {
        Ok(self.samples)
    }

    /// Of each sample and segment its rank, its sign and its part; of each pair of samples the distance of their
    /// scores.
    fn held(&self, segments: usize) -> [usize; 4] {
        let bytes = segments
            .saturating_mul(3 * DOUBLE)
            .saturating_add(self.samples * DOUBLE / 2);
        [1, 1, self.samples, bytes]
    }

    fn play(&self, segments: usize, mut random: Random) -> Box<dyn Play + '_> {
        let ranks = (0..segments).map(|_| shuffled(self.samples, &mut random));
        Box::new(Balanced {
            samples: self.samples,
            ranks: ranks.collect(),
            drawn: 0,
            scores: Vec::new(),
        })
    }
}

/// Coalitions that show each segment in half of the samples.
struct Balanced {
    samples: usize,
    /// Of each segment the order of the samples; it is shown in the first half.
    ranks: Vec<Vec<usize>>,
    drawn: usize,
    scores: Vec<f64>,
}

impl Balanced {
    fn shows(&self, segment: usize, sample: usize) -> bool {
        self.ranks[segment][sample] < self.samples / 2
    }
}

impl Play for Balanced {
    fn draw(&mut self) -> Vec<f32> {
        let sample = self.drawn;
        self.drawn += 1;
        (0..self.ranks.len())
            .map(|segment| f32::from(u8::from(self.shows(segment, sample))))
            .collect()
    }

    fn hear(&mut self, _coalition: &[f32], score: f64, _worth: Worth) {
        self.scores.push(score);
    }

    fn end(&mut self, _worth: Worth, go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values {
        // Fewer than planned, where it was stopped.
        let (n, p) = (self.ranks.len(), self.scores.len());
        let scores = &self.scores;
        let Some(width) = width(scores) else {
            return Ok(Estimate::none(n));
        };
        // With signs s of 1 and -1, K is s s^T / 2, and centring L is centring s.
        let sign = |(sample, segment)| {
            if self.shows(segment, sample) {
                1.0
            } else {
                -1.0
            }
        };
        let mut signs = Array2::<f64>::from_shape_fn((p, n), sign);
        let centre = signs.sum_axis(Axis(0)) / p as f64;
        signs -= &centre;
        // L s, some rows at a time.
        let mut likened = Array2::<f64>::zeros((p, n));
        for from in (0..p).step_by(ROWS) {
            go_on()?;
            let rows = from..p.min(from + ROWS);
            let likeness = Array2::from_shape_fn((rows.len(), p), |(i, j)| {
                (-0.5 * ((scores[from + i] - scores[j]) / width).powi(2)).exp()
            });
            likened
                .slice_mut(s![rows, ..])
                .assign(&likeness.dot(&signs));
        }
        let means = likened.sum_axis(Axis(0)) / p as f64;
        // Of each sample its part in the criterion, and then how far that is from the mean.
        let mut parts = (likened - &means) * &signs / 2.0;
        let count = p as f64;
        let total = parts.sum_axis(Axis(0));
        parts -= &(&total / count);
        parts.mapv_inplace(|away| away * away);
        let scale = count / (count - 1.0).powi(2);
        let error = |squares: f64| 2.0 * scale * (squares / (count * (count - 1.0))).sqrt();
        Ok(Estimate {
            errors: (p > 2).then(|| parts.sum_axis(Axis(0)).mapv(error)),
            values: total / (count - 1.0).powi(2),
        })
    }
}

/// How many rows of the matrix of all pairs are made at a time.
const ROWS: usize = 64;

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

pub(crate) const METHOD: Method = Method::of::<HsicAttribution>(
    "hsic",
    "HSIC attribution",
    "Novello, Fel and Vigouroux 2022",
)
.random()
.keeps_partial()
.also(&["hsic-attribution"]);
