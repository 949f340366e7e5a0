//! Photographs in the files that a run leaves.

use elucid::Error;
use elucid::render::{Interpolation, Picture};

/// Pictures get at least this many pixels along the shorter side.
const SIDE: usize = 448;

/// The photograph by a whole factor larger, so that its cells stay sharp.
pub fn enlarged(photo: &Picture) -> Result<Picture, Error> {
    let factor = SIDE.div_ceil(photo.height().min(photo.width()));
    let (height, width) = (factor * photo.height(), factor * photo.width());
    Ok(photo.upsample(height, width, Interpolation::Bilinear)?)
}
