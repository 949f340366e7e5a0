//! Relevance mass and rank accuracy: how much of the map lies on the object.
//!
//! With positive values `r_p` of the map at pixels `p` and the set `G` of the object's pixels,
//!
//! ```text
//! mass accuracy = sum of r_p over G / sum of r_p over all pixels
//! rank accuracy = share of the |G| most relevant pixels that lie in G
//! ```
//!
//! Arras, Osman and Samek, *CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural
//! network explanations* (2022). Both are between 0 and 1; larger is better. Their masks are exact;
//! boxes, which hold background too, are larger than what they were meant for, and a uniform map
//! scores the share of the image that `G` covers.
//!
//! The paper pools channels into maps that are not negative in several ways (maximum norm, squared
//! L2 norm and others) before; here that is done when the map is made, and negative values count as
//! zero for the mass. Ranks use the signed values. Whether absolute values are meant instead differs
//! between programs, and is up to whoever makes the map.
//!
//! A map with nothing above zero has no mass: not applicable. Pixels that tie at the last rank each
//! count with the same share, so that a constant map's rank accuracy is chance, `|G|` out of all.

use crate::case::Case;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::order::descending_of;
use crate::table::MetricInfo;

/// The share of the relevance that lies on the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MassAccuracy;

/// The share of the most relevant pixels that lie on the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankAccuracy;

impl MassAccuracy {
    fn share(case: &Case<'_>) -> Result<f64, Halt> {
        let (values, object) = case.told_apart()?;
        let (mut on, mut all) = (0.0, 0.0);
        for (value, inside) in values.into_iter().zip(object) {
            let value = f64::from(value.max(0.0));
            all += value;
            if inside {
                on += value;
            }
        }
        match all > 0.0 {
            true => Ok(on / all),
            false => Err(NotApplicable::NothingPositive.into()),
        }
    }
}

impl RankAccuracy {
    fn share(case: &Case<'_>) -> Result<f64, Halt> {
        let (values, object) = case.told_apart()?;
        let count = object.iter().filter(|&&inside| inside).count();
        Ok(on_object_of_largest(&values, &object, count) / count as f64)
    }
}

/// How many of the `count` largest values lie on the object, of which there is one at least; those that tie at the
/// last place each with the same share.
pub(crate) fn on_object_of_largest(values: &[f32], object: &[bool], count: usize) -> f64 {
    let last = values[descending_of(values)[count - 1]];
    let (mut above, mut above_inside, mut tied, mut tied_inside) = (0, 0, 0, 0);
    for (&value, &inside) in values.iter().zip(object) {
        if value > last {
            above += 1;
            above_inside += usize::from(inside);
        } else if value == last {
            tied += 1;
            tied_inside += usize::from(inside);
        }
    }
    let share = (count - above) as f64 / tied.max(1) as f64;
    above_inside as f64 + share * tied_inside as f64
}

measures!(MassAccuracy as METRICS[0], MassAccuracy::share);
measures!(RankAccuracy as METRICS[1], RankAccuracy::share);

const REFERENCE: &str = "Arras, Osman and Samek 2022";

pub(crate) const METRICS: [&MetricInfo; 2] = [
    &info!(
        "mass-accuracy" or "relevance-mass-accuracy": "Relevance mass accuracy", Larger, Localisation, needs(truth),
        REFERENCE; MassAccuracy
    ),
    &info!(
        "rank-accuracy" or "relevance-rank-accuracy": "Relevance rank accuracy", Larger, Localisation, needs(truth),
        REFERENCE; RankAccuracy
    ),
];
