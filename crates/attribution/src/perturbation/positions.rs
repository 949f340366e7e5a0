//! Positions of a layer, tried one after the other.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::AttributionError;
use crate::work::{Context, batches};

/// One score for each position of a layer of `[h, w]`, row by row, for one image: `scores` are those of at
/// most a batch of positions.
pub(crate) fn by_position(
    work: &Context<'_>,
    image: usize,
    [h, w]: [usize; 2],
    scores: impl Fn(&[usize]) -> Result<Vec<f32>, AttributionError>,
) -> Result<Vec<f32>, AttributionError> {
    let count = h * w;
    let mut found = Vec::with_capacity(count);
    for batch in batches(count, work.batch_size) {
        found.extend(scores(&batch)?);
        work.report(image * count + found.len(), work.count() * count)?;
    }
    Ok(found)
}

/// A mask for each of some positions, `[masks, 1, h, w]`: `keeps` is given the position that the mask is
/// of and one that it lies on, both as `[row, column]`.
pub(crate) fn masks(
    of: &[usize],
    [h, w]: [usize; 2],
    device: &Device,
    keeps: impl Fn([usize; 2], [usize; 2]) -> f32,
) -> Tensor<4> {
    let place = |i: usize| [i / w, i % w];
    let mut values = Vec::with_capacity(of.len() * h * w);
    for &i in of {
        values.extend((0..h * w).map(|at| keeps(place(i), place(at))));
    }
    Tensor::from_data(TensorData::new(values, [of.len(), 1, h, w]), device)
}
