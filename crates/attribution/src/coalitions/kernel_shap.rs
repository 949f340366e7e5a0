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
//! **Standard errors** ([`Attribution::standard_errors`](crate::Attribution::standard_errors)) are those over other random
//! samples, by White's sandwich, which holds though the game is not linear in the segments: with `z'` a coalition
//! relative to its mean, `M = sum z' z'^T` and a pair's difference `d` of residuals, the variances are the diagonal of
//! `M^-1 (sum over pairs of d^2 z' z'^T) M^-1`, times `p / (p - segments + 1)` of `p` pairs; a coalition and its
//! complement are one draw. Where each coalition was scored they are 0, and there are none of too few samples.
//!
//! 1000 samples by default; Captum's `KernelShap` takes 25, Xplique's 800, the SHAP package
//! `2 n + 2048`. Segments are 50 of SLIC, as in the SHAP package's example on images.
//!
//! Memory: beside `batch_size` images, one number for each pair of segments, of which there may be
//! 4096.

use ndarray::{Array1, Array2};

use crate::budget::DOUBLE;
use crate::coalitions::least_squares::{Sandwich, add_outer, check_size, factors};
use crate::coalitions::{
    Coalitional, Estimate, Play, Superpixels, Values, Worth, coalitional, shuffled,
};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::random::Random;

coalitional! {
    /// Shapley values of segments by weighted least squares.
    pub struct KernelShap of Superpixels::slic(50), {
        samples: usize = 1000,
    }
    /// 1000 coalitions of 50 segments of SLIC.
    new
    options {
        {
            /// How many coalitions are scored beside all and none, 1000 by default; each of them once if
            /// there are no more.
            samples: usize as "samples", "how many coalitions are scored", "1 or more", |samples| *samples > 0
        }
    }
}

impl KernelShap {
    /// The number of coalitions of `segments` beside all and none, if it is no larger than that of
    /// samples.
    fn all_of(&self, segments: usize) -> Option<usize> {
        let sets = 1_usize.checked_shl(u32::try_from(segments).ok()?)?;
        let inner = sets.saturating_sub(2);
        (inner <= self.samples).then_some(inner)
    }
}

impl Coalitional for KernelShap {
    const IS_COMPLETE: bool = true;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        check_size(segments)?;
        Ok(self.all_of(segments).unwrap_or(self.samples))
    }

    fn held(&self, _segments: usize) -> [usize; 4] {
        [1, 1, self.samples, DOUBLE]
    }

    fn play(&self, segments: usize, random: Random) -> Box<dyn Play + '_> {
        Box::new(Fit {
            all: self.all_of(segments),
            first: random.clone(),
            draws: Draws::new(segments, random),
            number: 0,
            matrix: Array2::zeros((segments, segments)),
            right: Array1::zeros(segments),
            rests: Vec::new(),
        })
    }
}

/// Coalitions, and the equations of those that were heard.
struct Fit {
    /// How many there are, if each of them is asked about.
    all: Option<usize>,
    /// Where random numbers began.
    first: Random,
    draws: Draws,
    /// How many were drawn.
    number: usize,
    matrix: Array2<f64>,
    right: Array1<f64>,
    /// What each scored more than equal shares give.
    rests: Vec<f64>,
}

/// A coalition relative to its mean.
fn centred(coalition: &[f32]) -> Array1<f64> {
    let z = Array1::from_iter(coalition.iter().copied().map(f64::from));
    let mean = z.sum() / z.len() as f64;
    z - mean
}

impl Play for Fit {
    fn draw(&mut self) -> Vec<f32> {
        self.number += 1;
        match self.all {
            Some(_) => (0..self.draws.n)
                .map(|player| (self.number >> player & 1) as f32)
                .collect(),
            None => self.draws.next(),
        }
    }

    fn hear(&mut self, coalition: &[f32], score: f64, worth: Worth) {
        let n = coalition.len();
        let shown: f64 = coalition.iter().copied().map(f64::from).sum();
        let rest = score - worth.none - (worth.all - worth.none) / n as f64 * shown;
        let weight = match self.all {
            Some(_) => kernel(n, shown),
            None => 1.0,
        };
        let z = centred(coalition);
        add_outer(&mut self.matrix, z.as_slice().unwrap_or_default(), weight);
        self.right.scaled_add(weight * rest, &z);
        self.rests.push(rest);
    }

    fn end(&mut self, worth: Worth, go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values {
        let n = self.right.len();
        let share = (worth.all - worth.none) / n as f64;
        // The one direction that no sample has a part in, as strong as the others: nothing is found
        // along it.
        let strength = self.matrix.diag().sum() / (n * n) as f64;
        let factors = factors(&(&self.matrix + strength));
        let rest = factors.solve(&self.right);
        let mean = rest.mean().unwrap_or(0.0);
        let rest = rest - mean;
        let errors = match self.all {
            // Nothing was left to chance.
            Some(all) => (self.rests.len() == all).then(|| Array1::zeros(n)),
            None => {
                let mut sandwich = Sandwich::new(&factors, n);
                // The same coalitions once more: they are not kept.
                let mut draws = Draws::new(n, self.first.clone());
                for (i, pair) in self.rests.chunks_exact(2).enumerate() {
                    if i % 1024 == 0 {
                        go_on()?;
                    }
                    let z = centred(&draws.next());
                    draws.next();
                    // A complement has the same variables with the other sign.
                    let residuals = (pair[0] - z.dot(&rest)) - (pair[1] + z.dot(&rest));
                    sandwich.add(&(z * residuals));
                }
                sandwich.errors(n - 1)
            }
        };
        let values = rest + share;
        Ok(Estimate { values, errors })
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
    random: Random,
    /// Of sizes from 1 to `n - 1`: the sum of the weights up to it.
    cumulative: Vec<f64>,
    complement: Option<Vec<f32>>,
}

impl Draws {
    fn new(n: usize, random: Random) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..n)
            .map(|size| {
                sum += 1.0 / (size * (n - size)) as f64;
                sum
            })
            .collect();
        Self {
            n,
            random,
            cumulative,
            complement: None,
        }
    }

    fn next(&mut self) -> Vec<f32> {
        if let Some(complement) = self.complement.take() {
            return complement;
        }
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = f64::from(self.random.uniform()) * total;
        let size = 1 + self.cumulative.partition_point(|&sum| sum <= at);
        let mut coalition = vec![0.0; self.n];
        for &player in shuffled(self.n, &mut self.random).iter().take(size) {
            coalition[player] = 1.0;
        }
        self.complement = Some(coalition.iter().map(|&z| 1.0 - z).collect());
        coalition
    }
}

pub(crate) const METHOD: Method =
    Method::of::<KernelShap>("kernel-shap", "KernelSHAP", "Lundberg and Lee 2017")
        .random()
        .keeps_partial()
        .sums_to("score - mean score of the baselines, each segment counted once");
