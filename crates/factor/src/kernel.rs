//! The four products that everything here is made of.
//!
//! A factorisation multiplies one large matrix with very narrow ones. General matrix products pack
//! the large one into tiles first, which costs as much as the product itself when the other side
//! has six columns; these read it where it lies, once.
//!
//! Narrow matrices are stored component first, `[components, length]`, so that vectors run along
//! the length: then coordinate descent, which must go through the components one after the other,
//! does a whole vector of rows at a time.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over constants, which the compiler unrolls into registers"
)]

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};

#[cfg(test)]
use self::tests::widest;
use crate::scalar::{Scalar, cast, widen};

/// Components in one register tile.
const WIDE: usize = 6;

/// The widest vectors that this processor has.
#[cfg(not(test))]
#[inline(always)]
fn widest() -> Arch {
    Arch::new()
}

/// Runs `op` for the widest vectors that this processor has.
#[inline(always)]
fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    widest().dispatch(op)
}

/// Runs `f`, and what is inlined into it, compiled for the widest vectors.
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    dispatch(f)
}

/// Cuts `count` components into nearly equal groups of at most [`WIDE`].
fn groups(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(WIDE).max(1);
    (0..parts).map(move |part| {
        let (from, to) = (part * count / parts, (part + 1) * count / parts);
        (from, to - from)
    })
}

/// Calls `$f::<.., K>` with the constant K that is `$k`, 1 to 6.
macro_rules! with_width {
    ($k:expr, $self:ident.$f:ident::<$($g:tt),*>($($arg:expr),*)) => {
        match $k {
            1 => $self.$f::<$($g,)* 1>($($arg),*),
            2 => $self.$f::<$($g,)* 2>($($arg),*),
            3 => $self.$f::<$($g,)* 3>($($arg),*),
            4 => $self.$f::<$($g,)* 4>($($arg),*),
            5 => $self.$f::<$($g,)* 5>($($arg),*),
            6 => $self.$f::<$($g,)* 6>($($arg),*),
            _ => {}
        }
    };
}

/// `out[t, i] = sum_c h[t, c] x[i, c]`: `h` is `[k, cols]`, `x` is `[rows, cols]`, `out` is
/// `[k, rows]`.
pub(crate) fn dots<T: Scalar>(x: &[T], cols: usize, h: &[T], out: &mut [T]) {
    if cols == 0 {
        return out.fill(T::zero());
    }
    dispatch(Dots { x, cols, h, out });
}

struct Dots<'a, T> {
    x: &'a [T],
    cols: usize,
    h: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) {
        let rows = self.x.len() / self.cols;
        let components = self.h.len() / self.cols;
        let tall = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        for (t, k) in groups(components) {
            let mut i = 0;
            while i + tall <= rows {
                if S::REGISTER_COUNT >= 32 {
                    with_width!(k, self.tile::<S, 4>(s, i, t, rows));
                } else {
                    with_width!(k, self.tile::<S, 2>(s, i, t, rows));
                }
                i += tall;
            }
            while i < rows {
                with_width!(k, self.tile::<S, 1>(s, i, t, rows));
                i += 1;
            }
        }
    }
}

impl<T: Scalar> Dots<'_, T> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const K: usize>(
        &mut self,
        s: S,
        row: usize,
        component: usize,
        rows: usize,
    ) {
        let cols = self.cols;
        let x: [_; R] = from_fn(|r| T::split::<S>(&self.x[(row + r) * cols..][..cols]));
        let h: [_; K] = from_fn(|t| T::split::<S>(&self.h[(component + t) * cols..][..cols]));
        let whole = x[0].0.len();
        let xs: [_; R] = from_fn(|r| &x[r].0[..whole]);
        let hs: [_; K] = from_fn(|t| &h[t].0[..whole]);
        let mut sums = [[T::splat(s, T::zero()); K]; R];
        for c in 0..whole {
            let h: [_; K] = from_fn(|t| hs[t][c]);
            for r in 0..R {
                let x = xs[r][c];
                for t in 0..K {
                    sums[r][t] = T::fma(s, x, h[t], sums[r][t]);
                }
            }
        }
        if !x[0].1.is_empty() {
            let h: [_; K] = from_fn(|t| T::load(s, h[t].1));
            for r in 0..R {
                let x = T::load(s, x[r].1);
                for t in 0..K {
                    sums[r][t] = T::fma(s, x, h[t], sums[r][t]);
                }
            }
        }
        for t in 0..K {
            let out = &mut self.out[(component + t) * rows + row..][..R];
            for r in 0..R {
                out[r] = T::total(s, sums[r][t]);
            }
        }
    }
}

/// Where the coefficient of component `t` and row `i` is: `t * component + i * row`.
#[derive(Clone, Copy)]
pub(crate) struct Strides {
    pub component: usize,
    pub row: usize,
}

/// `out[t, c] += sum_i w[t, i] x[i, c]`: `x` is `[rows, cols]`, `out` is `[k, cols]`, and `w` has
/// `k` times `rows` values, `strides` apart.
pub(crate) fn combine<T: Scalar>(x: &[T], cols: usize, w: &[T], strides: Strides, out: &mut [T]) {
    if cols == 0 || x.is_empty() || out.is_empty() {
        return;
    }
    dispatch(Combine {
        x,
        cols,
        w,
        strides,
        out,
    });
}

struct Combine<'a, T> {
    x: &'a [T],
    cols: usize,
    w: &'a [T],
    strides: Strides,
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Combine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let components = self.out.len() / self.cols;
        for (t, k) in groups(components) {
            let mut c = 0;
            if S::REGISTER_COUNT >= 32 {
                while c + 4 * lanes <= self.cols {
                    with_width!(k, self.tile::<S, 4>(s, c, t));
                    c += 4 * lanes;
                }
            }
            while c + 2 * lanes <= self.cols {
                with_width!(k, self.tile::<S, 2>(s, c, t));
                c += 2 * lanes;
            }
            while c < self.cols {
                let width = lanes.min(self.cols - c);
                with_width!(k, self.edge::<S>(s, c, width, t));
                c += width;
            }
        }
    }
}

impl<T: Scalar> Combine<'_, T> {
    #[inline(always)]
    fn tile<S: Simd, const J: usize, const K: usize>(&mut self, s: S, column: usize, t0: usize) {
        let width = J * size_of::<T::Vector<S>>() / size_of::<T>();
        let Strides { component, row } = self.strides;
        let mut sums = [[T::splat(s, T::zero()); K]; J];
        for (i, x) in self.x.chunks_exact(self.cols).enumerate() {
            let x = T::split::<S>(&x[column..][..width]).0;
            let x: [_; J] = from_fn(|j| x[j]);
            for t in 0..K {
                let w = T::splat(s, self.w[(t0 + t) * component + i * row]);
                for j in 0..J {
                    sums[j][t] = T::fma(s, w, x[j], sums[j][t]);
                }
            }
        }
        let lanes = width / J;
        for t in 0..K {
            for j in 0..J {
                let at = (t0 + t) * self.cols + column + j * lanes;
                let out = &mut self.out[at..][..lanes];
                let sum = T::plus(s, T::load(s, out), sums[j][t]);
                T::store(s, out, sum);
            }
        }
    }

    #[inline(always)]
    fn edge<S: Simd, const K: usize>(&mut self, s: S, column: usize, width: usize, t0: usize) {
        let Strides { component, row } = self.strides;
        let mut sums = [T::splat(s, T::zero()); K];
        for (i, x) in self.x.chunks_exact(self.cols).enumerate() {
            let x = T::load(s, &x[column..][..width]);
            for t in 0..K {
                let w = T::splat(s, self.w[(t0 + t) * component + i * row]);
                sums[t] = T::fma(s, w, x, sums[t]);
            }
        }
        for t in 0..K {
            let out = &mut self.out[(t0 + t) * self.cols + column..][..width];
            let sum = T::plus(s, T::load(s, out), sums[t]);
            T::store(s, out, sum);
        }
    }
}

/// One sweep of coordinate descent over `values`, `[k, length]`, each column a problem of its own:
/// for each component `t` in turn
///
/// `g = sum_r gram[t, r] values[r] - products[t] + lasso`, `values[t] = max(0, values[t] - g / gram[t, t])`.
///
/// Gives the sum of the sizes of the projected gradients, which are `g`, or `min(0, g)` where the
/// value is zero. A component whose `gram[t, t]` is not positive is left as it is.
pub(crate) fn descend<T: Scalar>(
    values: &mut [T],
    length: usize,
    products: &[T],
    gram: &[T],
    lasso: T,
) -> f64 {
    if length == 0 {
        return 0.0;
    }
    dispatch(Descend {
        values,
        length,
        products,
        gram,
        lasso,
    })
}

struct Descend<'a, T> {
    values: &'a mut [T],
    length: usize,
    products: &'a [T],
    gram: &'a [T],
    lasso: T,
}

impl<T: Scalar> WithSimd for Descend<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) -> f64 {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let (mut at, mut violation) = (0, 0.0);
        while at + 4 * lanes <= self.length {
            violation += self.columns::<S, 4>(s, at, lanes);
            at += 4 * lanes;
        }
        while at < self.length {
            let width = lanes.min(self.length - at);
            violation += self.columns::<S, 1>(s, at, width);
            at += width;
        }
        violation
    }
}

impl<T: Scalar> Descend<'_, T> {
    /// `V` vectors side by side, so that their chains of additions overlap.
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&mut self, s: S, at: usize, width: usize) -> f64 {
        let count = self.values.len() / self.length;
        let mut violation = T::splat(s, T::zero());
        for t in 0..count {
            let gram = &self.gram[t * count..][..count];
            let products = &self.products[t * self.length + at..][..V * width];
            let lasso = T::splat(s, self.lasso);
            let mut gradient: [_; V] =
                from_fn(|v| T::minus(s, lasso, T::load(s, &products[v * width..][..width])));
            for (r, &factor) in gram.iter().enumerate() {
                let factor = T::splat(s, factor);
                let values = &self.values[r * self.length + at..][..V * width];
                for v in 0..V {
                    let value = T::load(s, &values[v * width..][..width]);
                    gradient[v] = T::fma(s, factor, value, gradient[v]);
                }
            }
            let curvature = gram[t];
            let rate = if curvature > T::zero() {
                curvature.recip()
            } else {
                T::zero()
            };
            let rate = T::splat(s, rate);
            let values = &mut self.values[t * self.length + at..][..V * width];
            for v in 0..V {
                let values = &mut values[v * width..][..width];
                let (next, size) = T::step(s, T::load(s, values), gradient[v], rate);
                T::store(s, values, next);
                // Lanes beyond the last column hold zero, where only a negative gradient counts.
                let size = if width * size_of::<T>() < size_of::<T::Vector<S>>() {
                    let mut kept = [T::zero(); 64];
                    let kept = &mut kept[..width];
                    T::store(s, kept, size);
                    T::load(s, kept)
                } else {
                    size
                };
                violation = T::plus(s, violation, size);
            }
        }
        widen(T::total(s, violation))
    }
}

/// Sum and sum of squares of `values`, and the first that is negative or not finite.
pub(crate) fn survey<T: Scalar>(values: &[T]) -> (f64, f64, Option<usize>) {
    const LANES: usize = 16;
    vectorised(
        #[inline(always)]
        || {
            let (mut sum, mut squares) = ([0.0_f64; LANES], [0.0_f64; LANES]);
            let (mut lowest, mut ok) = ([T::zero(); LANES], true);
            let limit = T::max_value();
            let chunks = values.chunks_exact(LANES);
            let rest = chunks.remainder();
            for chunk in chunks {
                for lane in 0..LANES {
                    let value = chunk[lane];
                    let wide = widen(value);
                    sum[lane] += wide;
                    squares[lane] += wide * wide;
                    lowest[lane] = if value < lowest[lane] {
                        value
                    } else {
                        lowest[lane]
                    };
                }
            }
            for (lane, &value) in rest.iter().enumerate() {
                let wide = widen(value);
                sum[lane] += wide;
                squares[lane] += wide * wide;
                lowest[lane] = if value < lowest[lane] {
                    value
                } else {
                    lowest[lane]
                };
            }
            ok &= lowest.iter().all(|&value| value >= T::zero());
            let total: f64 = sum.iter().sum();
            ok &= total.is_finite();
            let bad = if ok {
                None
            } else {
                // A sum of finite values may itself overflow: that is not a bad value.
                values
                    .iter()
                    .position(|&value| !(value >= T::zero() && value <= limit))
            };
            (total, squares.iter().sum(), bad)
        },
    )
}

/// `sum (x - y)^2`
pub(crate) fn squared_distance<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    const LANES: usize = 16;
    vectorised(
        #[inline(always)]
        || {
            let mut sums = [0.0_f64; LANES];
            let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
            for (x, y) in xs.remainder().iter().zip(ys.remainder()) {
                let difference = widen(*x - *y);
                sums[0] += difference * difference;
            }
            for (x, y) in xs.zip(ys) {
                for lane in 0..LANES {
                    let difference = widen(x[lane] - y[lane]);
                    sums[lane] += difference * difference;
                }
            }
            sums.iter().sum()
        },
    )
}

/// `a / max(b, epsilon)`, written over `b`, with the `epsilon` of [`f32`] for both kinds.
pub(crate) fn ratio<T: Scalar>(a: &[T], b: &mut [T]) {
    let least = cast(f64::from(f32::EPSILON));
    vectorised(
        #[inline(always)]
        || {
            for (&a, b) in a.iter().zip(b) {
                let safe = if *b > least { *b } else { least };
                *b = a / safe;
            }
        },
    )
}

#[cfg(test)]
mod tests {
    //! Naive twins, on shapes that leave every kind of edge.

    use std::cell::Cell;

    use super::*;
    use proptest::prelude::*;

    thread_local! {
        /// The widest vectors that kernels may use: of x86-64's levels.
        static LEVEL: Cell<u8> = const { Cell::new(4) };
    }

    /// The widest vectors of that level.
    #[inline(always)]
    pub fn widest() -> Arch {
        match (LEVEL.get(), Arch::new()) {
            #[cfg(target_arch = "x86_64")]
            (3, Arch::V4(_)) => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
            (2, _) => Arch::Scalar,
            (_, widest) => widest,
        }
    }

    fn values(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn close<T: Scalar>(got: &[T], want: &[f64]) -> Result<(), TestCaseError> {
        prop_assert_eq!(got.len(), want.len());
        for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
            let bound = 1e3 * widen(T::epsilon()) * (1.0 + want.abs());
            let got = widen(got);
            prop_assert!((got - want).abs() <= bound, "{at}: {got}, expected {want}");
        }
        Ok(())
    }

    fn convert<T: Scalar>(values: &[f64]) -> Vec<T> {
        values.iter().map(|&v| cast(v)).collect()
    }

    fn check<T: Scalar>(
        rows: usize,
        cols: usize,
        k: usize,
        seed: u64,
    ) -> Result<(), TestCaseError> {
        let x = values(rows * cols, seed);
        let h = values(k * cols, seed + 1);
        let w = values(k * rows, seed + 2);
        let (xt, ht, wt): (Vec<T>, Vec<T>, Vec<T>) = (convert(&x), convert(&h), convert(&w));

        let mut out = vec![T::nan(); k * rows];
        dots(&xt, cols, &ht, &mut out);
        let mut want = vec![0.0; k * rows];
        for t in 0..k {
            for i in 0..rows {
                for c in 0..cols {
                    want[t * rows + i] += h[t * cols + c] * x[i * cols + c];
                }
            }
        }
        close(&out, &want)?;

        let mut out = vec![T::one(); k * cols];
        let strides = Strides {
            component: rows,
            row: 1,
        };
        combine(&xt, cols, &wt, strides, &mut out);
        let mut want = vec![1.0; k * cols];
        for t in 0..k {
            for c in 0..cols {
                for i in 0..rows {
                    want[t * cols + c] += w[t * rows + i] * x[i * cols + c];
                }
            }
        }
        close(&out, &want)?;

        let mut out = vec![T::zero(); rows * cols];
        let strides = Strides {
            component: 1,
            row: rows,
        };
        combine(&ht, cols, &wt, strides, &mut out);
        let mut want = vec![0.0; rows * cols];
        for i in 0..rows {
            for c in 0..cols {
                for t in 0..k {
                    want[i * cols + c] += w[t * rows + i] * h[t * cols + c];
                }
            }
        }
        close(&out, &want)?;

        // Half of the values are zero, and one component has no curvature.
        let mut start: Vec<f64> = w.iter().map(|v| (v - 0.5).max(0.0)).collect();
        let mut gram = vec![0.0; k * k];
        for t in 0..k {
            for r in 0..k {
                gram[t * k + r] = (0..cols).map(|c| h[t * cols + c] * h[r * cols + c]).sum();
            }
        }
        if k > 2 {
            for r in 0..k {
                gram[2 * k + r] = 0.0;
                gram[r * k + 2] = 0.0;
            }
        }
        let products = values(k * rows, seed + 3);
        let mut got: Vec<T> = convert(&start);
        let violation = descend(
            &mut got,
            rows,
            &convert::<T>(&products),
            &convert::<T>(&gram),
            cast(0.25),
        );
        let mut want_violation = 0.0;
        for i in 0..rows {
            for t in 0..k {
                let mut gradient = 0.25 - products[t * rows + i];
                for r in 0..k {
                    gradient += gram[t * k + r] * start[r * rows + i];
                }
                let value = &mut start[t * rows + i];
                want_violation += if *value == 0.0 {
                    gradient.min(0.0)
                } else {
                    gradient
                }
                .abs();
                if gram[t * k + t] > 0.0 {
                    *value = (*value - gradient / gram[t * k + t]).max(0.0);
                }
            }
        }
        close(&got, &start)?;
        prop_assert!(
            (violation - want_violation).abs() <= 1e-3 * (1.0 + want_violation),
            "violation {violation}, expected {want_violation}"
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn products_and_descent_agree_with_loops(
            rows in 1usize..80, cols in 1usize..150, k in 1usize..15, seed in 0u64..1 << 40,
        ) {
            for level in [2, 3, 4] {
                LEVEL.set(level);
                let result = check::<f32>(rows, cols, k, seed)
                    .and_then(|()| check::<f64>(rows, cols, k, seed));
                LEVEL.set(4);
                result?;
            }
        }

        #[test]
        fn surveys_find_the_first_bad_value(
            length in 1usize..200, at in 0usize..200, kind in 0usize..4,
        ) {
            let mut x = vec![1.0_f32; length];
            let at = at % length;
            x[at] = [f32::NAN, f32::INFINITY, -1.0, f32::NEG_INFINITY][kind];
            prop_assert_eq!(survey(&x).2, Some(at));
            x[at] = 2.0;
            let (sum, squares, bad) = survey(&x);
            prop_assert_eq!(bad, None);
            prop_assert_eq!(sum, length as f64 + 1.0);
            prop_assert_eq!(squares, length as f64 + 3.0);
        }
    }
}
