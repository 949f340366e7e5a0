//! Weights of channels from scores, one for each channel.

use std::ops::{ControlFlow, Range};

use burn::tensor::{Tensor, TensorData};
use elucid_graph::Activation;
use ndarray::{Array3, Array4, ArrayView2, ArrayView3, Axis, Ix4};

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::saliency::Reduce;
use crate::sampling::{Asks, Samples};
use crate::work::{Context, join};

/// Help of the option `channels`.
pub(super) const CHANNELS: &str =
    "only so many channels, those with most to them; all unless given";

/// Which channels are scored.
pub(super) struct Channels {
    /// At most so many.
    pub most: Option<usize>,
    /// Channels that matter most come first, those that matter 0 are left out.
    pub matters: fn(ArrayView2<'_, f32>) -> f64,
}

impl Channels {
    /// Channels of `[C, H, W]` in ascending order.
    fn of(&self, values: ArrayView3<'_, f32>) -> Vec<usize> {
        let mut matters: Vec<(usize, f64)> = values
            .outer_iter()
            .map(self.matters)
            .enumerate()
            .filter(|(_, matters)| *matters > 0.0)
            .collect();
        matters.sort_by(|a, b| b.1.total_cmp(&a.1));
        matters.truncate(self.most.unwrap_or(usize::MAX));
        let mut channels: Vec<usize> = matters.into_iter().map(|(channel, _)| channel).collect();
        channels.sort_unstable();
        channels
    }
}

/// One image at the layer.
pub(super) struct Seen {
    pub image: usize,
    /// The target's score.
    pub score: f32,
    /// The layer's value, `[1, C, H, W]`.
    pub at: Tensor<4>,
    /// The same, `[C, H, W]`.
    values: Array3<f32>,
}

impl Seen {
    pub fn channels(&self) -> usize {
        self.values.dim().0
    }

    pub fn channel(&self, channel: usize) -> ArrayView2<'_, f32> {
        self.values.index_axis(Axis(0), channel)
    }
}

/// What the scores of an image's channels say.
pub(super) struct Weighed {
    /// One for each channel that was scored.
    pub weights: Vec<f32>,
    pub evaluations: usize,
}

/// Attributes by one score for each channel. `changed` are inputs or values of the layer with something done to
/// each of some channels of an image, `[channels, ...]`; `score` their scores, each row of which belongs to an image;
/// `weigh` makes weights of the scores of all channels of an image. Other channels weigh nothing.
///
/// A batch may hold the last channels of one image and the first of the next.
pub(super) fn by_channel(
    method: &dyn Attributor,
    work: &Context<'_>,
    which: &Channels,
    changed: impl Fn(&Seen, &[usize]) -> Result<Tensor<4>, AttributionError>,
    score: impl Fn(&[usize], Tensor<4>) -> Result<Vec<f32>, AttributionError>,
    weigh: impl Fn(&Seen, Vec<f32>) -> Result<Weighed, AttributionError>,
) -> Result<Attribution, AttributionError> {
    let (mut own, mut channels) = (Vec::new(), Vec::new());
    for rows in work.batches() {
        let at = work.activation_of(&rows)?;
        let maps = values(&spatial(work, &at)?.into())?;
        channels.extend(maps.outer_iter().map(|values| which.of(values)));
        own.extend(work.scores(&rows, at)?);
    }
    let start = |image: usize| {
        // Computed again, so that only the images of one batch are held.
        let at = work.activation_of(&[image])?;
        Ok(OfImage {
            seen: Seen {
                image,
                at: spatial(work, &at)?,
                values: values(&at)?.index_axis_move(Axis(0), 0),
                score: own[image],
            },
            channels: &channels[image],
            changed: &changed,
            scores: Vec::with_capacity(channels[image].len()),
        })
    };
    let finish = |_, of: OfImage<'_, _>, _| {
        let count = of.seen.channels();
        let weighed = weigh(&of.seen, of.scores)?;
        let mut weights = vec![0.0; count];
        for (&channel, weight) in of.channels.iter().zip(weighed.weights) {
            weights[channel] = weight;
        }
        let weights = TensorData::new(weights, [1, count, 1, 1]);
        let weighted = of.seen.at * Tensor::<4>::from_data(weights, &work.device());
        let part = Activation::from(weighted).to_array()?;
        Ok((part, weighed.evaluations))
    };
    let samples = Samples::by_image(channels.iter().map(Vec::len).collect());
    let found = work.scored(samples, start, score, finish)?;
    if let Some(error) = found.stopped {
        return Err(error);
    }
    let (parts, evaluations): (Vec<_>, Vec<_>) = found.found.into_iter().unzip();
    let attribution = Attribution::new(method, work, join(&parts)?, own, Reduce::Sum)?;
    Ok(attribution.with_evaluations(evaluations))
}

/// The channels of one image that are scored.
struct OfImage<'r, F> {
    seen: Seen,
    channels: &'r [usize],
    changed: &'r F,
    /// Of the first of them.
    scores: Vec<f32>,
}

impl<F> Asks for OfImage<'_, F>
where
    F: Fn(&Seen, &[usize]) -> Result<Tensor<4>, AttributionError>,
{
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError> {
        (self.changed)(&self.seen, &self.channels[samples])
    }

    fn hear(
        &mut self,
        _samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError> {
        self.scores.extend(scores);
        Ok(ControlFlow::Continue(()))
    }
}

/// The values of images, `[N, C, H, W]`.
fn values(at: &Activation) -> Result<Array4<f32>, AttributionError> {
    let array = at.to_array()?;
    let got = array.shape().to_vec();
    array
        .into_dimensionality::<Ix4>()
        .map_err(|_| AttributionError::ReadBack {
            expected: at.shape(),
            got,
        })
}
