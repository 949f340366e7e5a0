//! Guided backpropagation: the gradient, of which each ReLU passes positive parts only.
//!
//! At a ReLU with input `x`, the gradient `g` at its output becomes `max(g, 0) [x > 0]`; at a ReLU6
//! or any other `Clip`, `max(g, 0) [min < x < max]`. Everything else keeps its true gradient. The
//! result is `[N, ...]`, shaped like the layer, signed (the first convolution's weights are), and
//! its usual map the largest absolute value over channels.
//!
//! Source: Springenberg, Dosovitskiy, Brox and Riedmiller, *Striving for Simplicity: The All
//! Convolutional Net*, ICLR workshop 2015, <https://arxiv.org/abs/1412.6806>. The method finds edges
//! more than reasons: Adebayo et al., *Sanity checks for saliency maps* (2018), show that it hardly
//! changes when the weights of the upper layers are random.
//!
//! Other programs find ReLUs by the module or the function that was called. Captum's is the plain
//! gradient, without a warning, where ReLU is called as a function, and up to 35 % wrong where a
//! ReLU's input has a second reader; TorchRay's is the plain gradient in a network of ReLU6. Here the
//! rule belongs to the operator in the file, whoever reads its input, and however ReLU is written:
//! `Relu`, `Clip`, or `Max` with zero. TorchRay lets `x = 0` pass, against its documentation.
//!
//! The paper has no formula for other activations, which keep their true gradient; the result says how
//! many did ([`Attribution::rule_uses`]). A network that has no ReLU at all between layer and target is
//! refused, with the activations it has ([`AttributionError::NoRectifier`]): its guided backpropagation
//! would be the plain gradient. Who wants them treated alike says so: [`Gradient`](crate::Gradient) under
//! rules that put [`GuidedActivation`](elucid_rules::GuidedActivation) on them.

use elucid_graph::{INPUT, ImageBatch};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::rectified::Rectified;
use crate::target::Target;

/// Guided backpropagation: the gradient, of which each ReLU passes positive parts only.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct GuidedBackprop {
    pub(crate) setup: Setup,
}

impl GuidedBackprop {
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

pub(crate) const RECTIFIED: Rectified = Rectified {
    name: METHOD.name,
    title: METHOD.title,
    rules: "guided",
};

impl Attributor for GuidedBackprop {
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
    name: "guided-backprop",
    title: "Guided backpropagation",
    place: Place::AnyLayer,
    needs_model: true,
    takes_rules: false,
    random: false,
    sums_to: "",
    options: &[],
    reference: "Springenberg et al. 2015",
    build: |options| {
        Ok(Box::new(GuidedBackprop {
            setup: options.setup(),
        }))
    },
};
