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
use elucid_graph::ImageBatch;

use super::{guarded, over_positions};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::target::Target;

/// XGrad-CAM: activations weighted by each channel's activation-weighted mean gradient.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct XGradCam {
    pub(crate) setup: Setup,
}

impl XGradCam {
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

fn weighted(x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
    let weight = guarded(over_positions(x.clone() * g), over_positions(x.clone()));
    x * weight
}

impl Attributor for XGradCam {
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
    name: "x-grad-cam",
    title: "XGrad-CAM",
    place: Place::SpatialLayer,
    needs_model: false,
    takes_rules: true,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Fu et al. 2020",
    build: |options| {
        Ok(Box::new(XGradCam {
            setup: options.setup(),
        }))
    },
};
