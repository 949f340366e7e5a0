//! Extremal perturbation: the smooth region of a given area that matters most.
//!
//! For each area `a` the mask `m` that maximises
//!
//! `reward(f(x under m)) - weight mean((sort(m) - ref_a)^2)`,
//!
//! where `ref_a` is 0 for a share `1 - a` of all pixels and 1 for the rest, so that the mask covers
//! that area and is 0 or 1. Fong, Patrick and Vedaldi, *Understanding Deep Networks via Extremal
//! Perturbations and Smooth Masks* (2019), <https://arxiv.org/abs/1910.08485>.
//!
//! - *Smooth masks*: a coarse grid of parameters in `[0, 1]`, `step` 7 pixels apart; each pixel is a
//!   soft-max pool (coldness 20) of the parameters around it, weighted by
//!   `exp(-2 max(0, d / sigma - 1/2)^2)` for distance `d` and `sigma` of 21 pixels. The mask reaches
//!   `sigma` pixels beyond the image on every side, and its area includes that margin.
//! - *Perturbation*: where the mask is 0 the image is [blurred](Perturbation::Blur) with sigma 20
//!   pixels, with zeros beyond its edges, or [faded](Perturbation::Fade) to zero; in between it runs
//!   through 8 levels whose blur falls linearly.
//! - *Variants*: [`Variant::Preserve`] shows what the mask holds, [`Variant::Delete`] hides it,
//!   [`Variant::Dual`] does both and takes the difference of the rewards.
//! - *Rewards*: [`Reward::Simple`] is the target's score; [`Reward::Contrastive`] the logit of the
//!   class minus the largest of all others.
//! - *Search*: all parameters begin at 1. Gradient ascent with learning rate .01, momentum .9 and
//!   dampening .9, parameters clamped to `[0, 1]` after every step. The weight of the area begins at
//!   300 and grows by 1.0035 at each of at most 800 iterations. On even iterations the perturbed
//!   image is mirrored left to right. The search is deterministic.
//!
//! All these numbers are TorchRay's. It always takes 800 iterations; here the search of a mask ends
//! before that once the mask has settled, see [`ExtremalPerturbation::settled`]. With several areas,
//! TorchRay's contrastive reward mixes their scores up (it subtracts a column from a row); here each
//! mask has its own. The margin is the same on all sides; TorchRay's is some pixels less below and on
//! the right.
//!
//! Its pointing game takes several areas and the sum of their masks, smoothed: [`voc`] and [`coco`].
//! The attribution, `[N, 1, H, W]`, is that sum; [`ExtremalPerturbation::masks`] gives each mask.
//!
//! The network is a model or a differentiable closure. Memory: `batch_size` images are propagated
//! together, each with what a gradient needs; besides, for each mask under way `levels` images.
//!
//! [`voc`]: ExtremalPerturbation::voc
//! [`coco`]: ExtremalPerturbation::coco

mod masks;
mod options;
mod search;

use std::rc::Rc;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::ImageBatch;
use ndarray::{Array2, Array4, ArrayD, ArrayView2, Axis};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::network::Network;
use crate::options::Configurable;
use crate::perturbation::pyramid::Pyramid;
use crate::perturbation::smooth_mask::SmoothMask;
use crate::saliency::Reduce;
use crate::scaled::Scaled;
use crate::target::Target;
use crate::work::{Context, at_least_one, require};

pub use self::masks::ExtremalMasks;
use self::masks::smoothed;
pub(crate) use self::options::{METHOD, VARIANTS};
pub use self::options::{Perturbation, Reward, Variant};
use self::search::Search;

/// Most levels between blurred and whole: for each of them an image is held.
const MAX_LEVELS: usize = 1000;

method! {
    /// Masks of given areas, found by gradient ascent.
    pub struct ExtremalPerturbation {
        areas: Vec<f32> = vec![0.1],
        perturbation: Perturbation = Perturbation::Blur,
        variant: Variant = Variant::Preserve,
        reward: Reward = Reward::Simple,
        iterations: usize = 800,
        settled: f32 = 0.002,
        step: Scaled<usize> = Scaled::usual(7),
        sigma: Scaled<f32> = Scaled::usual(21.0),
        coldness: f32 = 20.0,
        levels: usize = 8,
        blur: f32 = 20.0,
        jitter: bool = true,
        smooth: f32 = 0.0,
        learning_rate: f32 = 0.01,
        momentum: f32 = 0.9,
        dampening: f32 = 0.9,
        area_weight: f32 = 300.0,
        area_growth: f32 = 1.0035,
    }
    /// A tenth of the image, preserved; on images of fewer than 128 pixels, the mask's step and smoothness
    /// shrink in proportion. The blur does not: more of it hides more.
    new
}

impl ExtremalPerturbation {
    /// As TorchRay plays the pointing game on VOC: areas of 2.5, 5, 10 and 20 %, summed and smoothed
    /// by .09.
    pub fn voc() -> Self {
        Self::new().areas([0.025, 0.05, 0.1, 0.2]).smooth(0.09)
    }

    /// As TorchRay plays the pointing game on COCO: areas of 1.8, 2.5, 5 and 10 %, summed and
    /// smoothed by .09.
    pub fn coco() -> Self {
        Self::new().areas([0.018, 0.025, 0.05, 0.1]).smooth(0.09)
    }

    setup_builders!(batch_size, progress);

    /// Areas of the masks, as shares of the image with its margin; each has a mask of its own.
    pub fn areas(mut self, areas: impl IntoIterator<Item = f32>) -> Self {
        self.areas = areas.into_iter().collect();
        self
    }

    fn check_areas(&self) -> Result<(), AttributionError> {
        let wrong = |area: &&f32| !(**area > 0.0 && **area < 1.0);
        match self.areas.iter().find(wrong) {
            Some(area) => require(false, "areas", area, "shares above 0 and below 1"),
            None => at_least_one("number of areas", self.areas.len()),
        }
    }

    /// Pixels between parameters, and smoothness in pixels, on images of `[height, width]`.
    fn lengths(&self, size: [usize; 2]) -> (usize, f32) {
        (self.step.at(size), self.sigma.at(size))
    }

    /// The mask of every area for each image.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`]; [`AttributionError::Parameter`] also for a contrastive reward of
    /// a target that is no class.
    pub fn masks(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<ExtremalMasks, AttributionError> {
        self.found(&Context::new(network, images, &target, &self.setup)?)
    }

    fn found(&self, work: &Context<'_>) -> Result<ExtremalMasks, AttributionError> {
        self.check_options()?;
        let rewarded = match self.reward {
            Reward::Simple => work.clone(),
            Reward::Contrastive => {
                let contrast = work.asked.as_contrast();
                work.about(&contrast.ok_or_else(|| AttributionError::Parameter {
                    parameter: "reward",
                    value: "contrastive".to_owned(),
                    expected: "simple, for a target that is no class",
                })?)?
            }
        };
        let work = &rewarded;
        let [height, width] = work.size();
        let (step, sigma) = self.lengths([height, width]);
        let shape = SmoothMask::new([height, width], step, sigma, self.coldness)?;
        let pairs: Vec<(usize, usize)> = (0..work.count())
            .flat_map(|image| (0..self.areas.len()).map(move |area| (image, area)))
            .collect();
        let sides = self.variant.sides();
        if self.perturbation == Perturbation::Blur {
            let pyramids = work
                .count()
                .min(work.batch_size.div_ceil(self.areas.len()) + 1);
            let image = work.images.dims()[1..].iter().product();
            let what = format!("{} levels of {pyramids} image(s)", self.levels);
            work.afford(what, &[pyramids, self.levels, image, SINGLE])?;
        }
        let mut count = Count {
            done: 0,
            total: pairs.len().saturating_mul(self.iterations),
        };
        let mut found = ExtremalMasks {
            masks: Array4::zeros((work.count(), self.areas.len(), height, width)),
            rewards: vec![vec![0.0; self.areas.len()]; work.count()],
            iterations: vec![vec![0; self.areas.len()]; work.count()],
        };
        for chunk in pairs.chunks((work.batch_size / sides.len()).max(1)) {
            let mut searches: Vec<Search> = Vec::with_capacity(chunk.len());
            for &(image, area) in chunk {
                let pyramid = match searches.last() {
                    Some(search) if search.image == image => Rc::clone(&search.pyramid),
                    _ => Rc::new(self.pyramid(&work.rows(&[image]))?),
                };
                searches.push(Search::new(image, area, pyramid, shape.parameters()));
            }
            for iteration in 0..self.iterations {
                self.advance(work, &shape, &mut searches, iteration, sides)?;
                count.done += searches.len();
                let left = self.iterations - iteration - 1;
                let (ended, under_way): (Vec<_>, Vec<_>) = searches
                    .into_iter()
                    .partition(|search| left == 0 || search.is_settled);
                // Iterations that are not needed count as done.
                count.done = count.done.saturating_add(left.saturating_mul(ended.len()));
                for search in ended {
                    let mask = shape.cropped(&shape.full_mask(&search.parameters).values);
                    let at = (search.image, search.area);
                    let to = found.masks.index_axis_mut(Axis(0), at.0);
                    let mut to = to.index_axis_move(Axis(0), at.1);
                    to.iter_mut().zip(mask).for_each(|(to, value)| *to = value);
                    found.rewards[at.0][at.1] = search.reward;
                    found.iterations[at.0][at.1] = iteration + 1;
                }
                searches = under_way;
                work.report(count.done, count.total)?;
                if searches.is_empty() {
                    break;
                }
            }
        }
        if self.smooth > 0.0 {
            let sigma = self.smooth * height.min(width) as f32;
            for mut image in found.masks.outer_iter_mut() {
                for mut mask in image.outer_iter_mut() {
                    let smoothed = smoothed(mask.view(), sigma);
                    mask.iter_mut().zip(smoothed).for_each(|(to, v)| *to = v);
                }
            }
        }
        Ok(found)
    }

    /// The mask `[H, W]` of an image of this size that a grid of parameters makes: one for every
    /// [`step`](ExtremalPerturbation::step) pixels of each axis, and one for what is left over.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`] for a grid of another size and numbers that are not between 0
    /// and 1.
    pub fn smooth_mask(
        &self,
        parameters: ArrayView2<'_, f32>,
        size: [usize; 2],
    ) -> Result<Array2<f32>, AttributionError> {
        self.check_options()?;
        let (step, sigma) = self.lengths(size);
        let refuse = |value, expected| {
            Err(AttributionError::Parameter {
                parameter: "parameters of the mask",
                value,
                expected,
            })
        };
        let [rows, columns] = size.map(|side| side.div_ceil(step));
        if parameters.dim() != (rows, columns) {
            return refuse(
                format!("{:?}", parameters.dim()),
                "one for every step of each axis of the image",
            );
        }
        if !parameters.iter().all(|p| (0.0..=1.0).contains(p)) {
            return refuse("other numbers".to_owned(), "numbers from 0 to 1");
        }
        let shape = SmoothMask::new(size, step, sigma, self.coldness)?;
        let parameters: Vec<f32> = parameters.iter().copied().collect();
        let mask = shape.cropped(&shape.full_mask(&parameters).values);
        let got = vec![mask.len()];
        Array2::from_shape_vec(size, mask).map_err(|_| AttributionError::ReadBack {
            expected: size.to_vec(),
            got,
        })
    }

    /// An image `[1, C, H, W]` under a mask `[H, W]` of numbers from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Images`] for several images, and a mask of another size.
    pub fn perturbed(
        &self,
        image: &Tensor<4>,
        mask: ArrayView2<'_, f32>,
    ) -> Result<Tensor<4>, AttributionError> {
        self.check_options()?;
        let shape = image.dims();
        if shape[0] != 1 || [shape[2], shape[3]] != [mask.dim().0, mask.dim().1] {
            return Err(AttributionError::Images {
                reason: format!(
                    "a mask of {:?} for images of shape {shape:?}; give one image of that size",
                    mask.dim()
                ),
            });
        }
        let mask: Vec<f32> = mask.iter().copied().collect();
        let image = image.clone().without_autodiff();
        let pixels = self.pyramid(&image)?.under(&mask);
        Ok(Tensor::from_data(
            TensorData::new(pixels, shape),
            &image.device(),
        ))
    }

    fn pyramid(&self, image: &Tensor<4>) -> Result<Pyramid, AttributionError> {
        match self.perturbation {
            Perturbation::Blur => Pyramid::blur(image, self.levels, self.blur),
            Perturbation::Fade => Pyramid::fade(image),
        }
    }
}

struct Count {
    done: usize,
    total: usize,
}

impl Attributor for ExtremalPerturbation {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let found = self.found(work)?;
        let values: ArrayD<f32> = found
            .masks
            .sum_axis(Axis(1))
            .insert_axis(Axis(1))
            .into_dyn();
        let passes =
            |iterations: &Vec<usize>| self.variant.sides().len() * iterations.iter().sum::<usize>();
        let evaluations = found.iterations.iter().map(passes).collect();
        let scores = work.all_scores()?;
        Ok(
            Attribution::new(self, work, values, scores, Reduce::Sum)?
                .with_evaluations(evaluations),
        )
    }
}
