//! Sums over pooling windows, and the arithmetic of where the windows lie.

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, TensorData, module};
use elucid_kernels::pool;
use elucid_kernels::window::Geometry;

use crate::host::Host;

/// `weights[o] * sum of window o`, `[N, C, H, W]` to `[N, C, H', W']`.
pub(crate) fn weighted_sum(x: Tensor<4>, geometry: &Geometry, weights: &[f32]) -> Tensor<4> {
    match Host::view(&x) {
        Some(x) => {
            let y = pool::weighted_sum(x.planes(), geometry, weights);
            x.tensor(y, output_dims(&x, geometry))
        }
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
        Some(g) => {
            let d = pool::weighted_sum_transpose(g.planes(), geometry, weights);
            g.tensor(d, input_dims(&g, geometry))
        }
        None => {
            let weights = plane(&g, geometry, weights);
            sum_transpose(g * weights, geometry)
        }
    }
}

/// The shape of windows' outputs for the inputs `x`.
pub(crate) fn output_dims(x: &Host, Geometry { rows, cols }: &Geometry) -> [usize; 4] {
    let [n, c, _, _] = x.dims();
    [n, c, rows.out, cols.out]
}

/// The shape of windows' inputs for the gradients `g` at their outputs.
pub(crate) fn input_dims(g: &Host, Geometry { rows, cols }: &Geometry) -> [usize; 4] {
    let [n, c, _, _] = g.dims();
    [n, c, rows.size, cols.size]
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
