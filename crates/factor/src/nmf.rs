//! Non-negative matrix factorisation.
//!
//! A matrix `X` of non-negative numbers, `[rows, columns]`, is approximated by `W H` with few
//! components, `W` `[rows, components]` and `H` `[components, columns]`, both non-negative. Rows that
//! are positions of a layer and columns that are its channels give *neuron groups*: a row of `H` is a
//! group of channels that fire together, a column of `W` where they do.
//!
//! # What is minimised
//!
//! ```text
//! loss(X, W H) + alpha_w columns (l1_ratio |W|_1 + (1 - l1_ratio)/2 |W|_F^2)
//!              + alpha_h rows    (l1_ratio |H|_1 + (1 - l1_ratio)/2 |H|_F^2)
//!
//! Frobenius:         1/2 sum (x - (W H))^2
//! Kullback-Leibler:  sum x ln(x / (W H)) - x + W H
//! ```
//!
//! # How
//!
//! [`Solver::CoordinateDescent`] (Cichocki and Phan, *Fast local algorithms for large scale
//! nonnegative matrix and tensor factorizations*, IEICE Transactions E92-A, 2009, where it is called
//! HALS), for each component `t` of `W` in turn, then the same for `H`:
//!
//! ```text
//! g = W (H H^T)_t - (X H^T)_t + l1 + l2 W_t      W_t = max(0, W_t - g / ((H H^T)_tt + l2))
//! ```
//!
//! It stops when the sum of `|min(0, g)|` over the zeros and `|g|` over all other entries, of `W` and
//! of `H`, is at most the tolerance times what it was in the first iteration.
//!
//! [`Solver::MultiplicativeUpdate`] (Lee and Seung, *Algorithms for non-negative matrix
//! factorization*, NIPS 2000):
//!
//! ```text
//! Frobenius:         W *= X H^T / (W H H^T + l1 + l2 W)
//! Kullback-Leibler:  W *= (X / (W H)) H^T / (1 H^T + l1 + l2 W)
//! ```
//!
//! and the same for `H` with the new `W`; with Kullback-Leibler, entries of `H` below `2.2e-16` become
//! zero, where they stay. Every ten iterations it compares `sqrt(2 loss)` with that
//! ten iterations before, and stops when the fall is less than the tolerance times that of the start.
//!
//! # Defaults
//!
//! Those of scikit-learn 1.9: start [`Start::Nndsvda`], coordinate descent, Frobenius loss, tolerance
//! `1e-4`, 200 iterations, no penalty. Where this differs:
//!
//! - At most `min(rows, columns)` components, from every start; more are an error. (scikit-learn takes
//!   more with a random start.)
//! - The singular vectors of a start come from more passes and the same number of spare directions.
//!   Random numbers are PCG's, not NumPy's, so a random start is another one for the same seed.
//! - [`Nmf::transform`] treats every row on its own; see there.
//! - The error of the result is always the Frobenius norm, [`NmfFit::loss`] is the loss.
//!
//! # Special cases
//!
//! A matrix of zeros has the factors zero, the error 0 and the relative error 0. One row has one
//! component, which is exact. When the matrix has a lower rank than there are components, the
//! components beyond it are zero with [`Start::Nndsvd`], and something with the other starts. A
//! negative or NaN value, or values whose squares overflow or vanish, are a [`FactorError`].
//!
//! # Speed
//!
//! Each iteration reads `X` once: a block of rows is multiplied with `H^T`, its part of `W` is updated,
//! which no other row affects, and the block, still in the cache, is multiplied into `W^T X`. The sums
//! of parts of the matrix are added in a fixed order, so the number of threads (rayon's) does not
//! change the result.

use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;

use crate::error::FactorError;
use crate::kernel;
use crate::matrix::{Matrix, Panels, Sums, expand};
use crate::scalar::{Scalar, cast, widen};
use crate::settings::settings;
use crate::start::Start;
use crate::update::{self, Penalty, State};
use elucid_progress::Reporter;

/// How a factorisation is improved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Solver {
    /// Exact minimisation over one component at a time; Frobenius loss only.
    #[default]
    CoordinateDescent,
    /// Multiplication with a ratio of non-negative numbers; slower, both losses.
    MultiplicativeUpdate,
}

/// How far a product is from the matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// Half the sum of squared differences.
    #[default]
    Frobenius,
    /// The generalised Kullback-Leibler divergence, for counts.
    KullbackLeibler,
}

/// Settings of a factorisation. See the [module](self) for formulas and defaults.
///
/// ```
/// use elucid_factor::{Nmf, Start};
/// use ndarray::array;
///
/// # fn main() -> Result<(), elucid_factor::FactorError> {
/// let x = array![[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [2.0, 4.0, 3.0_f32]];
/// let fit = Nmf::new(2).start(Start::Nndsvd).fit(x.view())?;
/// assert!(fit.relative_error < 1e-3);
/// assert!(fit.w.iter().chain(&fit.h).all(|&v| v >= 0.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Nmf {
    pub(crate) components: usize,
    pub(crate) start: Start,
    solver: Solver,
    loss: Loss,
    pub(crate) alpha_w: f64,
    alpha_h: Option<f64>,
    pub(crate) l1_ratio: f64,
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
    pub(crate) seed: u64,
    reporter: Reporter,
}

/// A factorisation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NmfFit<T> {
    /// `[rows, components]`
    pub w: Array2<T>,
    /// `[components, columns]`
    pub h: Array2<T>,
    /// `||X - W H||`, the Frobenius norm.
    pub error: f64,
    /// `error / ||X||`, and 0 for a matrix of zeros.
    pub relative_error: f64,
    /// The loss without penalties. scikit-learn's `reconstruction_err_` is `sqrt(2 loss)`.
    pub loss: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Whether the stopping rule ended it, not the iteration limit.
    pub converged: bool,
}

impl Nmf {
    /// The defaults of the [module](self), with this number of components.
    pub fn new(components: usize) -> Self {
        Self {
            components,
            start: Start::default(),
            solver: Solver::default(),
            loss: Loss::default(),
            alpha_w: 0.0,
            alpha_h: None,
            l1_ratio: 0.0,
            tolerance: 1e-4,
            max_iterations: 200,
            seed: 0,
            reporter: Reporter::default(),
        }
    }

    settings! {
        /// Where to begin.
        start(start: Start) => start;
        /// How to improve.
        solver(solver: Solver) => solver;
        /// What to minimise. [`Loss::KullbackLeibler`] needs [`Solver::MultiplicativeUpdate`].
        loss(loss: Loss) => loss;
        /// Weight of the penalty on `W`, and on `H` unless [`Nmf::alpha_h`] says otherwise. At least 0.
        alpha_w(alpha: f64) => alpha_w;
    }

    /// Weight of the penalty on `H`. At least 0.
    pub fn alpha_h(mut self, alpha: f64) -> Self {
        self.alpha_h = Some(alpha);
        self
    }

    settings! {
        /// How much of the penalties is the sum of entries; the rest is half the sum of squares. 0 to 1.
        l1_ratio(ratio: f64) => l1_ratio;
        /// When to stop. At least 0; with 0, multiplicative updates go on to the iteration limit.
        tolerance(tolerance: f64) => tolerance;
        /// Iterations at most. At least 1.
        max_iterations(iterations: usize) => max_iterations;
        /// Seed of everything that is random. The same seed gives the same numbers.
        seed(seed: u64) => seed;
    }

    elucid_progress::progress_option! {
        /// Calls `callback` after every iteration. Breaking ends the work with
        /// [`FactorError::Cancelled`].
        reporter
    }

    /// Factorises `x`, `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, when there are more components than the shorter side of `x`,
    /// when `x` is empty or holds a value that is negative or not finite, or when the callback says so.
    pub fn fit<T: Scalar>(&self, x: ArrayView2<'_, T>) -> Result<NmfFit<T>, FactorError> {
        self.check()?;
        let x = Matrix::new("the matrix", x)?;
        check_components(self.components, x.rows, x.cols)?;
        let (w, h) = self.start.factors(&x, self.components, self.seed);
        self.improve(&x, w, h)
    }

    /// Factorises `x`, `[rows, columns]`, from factors that are given: `w` `[rows, components]` and
    /// `h` `[components, columns]`.
    ///
    /// # Errors
    ///
    /// As [`Nmf::fit`], and when a factor has the wrong shape or holds a negative value.
    pub fn fit_from<T: Scalar>(
        &self,
        x: ArrayView2<'_, T>,
        w: ArrayView2<'_, T>,
        h: ArrayView2<'_, T>,
    ) -> Result<NmfFit<T>, FactorError> {
        self.check()?;
        let x = Matrix::new("the matrix", x)?;
        check_components(self.components, x.rows, x.cols)?;
        check_shape("the start of W", w.shape(), &[x.rows, self.components])?;
        check_shape("the start of H", h.shape(), &[self.components, x.cols])?;
        let start_h = Matrix::factor("the start of H", h)?;
        Matrix::factor("the start of W", w)?;
        let mut panels = x.panels(self.components);
        panels.fill(|i, t| w[[i, t]]);
        self.improve(&x, panels, start_h.slice().to_vec())
    }

    fn improve<T: Scalar>(
        &self,
        x: &Matrix<'_, T>,
        w: Panels<T>,
        h: Vec<T>,
    ) -> Result<NmfFit<T>, FactorError> {
        let mut state = State {
            x,
            w,
            h,
            on_w: self.penalty("alpha_w", self.alpha_w, x.cols)?,
            on_h: self.penalty("alpha_h", self.weight_h(), x.rows)?,
            sums: Sums::new(),
        };
        let (iterations, converged) = match self.solver {
            Solver::CoordinateDescent => self.by_descent(&mut state)?,
            Solver::MultiplicativeUpdate => self.by_multiplication(&mut state)?,
        };

        let squares = state.squared_error();
        let loss = match self.loss {
            Loss::Frobenius => squares / 2.0,
            Loss::KullbackLeibler => state.kl_divergence(),
        };
        let k = self.components;
        let mut factor = Array2::zeros((x.rows, k));
        state.w.visit(|i, t, value| factor[[i, t]] = value);
        let error = squares.sqrt();
        let finite = |v: &T| v.is_finite();
        if !(loss.is_finite() && factor.iter().all(finite) && state.h.iter().all(finite)) {
            return Err(FactorError::Diverged {
                method: "the non-negative factorisation",
            });
        }
        Ok(NmfFit {
            w: factor,
            h: to_array(k, x.cols, state.h),
            error,
            relative_error: relative(error, x.norm),
            loss,
            iterations,
            converged,
        })
    }

    fn by_descent<T: Scalar>(
        &self,
        state: &mut State<'_, '_, T>,
    ) -> Result<(usize, bool), FactorError> {
        let mut first = 0.0;
        for iteration in 1..=self.max_iterations {
            let violation = state.descend();
            self.reporter.report(iteration, self.max_iterations)?;
            if iteration == 1 {
                first = violation;
            }
            if first == 0.0 || violation / first <= self.tolerance {
                return Ok((iteration, true));
            }
        }
        Ok((self.max_iterations, false))
    }

    fn by_multiplication<T: Scalar>(
        &self,
        state: &mut State<'_, '_, T>,
    ) -> Result<(usize, bool), FactorError> {
        let error = |state: &mut State<'_, '_, T>| match self.loss {
            Loss::Frobenius => state.squared_error().sqrt(),
            Loss::KullbackLeibler => (2.0 * state.kl_divergence()).max(0.0).sqrt(),
        };
        let first = error(state);
        let mut previous = first;
        for iteration in 1..=self.max_iterations {
            match self.loss {
                Loss::Frobenius => state.multiply(),
                Loss::KullbackLeibler => state.multiply_kl(),
            }
            self.reporter.report(iteration, self.max_iterations)?;
            if self.tolerance > 0.0 && iteration % 10 == 0 {
                let now = error(state);
                if first == 0.0 || (previous - now) / first < self.tolerance {
                    return Ok((iteration, true));
                }
                previous = now;
            }
        }
        Ok((self.max_iterations, false))
    }

    /// The `W`, `[rows, components]`, that goes best with an `h` that stays as it is.
    ///
    /// Every row is solved on its own, from zero (coordinate descent) or from the root of its mean over
    /// the number of components (multiplicative updates), until its own violation, or error, meets the
    /// stopping rule. So the result of a row does not depend on the others; scikit-learn sums the
    /// violations of all rows, and takes the mean of all. The penalty on `W` applies.
    ///
    /// # Errors
    ///
    /// As [`Nmf::fit`], and when `h` is not `[components, columns]` or holds a negative value.
    pub fn transform<T: Scalar>(
        &self,
        x: ArrayView2<'_, T>,
        h: ArrayView2<'_, T>,
    ) -> Result<Array2<T>, FactorError> {
        self.check()?;
        let x = Matrix::new("the matrix", x)?;
        if self.components == 0 {
            check_components(0, x.rows, x.cols)?;
        }
        check_shape("H", h.shape(), &[self.components, x.cols])?;
        let h = Matrix::factor("H", h)?;
        let on_w = self.penalty("alpha_w", self.alpha_w, x.cols)?;
        let solve = Rows {
            settings: self,
            h: h.slice(),
            cols: x.cols,
            gram: update::gram(h.slice(), x.cols, on_w.ridge),
            on_w,
        };
        let mut w = Array2::zeros((x.rows, self.components));
        w.axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(x.slice().par_chunks(x.cols))
            .with_min_len(16)
            .for_each(|(w, x): (ArrayViewMut1<'_, T>, &[T])| {
                let mut row = vec![T::zero(); self.components];
                solve.row(x, &mut row);
                for (to, from) in w.into_iter().zip(row) {
                    *to = from;
                }
            });
        self.reporter.report(x.rows, x.rows)?;
        if w.iter().any(|v| !v.is_finite()) {
            return Err(FactorError::Diverged {
                method: "the transformation",
            });
        }
        Ok(w)
    }

    pub(crate) fn weight_h(&self) -> f64 {
        self.alpha_h.unwrap_or(self.alpha_w)
    }

    pub(crate) fn check(&self) -> Result<(), FactorError> {
        let parameter = |parameter, value: f64, expected| FactorError::Parameter {
            parameter,
            value: value.to_string(),
            expected,
        };
        for (name, value) in [
            ("alpha_w", self.alpha_w),
            ("alpha_h", self.weight_h()),
            ("tolerance", self.tolerance),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(parameter(name, value, "a finite number of at least 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(parameter("l1_ratio", self.l1_ratio, "0 to 1"));
        }
        if self.max_iterations == 0 {
            return Err(parameter("max_iterations", 0.0, "at least 1"));
        }
        if self.loss != Loss::Frobenius && self.solver == Solver::CoordinateDescent {
            return Err(FactorError::LossNeedsMultiplicativeUpdate);
        }
        Ok(())
    }

    pub(crate) fn penalty<T: Scalar>(
        &self,
        parameter: &'static str,
        alpha: f64,
        scale: usize,
    ) -> Result<Penalty<T>, FactorError> {
        scaled_penalty(parameter, alpha, self.l1_ratio, scale as f64)
    }
}

pub(crate) fn scaled_penalty<T: Scalar>(
    parameter: &'static str,
    alpha: f64,
    l1_ratio: f64,
    scale: f64,
) -> Result<Penalty<T>, FactorError> {
    let weight = alpha * scale;
    if weight > widen(T::max_value()).sqrt() {
        return Err(FactorError::Parameter {
            parameter,
            value: alpha.to_string(),
            expected: "a smaller number: the penalty overflows",
        });
    }
    Ok(Penalty {
        lasso: cast(weight * l1_ratio),
        ridge: cast(weight * (1.0 - l1_ratio)),
    })
}

/// Solves single rows for a fixed `H`.
struct Rows<'a, T> {
    settings: &'a Nmf,
    h: &'a [T],
    cols: usize,
    gram: Vec<T>,
    on_w: Penalty<T>,
}

impl<T: Scalar> Rows<'_, T> {
    fn row(&self, x: &[T], w: &mut [T]) {
        match self.settings.solver {
            Solver::CoordinateDescent => {
                let mut products = vec![T::zero(); w.len()];
                kernel::dots(x, self.cols, self.h, &mut products);
                descend_row(
                    w,
                    &products,
                    &self.gram,
                    self.on_w.lasso,
                    self.settings.tolerance,
                    self.settings.max_iterations,
                );
            }
            Solver::MultiplicativeUpdate => self.multiply(x, w),
        }
    }

    fn multiply(&self, x: &[T], w: &mut [T]) {
        let (settings, cols, k) = (self.settings, self.cols, w.len());
        let mean = x.iter().map(|&v| widen(v)).sum::<f64>() / cols as f64;
        w.fill(cast((mean / k as f64).sqrt()));
        let mut product = vec![T::zero(); cols];
        let (mut above, mut below) = (vec![T::zero(); k], vec![T::zero(); k]);
        let ones = vec![T::one(); cols];
        if settings.loss == Loss::Frobenius {
            kernel::dots(x, cols, self.h, &mut above);
        } else {
            kernel::dots(&ones, cols, self.h, &mut below);
        }
        let expand_row = |w: &[T], product: &mut [T]| {
            product.fill(T::zero());
            expand(w, 1, cols, self.h, product);
        };
        let error = |w: &[T], product: &mut [T]| {
            expand_row(w, product);
            match settings.loss {
                Loss::Frobenius => kernel::squared_distance(x, product).sqrt(),
                Loss::KullbackLeibler => (2.0 * update::kl(x, product)).max(0.0).sqrt(),
            }
        };
        let first = error(w, &mut product);
        let mut previous = first;
        for iteration in 1..=settings.max_iterations {
            expand_row(w, &mut product);
            if settings.loss == Loss::Frobenius {
                kernel::dots(&product, cols, self.h, &mut below);
            } else {
                kernel::ratio(x, &mut product);
                kernel::dots(&product, cols, self.h, &mut above);
            }
            update::multiply(w, &above, &below, self.on_w);
            if settings.tolerance > 0.0 && iteration % 10 == 0 {
                let now = error(w, &mut product);
                if first == 0.0 || (previous - now) / first < settings.tolerance {
                    return;
                }
                previous = now;
            }
        }
    }
}

/// Coordinate descent on one row until its violation is at most `tolerance` times the first.
pub(crate) fn descend_row<T: Scalar>(
    w: &mut [T],
    products: &[T],
    gram: &[T],
    lasso: T,
    tolerance: f64,
    max_iterations: usize,
) {
    let k = w.len();
    let mut first = T::zero();
    let tolerance = cast::<T>(tolerance);
    for iteration in 0..max_iterations {
        let mut violation = T::zero();
        for t in 0..k {
            let factors = &gram[t * k..][..k];
            let mut gradient = lasso - products[t];
            for (&factor, &value) in factors.iter().zip(w.iter()) {
                gradient += factor * value;
            }
            let projected = if w[t] == T::zero() {
                gradient.min(T::zero())
            } else {
                gradient
            };
            violation += projected.abs();
            if factors[t] > T::zero() {
                w[t] = (w[t] - gradient / factors[t]).max(T::zero());
            }
        }
        if iteration == 0 {
            first = violation;
        }
        if first == T::zero() || violation <= tolerance * first {
            return;
        }
    }
}

pub(crate) fn relative(error: f64, norm: f64) -> f64 {
    if norm > 0.0 { error / norm } else { 0.0 }
}

/// `values` has `rows * cols` entries.
pub(crate) fn to_array<T: Scalar>(rows: usize, cols: usize, values: Vec<T>) -> Array2<T> {
    let mut values = values.into_iter();
    Array2::from_shape_simple_fn((rows, cols), || values.next().unwrap_or_else(T::zero))
}

pub(crate) fn check_components(
    components: usize,
    rows: usize,
    columns: usize,
) -> Result<(), FactorError> {
    if components == 0 {
        return Err(FactorError::Parameter {
            parameter: "components",
            value: "0".to_owned(),
            expected: "at least 1",
        });
    }
    let limit = rows.min(columns);
    if components > limit {
        return Err(FactorError::TooManyComponents {
            components,
            rows,
            columns,
            limit,
        });
    }
    Ok(())
}

pub(crate) fn check_shape(
    what: &'static str,
    got: &[usize],
    expected: &[usize],
) -> Result<(), FactorError> {
    if got == expected {
        return Ok(());
    }
    Err(FactorError::Shape {
        what,
        expected: expected.to_vec(),
        got: got.to_vec(),
    })
}
