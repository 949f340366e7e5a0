//! EigenGrad-CAM: activations times gradients along their first principal component.
//!
//! With the products `z[c, i] = g[c, i] x[c, i]` of one image as a matrix `Z [H W, C]`, one row for each
//! position, and `v` its first right singular vector, `attr[c, i] = z[c, i] v_c`; the map, the sum over
//! channels, is the projection `Z v`. It is [Eigen-CAM](super::eigen_cam) of what HiResCAM adds up, and
//! so it depends on the target.
//!
//! Singular vectors have no sign. Here `sum_c(v_c) > 0`: since `v` is an eigenvector of `Z^T Z`, that is
//! the sign by which the map's product with the map of [`HiResCam`](super::HiResCam), the sum over
//! channels of `Z`, is positive. A map of evidence against the target stays negative.
//!
//! Source: Gildenblat's *pytorch-grad-cam* (2021), whose `EigenGradCAM` defined it after Muhammad and
//! Yeasin, *Eigen-CAM* (2020). There each channel's mean over positions is subtracted first, which is
//! [`EigenGradCam::centred`] here, the sign is whatever the singular value decomposition returns, and the
//! map is its ReLU, stretched to 0..1.
//!
//! Where the first two singular values are equal, `v` is not unique, and any vector of that plane may
//! come out. Memory: as [Eigen-CAM](super::eigen_cam), and the gradients.

use burn::tensor::Tensor;

use super::eigen_cam::directions;
use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::saliency::Reduce;
use crate::work::Context;

method! {
    /// EigenGrad-CAM: activations times gradients along their first principal component.
    pub struct EigenGradCam {
        centred: bool = false,
    }
    /// At a layer of shape `[N, C, H, W]`.
    at_features
}

impl EigenGradCam {
    setup_builders!(rules, batch_size, progress);
}

crate::options!(EigenGradCam {
    {
        /// Whether each channel's mean over positions is subtracted first, as pytorch-grad-cam does;
        /// not by default.
        centred: bool as "centred",
        "whether each channel's mean is subtracted first, as pytorch-grad-cam does", "true or false"
    }
});

impl Attributor for EigenGradCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (values, scores) = work.each_batch(|rows, at| {
            let x = spatial(work, &at)?;
            let found = work.gradients(rows, at)?;
            let mut z = x * spatial(work, &found.gradient)?;
            let [n, c, _, _] = z.dims();
            if self.centred {
                z = z.clone() - z.mean_dim(3).mean_dim(2);
            }
            let ones = Tensor::ones([n, c, 1, 1], &z.device());
            let directions = directions(z.clone(), ones)?;
            Ok(((z * directions).into(), found.scores))
        })?;
        Attribution::new(self, work, values, scores, Reduce::Sum)
    }
}

pub(crate) const METHOD: Method =
    Method::of::<EigenGradCam>("eigen-grad-cam", "EigenGrad-CAM", "Gildenblat 2021")
        .at(Place::SpatialLayer)
        .takes_rules();
