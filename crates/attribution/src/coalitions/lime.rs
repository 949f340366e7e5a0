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
//! Memory: beside `batch_size` images, one number for each pair of segments, of which there may be
//! 4096.

use elucid_graph::INPUT;
use ndarray::{Array1, Array2};

use crate::attributor::Setup;
use crate::coalitions::hidden::{HIDDEN, Hidden};
use crate::coalitions::least_squares::{add_outer, check_size, solve};
use crate::coalitions::superpixels::{SEGMENTS, SEGMENTS_HELP};
use crate::coalitions::{Coalitional, Game, Superpixels, Values, coalitional};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Setting};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;
use crate::work::batches;

/// Weights of segments in a linear model of the score around the image.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Lime {
    pub(crate) setup: Setup,
    superpixels: Superpixels,
    baseline: Hidden,
    samples: usize,
    kernel_width: f64,
    ridge: f64,
}

impl Lime {
    /// 1000 coalitions of 50 segments of SLIC.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            superpixels: Superpixels::slic(50).where_they_fit().or_patches(),
            baseline: Hidden::zero(),
            samples: 1000,
            kernel_width: 0.25,
            ridge: 1.0,
        }
    }
}

coalitional!(Lime);

crate::options!(Lime {
    {
        /// What is hidden together.
        superpixels: Superpixels as "segments", SEGMENTS_HELP, SEGMENTS
    }
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
    {
        "baseline", HIDDEN_PIXELS, HIDDEN,
        |method, size| method.baseline.text(size),
        |method, text| {
            method.baseline = Setting::read(text)?;
            Some(())
        }
    }
});

impl Coalitional for Lime {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        check_size(segments)?;
        Ok(self.samples - 1)
    }

    fn values(&self, game: &mut Game<'_, '_>, random: &mut Random) -> Values {
        let n = game.players();
        let mut sums = Sums::new(n);
        // Scores are taken relative to the whole image's, whose weight is 1.
        sums.add(&vec![1.0; n], 0.0, 1.0);
        for batch in batches(self.samples - 1, game.batch_size()) {
            let coalitions: Vec<Vec<f32>> = batch
                .iter()
                .map(|_| (0..n).map(|_| random.below(2) as f32).collect())
                .collect();
            let scores = game.scores(&coalitions)?;
            for (coalition, score) in coalitions.iter().zip(scores) {
                let z: Vec<f64> = coalition.iter().copied().map(f64::from).collect();
                let distance = 1.0 - (z.iter().sum::<f64>() / n as f64).sqrt();
                let weight = (-0.5 * (distance / self.kernel_width).powi(2)).exp();
                sums.add(&z, score - game.all(), weight);
            }
            if game.is_stopped() {
                break;
            }
        }
        Ok(sums.weights(self.ridge).into())
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

    /// The intercept is gone when variables and scores are taken relative to their means.
    fn weights(self, ridge: f64) -> Array1<f64> {
        let n = self.z.len();
        let mut matrix = self.zz;
        for i in 0..n {
            for j in 0..=i {
                matrix[[i, j]] -= self.z[i] * self.z[j] / self.weight;
            }
            matrix[[i, i]] += ridge;
        }
        let right = self.zy - &self.z * (self.y / self.weight);
        solve(&matrix, &right)
    }
}

pub(crate) const METHOD: Method = Method::new(
    "lime",
    "LIME",
    "Ribeiro, Singh and Guestrin 2016",
    |options| options.apply(Lime::new()),
)
.random()
.keeps_partial()
.options(Lime::OPTIONS);
