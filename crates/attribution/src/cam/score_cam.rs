//! Score-CAM: each channel weighted by the score of the image seen through it. No gradient.
//!
//! `attr[c, i] = w_c x[c, i]`. Channel `c`, upsampled bilinearly to the size of the image and
//! stretched to 0..1, becomes a mask `m_c`, and `s_c` is the target's score of the image times that
//! mask, where what is hidden is zero: the mean colour for networks that subtract it. The weights are
//! `w_c = exp(s_c) / sum_k(exp(s_k))`, or another of [`ScoreWeights`]; the map is the sum over
//! channels.
//!
//! Source: Wang, Wang, Du, Yang, Zhang, Ding, Mardziel and Hu, *Score-CAM: Score-Weighted Visual
//! Explanations for Convolutional Neural Networks*, CVPR workshops 2020,
//! <https://arxiv.org/abs/1910.01279>. The paper takes the softmax over channels of the *increase* of
//! the score over that of a black image; the softmax of scores is the same, since a number that all
//! channels share cancels. It takes the ReLU of the map.
//!
//! | | score | weights | a channel of one number | upsampling |
//! | --- | --- | --- | --- | --- |
//! | here, by default | the target's: a logit | softmax over channels | left out | edges aligned |
//! | the authors' code | probability | the score | left out | edges aligned |
//! | pytorch-grad-cam | logit | softmax over channels | a black image | corners aligned |
//! | tf-keras-vis | what one asks for | the score | a black image | cubic spline |
//!
//! A channel of one number can have no mask: it is left out of the softmax and has the weight 0. Such
//! a channel raises the whole map alike, or adds nothing where that number is 0. The authors add up
//! upsampled channels, which is the upsampled sum; they, pytorch-grad-cam and tf-keras-vis then take
//! the ReLU and stretch the map to 0..1. Captum, TorchRay and Xplique do not have the method. Logits
//! differ by tens, so that a softmax of them rests on a handful of channels; with
//! [`Target::probability`](crate::Target::probability) the weights of a softmax are nearly all alike, and
//! [`ScoreWeights::Score`] or [`ScoreWeights::Increase`] says more.
//!
//! [`ScoreCam::channels`] takes the channels that vary most and leaves out the others, which is
//! called Faster Score-CAM (tf-keras-vis's `max_N`).
//!
//! The image is evaluated once for each channel that varies. Memory: `batch_size` images propagated together, and the
//! layer's values for these.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::INPUT;
use elucid_rules::Rules;
use ndarray::ArrayView2;

use super::by_channel::{CHANNELS, Channels, Seen, Weighed, by_channel};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::methods::{Method, Place};
use crate::options::{Configurable, words};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;
use crate::saliency::resize;
use crate::work::Context;

words! {
    /// How the scores of channels become their weights.
    pub enum ScoreWeights: "weights", WEIGHTS =
        "softmax, increase or score (over channels, over a blank image, or as it is)" {
        /// `exp(s_c) / sum_k(exp(s_k))`: as the paper and pytorch-grad-cam.
        Softmax = "softmax",
        /// `s_c - s_0` with the score `s_0` of an image that is zero everywhere: the paper's increase of
        /// confidence, before its softmax. It may be negative.
        Increase = "increase",
        /// `s_c`: as the authors' code, of probabilities.
        Score = "score",
    }
}

method! {
    /// Score-CAM: activations weighted by the scores of the image under each of them.
    pub struct ScoreCam {
        weights: ScoreWeights = ScoreWeights::Softmax,
        channels: Option<usize> = None,
        baseline: Baseline = Baseline::zero(),
    }
    /// At a layer of shape `[N, C, H, W]`.
    at_features
}

impl ScoreCam {
    setup_builders!(batch_size, progress, seed);
}

crate::options!(ScoreCam {
    {
        /// How scores become weights, by a softmax over channels by default.
        weights: ScoreWeights as "weights", "how scores become weights", WEIGHTS
    }
    {
        /// What hidden pixels become, zero by default; one baseline.
        baseline: Baseline as "baseline", HIDDEN_PIXELS, BASELINES
    }
    {
        /// Only so many channels, those of the largest standard deviation over positions; all by
        /// default.
        channels: usize as "channels", CHANNELS, "a number of 1 or more", |channels| *channels > 0
    }
});

impl Attributor for ScoreCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let channels = Channels {
            most: self.channels,
            matters: standard_deviation,
        };
        self.check_options()?;
        self.baseline.check(work)?;
        if self.baseline.count() != 1 {
            return Err(AttributionError::Parameter {
                parameter: "baseline",
                value: self.baseline.to_string(),
                expected: "one baseline",
            });
        }
        let hidden = |image: usize| {
            let mut random = Random::new(work.seed);
            Tensor::cat(self.baseline.images(work, image, &mut random), 0)
        };
        let input = work.at(INPUT, &Rules::new(), Takes::Numbers)?;
        let [height, width] = work.size();
        let masked = |seen: &Seen, batch: &[usize]| {
            let image = input.rows(&[seen.image]);
            let mut masks = Vec::with_capacity(batch.len() * height * width);
            for &channel in batch {
                let mask = resize(seen.channel(channel), height, width);
                let low = mask.iter().copied().fold(f32::INFINITY, f32::min);
                let high = mask.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let range = if high > low { high - low } else { 1.0 };
                masks.extend(mask.iter().map(|value| (value - low) / range));
            }
            let data = TensorData::new(masks, [batch.len(), 1, height, width]);
            let masks = Tensor::<4>::from_data(data, &image.device());
            Ok(shown(image, hidden(seen.image), masks))
        };
        let score = |rows: &[usize], images: Tensor<4>| input.scores(rows, images.into());
        let weighed = |seen: &Seen, scores: Vec<f32>| match self.weights {
            ScoreWeights::Softmax => Ok(Weighed {
                evaluations: scores.len(),
                weights: softmax(&scores),
            }),
            ScoreWeights::Score => Ok(Weighed {
                evaluations: scores.len(),
                weights: scores,
            }),
            ScoreWeights::Increase => {
                let nothing = hidden(seen.image);
                let nothing = input.scores(&[seen.image], nothing.into())?[0];
                Ok(Weighed {
                    evaluations: scores.len() + 1,
                    weights: scores.iter().map(|score| score - nothing).collect(),
                })
            }
        };
        by_channel(self, work, &channels, masked, score, weighed)
    }
}

/// An image under masks `[masks, 1, H, W]`, over what lies beneath.
fn shown(image: Tensor<4>, hidden: Tensor<4>, masks: Tensor<4>) -> Tensor<4> {
    image * masks.clone() + hidden * (masks.neg() + 1.0)
}

fn standard_deviation(channel: ArrayView2<'_, f32>) -> f64 {
    let count = channel.len().max(1) as f64;
    let mean = channel.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = channel.iter().map(|&v| (f64::from(v) - mean).powi(2));
    // A sum of equal numbers may miss their mean by a little.
    match channel.iter().all(|v| Some(v) == channel.first()) {
        true => 0.0,
        false => (squares.sum::<f64>() / count).sqrt(),
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = scores
        .iter()
        .map(|score| f64::from(score - largest).exp())
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

pub(crate) const METHOD: Method =
    Method::of::<ScoreCam>("score-cam", "Score-CAM", "Wang et al. 2020")
        .at(Place::SpatialLayer)
        .random();
