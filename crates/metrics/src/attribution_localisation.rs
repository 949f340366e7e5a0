//! Attribution localisation: which share of the relevance lies on the object.
//!
//! With the relevance `R_in` on the object and `R` of all pixels, the numbers `S_in` and `S` of their pixels,
//!
//! ```text
//! mu = R_in / R,    weighted: mu S / S_in
//! ```
//!
//! `mu` is between 0 and 1, 1 at best. Weighted, 1 is what a uniform map has, so that objects of all sizes compare. Larger
//! is better.
//!
//! Kohlbrenner et al., *Towards best practice in explaining neural network decisions with LRP* (2020), of positive
//! relevance, in boxes. Of positive relevance `mu` is the mass accuracy ([`mass`](crate::mass)). Quantus' `AttributionLocalisation` takes
//! absolute values instead unless told otherwise, which is the default here ([`Relevance::Absolute`]) since the other has a
//! name already; and its weighted form *multiplies* by `S_in / S`, where `S` counts the numbers of a whole batch, which rewards
//! large objects: this is the paper's.
//!
//! A map without such relevance: not applicable.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::metric::{Halt, NotApplicable, flags, info, measures};
use crate::options::{TRUE_OR_FALSE, words};
use crate::table::MetricInfo;

words! {
    /// Which relevance counts.
    pub enum Relevance: "relevance", RELEVANCES = "absolute or positive", default Absolute {
        /// The absolute value.
        Absolute = "absolute",
        /// What is above 0.
        Positive = "positive",
    }
}

/// The share of the relevance that lies on the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct AttributionLocalisation {
    relevance: Relevance,
    weighted: bool,
}

impl AttributionLocalisation {
    /// Of absolute values, not weighted.
    pub fn new() -> Self {
        Self::default()
    }

    flags! {
        /// In proportion to the share of the image that the object covers.
        weighted => weighted,
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let (values, object) = case.told_apart()?;
        let (mut on, mut all, mut pixels) = (0.0, 0.0, 0.0);
        for (&value, inside) in values.iter().zip(object) {
            let value = f64::from(match self.relevance {
                Relevance::Absolute => value.abs(),
                Relevance::Positive => value.max(0.0),
            });
            all += value;
            if inside {
                on += value;
                pixels += 1.0;
            }
        }
        match (all > 0.0, self.weighted, self.relevance) {
            (true, true, _) => Ok(on / all * values.len() as f64 / pixels),
            (true, false, _) => Ok(on / all),
            (false, _, Relevance::Absolute) => Err(NotApplicable::Zero.into()),
            (false, _, Relevance::Positive) => Err(NotApplicable::NothingPositive.into()),
        }
    }
}

crate::options!(AttributionLocalisation {
    {
        /// Which relevance counts, absolute values by default.
        relevance: Relevance as "relevance", "which relevance counts", RELEVANCES
    }
    {
        weighted as "weighted", "whether it is in proportion to the share of the image that the object covers",
        TRUE_OR_FALSE
    }
});

measures!(AttributionLocalisation as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "attribution-localisation": "Attribution localisation", Larger, Localisation, needs(truth),
    "Kohlbrenner et al. 2020"; AttributionLocalisation::OPTIONS, AttributionLocalisation::new()
);
