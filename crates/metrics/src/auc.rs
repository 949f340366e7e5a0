//! Localisation AUC: how well the map tells pixels of the object from others.
//!
//! The area under the receiver operating characteristic of the map's values as scores for whether a pixel belongs to the object,
//! which is the chance that a random pixel of the object has the larger value than a random other one, ties counting half,
//!
//! ```text
//! AUC = (R - n (n + 1) / 2) / (n m)
//! ```
//!
//! for `n` pixels of the object, `m` others and the sum `R` of the object's ranks, from 1 for the smallest value; equal values
//! share the mean of their ranks. Between 0 and 1; larger is better; 1/2 for a constant map, as for chance.
//!
//! Fawcett, *An introduction to ROC analysis* (2006); as a measure of explanations Quantus' `AUC`. It looks at the order of all
//! pixels, so that a map which is right about the object and noisy elsewhere loses little. Boxes stand for the object, or a mask.
//! Of an object that fills the image there is nothing to tell apart: not applicable.

use crate::case::Case;
use crate::correlation::ranks;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::table::MetricInfo;

/// The area under the receiver operating characteristic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalisationAuc;

impl LocalisationAuc {
    fn area(case: &Case<'_>) -> Result<f64, Halt> {
        let (values, object) = case.told_apart()?;
        // From 0 for the largest value.
        let ranks = ranks(&values);
        let inside = ranks.iter().zip(&object).filter(|(_, inside)| **inside);
        let (n, sum) = inside.fold((0.0, 0.0), |(n, sum), (rank, _)| (n + 1.0, sum + rank));
        let others = values.len() as f64 - n;
        match others > 0.0 {
            // How many pairs the object loses is what its ranks are more than 0, 1, 2 and so on.
            true => Ok(1.0 - (sum - n * (n - 1.0) / 2.0) / (n * others)),
            false => Err(NotApplicable::FullMask.into()),
        }
    }
}

measures!(LocalisationAuc as METRIC, LocalisationAuc::area);

pub(crate) const METRIC: MetricInfo = info!(
    "localisation-auc" or "auc": "Localisation, area under the ROC curve", Larger, Localisation, needs(truth),
    "Fawcett 2006; Quantus"; LocalisationAuc
);
