//! Class activation maps: a layer's activations, weighted by what they mean to a target.
//!
//! All methods of this family but one give `[N, C, H, W]`, shaped like the layer: what each number of
//! the layer adds to the map. Their usual map, [`Attribution::map`], is the sum over channels, raw:
//! signed, at the layer's size. What programs do to it afterwards is the caller's choice:
//!
//! - `.map()?.upsampled()` is the raw map at the images' size, bilinear;
//! - `.map()?.positive()` is the ReLU of the Grad-CAM paper; a map without a number above zero has
//!   nothing to show then, which [`Saliency::is_blank`](crate::Saliency::is_blank) says.
//!
//! pytorch-grad-cam takes the ReLU of every map and stretches it to 0..1 *before* upsampling, and
//! returns nothing else; Captum's `LayerGradCam` returns the raw map unless asked for the ReLU,
//! TorchRay the ReLU of the map.
//!
//! | method | number at channel `c`, position `i` |
//! | --- | --- |
//! | [`GradCam`] | `x_ci mean_j(g_cj)` |
//! | [`GradCamPlusPlus`] | `x_ci sum_j(relu(g_cj) g_cj^2 / (2 g_cj^2 + g_cj^3 sum_k x_ck))` |
//! | [`HiResCam`] | `x_ci g_ci` |
//! | [`LayerCam`] | `x_ci relu(g_ci)` |
//! | [`XGradCam`] | `x_ci sum_j(x_cj g_cj) / sum_j(x_cj)` |
//! | [`EigenCam`] | `x_ci v_c`, with `v` the first principal component; no gradient |
//! | [`ScoreCam`] | `x_ci w_c`, with `w` the softmax over channels of the score under each as a mask; no gradient |
//! | [`AblationCam`] | `x_ci (s - s_c)`, with `s_c` the score without channel `c`; no gradient |
//! | [`EigenGradCam`] | `x_ci g_ci v_c`, with `v` the first principal component of `x_ci g_ci` |
//! | [`ShapleyCam`] | `x_ci mean_j(g_cj - (H x)_cj / 2)`, with `H` the second derivatives |
//!
//! [`ReciproCam`] has one number for each position instead: the score when only that position is shown.
//!
//! `x` is the activation and `g` the gradient of the target's score there, the logit by default.
//!
//! Memory: the activations of `batch_size` images between the layer and the target.

pub mod ablation_cam;
mod by_channel;
pub mod eigen_cam;
pub mod eigen_grad_cam;
pub mod grad_cam;
pub mod grad_cam_plus_plus;
pub mod hi_res_cam;
pub mod layer_cam;
pub mod recipro_cam;
pub mod score_cam;
pub mod shapley_cam;
pub mod x_grad_cam;

use burn::tensor::Tensor;
use elucid_graph::Activation;

pub(crate) use self::grad_cam::weighted as grad_cam;
pub use self::{
    ablation_cam::AblationCam,
    eigen_cam::EigenCam,
    eigen_grad_cam::EigenGradCam,
    grad_cam::GradCam,
    grad_cam_plus_plus::GradCamPlusPlus,
    hi_res_cam::HiResCam,
    layer_cam::LayerCam,
    recipro_cam::{ReciproCam, ReciproMask, ReciproValue},
    score_cam::{ScoreCam, ScoreWeights},
    shapley_cam::ShapleyCam,
    x_grad_cam::XGradCam,
};
use crate::attribution::Attribution;
use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::saliency::Reduce;
use crate::work::Context;

/// A method that is a formula of the activations and the gradients, with its entry in the table: name, title,
/// who published it, and names that others give it.
macro_rules! gradient_cam {
    ($(#[$doc:meta])* $method:ident: $formula:expr, $name:literal, $title:literal, $reference:literal $(, also $others:expr)?) => {
        $crate::attributor::method! {
            $(#[$doc])*
            pub struct $method {}
            /// At a layer of shape `[N, C, H, W]`.
            at_features
        }

        impl $method {
            $crate::attributor::setup_builders!(rules, batch_size, progress);
        }

        $crate::options!($method {});

        pub(crate) const METHOD: $crate::Method =
            $crate::Method::of::<$method>($name, $title, $reference)
                .at($crate::Place::SpatialLayer)
                .takes_rules()
                $(.also($others))?;

        $crate::attributor::explains!($method, |method, work| $crate::cam::explain(method, work, $formula));
    };
}
use gradient_cam;

/// Attributes by a formula of the activations and the gradients, both `[N, C, H, W]`.
fn explain(
    method: &dyn Attributor,
    work: &Context<'_>,
    formula: fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> Result<Attribution, AttributionError> {
    let (values, scores) = work.each_batch(|rows, at| {
        let x = spatial(work, &at)?;
        let found = work.gradients(rows, at)?;
        let g = spatial(work, &found.gradient)?;
        Ok((formula(x, g).into(), found.scores))
    })?;
    Attribution::new(method, work, values, scores, Reduce::Sum)
}

/// The layer's value as `[N, C, H, W]`.
pub(crate) fn spatial(work: &Context<'_>, at: &Activation) -> Result<Tensor<4>, AttributionError> {
    at.tensor().map_err(|_| AttributionError::NotSpatial {
        layer: work.layer.clone(),
        shape: at.shape(),
    })
}

/// Sum over positions, `[N, C, 1, 1]`.
fn over_positions(x: Tensor<4>) -> Tensor<4> {
    x.sum_dim(3).sum_dim(2)
}

/// `numerator / denominator`, and 0 where the denominator is 0.
fn guarded(numerator: Tensor<4>, denominator: Tensor<4>) -> Tensor<4> {
    let zero = denominator.clone().equal_scalar(0.0);
    numerator.mask_fill(zero.clone(), 0.0) / denominator.mask_fill(zero, 1.0)
}
