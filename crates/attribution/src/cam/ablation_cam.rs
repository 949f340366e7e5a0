//! Ablation-CAM: each channel weighted by how much of the score goes with it. No gradient.
//!
//! `attr[c, i] = w_c x[c, i]` with `w_c = s - s_c`, where `s` is the target's score and `s_c` that of
//! the network whose layer has zeros in channel `c`; the map is the sum over channels.
//!
//! Source: Ramaswamy and Desai, *Ablation-CAM: Visual Explanations for Deep Convolutional Network via
//! Gradient-free Localization*, WACV 2020. The paper divides: `w_c = (s - s_c) / s`, and takes the ReLU
//! of the map. To divide by the score of an image changes its map in nothing but scale as long as the
//! score is positive; the map of a negative score it turns upside down, so it is not done here unless
//! asked for, [`AblationCam::relative`].
//!
//! pytorch-grad-cam divides, takes the ReLU and stretches the map to 0..1. It writes zeros only where
//! the smallest number of the layer is 0, as behind a ReLU; else the channel becomes that number minus
//! 1e7. Its `ratio_channels_to_ablate` takes channels that overlap with the first principal component,
//! [`AblationCam::channels`] those of the largest numbers. Captum's `LayerFeatureAblation` with one
//! feature for each channel gives `w_c`. TorchRay and Xplique do not have the method.
//!
//! A channel of zeros has the weight 0, which takes no evaluation. Only what lies behind the layer is
//! computed again for each of the others. Memory: `batch_size` values of the layer, and what lies
//! behind them.

use burn::tensor::{Tensor, TensorData};
use ndarray::ArrayView2;

use super::by_channel::{CHANNELS, Channels, Seen, Weighed, by_channel};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::options::Configurable;
use crate::work::Context;

method! {
    /// Ablation-CAM: activations weighted by how much of the score goes with each channel.
    pub struct AblationCam {
        relative: bool = false,
        channels: Option<usize> = None,
    }
    /// At a layer of shape `[N, C, H, W]`.
    at_features
}

impl AblationCam {
    setup_builders!(batch_size, progress);
}

crate::options!(AblationCam {
    {
        /// Whether the weights are divided by the score, as in the paper; not by default. A score of
        /// exactly 0, of which there are no shares, gives weights of 0.
        relative: bool as "relative", "whether weights are divided by the score, as in the paper",
        "true or false"
    }
    {
        /// Only so many channels, those of the largest sums of squares; all by default. The others have
        /// the weight 0.
        channels: usize as "channels", CHANNELS, "a number of 1 or more", |channels| *channels > 0
    }
});

impl Attributor for AblationCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let channels = Channels {
            most: self.channels,
            matters: squares,
        };
        self.check_options()?;
        let ablated = |seen: &Seen, batch: &[usize]| {
            let count = seen.channels();
            let mut keep = vec![1.0; batch.len() * count];
            for (row, &channel) in batch.iter().enumerate() {
                keep[row * count + channel] = 0.0;
            }
            let data = TensorData::new(keep, [batch.len(), count, 1, 1]);
            let keep = Tensor::<4>::from_data(data, &work.device());
            Ok(seen.at.clone() * keep)
        };
        let score = |rows: &[usize], at: Tensor<4>| work.scores(rows, at.into());
        let weighed = |seen: &Seen, scores: Vec<f32>| {
            let whole = match self.relative {
                false => 1.0,
                true if seen.score == 0.0 => f32::INFINITY,
                true => seen.score,
            };
            Ok(Weighed {
                evaluations: scores.len() + 1,
                weights: scores.iter().map(|s| (seen.score - s) / whole).collect(),
            })
        };
        by_channel(self, work, &channels, ablated, score, weighed)
    }
}

fn squares(channel: ArrayView2<'_, f32>) -> f64 {
    channel.iter().map(|&v| f64::from(v).powi(2)).sum()
}

pub(crate) const METHOD: Method =
    Method::of::<AblationCam>("ablation-cam", "Ablation-CAM", "Ramaswamy and Desai 2020")
        .at(Place::SpatialLayer);
