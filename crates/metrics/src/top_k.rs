//! Top-k intersection: how many of the most salient pixels lie on the object.
//!
//! With the set `T` of the `k` pixels with the largest values and the set `G` of the object's,
//!
//! ```text
//! TKI = |T and G| / k
//! ```
//!
//! between 0 and 1; larger is better. With [`TopK::concept_influence`] it is divided by the share of the image that `G` covers,
//! so that 1 is chance and objects of all sizes compare.
//!
//! Theiner, Müller-Budack and Ewerth, *Interpretable semantic photo geolocation* (2022), as a concept influence over segments;
//! Quantus' `TopKIntersection`, whose `k` of 1000 is the default here. Of an image with fewer pixels, `k` is all of them. With
//! `k = |G|` it is the rank accuracy ([`mass`](crate::mass)). Pixels that tie at the last place each count with the same share, so
//! that a constant map's value is chance; Quantus takes whichever its sort leaves first.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::mass::on_object_of_largest;
use crate::metric::{Halt, flags, info, measures};
use crate::options::{TRUE_OR_FALSE, is_some_number};
use crate::table::MetricInfo;

/// The share of the most salient pixels that lie on the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct TopK {
    k: usize,
    concept: bool,
}

impl TopK {
    /// Of this many pixels.
    pub fn of(k: usize) -> Self {
        Self { k, concept: false }
    }

    flags! {
        /// Divided by the share of the image that the object covers.
        concept_influence => concept,
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let (values, object) = case.told_apart()?;
        let k = self.k.min(values.len());
        let share = on_object_of_largest(&values, &object, k) / k as f64;
        let object = object.iter().filter(|&&inside| inside).count();
        Ok(match self.concept {
            true => share * values.len() as f64 / object as f64,
            false => share,
        })
    }
}

crate::options!(TopK {
    {
        k as "k", "how many pixels count as the most salient", "1 or more", is_some_number
    }
    {
        concept as "concept-influence", "whether it is divided by the share of the image that the object covers",
        TRUE_OR_FALSE
    }
});

measures!(TopK as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "top-k-intersection": "Top-k intersection", Larger, Localisation, needs(truth), "Theiner et al. 2022; Quantus";
    TopK::OPTIONS, TopK::of(1000)
);
