//! Linear approximation: what each number of a layer contributes to a target.
//!
//! `attr[c, y, x] = a[c, y, x] * d score / d a[c, y, x]`, signed, at any layer; summed over channels
//! this is the spatial attribution to a class of *The Building Blocks of Interpretability* (Olah et
//! al., 2018) and TorchRay's `linear_approx`, summed over positions its channel attribution. At the
//! input it is *input times gradient* (Shrikumar et al., 2016), Captum's `InputXGradient`.

use elucid_graph::Activation;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::saliency::Reduce;
use crate::work::Context;

method! {
    /// Activation times gradient.
    #[doc(alias = "InputXGradient")]
    pub struct LinearApproximation {}
    /// At a layer.
    at_input
}

impl LinearApproximation {
    setup_builders!(rules, batch_size, progress);
}

crate::options!(LinearApproximation {});

impl Attributor for LinearApproximation {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (values, scores) = work.each_batch(|rows, at| {
            let found = work.gradients(rows, at.clone())?;
            let product = Activation::from_rows(at.rows() * found.gradient.rows(), &at)?;
            Ok((product, found.scores))
        })?;
        Attribution::new(self, work, values, scores, Reduce::Sum)
    }
}

pub(crate) const METHOD: Method = Method::of::<LinearApproximation>(
    "linear-approximation",
    "Linear approximation (input times gradient)",
    "Shrikumar et al. 2016; Olah et al. 2018",
)
.at(Place::AnyLayer)
.takes_rules()
.also(&[
    "input-x-gradient",
    "gradient-x-input",
    "gradient-x-activation",
    "linear-approx",
]);
