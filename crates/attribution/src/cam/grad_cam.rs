//! Grad-CAM: each channel weighted by its mean gradient.
//!
//! `attr[c, i] = w_c x[c, i]` with `w_c = mean_j(g[c, j])`; the map is the sum over channels. Behind
//! a global average pool and one dense layer, `w_c` is the class's weight over the number of
//! positions, and the map that of CAM (Zhou et al., 2016).
//!
//! Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
//! Localization*, ICCV 2017, <https://arxiv.org/abs/1610.02391>. The paper looks at the last
//! convolutional layer, which is the default here ([`FEATURES`]), takes the ReLU of the map and
//! upsamples it bilinearly. Here both are the caller's choice, in either order:
//! `map.positive().upsampled()`.
//!
//! Captum's `LayerGradCam` gives the raw map unless `relu_attributions` is set, and upsamples to the
//! nearest neighbour by default; TorchRay takes the ReLU; pytorch-grad-cam takes the ReLU and
//! stretches the map to 0..1 before it upsamples.

use burn::tensor::Tensor;
use elucid_graph::ImageBatch;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::target::Target;

/// Grad-CAM: activations weighted by each channel's mean gradient.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct GradCam {
    pub(crate) setup: Setup,
}

impl GradCam {
    /// At a layer of shape `[N, C, H, W]`.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
        }
    }

    /// At the last convolutional features, [`FEATURES`].
    pub fn at_features() -> Self {
        Self::at(FEATURES)
    }

    setup_builders!(rules, batch_size, progress);
}

pub(crate) fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    x * g.mean_dim(3).mean_dim(2)
}

impl Attributor for GradCam {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        super::attribute(self.name(), &self.setup, network, images, &target, weighted)
    }
}

pub(crate) const METHOD: Method = Method {
    name: "grad-cam",
    title: "Grad-CAM",
    place: Place::SpatialLayer,
    needs_model: false,
    takes_rules: true,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Selvaraju et al. 2017",
    build: |options| {
        Ok(Box::new(GradCam {
            setup: options.setup(),
        }))
    },
};
