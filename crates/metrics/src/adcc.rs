//! ADCC: average drop, coherency and complexity of a map in one number.
//!
//! With the map scaled to `0..1`, `y` and `o` the class's probability of the image and of the image times the map,
//!
//! ```text
//! coherency  = (1 + Pearson's correlation of the map and the map of the image times the map) / 2
//! complexity = mean of the map over the pixels
//! drop       = max(0, y - o) / y
//! ADCC       = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
//! ```
//!
//! each between 0 and 1; larger is better of coherency and ADCC, smaller of complexity. ADCC is 0 where one of its parts is at its
//! worst. It looks at all three since each by itself is won by a map that knows nothing: drop by one that shows
//! everything, complexity by one that shows nothing, coherency by one that is always the same.
//!
//! Poppi, Cornia, Baraldi and Cucchiara, *Revisiting the evaluation of class activation mapping for explainability: a novel metric
//! and experimental analysis* (2021). They take the harmonic mean of the three means over images, in percent; here it is taken of
//! each image, so that it has an interval, and is smaller or as large. For theirs, take the means of `average-drop`,
//! `coherency` and `map-size`, which is their complexity under a name that [`complexity`](crate::complexity) does not have.
//!
//! The map of what is left is made by the method, for the same class. A constant map is 0 everywhere, and correlated with
//! nothing. The product is as in [`average_drop`](crate::average_drop), which is one of the parts. Memory: two images, and what
//! the method takes.

use crate::average_drop::{probabilities, shown};
use crate::case::Case;
use crate::correlation::Correlation;
use crate::hidden::Hidden;
use crate::metric::{Halt, info, measures};
use crate::similarity::unit;
use crate::table::MetricInfo;

/// Average drop, coherency and complexity in one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adcc;

/// How alike the map and that of the image times the map are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coherency;

/// The mean of the map, scaled to `0..1`: ADCC's complexity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapSize;

impl Coherency {
    fn coherency(case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        case.method()?;
        let shown = case.batch(shown(case, Hidden::Zero)?);
        let of_shown = case.map_for(case.network, &shown, case.class)?;
        let a: Vec<f64> = map.iter().map(|&v| f64::from(v)).collect();
        let b: Vec<f64> = of_shown.iter().map(|&v| f64::from(v)).collect();
        Ok((1.0 + Correlation::Pearson.of(&a, &b)) / 2.0)
    }
}

impl MapSize {
    fn mean(case: &Case<'_>) -> Result<f64, Halt> {
        let map = unit(case.finite_map()?);
        Ok(map.sum() / map.len() as f64)
    }
}

impl Adcc {
    fn mean(case: &Case<'_>) -> Result<f64, Halt> {
        let coherency = Coherency::coherency(case)?;
        let complexity = MapSize::mean(case)?;
        let [whole, left] = probabilities(case, Hidden::Zero)?;
        let kept = (left / whole).min(1.0);
        let parts = [coherency, 1.0 - complexity, kept];
        Ok(match parts.iter().all(|&part| part > 0.0) {
            true => 3.0 / parts.map(|part| 1.0 / part).iter().sum::<f64>(),
            false => 0.0,
        })
    }
}

measures!(Adcc as METRICS[0], Adcc::mean);
measures!(Coherency as METRICS[1], Coherency::coherency);
measures!(MapSize as METRICS[2], MapSize::mean);

const REFERENCE: &str = "Poppi et al. 2021";

pub(crate) const METRICS: [&MetricInfo; 3] = [
    &info!(
        "adcc": "Average drop, coherency and complexity (ADCC)", Larger, Faithfulness, needs(scores, attributor),
        REFERENCE; Adcc
    ),
    &info!(
        "coherency": "Coherency of the map with that of what it shows", Larger, Robustness, needs(attributor),
        REFERENCE; Coherency
    ),
    &info!("map-size": "Mean of the map (ADCC's complexity)", Smaller, Complexity, needs(), REFERENCE; MapSize),
];
