//! Linear approximation: what each number of a layer contributes to a target.
//!
//! `attr[c, y, x] = a[c, y, x] * d score / d a[c, y, x]`, signed, at any layer; summed over channels
//! this is the spatial attribution to a class of *The Building Blocks of Interpretability* (Olah et
//! al., 2018) and TorchRay's `linear_approx`, summed over positions its channel attribution. At the
//! input it is *input times gradient* (Shrikumar et al., 2016), Captum's `InputXGradient`.

use elucid_graph::{Activation, INPUT, ImageBatch};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::Context;

/// Activation times gradient.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct LinearApproximation {
    pub(crate) setup: Setup,
}

impl LinearApproximation {
    /// At a layer.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
        }
    }

    /// At the network's input: input times gradient.
    pub fn at_input() -> Self {
        Self::at(INPUT)
    }

    setup_builders!(rules, batch_size, progress);
}

crate::options!(LinearApproximation {});

impl Attributor for LinearApproximation {
    fn name(&self) -> &'static str {
        "linear-approximation"
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let work = Context::new(network, images, &target, &self.setup)?;
        let (values, scores) = work.each_batch(|rows, at| {
            let found = work.gradients(rows, at.clone())?;
            let product = Activation::from_rows(at.rows() * found.gradient.rows(), &at)?;
            Ok((product, found.scores))
        })?;
        Attribution::new(self, &work, values, scores, Reduce::Sum)
    }
}

pub(crate) const METHOD: Method = Method::new(
    "linear-approximation",
    "Linear approximation (input times gradient)",
    "Shrikumar et al. 2016; Olah et al. 2018",
    |options| options.apply(LinearApproximation::at_input()),
)
.at(Place::AnyLayer)
.takes_rules();
