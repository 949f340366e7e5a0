//! Methods that hide parts of the image and watch the score.
//!
//! [`Rise`], [`Occlusion`] and [`FeatureAblation`] need no gradient: they take anything that maps a
//! batch of images to scores, a model or a closure, differentiable or not, burn inside or not.
//! [`ExtremalPerturbation`] and [`MeaningfulPerturbation`] look for a mask by its gradient.
//! [`TokenOcclusion`] takes away tokens of a transformer, and has one number for each of them.
//!
//! All others give one number per pixel, `[N, 1, H, W]`: the channels of a pixel are hidden
//! together.

pub mod extremal;
pub mod feature_ablation;
mod mask_grid;
pub mod meaningful;
pub mod occlusion;
pub(crate) mod positions;
mod pyramid;
pub mod rise;
mod smooth_mask;
pub mod token_occlusion;

use std::ops::{ControlFlow, Range};

use burn::tensor::{Tensor, TensorData};
use elucid_graph::INPUT;
use ndarray::{ArrayD, IxDyn};

pub use self::{
    extremal::{ExtremalMasks, ExtremalPerturbation, Perturbation, Reward, Variant},
    feature_ablation::FeatureAblation,
    meaningful::{MeaningfulMasks, MeaningfulPerturbation, MeaningfulScore, Start},
    occlusion::Occlusion,
    rise::{Rise, RiseClassMaps, RiseDivisor, RiseMaps, RiseScore, RiseStretch},
    token_occlusion::{Hides, TokenOcclusion},
};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup};
use crate::baseline::Baseline;
use crate::error::AttributionError;
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::{Asks, Samples};
use crate::work::Context;

/// How fast `value` changes with what `change` adds to, by a central difference.
#[cfg(test)]
pub(crate) fn central<P: Clone>(
    at: &P,
    change: impl Fn(&mut P) -> &mut f32,
    value: impl Fn(&P) -> f64,
) -> f64 {
    let moved = |by: f32| {
        let mut at = at.clone();
        *change(&mut at) += by;
        value(&at)
    };
    (moved(2e-3) - moved(-2e-3)) / 4e-3
}

/// One image, and what lies under its masks.
#[derive(Debug, Clone)]
pub(crate) struct Masked {
    /// `[1, C, H, W]`
    hidden: Tensor<4>,
    /// What must be added to it to get the image.
    rest: Tensor<4>,
}

impl Masked {
    pub fn new(work: &Context<'_>, image: usize, hidden: Tensor<4>) -> Self {
        Self {
            rest: work.rows(&[image]) - hidden.clone(),
            hidden,
        }
    }

    /// The image under masks, each `[H, W]`, row-major: 1 keeps a pixel, 0 hides it. `[masks, C, H, W]`
    pub fn under(&self, masks: &[Vec<f32>]) -> Tensor<4> {
        let [_, _, height, width] = self.rest.dims();
        let data = TensorData::new(masks.concat(), [masks.len(), 1, height, width]);
        let keep = Tensor::<4>::from_data(data, &self.rest.device());
        self.hidden.clone() + self.rest.clone() * keep
    }
}

/// What an image loses under masks, each with every baseline: samples go through all masks with the first one, then with
/// the next.
struct Ablation<'m> {
    score: f32,
    hidden: Vec<Masked>,
    mask: &'m dyn Fn(usize) -> Vec<f32>,
    lost: Vec<Loss>,
}

/// What the score loses under one mask.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loss {
    /// Over baselines.
    pub sum: f64,
    /// With how many baselines it was tried.
    pub tried: u32,
}

impl Asks for Ablation<'_> {
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError> {
        let masks = self.lost.len();
        let mut images = Vec::new();
        let mut from = samples.start;
        while from < samples.end {
            let baseline = from / masks;
            let until = samples.end.min((baseline + 1) * masks);
            let these: Vec<Vec<f32>> = (from..until).map(|i| (self.mask)(i % masks)).collect();
            images.push(self.hidden[baseline].under(&these));
            from = until;
        }
        Ok(Tensor::cat(images, 0))
    }

    fn hear(
        &mut self,
        samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError> {
        let masks = self.lost.len();
        for (i, score) in samples.zip(scores) {
            let lost = &mut self.lost[i % masks];
            lost.sum += f64::from(self.score - score);
            lost.tried += 1;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// One number per pixel by what the score of each image loses under each of `masks` masks, `[H, W]`, which `mask` makes
/// by their number and `map` makes a map of.
pub(crate) fn ablated(
    method: &dyn Attributor,
    work: &Context<'_>,
    baseline: &Baseline,
    masks: usize,
    mask: &dyn Fn(usize) -> Vec<f32>,
    map: impl Fn(&[Loss]) -> Vec<f32>,
) -> Result<Attribution, AttributionError> {
    baseline.check(work)?;
    let scores = work.all_scores()?;
    let start = |image| {
        let mut random = Random::new(work.seed);
        let hidden = baseline.images(work, image, &mut random).into_iter();
        Ok(Ablation {
            score: scores[image],
            hidden: hidden.map(|h| Masked::new(work, image, h)).collect(),
            mask,
            lost: vec![Loss::default(); masks],
        })
    };
    let score = |rows: &[usize], images: Tensor<4>| work.scores(rows, images.into());
    let finish = |_, ablation: Ablation<'_>, _| Ok(map(&ablation.lost));
    let samples = Samples::of(work, masks.saturating_mul(baseline.count()));
    let estimates = work.scored(samples, start, score, finish)?;
    let estimates = estimates.kept(work, |_| Ok(map(&vec![Loss::default(); masks])))?;
    let planned = estimates.planned();
    let evaluations = estimates.samples.iter().map(|&samples| samples + 1);
    let evaluations = evaluations.collect();
    let values = per_pixel(estimates.found, work.size())?;
    Ok(Attribution::new(method, work, values, scores, Reduce::Sum)?
        .with_evaluations(evaluations)
        .with_planned(planned))
}

/// Help of the option `baseline` where it is what hidden pixels become.
pub(crate) const HIDDEN_PIXELS: &str = "what hidden pixels become";

/// A method's setup: these methods attribute to the input only.
pub(crate) fn at_input() -> Setup {
    Setup::at(INPUT)
}

/// One number per pixel for each image, as `[N, 1, H, W]`.
pub(crate) fn per_pixel(
    maps: Vec<Vec<f32>>,
    [height, width]: [usize; 2],
) -> Result<ArrayD<f32>, AttributionError> {
    let shape = [maps.len(), 1, height, width];
    let values = maps.concat();
    let got = vec![values.len()];
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| AttributionError::ReadBack {
        expected: shape.to_vec(),
        got,
    })
}
