//! Grad-CAM++: each channel weighted by its positive gradients, those of small regions more.
//!
//! `attr[c, i] = w_c x[c, i]` with
//! `w_c = sum_j(relu(g[c, j]) g[c, j]^2 / (2 g[c, j]^2 + g[c, j]^3 sum_k(x[c, k])))`, where a term
//! without a gradient is 0. It is computed as `relu(g) / (2 + g sum(x))`, the same with `g^2`
//! cancelled: squares of small gradients have no room in `f32`. Behind a ReLU that denominator is
//! 2 or more wherever it counts; where activations of both signs make it 0, the term is 0.
//!
//! Source: Chattopadhyay, Sarkar, Howlader and Balasubramanian, *Grad-CAM++: Generalized
//! Gradient-Based Visual Explanations for Deep Convolutional Networks*, WACV 2018,
//! <https://arxiv.org/abs/1710.11063>. The closed form holds for the exponential of the score. Its
//! derivative is the score's times one positive number for the whole image, `exp(score)`, which is
//! left out here as in most programs: it changes no map but in scale. The weights are not
//! proportional to the gradient: twice the score gives another map.
//!
//! pytorch-grad-cam adds 1e-6 to the denominator, which for gradients of 1e-3 is as large as their
//! squares and changes the map; it takes the ReLU and stretches to 0..1 before upsampling. Captum
//! and TorchRay do not have the method.

use burn::tensor::{Tensor, activation};

use super::{gradient_cam, guarded, over_positions};

gradient_cam! {
    /// Grad-CAM++: activations weighted by positive gradients in closed form.
    GradCamPlusPlus: weighted,
    "grad-cam-plus-plus", "Grad-CAM++", "Chattopadhyay et al. 2018",
    also &["grad-cam++"]
}

fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    let denominator = g.clone() * over_positions(x.clone()) + 2.0;
    x * over_positions(guarded(activation::relu(g), denominator))
}
