//! The leading singular vectors of a large matrix.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use crate::kernel::{self, Strides};
use crate::matrix::{Matrix, Sums};
use crate::scalar::{Scalar, cast, widen};

/// Directions beyond those that are asked for.
const SPARE: usize = 10;

/// Passes over the matrix before the last.
const PASSES: usize = 7;

/// The leading part of `X = U diag(s) V^T`.
pub(crate) struct Svd<T> {
    /// `[k, rows]`
    pub left: Vec<T>,
    /// Zero beyond the rank.
    pub values: Vec<f64>,
    /// `[k, cols]`
    pub right: Vec<T>,
}

/// Subspace iteration on `X^T X` (Halko, Martinsson and Tropp, 2011, algorithm 4.4, with both
/// products in one pass over `X`), then Rayleigh-Ritz.
pub(crate) fn leading<T: Scalar>(x: &Matrix<'_, T>, k: usize, seed: u64) -> Svd<T> {
    let width = (k + SPARE).min(x.rows).min(x.cols);
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut basis: Vec<T> = (0..width * x.cols)
        .map(|_| cast(StandardNormal.sample(&mut rng)))
        .collect();
    let mut panels = x.panels(width);
    let mut sums = Sums::new();
    for _ in 0..PASSES {
        orthonormalise(&mut basis, x.cols);
        x.sweep(&mut panels, &mut sums, |rows, panel, part| {
            kernel::dots(rows, x.cols, &basis, panel);
            part.gather(rows, panel);
        });
        basis.copy_from_slice(&sums.total(width, x.cols).products);
    }
    orthonormalise(&mut basis, x.cols);
    x.sweep(&mut panels, &mut sums, |rows, panel, part| {
        kernel::dots(rows, x.cols, &basis, panel);
        part.gather_gram(panel, rows.len() / x.cols);
    });
    let (squares, vectors) = eigen(sums.total(width, x.cols).gram.clone(), width);

    // Rounding in the products leaves this much where there is nothing.
    let noise = squares.first().copied().unwrap_or(0.0) * 16.0 * widen(T::epsilon());
    let values: Vec<f64> = squares[..k]
        .iter()
        .map(|&square| if square > noise { square.sqrt() } else { 0.0 })
        .collect();
    let mut right = vec![T::zero(); k * x.cols];
    let turn: Vec<T> = vectors[..k * width].iter().map(|&v| cast(v)).collect();
    let by_component = Strides {
        component: width,
        row: 1,
    };
    kernel::combine(&basis, x.cols, &turn, by_component, &mut right);
    let mut left = vec![T::zero(); k * x.rows];
    let mut from = 0;
    for panel in panels.each() {
        let length = panel.len() / width;
        let mut turned = vec![T::zero(); k * length];
        kernel::combine(panel, length, &turn, by_component, &mut turned);
        for (j, turned) in turned.chunks(length).enumerate() {
            if values[j] > 0.0 {
                let scale = cast::<T>(values[j].recip());
                let left = &mut left[j * x.rows + from..][..length];
                for (left, &turned) in left.iter_mut().zip(turned) {
                    *left = turned * scale;
                }
            }
        }
        from += length;
    }
    Svd {
        left,
        values,
        right,
    }
}

/// Makes the rows of `[count, length]` orthonormal, by Gram-Schmidt done twice. A row that depends
/// on those before it becomes zero.
fn orthonormalise<T: Scalar>(rows: &mut [T], length: usize) {
    let mut products = vec![T::zero(); rows.len() / length];
    let largest = rows.chunks(length).map(|row| norm(row)).fold(0.0, f64::max);
    let enough = largest * widen(T::epsilon());
    for j in 0..rows.len() / length {
        let (before, rest) = rows.split_at_mut(j * length);
        let row = &mut rest[..length];
        for round in 0..2 {
            let size = norm(row);
            // After the first round the row has length one, less what was taken away.
            if size <= [enough, 8.0 * widen(T::epsilon())][round] {
                row.fill(T::zero());
                break;
            }
            let scale = cast::<T>(size.recip());
            row.iter_mut().for_each(|value| *value *= scale);
            let products = &mut products[..j];
            kernel::dots(row, length, before, products);
            products.iter_mut().for_each(|value| *value = -*value);
            let strides = Strides {
                component: 0,
                row: 1,
            };
            kernel::combine(before, length, products, strides, row);
        }
        let size = norm(row);
        // The second round takes away next to nothing from a row that is worth keeping.
        if size > 0.5 {
            let scale = cast::<T>(size.recip());
            row.iter_mut().for_each(|value| *value *= scale);
        } else {
            row.fill(T::zero());
        }
    }
}

fn norm<T: Scalar>(row: &[T]) -> f64 {
    let mut square = [T::zero()];
    kernel::dots(row, row.len(), row, &mut square);
    widen(square[0]).sqrt()
}

/// Eigenvalues, largest first, and eigenvectors `[size, size]`, one a row, of a symmetric matrix, by
/// cyclic Jacobi rotations.
pub(crate) fn eigen(mut a: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; size * size];
    for i in 0..size {
        vectors[i * size + i] = 1.0;
    }
    let total: f64 = a.iter().map(|v| v * v).sum();
    for _ in 0..60 {
        let off: f64 = (0..size)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| a[i * size + j] * a[i * size + j])
            .sum();
        if off <= total * 1e-30 || !off.is_finite() {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                let apq = a[p * size + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * size + q] - a[p * size + p]) / (2.0 * apq);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = (tangent * tangent + 1.0).sqrt().recip();
                let sine = tangent * cosine;
                for i in 0..size {
                    let (x, y) = (a[i * size + p], a[i * size + q]);
                    a[i * size + p] = cosine * x - sine * y;
                    a[i * size + q] = sine * x + cosine * y;
                }
                rotate(&mut a, size, p, q, cosine, sine);
                rotate(&mut vectors, size, p, q, cosine, sine);
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&i, &j| a[j * size + j].total_cmp(&a[i * size + i]));
    let values = order.iter().map(|&i| a[i * size + i]).collect();
    let vectors = order
        .iter()
        .flat_map(|&i| vectors[i * size..][..size].iter().copied())
        .collect();
    (values, vectors)
}

/// Turns rows `p` and `q` into each other.
fn rotate(a: &mut [f64], size: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (low, high) = a.split_at_mut(q * size);
    let (low, high) = (&mut low[p * size..][..size], &mut high[..size]);
    for (x, y) in low.iter_mut().zip(high) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_matrix_of_low_rank_is_rebuilt(
            rows in 1usize..60, cols in 1usize..60, rank in 1usize..8, seed in 0u64..1000,
        ) {
            let rank = rank.min(rows).min(cols);
            let mut rng = Pcg64::seed_from_u64(seed);
            let mut draw = |a, b| Array2::<f64>::from_shape_simple_fn((a, b), || {
                let value: f64 = StandardNormal.sample(&mut rng);
                value.abs()
            });
            let x = draw(rows, rank).dot(&draw(rank, cols));
            let matrix = Matrix::new("x", x.view()).unwrap();
            let svd = leading(&matrix, rank, seed + 1);
            let left = Array2::from_shape_vec((rank, rows), svd.left).unwrap();
            let right = Array2::from_shape_vec((rank, cols), svd.right).unwrap();
            let scaled = &left * &ndarray::Array1::from(svd.values.clone()).insert_axis(ndarray::Axis(1));
            let rebuilt = scaled.t().dot(&right);
            let worst = (&rebuilt - &x).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
            // Singular values below the noise are dropped.
            prop_assert!(worst <= 1e-6 * matrix.norm, "{worst} of {}", matrix.norm);
            for (i, a) in right.rows().into_iter().enumerate() {
                for (j, b) in right.rows().into_iter().enumerate() {
                    let kept = svd.values[i] > 0.0 && svd.values[j] > 0.0;
                    let want = if i == j { 1.0 } else { 0.0 };
                    prop_assert!(!kept || (a.dot(&b) - want).abs() < 1e-6);
                }
            }
        }
    }
}
