//! Weights of channels from scores, one for each channel.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::Activation;
use ndarray::{Array3, ArrayView2, Axis, Ix4};

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::saliency::Reduce;
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
    fn of(&self, values: &Array3<f32>) -> Vec<usize> {
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

/// Attributes by one score for each channel. `scores` are those of at most `batch_size` channels,
/// `weigh` makes weights of the scores of all channels of an image; other channels weigh nothing.
pub(super) fn by_channel(
    method: &dyn Attributor,
    work: &Context<'_>,
    which: &Channels,
    scores: impl Fn(&Seen, &[usize]) -> Result<Vec<f32>, AttributionError>,
    weigh: impl Fn(&Seen, Vec<f32>) -> Result<Weighed, AttributionError>,
) -> Result<Attribution, AttributionError> {
    let (mut parts, mut own, mut evaluations) = (Vec::new(), Vec::new(), Vec::new());
    for image in 0..work.count() {
        let at = work.activation_of(&[image])?;
        let seen = Seen {
            image,
            at: spatial(work, &at)?,
            values: values(&at)?,
            score: work.scores(&[image], at)?[0],
        };
        let count = seen.channels();
        let channels = which.of(&seen.values);
        let mut found = Vec::with_capacity(channels.len());
        for batch in channels.chunks(work.batch_size) {
            found.extend(scores(&seen, batch)?);
            if found.len() < channels.len() {
                let done = image * count + found.len();
                work.report(done, work.count() * count)?;
            }
        }
        let weighed = weigh(&seen, found)?;
        let mut weights = vec![0.0; count];
        for (&channel, weight) in channels.iter().zip(weighed.weights) {
            weights[channel] = weight;
        }
        let weights = TensorData::new(weights, [1, count, 1, 1]);
        let weighted = seen.at.clone() * Tensor::<4>::from_data(weights, &work.device());
        parts.push(Activation::from(weighted).to_array()?);
        own.push(seen.score);
        evaluations.push(weighed.evaluations);
        // Channels that are left out count as done.
        let done = (image + 1) * count;
        work.report(done, work.count() * count)?;
    }
    let attribution = Attribution::new(method, work, join(&parts)?, own, Reduce::Sum)?;
    Ok(attribution.with_evaluations(evaluations))
}

/// The value of one image, `[C, H, W]`.
fn values(at: &Activation) -> Result<Array3<f32>, AttributionError> {
    let array = at.to_array()?;
    let got = array.shape().to_vec();
    match array.into_dimensionality::<Ix4>() {
        Ok(array) => Ok(array.index_axis_move(Axis(0), 0)),
        Err(_) => Err(AttributionError::ReadBack {
            expected: at.shape(),
            got,
        }),
    }
}
