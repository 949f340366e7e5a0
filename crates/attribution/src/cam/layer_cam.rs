//! LayerCAM: each number weighted by its own positive gradient.
//!
//! `attr[c, i] = relu(g[c, i]) x[c, i]`; the map is the sum over channels. Where activations are not
//! negative, as behind a ReLU, neither is the map. Because a weight belongs to a position and not to
//! a channel, it can be used at shallow layers, too.
//!
//! Source: Jiang, Zhang, Hou, Cheng and Wei, *LayerCAM: Exploring Hierarchical Class Activation Maps
//! for Localization*, IEEE Transactions on Image Processing 2021. To merge maps of several layers
//! the paper scales those of the shallow ones by `tanh(2 map / max(map))`; that is left to the
//! caller, as is the ReLU. pytorch-grad-cam weighs alike and stretches the map to 0..1.

use burn::tensor::{Tensor, activation};

use super::gradient_cam;

gradient_cam! {
    /// LayerCAM: activations weighted by positive gradients.
    LayerCam: weighted,
    "layer-cam", "LayerCAM", "Jiang et al. 2021"
}

fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    x * activation::relu(g)
}
