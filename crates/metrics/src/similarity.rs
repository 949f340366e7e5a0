//! How alike two maps are.
//!
//! [`spearman`] compares the order of the pixels, [`ssim`] their local structure. Adebayo et al.
//! (2018) report both; Quantus takes Spearman's for cascading randomisation and SSIM for the random
//! logit.

use ndarray::{Array2, ArrayView2};

use crate::correlation::of_ranks;
use crate::error::MetricError;
use crate::options::words;

words! {
    /// A measure of likeness: 1 for equal maps.
    pub enum Similarity: "similarity", SIMILARITIES = "spearman or ssim" {
        /// [`spearman`].
        Spearman = "spearman",
        /// [`ssim`].
        Ssim = "ssim",
    }
}

impl Similarity {
    /// The measure of two maps of the same size.
    ///
    /// # Errors
    ///
    /// [`MetricError::Size`] for maps of two sizes.
    pub fn between(
        self,
        a: ArrayView2<'_, f32>,
        b: ArrayView2<'_, f32>,
    ) -> Result<f64, MetricError> {
        match self {
            Self::Spearman => spearman(a, b),
            Self::Ssim => ssim(a, b),
        }
    }
}

fn same_size(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<(), MetricError> {
    if a.dim() == b.dim() {
        return Ok(());
    }
    Err(MetricError::Size {
        what: "map",
        got: a.dim().into(),
        expected: b.dim().into(),
    })
}

/// Spearman's rank correlation, -1 to 1: the correlation of the ranks, of which equal values share
/// the mean. 0 where either map is constant, which orders nothing.
///
/// # Errors
///
/// [`MetricError::Size`] for maps of two sizes.
pub fn spearman(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<f64, MetricError> {
    same_size(a, b)?;
    let values = |map: ArrayView2<'_, f32>| map.iter().copied().collect::<Vec<f32>>();
    Ok(of_ranks(&values(a), &values(b)))
}

/// Structural similarity (Wang et al., 2004) of two maps, each scaled to `0..1` by its smallest and
/// largest value first, a constant one to 0.
///
/// The mean over all windows of 7 x 7 pixels that fit, or of the largest odd size that does, of
///
/// ```text
/// (2 ma mb + c1) (2 cab + c2) / ((ma^2 + mb^2 + c1) (va + vb + c2)),  c1 = 0.01^2, c2 = 0.03^2
/// ```
///
/// with means `m`, unbiased variances `v` and covariance `c`: scikit-image's
/// `structural_similarity(data_range=1)`. Adebayo et al. weight the window by a Gaussian.
///
/// # Errors
///
/// [`MetricError::Size`] for maps of two sizes.
pub fn ssim(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<f64, MetricError> {
    same_size(a, b)?;
    let (h, w) = a.dim();
    let side = h.min(w).min(7);
    let side = side - (side + 1) % 2 * usize::from(side > 0);
    if side == 0 {
        return Ok(0.0);
    }
    let (a, b) = (unit(a), unit(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        let values = ndarray::Zip::from(&a).and(&b).map_collect(|&a, &b| f(a, b));
        windows(&values, side)
    };
    let sums = [
        sum(&|a, _| a),
        sum(&|_, b| b),
        sum(&|a, _| a * a),
        sum(&|_, b| b * b),
        sum(&|a, b| a * b),
    ];
    let n = (side * side) as f64;
    let unbiased = (n / (n - 1.0).max(1.0)) / n;
    let (c1, c2) = (1e-4, 9e-4);
    let mut total = 0.0;
    for (y, x) in ndarray::indices(sums[0].dim()) {
        let [a, b, aa, bb, ab] = [0, 1, 2, 3, 4].map(|i: usize| sums[i][[y, x]]);
        let (ma, mb) = (a / n, b / n);
        let va = (aa - a * ma) * unbiased;
        let vb = (bb - b * mb) * unbiased;
        let cab = (ab - a * mb) * unbiased;
        total +=
            (2.0 * ma * mb + c1) * (2.0 * cab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
    Ok(total / sums[0].len() as f64)
}

/// The map from 0 for its smallest to 1 for its largest value; a constant one 0 everywhere.
pub(crate) fn unit(map: ArrayView2<'_, f32>) -> Array2<f64> {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (low, range) = (f64::from(low), f64::from(high) - f64::from(low));
    map.mapv(|v| match range > 0.0 {
        true => (f64::from(v) - low) / range,
        false => 0.0,
    })
}

/// Sums over all windows of `side` x `side` that fit.
fn windows(values: &Array2<f64>, side: usize) -> Array2<f64> {
    let (h, w) = values.dim();
    let rows = Array2::from_shape_fn((h, w + 1 - side), |(y, x)| {
        (x..x + side).map(|x| values[[y, x]]).sum::<f64>()
    });
    Array2::from_shape_fn((h + 1 - side, w + 1 - side), |(y, x)| {
        (y..y + side).map(|y| rows[[y, x]]).sum::<f64>()
    })
}
