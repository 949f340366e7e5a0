use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use elucid_kernels::lrn::{self, Lrn};

use crate::host::Host;
use crate::operation::{self, Operation, Pullback};
use crate::power::powf;

/// Local response normalisation, differentiable: `[N, C, H, W]` to the same shape.
///
/// `y = x / s^beta`, where `s = bias + alpha / size * (sum of x^2 over the window)` and the window
/// of channel `c` is `c - floor((size - 1) / 2) ..= c + ceil((size - 1) / 2)`, cut at the first
/// and last channel. This is [ONNX's LRN]; the division of `alpha` by `size` is part of it.
///
/// Source: Krizhevsky, Sutskever and Hinton, *ImageNet Classification with Deep Convolutional
/// Neural Networks*, NIPS 2012.
///
/// [ONNX's LRN]: https://onnx.ai/onnx/operators/onnx__LRN.html
///
/// # Panics
///
/// When `lrn.size` is zero.
pub fn local_response_norm(x: Tensor<4>, lrn: &Lrn) -> Tensor<4> {
    assert!(lrn.size > 0, "the window of an LRN must hold a channel");
    operation::run(x, Arc::new(Normalisation(*lrn)))
}

#[derive(Debug)]
struct Normalisation(Lrn);

impl Operation for Normalisation {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let lrn = &self.0;
        match Host::view(&x) {
            Some(x) => x.tensor(lrn::forward(x.planes(), lrn), x.dims()),
            None => {
                let s = scales(&x, lrn);
                x * powf(s, -lrn.beta)
            }
        }
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let lrn = self.0;
        let y = self.forward(x.clone());
        (y, Pullback::new(move |g| backward(&x, g, &lrn)))
    }
}

/// `dx_j = g_j s_j^-beta - 2 alpha beta / size * x_j * sum of g_i x_i s_i^(-beta - 1)` over the
/// windows `i` that hold `j`.
fn backward(x: &Tensor<4>, g: Tensor<4>, lrn: &Lrn) -> Tensor<4> {
    if let (Some(x), Some(g)) = (Host::view(x), Host::view(&g)) {
        return x.tensor(lrn::backward(x.planes(), g.planes(), lrn), x.dims());
    }
    let s = scales(x, lrn);
    let power = powf(s.clone(), -lrn.beta);
    let direct = g * power;
    let through_s = direct.clone() * x.clone() / s;
    let through_s = sum_over_channels(through_s, lrn.above(), lrn.below());
    direct - through_s * x.clone() * (2.0 * lrn.scale() * lrn.beta)
}

/// `s` for each element of `x`.
fn scales(x: &Tensor<4>, lrn: &Lrn) -> Tensor<4> {
    let squares = x.clone() * x.clone();
    sum_over_channels(squares, lrn.below(), lrn.above()) * lrn.scale() + lrn.bias
}

/// Each channel's sum with the `below` channels before it and the `above` after it.
fn sum_over_channels(x: Tensor<4>, below: usize, above: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    // A window may be wider than all channels; what it holds beyond them is zero.
    let (below, above) = (below.min(c), above.min(c));
    let padded = x.pad([(below, above), (0, 0), (0, 0)], PadMode::Constant(0.0));
    let shifted = |by: usize| padded.clone().slice([0..n, by..by + c, 0..h, 0..w]);
    (1..=below + above).fold(shifted(0), |sum, by| sum + shifted(by))
}
