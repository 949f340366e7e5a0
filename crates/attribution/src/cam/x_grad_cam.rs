//! XGrad-CAM: each channel weighted by its mean gradient where it is active.
//!
//! `attr[c, i] = w_c x[c, i]` with `w_c = sum_j(x[c, j] g[c, j]) / sum_j(x[c, j])`, and `w_c = 0`
//! where the activations of a channel add up to zero: behind a ReLU the channel is silent then, and
//! adds nothing anyway. The map, the sum over channels, adds up to the sum of activation times
//! gradient, as that of [`HiResCam`](crate::HiResCam) does.
//!
//! Source: Fu, Hu, Dong, Guo, Gao and Li, *Axiom-based Grad-CAM: Towards Accurate Visualization and
//! Explanation of CNNs*, BMVC 2020, <https://arxiv.org/abs/2008.02312>. The weights are meant for
//! layers behind a ReLU: activations of both signs may add up to nearly zero, and the weight grows
//! without bound. pytorch-grad-cam adds 1e-7 to the denominator, takes the ReLU of the map and
//! stretches it to 0..1.

use burn::tensor::Tensor;

use super::{gradient_cam, guarded, over_positions};

gradient_cam! {
    /// XGrad-CAM: activations weighted by each channel's activation-weighted mean gradient.
    XGradCam: weighted,
    "x-grad-cam", "XGrad-CAM", "Fu et al. 2020"
}

fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    let weight = guarded(over_positions(x.clone() * g), over_positions(x.clone()));
    x * weight
}
