//! Shapley-CAM: each channel weighted by its mean gradient, less what the score bends on the way.
//!
//! `attr[c, i] = w_c x[c, i]` with `w_c = mean_j(g[c, j] - (H x)[c, j] / 2)`, where `H` is the matrix of
//! second derivatives of the score by the layer's numbers and `x` the layer's value; the map is the sum
//! over channels. Behind a score that is linear in the layer `H` is 0 and the map that of
//! [Grad-CAM](super::GradCam).
//!
//! Where it comes from: a channel's Shapley value in the game of who is switched on, by the Taylor
//! expansion of the score to the second order around the layer's value. Source: Cai, *CAMs as Shapley
//! Value-based Explainers*, The Visual Computer 2025, <https://arxiv.org/abs/2501.06261>. The paper
//! explains the logit plus the logarithm of the probability of its class; here it is whatever the
//! [`Target`](crate::Target) is, by default the logit. pytorch-grad-cam weighs alike, takes the ReLU of the map, and
//! stretches it to 0..1.
//!
//! **Second derivatives.** `H x` is the derivative of the gradient along the layer's own value:
//!
//! `H x = (g(x + t x) - g(x - t x)) / (2 t)`, `t = 0.01` by default ([`ShapleyCam::step`]).
//!
//! The error is a third derivative times `t^2`, and what single precision leaves of the gradient over
//! `t`: about `1e-5` of the gradient. Networks of ReLUs have no second derivatives but at their kinks, and
//! autodiff says 0 of those; the difference counts the ones that lie within the step.
//!
//! Three gradients for each image. Memory: as Grad-CAM.

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::options::Configurable;
use crate::saliency::Reduce;
use crate::work::Context;

method! {
    /// Shapley-CAM: activations weighted by each channel's mean gradient and second derivatives.
    pub struct ShapleyCam {
        step: f32 = 0.01,
    }
    /// At a layer of shape `[N, C, H, W]`.
    at_features
}

impl ShapleyCam {
    setup_builders!(rules, batch_size, progress);
}

crate::options!(ShapleyCam {
    {
        /// How far the layer's value is stretched and shrunk for the second derivatives, as a share of
        /// itself; 0.01 by default.
        step: f32 as "step",
        "how far the layer's value is moved for the second derivatives, as a share of itself",
        "above 0 and at most 1", |step| *step > 0.0 && *step <= 1.0
    }
});

impl Attributor for ShapleyCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let (more, less) = (1.0 + self.step, 1.0 - self.step);
        let (values, scores) = work.each_batch(|rows, at| {
            let x = spatial(work, &at)?;
            let found = work.gradients(rows, at)?;
            let g = spatial(work, &found.gradient)?;
            let stretched = |by: f32| {
                let found = work.gradients(rows, (x.clone() * by).into())?;
                spatial(work, &found.gradient)
            };
            let bent = (stretched(more)? - stretched(less)?) / (more - less);
            let weights = (g - bent * 0.5).mean_dim(3).mean_dim(2);
            Ok(((x.clone() * weights).into(), found.scores))
        })?;
        let evaluations = vec![3; scores.len()];
        Ok(
            Attribution::new(self, work, values, scores, Reduce::Sum)?
                .with_evaluations(evaluations),
        )
    }
}

pub(crate) const METHOD: Method =
    Method::of::<ShapleyCam>("shapley-cam", "Shapley-CAM", "Cai 2025")
        .at(Place::SpatialLayer)
        .takes_rules();
