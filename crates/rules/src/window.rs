//! Sums over pooling windows, and the arithmetic of where the windows lie.

use std::ops::Range;

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, TensorData, module};

use crate::cpu::{self, Host};

/// The windows along one axis. Constructed by `Pool2d`, which validates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) before: usize,
    pub(crate) after: usize,
    pub(crate) dilation: usize,
    pub(crate) size: usize,
    pub(crate) out: usize,
}

impl Axis {
    /// The first element of a window to the last, inclusive.
    fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// From the start of the leading padding to the end of the last window.
    pub(crate) fn covered(&self) -> usize {
        (self.out - 1) * self.stride + self.extent()
    }

    /// The window elements of output `o` that fall into the input.
    pub(crate) fn elements(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.size + self.before)
            .saturating_sub(start)
            .div_ceil(self.dilation);
        first..end.clamp(first, self.kernel.max(first))
    }

    /// Where element `t` of window `o` lies in the input; only for `t` in `elements(o)`.
    pub(crate) fn position(&self, o: usize, t: usize) -> usize {
        o * self.stride + t * self.dilation - self.before
    }

    /// The outputs whose window has its element `t` in the input.
    pub(crate) fn outputs(&self, t: usize) -> Range<usize> {
        let offset = t * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.size + self.before)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(self.out);
        first.min(end)..end
    }

    /// How many elements of window `o` fall into the input.
    pub(crate) fn count(&self, o: usize) -> usize {
        self.elements(o).len()
    }

    /// How many elements of window `o` fall into the input or its padding.
    fn count_with_padding(&self, o: usize) -> usize {
        let padded = self.size + self.before + self.after;
        padded
            .saturating_sub(o * self.stride)
            .div_ceil(self.dilation)
            .min(self.kernel)
    }
}

/// The windows of a two-dimensional pool over a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
}

impl Geometry {
    /// One over the number of elements of each window, in row-major order.
    pub(crate) fn means(&self, count_include_pad: bool) -> Vec<f32> {
        let count = if count_include_pad {
            Axis::count_with_padding
        } else {
            Axis::count
        };
        let cols: Vec<usize> = (0..self.cols.out).map(|o| count(&self.cols, o)).collect();
        (0..self.rows.out)
            .map(|o| count(&self.rows, o))
            .flat_map(|rows| cols.iter().map(move |cols| 1.0 / (rows * cols) as f32))
            .collect()
    }

    pub(crate) fn output_len(&self) -> usize {
        self.rows.out * self.cols.out
    }

    pub(crate) fn input_len(&self) -> usize {
        self.rows.size * self.cols.size
    }
}

/// `weights[o] * sum of window o`, `[N, C, H, W]` to `[N, C, H', W']`.
pub(crate) fn weighted_sum(x: Tensor<4>, geometry: &Geometry, weights: &[f32]) -> Tensor<4> {
    match Host::view(&x) {
        Some(x) => cpu::pool::weighted_sum(&x, geometry, weights),
        None => {
            let weights = plane(&x, geometry, weights);
            sum(x, geometry) * weights
        }
    }
}

/// The transpose of [`weighted_sum`]: each input receives `weights[o] * g[o]` of every window that
/// holds it.
pub(crate) fn weighted_sum_transpose(
    g: Tensor<4>,
    geometry: &Geometry,
    weights: &[f32],
) -> Tensor<4> {
    match Host::view(&g) {
        Some(g) => cpu::pool::weighted_sum_transpose(&g, geometry, weights),
        None => {
            let weights = plane(&g, geometry, weights);
            sum_transpose(g * weights, geometry)
        }
    }
}

fn plane(like: &Tensor<4>, Geometry { rows, cols }: &Geometry, values: &[f32]) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [1, 1, rows.out, cols.out]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

/// A window sum is a convolution of each plane with ones, which burn has on every backend, with
/// dilation, in both directions.
fn sum(x: Tensor<4>, geometry: &Geometry) -> Tensor<4> {
    let Geometry { rows, cols } = geometry;
    let [n, c, _, _] = x.dims();
    let planes = cover(x, geometry, 0.0).reshape([n * c, 1, rows.covered(), cols.covered()]);
    let ones = Tensor::ones(
        [1, 1, rows.kernel, cols.kernel],
        (&planes.device(), planes.dtype()),
    );
    let options = ConvOptions::new(
        [rows.stride, cols.stride],
        [0, 0],
        [rows.dilation, cols.dilation],
        1,
    );
    module::conv2d(planes, ones, None, options).reshape([n, c, rows.out, cols.out])
}

fn sum_transpose(g: Tensor<4>, geometry: &Geometry) -> Tensor<4> {
    let Geometry { rows, cols } = geometry;
    let [n, c, _, _] = g.dims();
    let planes = g.reshape([n * c, 1, rows.out, cols.out]);
    let ones = Tensor::ones(
        [1, 1, rows.kernel, cols.kernel],
        (&planes.device(), planes.dtype()),
    );
    let options = ConvTransposeOptions::new(
        [rows.stride, cols.stride],
        [0, 0],
        [0, 0],
        [rows.dilation, cols.dilation],
        1,
    );
    let covered = module::conv_transpose2d(planes, ones, None, options);
    uncover(
        covered.reshape([n, c, rows.covered(), cols.covered()]),
        geometry,
    )
}

/// Pads by `value`, and cuts, to exactly what the windows cover.
pub(crate) fn cover(x: Tensor<4>, Geometry { rows, cols }: &Geometry, value: f32) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let (h, w) = (
        h.min(rows.covered() - rows.before),
        w.min(cols.covered() - cols.before),
    );
    let bottom = rows.covered() - rows.before - h;
    let right = cols.covered() - cols.before - w;
    let x = x.slice([0..n, 0..c, 0..h, 0..w]);
    if [rows.before, bottom, cols.before, right] == [0; 4] {
        return x;
    }
    x.pad(
        (cols.before, right, rows.before, bottom),
        PadMode::Constant(value),
    )
}

/// The transpose of [`cover`] by zeros.
pub(crate) fn uncover(d: Tensor<4>, Geometry { rows, cols }: &Geometry) -> Tensor<4> {
    let [n, c, _, _] = d.dims();
    let bottom = rows.covered().min(rows.before + rows.size);
    let right = cols.covered().min(cols.before + cols.size);
    let d = d.slice([0..n, 0..c, rows.before..bottom, cols.before..right]);
    let (missing_rows, missing_cols) = (
        rows.before + rows.size - bottom,
        cols.before + cols.size - right,
    );
    if missing_rows == 0 && missing_cols == 0 {
        return d;
    }
    d.pad((0, missing_cols, 0, missing_rows), PadMode::Constant(0.0))
}
