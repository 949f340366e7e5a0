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
use elucid_graph::ImageBatch;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::target::Target;

/// LayerCAM: activations weighted by positive gradients.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct LayerCam {
    pub(crate) setup: Setup,
}

impl LayerCam {
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
    x * activation::relu(g)
}

impl Attributor for LayerCam {
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
    name: "layer-cam",
    title: "LayerCAM",
    place: Place::SpatialLayer,
    needs_model: false,
    takes_rules: true,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Jiang et al. 2021",
    build: |options| {
        Ok(Box::new(LayerCam {
            setup: options.setup(),
        }))
    },
};
