//! Grad-CAM: each channel weighted by its mean gradient.
//!
//! `attr[c, i] = w_c x[c, i]` with `w_c = mean_j(g[c, j])`; the map is the sum over channels. Behind
//! a global average pool and one dense layer, `w_c` is the class's weight over the number of
//! positions, and the map that of CAM (Zhou et al., 2016).
//!
//! Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
//! Localization*, ICCV 2017, <https://arxiv.org/abs/1610.02391>. The paper looks at the last
//! convolutional layer, which is the default here ([`FEATURES`](crate::FEATURES)), takes the ReLU of the map and
//! upsamples it bilinearly. Here both are the caller's choice, in either order:
//! `map.positive().upsampled()`.
//!
//! Captum's `LayerGradCam` gives the raw map unless `relu_attributions` is set, and upsamples to the
//! nearest neighbour by default; TorchRay takes the ReLU; pytorch-grad-cam takes the ReLU and
//! stretches the map to 0..1 before it upsamples.

use burn::tensor::Tensor;

use super::gradient_cam;

gradient_cam! {
    /// Grad-CAM: activations weighted by each channel's mean gradient.
    GradCam: weighted,
    "grad-cam", "Grad-CAM", "Selvaraju et al. 2017"
}

pub(crate) fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    x * g.mean_dim(3).mean_dim(2)
}
