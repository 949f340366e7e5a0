//! The deconvnet: the gradient, with each ReLU applied to the gradient itself.
//!
//! At a ReLU, the gradient `g` at its output becomes `max(g, 0)`, whatever its input was; likewise at
//! a ReLU6 or any other `Clip`. Max-pools pass it to where the maximum was, as the paper's switches
//! do and as their true gradient does; everything else keeps its true gradient. The result is
//! `[N, ...]`, shaped like the layer, signed, and its usual map the largest absolute value over
//! channels.
//!
//! Source: Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014,
//! <https://arxiv.org/abs/1311.2901>; as a gradient: Simonyan, Vedaldi and Zisserman, *Deep inside
//! convolutional networks* (2013). The paper starts from one unit's activation; here, as in Captum
//! and TorchRay, from the gradient of the target.
//!
//! Captum and TorchRay miss the same ReLUs as in guided backpropagation: those called as functions,
//! and ReLU6. A network that has no ReLU at all between layer and target is refused, with the
//! activations it has ([`AttributionError::NoRectifier`]); other activations keep their true gradient,
//! and the result says how many did ([`Attribution::rule_uses`]).

use elucid_graph::{INPUT, ImageBatch};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::rectified::Rectified;
use crate::target::Target;

/// The deconvnet: the gradient, with each ReLU applied to the gradient instead.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct DeconvNet {
    pub(crate) setup: Setup,
}

impl DeconvNet {
    /// At the network's input.
    pub fn at_input() -> Self {
        Self::at(INPUT)
    }

    /// At a layer.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
        }
    }

    setup_builders!(batch_size, progress);
}

const RECTIFIED: Rectified = Rectified {
    name: METHOD.name,
    title: METHOD.title,
    rules: "deconvnet",
};

impl Attributor for DeconvNet {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        RECTIFIED.attribute(&self.setup, network, images, &target)
    }
}

pub(crate) const METHOD: Method = Method {
    name: "deconvnet",
    title: "Deconvnet",
    place: Place::AnyLayer,
    needs_model: true,
    takes_rules: false,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Zeiler and Fergus 2014",
    build: |options| {
        Ok(Box::new(DeconvNet {
            setup: options.setup(),
        }))
    },
};
