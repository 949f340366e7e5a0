//! Results are numbers.
//!
//! Where a network overflows, or divides by zero, what comes of it is no number any more. A sum hides that, a
//! maximum ignores it, and a picture draws it as zero: so it is an error where a result is made.

use ndarray::{ArrayViewD, Dimension};

use crate::error::AttributionError;

/// Refuses values `[N, ...]` by a method that are not all numbers.
pub(crate) fn finite(
    method: &str,
    target: &str,
    values: ArrayViewD<'_, f32>,
) -> Result<(), AttributionError> {
    // To count indices along costs more than to look at the numbers.
    if values.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    let Some((index, &value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) else {
        return Ok(());
    };
    let place = match index.slice() {
        [image, rest @ ..] => format!("image {image}, place {rest:?}"),
        [] => "its one number".to_owned(),
    };
    Err(AttributionError::NotFinite {
        what: format!("the attribution by {method}"),
        target: target.to_owned(),
        value,
        place,
    })
}

/// Refuses scores, of the images with these numbers, that are not all numbers.
pub(crate) fn finite_scores(
    target: &str,
    images: impl IntoIterator<Item = usize>,
    scores: &[f32],
) -> Result<(), AttributionError> {
    let mut each = images.into_iter().zip(scores);
    match each.find(|(_, score)| !score.is_finite()) {
        None => Ok(()),
        Some((image, &value)) => Err(AttributionError::NotFinite {
            what: "the score".to_owned(),
            target: target.to_owned(),
            value,
            place: format!("image {image}"),
        }),
    }
}
