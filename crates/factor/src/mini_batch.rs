//! Non-negative matrix factorisation of more rows than fit into memory.
//!
//! Activation vectors of a whole data set are millions of rows. [`MiniBatchNmf`] reads them in batches,
//! as often as it needs, and keeps only `H` and two small sums between batches; `W` is never held. It is
//! online matrix factorisation (Mairal, Bach, Ponce and Sapiro, *Online learning for matrix
//! factorization and sparse coding*, JMLR 11, 2010) with non-negative coordinate descent in both steps.
//!
//! For each batch `X_b` of `b` rows, out of `n` rows in all, with `rho = forget^(b / n)`:
//!
//! ```text
//! 1.  W_b = argmin 1/2 |X_b - W_b H|^2 + penalty      each row by coordinate descent from zero
//! 2.  A = rho A + W_b^T W_b     B = rho B + W_b^T X_b     m = rho m + b
//! 3.  H: one sweep of coordinate descent on  1/2 tr(H^T A H) - tr(H^T B) + penalty
//! ```
//!
//! The penalties are those of [`Nmf`], with the weighted number of rows `m` in place of all rows in
//! that on `H`. `H` starts from the [`Start`] of the first batch. After each pass over all batches the
//! squared error, each batch's taken with the `H` before it, is summed; it ends when a pass changed `H`
//! by at most the tolerance (Frobenius norm, relative), when three passes in a row lowered the best
//! error by less than the tolerance times that of the first pass, or at the limit of passes. One more
//! pass computes the error of the result.
//!
//! Defaults are those of scikit-learn's `MiniBatchNMF`: batches of 1024 rows, forget factor 0.7,
//! tolerance `1e-4`, at most 200 passes. It differs from scikit-learn in these points: that one updates
//! multiplicatively, starts from the whole matrix, and decides after every batch whether to stop. Only
//! the Frobenius loss is offered.
//!
//! Memory: one batch, as much again for its residual, and `components` times (rows of a batch +
//! columns) a few times over.

use std::convert::Infallible;
use std::error::Error;

use ndarray::{Array2, ArrayView2, Axis};

use crate::error::FactorError;
use crate::kernel;
use crate::matrix::{Matrix, Panels, Sums};
use crate::nmf::{
    Nmf, check_components, check_shape, descend_row, relative, scaled_penalty, to_array,
};
use crate::scalar::{Scalar, cast, widen};
use crate::settings::settings;
use crate::start::Start;
use crate::update::{self, Penalty};
use elucid_progress::Reporter;

/// Settings of a factorisation in batches. See the [module](self) for what it does, and its defaults.
///
/// ```
/// use elucid_factor::MiniBatchNmf;
/// use ndarray::Array2;
///
/// # fn main() -> Result<(), elucid_factor::FactorError> {
/// // Any source of batches will do: files, or a network that is running.
/// let read = |i: usize| Array2::from_shape_fn((50, 8), |(r, c)| ((i + r) * (c + 1) % 7) as f32);
/// let fit = MiniBatchNmf::new(3).fit_batches(200, |_pass| {
///     (0..4).map(move |i| Ok::<_, std::io::Error>(read(i)))
/// })?;
/// assert_eq!(fit.h.dim(), (3, 8));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MiniBatchNmf {
    nmf: Nmf,
    batch_rows: usize,
    forget: f64,
    reporter: Reporter,
}

/// A factorisation without its `W`, which [`MiniBatchNmf::transform`] gives for any rows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MiniBatchFit<T> {
    /// `[components, columns]`
    pub h: Array2<T>,
    /// `||X - W H||` over all rows, with the best `W` for the final `H`.
    pub error: f64,
    /// `error / ||X||`, and 0 for rows that are all zero.
    pub relative_error: f64,
    /// Passes over all batches, the last one for the error not counted.
    pub passes: usize,
    /// Batches in all passes together.
    pub batches: usize,
    /// Whether a stopping rule ended it, not the limit of passes.
    pub converged: bool,
}

/// What is kept between batches.
struct Online<T> {
    h: Vec<T>,
    cols: usize,
    /// `A`
    gram: Vec<f64>,
    /// `B`
    products: Vec<T>,
    /// `m`
    weight: f64,
}

impl MiniBatchNmf {
    /// The defaults of the [module](self), with this number of components.
    pub fn new(components: usize) -> Self {
        Self {
            nmf: Nmf::new(components),
            batch_rows: 1024,
            forget: 0.7,
            reporter: Reporter::default(),
        }
    }

    settings! {
        /// Where to begin, taken from the first batch.
        start(start: Start) => nmf.start;
        /// Rows of a batch that [`MiniBatchNmf::fit`] cuts. At least 1.
        batch_rows(rows: usize) => batch_rows;
        /// What the sums of one whole pass ago still count for. More than 0, at most 1.
        forget_factor(factor: f64) => forget;
        /// As [`Nmf::alpha_w`].
        alpha_w(alpha: f64) => nmf.alpha_w;
    }

    /// As [`Nmf::alpha_h`].
    pub fn alpha_h(mut self, alpha: f64) -> Self {
        self.nmf = self.nmf.alpha_h(alpha);
        self
    }

    settings! {
        /// As [`Nmf::l1_ratio`].
        l1_ratio(ratio: f64) => nmf.l1_ratio;
        /// When to stop, for passes and for the rows of a batch. At least 0.
        tolerance(tolerance: f64) => nmf.tolerance;
        /// Passes over all batches at most. At least 1.
        max_passes(passes: usize) => nmf.max_iterations;
        /// Seed of everything that is random.
        seed(seed: u64) => nmf.seed;
    }

    elucid_progress::progress_option! {
        /// Calls `callback` after every batch, with the batches that the limit of passes would come to as
        /// the total. Breaking ends the work with [`FactorError::Cancelled`].
        reporter
    }

    /// Factorises `x`, `[rows, columns]`, in batches of consecutive rows.
    ///
    /// # Errors
    ///
    /// As [`MiniBatchNmf::fit_batches`].
    pub fn fit<T: Scalar>(&self, x: ArrayView2<'_, T>) -> Result<MiniBatchFit<T>, FactorError> {
        self.check()?;
        self.fit_batches(x.nrows(), |_| {
            x.axis_chunks_iter(Axis(0), self.batch_rows)
                .map(|batch| Ok::<_, Infallible>(batch.to_owned()))
        })
    }

    /// Factorises the rows that `pass` gives, `[b, columns]` at a time: it is called once per pass, with
    /// its number, and must give the same `rows` rows each time. Batches may differ in size and come in
    /// another order; the first must have at least as many rows as there are components.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, when a batch cannot be read, differs in columns, is empty, or
    /// holds a value that is negative or not finite, when a pass has no batch, when there are more
    /// components than the first batch has rows or columns, or when the callback says so.
    pub fn fit_batches<T, I, E>(
        &self,
        rows: usize,
        mut pass: impl FnMut(usize) -> I,
    ) -> Result<MiniBatchFit<T>, FactorError>
    where
        T: Scalar,
        I: IntoIterator<Item = Result<Array2<T>, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.check()?;
        let components = self.nmf.components;
        let total = rows
            .div_ceil(self.batch_rows)
            .saturating_mul(self.nmf.max_iterations);
        let (mut online, mut batches) = (None::<Online<T>>, 0);
        let (mut first, mut best, mut stalled) = (0.0, f64::INFINITY, 0);
        let (mut passes, mut converged) = (0, false);
        while passes < self.nmf.max_iterations && !converged {
            let before = online.as_ref().map(|online| online.h.clone());
            let mut squares = 0.0;
            for batch in pass(passes) {
                let batch = batch.map_err(|error| FactorError::Source(error.into()))?;
                let x = Matrix::new("a batch", batch.view())?;
                let online = match &mut online {
                    Some(online) => online,
                    None => {
                        check_components(components, x.rows, x.cols)?;
                        let (_, h) = self.nmf.start.factors(&x, components, self.nmf.seed);
                        online.insert(Online {
                            cols: x.cols,
                            gram: vec![0.0; components * components],
                            products: vec![T::zero(); h.len()],
                            weight: 0.0,
                            h,
                        })
                    }
                };
                squares += self.learn(online, &x, rows)?;
                batches += 1;
                self.reporter.report(batches, total.max(batches))?;
            }
            let Some(online) = &online else {
                return Err(FactorError::Empty {
                    what: "a pass over all batches",
                    shape: vec![0],
                });
            };
            passes += 1;
            if passes == 1 {
                first = squares;
            }
            if let Some(before) = before {
                let change = kernel::squared_distance(&online.h, &before).sqrt();
                let size = online.h.iter().map(|&v| widen(v).powi(2)).sum::<f64>();
                converged = change <= self.nmf.tolerance * size.sqrt();
            }
            if best - squares < self.nmf.tolerance * first {
                stalled += 1;
            } else {
                stalled = 0;
            }
            best = best.min(squares);
            converged |= first == 0.0 || stalled == 3;
        }

        // The limit of passes is at least 1, and every pass has batches.
        let Some(online) = online else {
            return Err(FactorError::Empty {
                what: "a pass over all batches",
                shape: vec![0],
            });
        };
        let (mut squares, mut norm) = (0.0, 0.0);
        for batch in pass(passes) {
            let batch = batch.map_err(|error| FactorError::Source(error.into()))?;
            let x = Matrix::new("a batch", batch.view())?;
            check_shape("a batch", &[x.rows, x.cols], &[x.rows, online.cols])?;
            let (mut w, mut sums) = (x.panels(components), Sums::new());
            squares += self.project(&online.h, &x, &mut w, &mut sums)?;
            norm += x.norm * x.norm;
        }
        if !squares.is_finite() || online.h.iter().any(|v| !v.is_finite()) {
            return Err(FactorError::Diverged {
                method: "the factorisation in batches",
            });
        }
        let error = squares.sqrt();
        Ok(MiniBatchFit {
            h: to_array(components, online.cols, online.h),
            error,
            relative_error: relative(error, norm.sqrt()),
            passes,
            batches,
            converged,
        })
    }

    /// The `W`, `[rows, components]`, that goes best with `h`: see [`Nmf::transform`].
    ///
    /// # Errors
    ///
    /// As [`Nmf::transform`].
    pub fn transform<T: Scalar>(
        &self,
        x: ArrayView2<'_, T>,
        h: ArrayView2<'_, T>,
    ) -> Result<Array2<T>, FactorError> {
        let rows = self.nmf.clone().max_iterations(ROW_ITERATIONS);
        rows.transform(x, h)
    }

    /// One batch. Gives its squared error with the `H` before.
    fn learn<T: Scalar>(
        &self,
        online: &mut Online<T>,
        x: &Matrix<'_, T>,
        rows: usize,
    ) -> Result<f64, FactorError> {
        check_shape("a batch", &[x.rows, x.cols], &[x.rows, online.cols])?;
        let k = self.nmf.components;
        let (mut w, mut sums) = (x.panels(k), Sums::new());
        let squares = self.project(&online.h, x, &mut w, &mut sums)?;
        let total = sums.total(k, x.cols);
        let keep = self.forget.powf(x.rows as f64 / rows.max(1) as f64);
        for (sum, &new) in online.gram.iter_mut().zip(&total.gram) {
            *sum = *sum * keep + new;
        }
        let kept = cast::<T>(keep);
        for (sum, &new) in online.products.iter_mut().zip(&total.products) {
            *sum = *sum * kept + new;
        }
        online.weight = online.weight * keep + x.rows as f64;
        let alpha = self.nmf.weight_h();
        let on_h = scaled_penalty("alpha_h", alpha, self.nmf.l1_ratio, online.weight)?;
        let Penalty { lasso, ridge } = on_h;
        let gram = update::narrowed(&online.gram, k, ridge);
        kernel::descend(&mut online.h, x.cols, &online.products, &gram, lasso);
        Ok(squares)
    }

    /// Fills `w` with the best for `h`, and `sums` with what `H` is updated from. Gives the squared
    /// error.
    fn project<T: Scalar>(
        &self,
        h: &[T],
        x: &Matrix<'_, T>,
        w: &mut Panels<T>,
        sums: &mut Sums<T>,
    ) -> Result<f64, FactorError> {
        let (cols, k) = (x.cols, self.nmf.components);
        let on_w = self.nmf.penalty::<T>("alpha_w", self.nmf.alpha_w, cols)?;
        let gram = update::gram(h, cols, on_w.ridge);
        x.sweep(w, sums, |x, w, part| {
            let rows = x.len() / cols;
            part.project(x, h);
            let (mut row, mut products) = (vec![T::zero(); k], vec![T::zero(); k]);
            for i in 0..rows {
                row.fill(T::zero());
                for (t, product) in products.iter_mut().enumerate() {
                    *product = part.narrow[t * rows + i];
                }
                let tolerance = self.nmf.tolerance;
                descend_row(
                    &mut row,
                    &products,
                    &gram,
                    on_w.lasso,
                    tolerance,
                    ROW_ITERATIONS,
                );
                for (t, &value) in row.iter().enumerate() {
                    w[t * rows + i] = value;
                }
            }
            part.gather(x, w);
            part.gather_gram(w, rows);
            part.expand(w, rows, h);
            part.scalar += kernel::squared_distance(x, &part.wide);
        });
        Ok(sums.total(k, cols).scalar)
    }

    fn check(&self) -> Result<(), FactorError> {
        self.nmf.check()?;
        let parameter = |parameter, value: String, expected| FactorError::Parameter {
            parameter,
            value,
            expected,
        };
        if self.batch_rows == 0 {
            return Err(parameter("batch_rows", "0".to_owned(), "at least 1"));
        }
        if !(self.forget > 0.0 && self.forget <= 1.0) {
            let expected = "more than 0 and at most 1";
            return Err(parameter(
                "forget_factor",
                self.forget.to_string(),
                expected,
            ));
        }
        Ok(())
    }
}

/// Iterations for one row at most.
const ROW_ITERATIONS: usize = 200;
