//! Linear maps along an axis, as matrices that are made once.

use burn::tensor::{Device, Tensor, TensorData};

/// A matrix `[rows, columns]` of `value(row, column)`.
pub(crate) fn matrix(
    [rows, columns]: [usize; 2],
    device: &Device,
    value: impl Fn(usize, usize) -> f64,
) -> Tensor<2> {
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| value(i / columns, i % columns) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// `x` times `matrix` `[W, W2]` along the last axis: `[N, C, H, W]` to `[N, C, H, W2]`.
pub(crate) fn along_rows(x: Tensor<4>, matrix: &Tensor<2>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let [_, to] = matrix.dims();
    x.reshape([n * c * h, w])
        .matmul(matrix.clone())
        .reshape([n, c, h, to])
}

/// `x` times `matrix` `[H, H2]` along the third axis: `[N, C, H, W]` to `[N, C, H2, W]`.
pub(crate) fn along_columns(x: Tensor<4>, matrix: &Tensor<2>) -> Tensor<4> {
    along_rows(x.swap_dims(2, 3), matrix).swap_dims(2, 3)
}

/// Bilinear interpolation of `from` samples to `to`, pixel centres at halves, `[from, to]`.
pub(crate) fn bilinear(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let at = |i: usize| {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        at.clamp(0.0, from.saturating_sub(1) as f64)
    };
    matrix([from, to], device, |j, i| {
        (1.0 - (at(i) - j as f64).abs()).max(0.0)
    })
}

/// `x` `[N, C, H, W]` at another size, by bilinear interpolation without smoothing.
pub(crate) fn resize(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let device = x.device().inner();
    let x = along_columns(x, &bilinear(h, size[0], &device));
    along_rows(x, &bilinear(w, size[1], &device))
}
