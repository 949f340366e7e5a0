//! Completeness: whether the attributions add up to what their method promises.
//!
//! `|sum - expected| / |expected|`, or `|sum|` where nothing is expected, from
//! [`Attribution::completeness`](elucid_attribution::Attribution::completeness). Smaller is better;
//! 0 is complete.
//!
//! What is expected is the method's own: a difference of scores for integrated gradients and
//! DeepLIFT (the axiom of Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*,
//! 2017), the relevance handed down for excitation backprop. Methods
//! that promise no sum are not applicable. Captum's `convergence_delta` is the difference itself,
//! unscaled; Quantus' `Completeness` says only whether it is exactly met.

use crate::case::Case;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::table::MetricInfo;

/// The relative error of the attributions' sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completeness;

impl Completeness {
    fn error(case: &Case<'_>) -> Result<f64, Halt> {
        case.with_attribution(|attribution| match attribution.completeness().first() {
            Some(complete) => Ok(complete.error()),
            None => Err(NotApplicable::NoPromise.into()),
        })
    }
}

measures!(Completeness as METRIC, Completeness::error);

pub(crate) const METRIC: MetricInfo = info!(
    "completeness": "Completeness error", Smaller, Axiomatic, needs(attribution),
    "Sundararajan, Taly and Yan 2017"; Completeness
);
