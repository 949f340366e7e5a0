//! HiResCAM: activation times gradient, number by number.
//!
//! `attr[c, i] = x[c, i] g[c, i]`; the map is the sum over channels. Unlike Grad-CAM's, it shows
//! where the model looked for every network whose layers behind this one are linear in each
//! position: the gradient is not averaged over positions first. These are the numbers of
//! [`LinearApproximation`](crate::LinearApproximation), here under the name that users of CAMs know,
//! and with their default layer.
//!
//! Source: Draelos and Carin, *Use HiResCAM instead of Grad-CAM for faithful explanations of
//! convolutional neural networks*, 2020, <https://arxiv.org/abs/2011.08891>. The paper shows the
//! positive part of the map. pytorch-grad-cam takes the ReLU and stretches to 0..1 before upsampling;
//! TorchRay's `linear_approx` is the raw map.

use burn::tensor::Tensor;

use super::gradient_cam;

gradient_cam! {
    /// HiResCAM: activation times gradient.
    HiResCam: weighted,
    "hires-cam", "HiResCAM", "Draelos and Carin 2020"
}

fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    x * g
}
