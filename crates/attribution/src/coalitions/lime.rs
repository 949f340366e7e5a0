//! LIME: a linear model of the score around the image.
//!
//! Ribeiro, Singh and Guestrin, *"Why should I trust you?" Explaining the predictions of any
//! classifier* (2016). Of random coalitions `z`, in which each segment is shown with probability 1/2,
//! the weights `w` minimise
//!
//! `sum_z k(z) (v(z) - b - w . z)^2 + ridge |w|^2`, with `k(z) = exp(-d(z)^2 / (2 width^2))`
//!
//! where `d(z) = 1 - sqrt(shown / segments)` is the cosine distance from the whole image, 1 if nothing
//! is shown. The whole image is the first sample. The intercept `b` is not shrunk. The normal
//! equations are solved in double precision; where samples are too few to tell, the solution is that
//! of smallest weights.
//!
//! | | samples | width | shrinking | segments | hidden pixels |
//! | --- | --- | --- | --- | --- | --- |
//! | here | 1000 | 0.25 | ridge 1 | SLIC, 50 | zero, or [`segment_mean`](Lime::segment_mean) |
//! | the authors' `lime_image` | 1000 | 0.25 | ridge 1 | quickshift | the segment's mean colour |
//! | Captum's `Lime` | 25 | 1 | lasso 0.01 | none: pixels | zero |
//! | Xplique's `Lime` | 150 | 45 | ridge 2 | quickshift | 0.5 of images with three channels |
//!
//! The authors' kernel is the one here. Captum's and Xplique's have its form with a distance between
//! images instead of coalitions, of which Captum takes the cosine and Xplique the Euclidean one. 25
//! samples cannot tell 50 segments apart. With a
//! [`ridge`](Lime::ridge) of 0, a score that is linear in the segments is recovered exactly. Weights
//! add up to nothing in particular: [`KernelShap`](crate::KernelShap) differs in the kernel, and does.
//!
//! **Standard errors** ([`Attribution::standard_errors`](crate::Attribution::standard_errors)) are those of the coefficients
//! over other random samples, by White's sandwich, which holds though the score is not linear in the segments: with the
//! equations' matrix `M = sum_z k(z) (z - m)(z - m)^T + ridge`, the weighted mean `m` of `z` and residuals `e`, the variances
//! are the diagonal of `M^-1 (sum_z k(z)^2 e(z)^2 (z - m)(z - m)^T) M^-1`, times `n / (n - segments - 1)`. The whole image is
//! no random sample. They say nothing of what the ridge shrinks; there are none of too few samples.
//!
//! Memory: beside `batch_size` images, one number for each pair of segments, of which there may be
//! 4096.

use ndarray::{Array1, Array2};

use crate::budget::DOUBLE;
use crate::coalitions::least_squares::{Factors, Sandwich, add_outer, check_size, factors};
use crate::coalitions::{Coalitional, Estimate, Play, Superpixels, Values, Worth, coalitional};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::random::Random;

coalitional! {
    /// Weights of segments in a linear model of the score around the image.
    pub struct Lime of Superpixels::slic(50), {
        samples: usize = 1000,
        kernel_width: f64 = 0.25,
        ridge: f64 = 1.0,
    }
    /// 1000 coalitions of 50 segments of SLIC.
    new
    options {
        {
            /// How many coalitions are scored, the whole image among them, 1000 by default.
            samples: usize as "samples", "how many coalitions are scored", "1 or more", |samples| *samples > 0
        }
        {
            /// The distance at which a sample counts 0.61 times as much as the whole image, 0.25 by default.
            /// Distances are from 0 to 1; most are near 0.29.
            kernel_width: f64 as "kernel-width",
            "the distance from the whole image, 0 to 1, over which samples count", "a number above 0",
            |width| width.is_finite() && *width > 0.0
        }
        {
            /// How strongly weights are drawn to zero, 1 by default: beside it stands, for each segment,
            /// about an eighth of the number of samples.
            ridge: f64 as "ridge", "how strongly weights are drawn to zero", "0 or more",
            |ridge| ridge.is_finite() && *ridge >= 0.0
        }
    }
}

impl Coalitional for Lime {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        check_size(segments)?;
        Ok(self.samples - 1)
    }

    fn held(&self, _segments: usize) -> [usize; 4] {
        [1, 1, self.samples, DOUBLE]
    }

    fn play(&self, segments: usize, random: Random) -> Box<dyn Play + '_> {
        let mut sums = Sums::new(segments);
        // Scores are taken relative to the whole image's, whose weight is 1.
        sums.add(&vec![1.0; segments], 0.0, 1.0);
        Box::new(Near {
            method: self,
            first: random.clone(),
            random,
            sums,
            scores: Vec::new(),
        })
    }
}

/// Random coalitions, and the sums over those that were heard.
struct Near<'m> {
    method: &'m Lime,
    /// Where random numbers began.
    first: Random,
    random: Random,
    sums: Sums,
    /// Relative to the whole image's.
    scores: Vec<f64>,
}

/// Each segment is shown or not, by a coin.
fn tossed(segments: usize, random: &mut Random) -> Vec<f32> {
    (0..segments).map(|_| random.below(2) as f32).collect()
}

impl Lime {
    /// How much a coalition counts.
    fn weight(&self, z: &[f64]) -> f64 {
        let distance = 1.0 - (z.iter().sum::<f64>() / z.len() as f64).sqrt();
        (-0.5 * (distance / self.kernel_width).powi(2)).exp()
    }
}

impl Play for Near<'_> {
    fn draw(&mut self) -> Vec<f32> {
        tossed(self.sums.z.len(), &mut self.random)
    }

    fn hear(&mut self, coalition: &[f32], score: f64, worth: Worth) {
        let z: Vec<f64> = coalition.iter().copied().map(f64::from).collect();
        let score = score - worth.all;
        self.sums.add(&z, score, self.method.weight(&z));
        self.scores.push(score);
    }

    fn end(&mut self, _worth: Worth, go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values {
        let sums = &self.sums;
        let segments = sums.z.len();
        let (factors, right) = sums.equations(self.method.ridge);
        let values = factors.solve(&right);
        let centre = &sums.z / sums.weight;
        let intercept = sums.y / sums.weight - centre.dot(&values);
        let mut sandwich = Sandwich::new(&factors, segments);
        // The same coalitions once more: they are not kept.
        let mut random = self.first.clone();
        for (i, score) in self.scores.iter().enumerate() {
            if i % 1024 == 0 {
                go_on()?;
            }
            let z = tossed(segments, &mut random).into_iter().map(f64::from);
            let z = Array1::from_iter(z);
            let weight = self.method.weight(z.as_slice().unwrap_or_default());
            let residual = score - intercept - z.dot(&values);
            sandwich.add(&((z - &centre) * (weight * residual)));
        }
        Ok(Estimate {
            errors: sandwich.errors(segments + 1),
            values,
        })
    }
}

/// Sums over weighted samples.
struct Sums {
    weight: f64,
    z: Array1<f64>,
    zz: Array2<f64>,
    y: f64,
    zy: Array1<f64>,
}

impl Sums {
    fn new(n: usize) -> Self {
        Self {
            weight: 0.0,
            z: Array1::zeros(n),
            zz: Array2::zeros((n, n)),
            y: 0.0,
            zy: Array1::zeros(n),
        }
    }

    fn add(&mut self, z: &[f64], y: f64, weight: f64) {
        self.weight += weight;
        self.y += weight * y;
        for ((sum, product), &z) in self.z.iter_mut().zip(&mut self.zy).zip(z) {
            *sum += weight * z;
            *product += weight * z * y;
        }
        add_outer(&mut self.zz, z, weight);
    }

    /// Those of the coefficients. The intercept is gone when variables and scores are taken relative to their means.
    fn equations(&self, ridge: f64) -> (Factors, Array1<f64>) {
        let n = self.z.len();
        let mut matrix = self.zz.clone();
        for i in 0..n {
            for j in 0..=i {
                matrix[[i, j]] -= self.z[i] * self.z[j] / self.weight;
            }
            matrix[[i, i]] += ridge;
        }
        let right = &self.zy - &self.z * (self.y / self.weight);
        (factors(&matrix), right)
    }
}

pub(crate) const METHOD: Method =
    Method::of::<Lime>("lime", "LIME", "Ribeiro, Singh and Guestrin 2016")
        .random()
        .keeps_partial();
