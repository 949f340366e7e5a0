//! KernelSHAP: Shapley values of segments by weighted least squares.
//!
//! Lundberg and Lee, *A unified approach to interpreting model predictions* (2017). The Shapley
//! values `phi` of the game `v` minimise
//!
//! `sum_z k(z) (v(z) - v(none) - phi . z)^2` under `sum phi = v(all) - v(none)`
//!
//! over all coalitions `z` but those two, with `k(z) = (n - 1) / (C(n, s) s (n - s))` for `s` of `n`
//! segments. The constraint is met exactly, and not by a large weight as in Captum: the equations are
//! solved for what is left when every segment has an equal share of the difference, among numbers
//! that add up to zero.
//!
//! If `samples` is as large as the number of coalitions, `2^n - 2`, each is scored once and the values
//! are the Shapley values. Otherwise sizes are drawn with the weight that the kernel gives all
//! coalitions of a size, sets of a size evenly, and every set is followed by its complement, which
//! lessens the variance (Covert and Lee, *Improving KernelSHAP*, 2021). Samples then weigh the same.
//! With fewer samples than segments the values are the nearest to equal shares that explain the
//! samples.
//!
//! 1000 samples by default; Captum's `KernelShap` takes 25, Xplique's 800, the SHAP package
//! `2 n + 2048`. Segments are 50 of SLIC, as in the SHAP package's example on images.
//!
//! Memory: beside `batch_size` images, one number for each pair of segments, of which there may be
//! 4096.

use elucid_graph::INPUT;
use ndarray::{Array1, Array2};

use crate::attributor::Setup;
use crate::coalitions::hidden::{HIDDEN, Hidden};
use crate::coalitions::least_squares::{add_outer, check_size, solve};
use crate::coalitions::superpixels::{SEGMENTS, SEGMENTS_HELP};
use crate::coalitions::{Coalitional, Game, Superpixels, Values, coalitional, shuffled};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Setting};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;
use crate::work::batches;

/// Shapley values of segments by weighted least squares.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct KernelShap {
    pub(crate) setup: Setup,
    superpixels: Superpixels,
    baseline: Hidden,
    samples: usize,
}

impl KernelShap {
    /// 1000 coalitions of 50 segments of SLIC.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            superpixels: Superpixels::slic(50).where_they_fit().or_patches(),
            baseline: Hidden::zero(),
            samples: 1000,
        }
    }

    /// The number of coalitions of `segments` beside all and none, if it is no larger than that of
    /// samples.
    fn all_of(&self, segments: usize) -> Option<usize> {
        let sets = 1_usize.checked_shl(u32::try_from(segments).ok()?)?;
        let inner = sets.saturating_sub(2);
        (inner <= self.samples).then_some(inner)
    }
}

coalitional!(KernelShap);

crate::options!(KernelShap {
    {
        /// What is hidden together.
        superpixels: Superpixels as "segments", SEGMENTS_HELP, SEGMENTS
    }
    {
        /// How many coalitions are scored beside all and none, 1000 by default; each of them once if
        /// there are no more.
        samples: usize as "samples", "how many coalitions are scored", "1 or more", |samples| *samples > 0
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

impl Coalitional for KernelShap {
    const IS_COMPLETE: bool = true;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        check_size(segments)?;
        Ok(self.all_of(segments).unwrap_or(self.samples))
    }

    fn values(&self, game: &mut Game<'_, '_>, random: &mut Random) -> Values {
        let n = game.players();
        let share = (game.all() - game.none()) / n as f64;
        let all = self.all_of(n);
        let mut drawn = Draws::new(n);
        let (mut matrix, mut right) = (Array2::zeros((n, n)), Array1::<f64>::zeros(n));
        for batch in batches(all.unwrap_or(self.samples), game.batch_size()) {
            let coalitions: Vec<Vec<f32>> = batch
                .iter()
                .map(|&i| match all {
                    Some(_) => (0..n)
                        .map(|player| ((i + 1) >> player & 1) as f32)
                        .collect(),
                    None => drawn.next(random),
                })
                .collect();
            let scores = game.scores(&coalitions)?;
            for (coalition, score) in coalitions.iter().zip(scores) {
                let shown: f64 = coalition.iter().copied().map(f64::from).sum();
                let rest = score - game.none() - share * shown;
                let weight = match all {
                    Some(_) => kernel(n, shown),
                    None => 1.0,
                };
                let z: Vec<f64> = coalition
                    .iter()
                    .map(|&z| f64::from(z) - shown / n as f64)
                    .collect();
                add_outer(&mut matrix, &z, weight);
                for (sum, z) in right.iter_mut().zip(z) {
                    *sum += weight * rest * z;
                }
            }
            if game.is_stopped() {
                break;
            }
        }
        // The one direction that no sample has a part in, as strong as the others: nothing is found
        // along it.
        let strength = matrix.diag().sum() / (n * n) as f64;
        let rest = solve(&(matrix + strength), &right);
        let mean = rest.mean().unwrap_or(0.0);
        Ok(rest.mapv(|v| v - mean + share).into())
    }
}

/// The Shapley kernel of a coalition of `shown` of `n` segments.
fn kernel(n: usize, shown: f64) -> f64 {
    let n = n as f64;
    let sets: f64 = (1..=shown as usize)
        .map(|i| (n - shown + i as f64) / i as f64)
        .product();
    (n - 1.0) / (sets * shown * (n - shown))
}

/// Random coalitions, each followed by its complement.
struct Draws {
    n: usize,
    /// Of sizes from 1 to `n - 1`: the sum of the weights up to it.
    cumulative: Vec<f64>,
    complement: Option<Vec<f32>>,
}

impl Draws {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..n)
            .map(|size| {
                sum += 1.0 / (size * (n - size)) as f64;
                sum
            })
            .collect();
        Self {
            n,
            cumulative,
            complement: None,
        }
    }

    fn next(&mut self, random: &mut Random) -> Vec<f32> {
        if let Some(complement) = self.complement.take() {
            return complement;
        }
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = f64::from(random.uniform()) * total;
        let size = 1 + self.cumulative.partition_point(|&sum| sum <= at);
        let mut coalition = vec![0.0; self.n];
        for &player in shuffled(self.n, random).iter().take(size) {
            coalition[player] = 1.0;
        }
        self.complement = Some(coalition.iter().map(|&z| 1.0 - z).collect());
        coalition
    }
}

pub(crate) const METHOD: Method = Method::new(
    "kernel-shap",
    "KernelSHAP",
    "Lundberg and Lee 2017",
    |options| options.apply(KernelShap::new()),
)
.random()
.keeps_partial()
.sums_to("score - mean score of the baselines, each segment counted once")
.options(KernelShap::OPTIONS);
