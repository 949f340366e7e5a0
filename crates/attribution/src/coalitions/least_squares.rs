//! Small systems of linear equations, in double precision.

use ndarray::{Array1, Array2, s};

use crate::error::AttributionError;
use crate::work::require;

/// Segments for which a matrix of all pairs is still a small one: 128 MiB.
const MAX_SEGMENTS: usize = 4096;

/// Refuses more segments than normal equations can be solved for.
pub(crate) fn check_size(segments: usize) -> Result<(), AttributionError> {
    require(
        segments <= MAX_SEGMENTS,
        "segments",
        segments,
        "4096 or fewer, for a linear model of them all",
    )
}

/// Adds `weight * x * x^T` to the lower triangle of `matrix`.
pub(crate) fn add_outer(matrix: &mut Array2<f64>, x: &[f64], weight: f64) {
    for (i, &xi) in x.iter().enumerate() {
        let factor = weight * xi;
        if factor != 0.0 {
            for (entry, &xj) in matrix.row_mut(i).iter_mut().zip(&x[..=i]) {
                *entry += factor * xj;
            }
        }
    }
}

/// A symmetric matrix without negative eigenvalues, ready to solve equations.
pub(crate) struct Factors {
    /// `L` with `L L^T` the matrix; `None` for one of zeros.
    l: Option<Array2<f64>>,
    /// Whether it says nothing of some directions.
    pub is_singular: bool,
}

/// Factors a matrix of which the lower triangle is read.
///
/// Where there are many solutions, [`Factors::solve`] gives nearly the shortest: 1e-8 of the largest entry of the
/// diagonal is added to all of it then. That changes the solution by as much as rounding does along directions that the
/// matrix says nothing of, which grows as less is added.
pub(crate) fn factors(matrix: &Array2<f64>) -> Factors {
    let scale = matrix.diag().iter().fold(0.0, |a: f64, &b| a.max(b));
    let regular = cholesky(matrix, 0.0, 1e-8 * scale);
    let is_singular = regular.is_none();
    let l = regular.or_else(|| cholesky(matrix, 1e-8 * scale, 1e-9 * scale));
    Factors { l, is_singular }
}

impl Factors {
    /// The solution of `matrix * x = right`.
    pub fn solve(&self, right: &Array1<f64>) -> Array1<f64> {
        let l = self.l.as_ref();
        l.map_or_else(|| Array1::zeros(right.len()), |l| substitute(l, right))
    }
}

/// The variance of each coefficient of a weighted least squares fit whose samples are drawn at random, by White's
/// sandwich, `M^-1 (sum_i u_i u_i^T) M^-1` with the matrix `M` of the equations and `u_i` what sample `i` adds to their
/// right side when the fit is subtracted: weight times residual times variables.
///
/// It makes no assumption on residuals: they may depend on the variables, as they do where the model does not hold, and
/// their size, too. White, *A heteroskedasticity-consistent covariance matrix estimator and a direct test for
/// heteroskedasticity*, Econometrica 1980; of samples that are drawn in pairs each `u_i` is that of a pair (Liang and
/// Zeger, Biometrika 1986). The factor `n / (n - coefficients)` is that of MacKinnon and White, Journal of Econometrics
/// 1985, called HC1.
pub(crate) struct Sandwich<'m> {
    factors: &'m Factors,
    squares: Array1<f64>,
    count: usize,
}

impl<'m> Sandwich<'m> {
    pub fn new(factors: &'m Factors, coefficients: usize) -> Self {
        Self {
            factors,
            squares: Array1::zeros(coefficients),
            count: 0,
        }
    }

    /// Adds what one sample adds to the right side.
    pub fn add(&mut self, u: &Array1<f64>) {
        self.count += 1;
        let moves = self.factors.solve(u);
        self.squares
            .zip_mut_with(&moves, |sum, moved| *sum += moved * moved);
    }

    /// The standard errors, where `fitted` numbers were fitted; `None` where samples leave none of them open, or say
    /// nothing of some.
    pub fn errors(&self, fitted: usize) -> Option<Array1<f64>> {
        let left = self.count.checked_sub(fitted).filter(|left| *left > 0)?;
        let factor = self.count as f64 / left as f64;
        (!self.factors.is_singular).then(|| self.squares.map(|square| (factor * square).sqrt()))
    }
}

/// `L` with `L L^T = matrix + ridge I`; `None` when a pivot is not above `least`.
fn cholesky(matrix: &Array2<f64>, ridge: f64, least: f64) -> Option<Array2<f64>> {
    let n = matrix.nrows();
    let mut l = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let known = l.slice(s![i, ..j]).dot(&l.slice(s![j, ..j]));
            let rest = matrix[[i, j]] - known;
            if i != j {
                l[[i, j]] = rest / l[[j, j]];
            } else if rest + ridge > least {
                l[[i, i]] = (rest + ridge).sqrt();
            } else {
                return None;
            }
        }
    }
    Some(l)
}

/// The solution of `L L^T x = right`.
fn substitute(l: &Array2<f64>, right: &Array1<f64>) -> Array1<f64> {
    let n = right.len();
    let mut x = right.clone();
    for i in 0..n {
        let known: f64 = (0..i).map(|j| l[[i, j]] * x[j]).sum();
        x[i] = (x[i] - known) / l[[i, i]];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| l[[j, i]] * x[j]).sum();
        x[i] = (x[i] - known) / l[[i, i]];
    }
    x
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn solutions() {
        let mut matrix = Array2::zeros((3, 3));
        let rows = [[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [1.0, 1.0, -2.0]];
        for row in &rows {
            add_outer(&mut matrix, row, 0.7);
        }
        let want = array![1.0, -2.0, 0.25];
        let full = Array2::from_shape_fn((3, 3), |(i, j)| matrix[[i.max(j), i.min(j)]]);
        let got = factors(&matrix).solve(&full.dot(&want));
        assert!((got - want).iter().all(|e| e.abs() < 1e-12));

        // One equation x + y = 2: of all solutions the shortest.
        let mut matrix = Array2::zeros((2, 2));
        add_outer(&mut matrix, &[1.0, 1.0], 1.0);
        let got = factors(&matrix).solve(&array![2.0, 2.0]);
        assert!((got - 1.0).iter().all(|e| e.abs() < 1e-7));

        let nothing = factors(&Array2::zeros((2, 2))).solve(&array![0.0, 0.0]);
        assert_eq!(nothing, array![0.0, 0.0]);
    }
}
