//! Positions of a layer, tried one after the other.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::AttributionError;
use crate::sampling::{Part, Samples};
use crate::work::Context;

/// One image, of whose positions some were tried.
pub(crate) struct Tried<S> {
    pub of: S,
    /// A score for each position, row by row.
    pub scores: Vec<f32>,
}

/// One score for each position of a layer of `[h, w]` for each image, which `start` begins: `scores` are those of the
/// positions of a batch, which may be of several images.
pub(crate) fn by_position<S>(
    work: &Context<'_>,
    [h, w]: [usize; 2],
    mut start: impl FnMut(usize) -> Result<S, AttributionError>,
    scores: impl Fn(&[Part<Tried<S>>]) -> Result<Vec<f32>, AttributionError>,
) -> Result<Vec<Tried<S>>, AttributionError> {
    let started = |image| {
        Ok(Tried {
            of: start(image)?,
            scores: Vec::with_capacity(h * w),
        })
    };
    let step = |parts: &mut [Part<Tried<S>>]| {
        let mut found = scores(parts)?.into_iter();
        for part in parts {
            let count = part.count();
            part.state.scores.extend(found.by_ref().take(count));
        }
        Ok(())
    };
    let samples = Samples::of(work, h * w);
    let estimates = work.stream(samples, started, step, |_, tried, _| Ok(tried))?;
    match estimates.stopped {
        Some(error) => Err(error),
        None => Ok(estimates.found),
    }
}

/// The value of the layer of each image, of which each position lies behind a mask of its own, `[rows, C, h, w]`: as
/// [`masks`] makes them.
pub(crate) fn masked<S>(
    parts: &[Part<Tried<S>>],
    value: impl Fn(&S) -> Tensor<4>,
    keeps: impl Fn([usize; 2], [usize; 2]) -> f32,
) -> Tensor<4> {
    let each = parts.iter().map(|part| {
        let value = value(&part.state.of);
        let [_, _, h, w] = value.dims();
        let of: Vec<usize> = part.samples.clone().collect();
        let masks = masks(&of, [h, w], &value.device(), &keeps);
        value * masks
    });
    Tensor::cat(each.collect(), 0)
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
