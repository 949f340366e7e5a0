//! The update rules, on matrices that are stored component first.

use crate::kernel::{self, vectorised};
use crate::matrix::{Matrix, Panels, Part, Sums};
use crate::scalar::{Scalar, cast, widen};

/// What stands in for a denominator of zero.
pub(crate) fn least<T: Scalar>() -> T {
    cast(f64::from(f32::EPSILON))
}

/// Weights of the penalties on one factor, as they enter its gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Penalty<T> {
    pub lasso: T,
    pub ridge: T,
}

/// `h h^T`, with `ridge` on the diagonal.
pub(crate) fn gram<T: Scalar>(h: &[T], cols: usize, ridge: T) -> Vec<T> {
    let k = h.len() / cols;
    let mut gram = vec![T::zero(); k * k];
    kernel::dots(h, cols, h, &mut gram);
    raise(&mut gram, k, ridge);
    gram
}

fn raise<T: Scalar>(gram: &mut [T], k: usize, ridge: T) {
    for value in gram.iter_mut().step_by(k + 1) {
        *value += ridge;
    }
}

/// The sums of `w^T w`, with `ridge` on the diagonal.
pub(crate) fn narrowed<T: Scalar>(gram: &[f64], k: usize, ridge: T) -> Vec<T> {
    let mut gram: Vec<T> = gram.iter().map(|&v| cast(v)).collect();
    raise(&mut gram, k, ridge);
    gram
}

/// A factorisation under way.
pub(crate) struct State<'a, 'x, T> {
    pub x: &'a Matrix<'x, T>,
    pub w: Panels<T>,
    pub h: Vec<T>,
    pub on_w: Penalty<T>,
    pub on_h: Penalty<T>,
    pub sums: Sums<T>,
}

impl<T: Scalar> State<'_, '_, T> {
    fn total(&mut self) -> &mut Part<T> {
        self.sums.total(self.w.components, self.x.cols)
    }

    /// Coordinate descent over all of `W`, then all of `H`, in one pass over the matrix. Gives the
    /// violation.
    pub fn descend(&mut self) -> f64 {
        let (cols, k) = (self.x.cols, self.w.components);
        let (on_w, on_h) = (self.on_w, self.on_h);
        let gram = gram(&self.h, cols, on_w.ridge);
        let h = &self.h;
        self.x.sweep(&mut self.w, &mut self.sums, |x, w, part| {
            let rows = x.len() / cols;
            part.project(x, h);
            part.scalar += kernel::descend(w, rows, &part.narrow, &gram, on_w.lasso);
            part.gather(x, w);
            part.gather_gram(w, rows);
        });
        let total = self.sums.total(k, cols);
        let gram = narrowed(&total.gram, k, on_h.ridge);
        let violation = kernel::descend(&mut self.h, cols, &total.products, &gram, on_h.lasso);
        total.scalar + violation
    }

    /// Multiplicative update of `W`, then of `H`, for the Frobenius loss.
    pub fn multiply(&mut self) {
        let (cols, k) = (self.x.cols, self.w.components);
        let (on_w, on_h) = (self.on_w, self.on_h);
        let gram = gram(&self.h, cols, T::zero());
        let h = &self.h;
        self.x.sweep(&mut self.w, &mut self.sums, |x, w, part| {
            let rows = x.len() / cols;
            part.project(x, h);
            let mut below = std::mem::take(&mut part.spare);
            denominators(w, rows, &gram, &mut below);
            multiply(w, &part.narrow, &below, on_w);
            part.spare = below;
            part.gather(x, w);
            part.gather_gram(w, rows);
        });
        let total = self.sums.total(k, cols);
        let gram = narrowed(&total.gram, k, T::zero());
        denominators(&self.h, cols, &gram, &mut total.spare);
        multiply(&mut self.h, &total.products, &total.spare, on_h);
    }

    /// Multiplicative update of `W`, then of `H`, for the Kullback-Leibler loss.
    pub fn multiply_kl(&mut self) {
        let (cols, k) = (self.x.cols, self.w.components);
        let (on_w, on_h) = (self.on_w, self.on_h);
        let h = &self.h;
        let row_sums: Vec<T> = h.chunks(cols).map(total).collect();
        self.x.sweep(&mut self.w, &mut self.sums, |x, w, part| {
            let rows = x.len() / cols;
            part.expand(w, rows, h);
            kernel::ratio(x, &mut part.wide);
            let wide = std::mem::take(&mut part.wide);
            part.project(&wide, h);
            part.wide = wide;
            part.spare.resize(w.len(), T::zero());
            spread(&row_sums, &mut part.spare);
            multiply(w, &part.narrow, &part.spare, on_w);
            part.expand(w, rows, h);
            kernel::ratio(x, &mut part.wide);
            let wide = std::mem::take(&mut part.wide);
            part.gather(&wide, w);
            part.wide = wide;
            part.gather_totals(w, rows);
        });
        let total = self.sums.total(k, cols);
        let totals: Vec<T> = total.totals.iter().map(|&v| cast(v)).collect();
        total.spare.resize(self.h.len(), T::zero());
        spread(&totals, &mut total.spare);
        multiply(&mut self.h, &total.products, &total.spare, on_h);
        drop_below(&mut self.h, cast(f64::EPSILON));
    }

    /// `||X - W H||^2`
    pub fn squared_error(&mut self) -> f64 {
        let (h, cols) = (&self.h, self.x.cols);
        self.x.sweep(&mut self.w, &mut self.sums, |x, w, part| {
            part.expand(w, x.len() / cols, h);
            part.scalar += kernel::squared_distance(x, &part.wide);
        });
        self.total().scalar
    }

    /// `sum x ln(x / (W H)) - x + W H`
    pub fn kl_divergence(&mut self) -> f64 {
        let (h, cols) = (&self.h, self.x.cols);
        self.x.sweep(&mut self.w, &mut self.sums, |x, w, part| {
            part.expand(w, x.len() / cols, h);
            part.scalar += kl(x, &part.wide);
        });
        self.total().scalar
    }
}

/// `sum x ln(x / y) - x + y`, where `0 ln 0` is 0 and `y` is at least [`least`].
pub(crate) fn kl<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    let least = f64::from(f32::EPSILON);
    x.iter()
        .zip(y)
        .map(|(&x, &y)| {
            let (x, y) = (widen(x), widen(y));
            if x > 0.0 {
                x * (x / y.max(least)).ln() - x + y
            } else {
                y
            }
        })
        .sum()
}

fn total<T: Scalar>(values: &[T]) -> T {
    cast(values.iter().map(|&v| widen(v)).sum())
}

/// Writes the value of each component over its row.
fn spread<T: Scalar>(values: &[T], into: &mut [T]) {
    let length = (into.len() / values.len().max(1)).max(1);
    for (row, &value) in into.chunks_mut(length).zip(values) {
        row.fill(value);
    }
}

/// `below = gram values`
fn denominators<T: Scalar>(values: &[T], length: usize, gram: &[T], below: &mut Vec<T>) {
    below.clear();
    below.resize(values.len(), T::zero());
    let k = values.len() / length;
    let by_component = kernel::Strides {
        component: k,
        row: 1,
    };
    kernel::combine(values, length, gram, by_component, below);
}

/// Makes values below `limit` zero.
fn drop_below<T: Scalar>(values: &mut [T], limit: T) {
    for value in values {
        if *value < limit {
            *value = T::zero();
        }
    }
}

/// `values *= above / (below + lasso + ridge values)`, a denominator of zero made [`least`].
///
/// Values that shrink in every iteration would end as subnormal numbers, with which processors are
/// many times slower: they become zero a little before.
pub(crate) fn multiply<T: Scalar>(
    values: &mut [T],
    above: &[T],
    below: &[T],
    Penalty { lasso, ridge }: Penalty<T>,
) {
    let least = least::<T>();
    let tiny = T::min_positive_value() / T::epsilon();
    vectorised(
        #[inline(always)]
        || {
            for ((value, &above), &below) in values.iter_mut().zip(above).zip(below) {
                let below = below + lasso + ridge * *value;
                let below = if below == T::zero() { least } else { below };
                let next = *value * (above / below);
                *value = if next < tiny { T::zero() } else { next };
            }
        },
    );
}
