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
use elucid_graph::ImageBatch;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::target::Target;

/// HiResCAM: activation times gradient.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct HiResCam {
    pub(crate) setup: Setup,
}

impl HiResCam {
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
    x * g
}

impl Attributor for HiResCam {
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
    name: "hires-cam",
    title: "HiResCAM",
    place: Place::SpatialLayer,
    needs_model: false,
    takes_rules: true,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Draelos and Carin 2020",
    build: |options| {
        Ok(Box::new(HiResCam {
            setup: options.setup(),
        }))
    },
};
