//! Sums, means and extremes of rows that are as long as an image or a layer.

use burn::tensor::Tensor;

/// Numbers of a piece. What reduces a row reads one number after the other: a device with many threads would use
/// one for each row, and Mesa's software Vulkan ends any loop after 65,535 turns, with what it has by then.
const PIECE: usize = 4096;

/// Reductions of the rows `[R, C]` of any length, each giving `[R, 1]`. Long rows are reduced in pieces, then their
/// results.
pub trait LongRows: Sized {
    /// The sum of each row.
    fn row_sums(self) -> Self;

    /// The mean of each row.
    fn row_means(self) -> Self;

    /// The largest number of each row.
    fn row_maxima(self) -> Self;

    /// The smallest number of each row.
    fn row_minima(self) -> Self;
}

impl LongRows for Tensor<2> {
    fn row_sums(self) -> Self {
        in_pieces(self, |rows| rows.sum_dim(1))
    }

    fn row_means(self) -> Self {
        let [_, columns] = self.dims();
        match columns <= PIECE {
            true => self.mean_dim(1),
            false => self.row_sums() / columns as f32,
        }
    }

    fn row_maxima(self) -> Self {
        in_pieces(self, |rows| rows.max_dim(1))
    }

    fn row_minima(self) -> Self {
        in_pieces(self, |rows| rows.min_dim(1))
    }
}

/// Reduces by a function that does not mind being called on parts first.
fn in_pieces(rows: Tensor<2>, reduce: impl Fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let mut rows = rows;
    loop {
        let [count, columns] = rows.dims();
        if columns <= PIECE || count == 0 {
            return reduce(rows);
        }
        let pieces = columns / PIECE;
        let (whole, rest) = (pieces * PIECE, columns % PIECE);
        let tail = (rest > 0).then(|| reduce(rows.clone().narrow(1, whole, rest)));
        let head = match rest {
            0 => rows,
            _ => rows.narrow(1, 0, whole),
        };
        let head = reduce(head.reshape([count * pieces, PIECE])).reshape([count, pieces]);
        rows = match tail {
            Some(tail) => Tensor::cat(vec![head, tail], 1),
            None => head,
        };
    }
}

/// Above this many numbers an axis is reduced as [`LongRows`] are; below, where it lies.
pub(crate) const AT_ONCE: usize = 65_535;

/// Reductions along an axis of any length, which keeps size 1.
pub(crate) trait LongAxes: Sized {
    /// The sum along the axis.
    fn sums_along(self, axis: usize) -> Self;

    /// The mean along the axis.
    fn means_along(self, axis: usize) -> Self;

    /// The largest number along the axis.
    fn maxima_along(self, axis: usize) -> Self;

    /// The smallest number along the axis.
    fn minima_along(self, axis: usize) -> Self;
}

impl<const D: usize> LongAxes for Tensor<D> {
    fn sums_along(self, axis: usize) -> Self {
        along(self, axis, |x| x.sum_dim(axis), LongRows::row_sums)
    }

    fn means_along(self, axis: usize) -> Self {
        along(self, axis, |x| x.mean_dim(axis), LongRows::row_means)
    }

    fn maxima_along(self, axis: usize) -> Self {
        along(self, axis, |x| x.max_dim(axis), LongRows::row_maxima)
    }

    fn minima_along(self, axis: usize) -> Self {
        along(self, axis, |x| x.min_dim(axis), LongRows::row_minima)
    }
}

/// `at_once` on a short axis; on a long one `in_rows`, of a view in which it is the last.
fn along<const D: usize>(
    x: Tensor<D>,
    axis: usize,
    at_once: impl FnOnce(Tensor<D>) -> Tensor<D>,
    in_rows: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> Tensor<D> {
    let length = x.dims()[axis];
    if length <= AT_ONCE {
        return at_once(x);
    }
    let last = D - 1;
    let x = x.swap_dims(axis, last);
    let mut shape = x.dims();
    shape[last] = 1;
    let rows = shape.iter().product::<usize>();
    in_rows(x.reshape([rows, length]))
        .reshape(shape)
        .swap_dims(axis, last)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{AT_ONCE, LongAxes};

    /// Along a long axis that is the first, the middle or the last of three.
    #[test]
    fn a_long_axis_is_reduced_wherever_it_lies() {
        let device = Device::flex();
        let length = AT_ONCE + 4098;
        for axis in 0..3 {
            let mut shape = [2, 3, 2];
            shape[axis] = length;
            let stride: usize = shape[axis + 1..].iter().product();
            let values: Vec<f32> = (0..shape.iter().product::<usize>())
                .map(|at| ((at * 37) % 1009) as f32 - 500.0)
                .collect();
            let lines = values.len() / length;
            let line = |at: usize| {
                let start = at / stride * stride * length + at % stride;
                (0..length).map(move |k| start + k * stride)
            };
            let x = Tensor::<3>::from_data(TensorData::new(values.clone(), shape), &device);
            let found = [
                x.clone().sums_along(axis),
                x.clone().means_along(axis),
                x.clone().maxima_along(axis),
                x.minima_along(axis),
            ];
            let found = found.map(|found| found.into_data().iter::<f32>().collect::<Vec<_>>());
            for at in 0..lines {
                let numbers = || line(at).map(|at| f64::from(values[at]));
                let sum: f64 = numbers().sum();
                let expected = [
                    sum,
                    sum / length as f64,
                    numbers().fold(f64::NEG_INFINITY, f64::max),
                    numbers().fold(f64::INFINITY, f64::min),
                ];
                let size = numbers().map(f64::abs).sum::<f64>();
                let rounding = [1e-6 * size, 1e-6 * size / length as f64, 0.0, 0.0];
                for ((found, expected), rounding) in found.iter().zip(expected).zip(rounding) {
                    let found = f64::from(found[at]);
                    assert!(
                        (found - expected).abs() <= rounding,
                        "axis {axis}, line {at}: {found}, not {expected}"
                    );
                }
            }
        }
    }
}
