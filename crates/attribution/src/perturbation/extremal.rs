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

use std::rc::Rc;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::ImageBatch;
use ndarray::{Array2, Array4, ArrayD, ArrayView2, Axis, s};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, MethodOption, Place};
use crate::network::Network;
use crate::perturbation::at_input;
use crate::perturbation::pyramid::Pyramid;
use crate::perturbation::smooth_mask::{FullMask, SmoothMask};
use crate::saliency::{Reduce, gaussian_blur, gaussian_kernel};
use crate::target::Target;
use crate::work::{Work, at_least_one, to_vec};

/// What becomes of pixels that a mask hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perturbation {
    /// They are blurred.
    Blur,
    /// They fade to zero: the mean colour for networks that subtract it.
    Fade,
}

/// What a mask is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Keep the reward high where only the mask is seen.
    Preserve,
    /// Make the reward low where the mask is hidden.
    Delete,
    /// Both: the difference of the two rewards.
    Dual,
}

/// What a mask is rewarded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reward {
    /// The target's score.
    Simple,
    /// The logit of the target's class minus the largest of all others.
    Contrastive,
}

macro_rules! names {
    ($type:ident, $parameter:literal, $expected:ident = $names:literal, $($name:literal => $value:ident),*) => {
        pub(crate) const $expected: &str = $names;

        impl FromStr for $type {
            type Err = AttributionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$value),)*
                    _ => Err(AttributionError::Parameter {
                        parameter: $parameter,
                        value: format!("\"{text}\""),
                        expected: $expected,
                    }),
                }
            }
        }
    };
}

names!(Perturbation, "perturbation", PERTURBATIONS = "blur or fade", "blur" => Blur, "fade" => Fade);
names!(Variant, "variant", VARIANTS = "preserve, delete or dual",
    "preserve" => Preserve, "delete" => Delete, "dual" => Dual);
names!(Reward, "reward", REWARDS = "simple or contrastive",
    "simple" => Simple, "contrastive" => Contrastive);

/// Masks of given areas, found by gradient ascent.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct ExtremalPerturbation {
    pub(crate) setup: Setup,
    areas: Vec<f32>,
    perturbation: Perturbation,
    variant: Variant,
    reward: Reward,
    iterations: usize,
    settled: f32,
    step: usize,
    sigma: f32,
    coldness: f32,
    levels: usize,
    blur: f32,
    jitter: bool,
    smooth: f32,
    learning_rate: f32,
    momentum: f32,
    dampening: f32,
    area_weight: f32,
    area_growth: f32,
}

impl Default for ExtremalPerturbation {
    fn default() -> Self {
        Self::new()
    }
}

/// Iterations between two looks at whether a mask still changes.
const LOOK_EVERY: usize = 50;

impl ExtremalPerturbation {
    /// A tenth of the image, preserved.
    pub fn new() -> Self {
        Self {
            setup: at_input(),
            areas: vec![0.1],
            perturbation: Perturbation::Blur,
            variant: Variant::Preserve,
            reward: Reward::Simple,
            iterations: 800,
            settled: 0.002,
            step: 7,
            sigma: 21.0,
            coldness: 20.0,
            levels: 8,
            blur: 20.0,
            jitter: true,
            smooth: 0.0,
            learning_rate: 0.01,
            momentum: 0.9,
            dampening: 0.9,
            area_weight: 300.0,
            area_growth: 1.0035,
        }
    }

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

    /// What becomes of hidden pixels, blurred by default.
    pub fn perturbation(mut self, perturbation: Perturbation) -> Self {
        self.perturbation = perturbation;
        self
    }

    /// What a mask is to do, to preserve by default.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// What it is rewarded for, the target's score by default.
    pub fn reward(mut self, reward: Reward) -> Self {
        self.reward = reward;
        self
    }

    /// Most iterations, 800 by default.
    pub fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }

    /// A search ends when 50 iterations have changed a pixel of the mask by no more than this on
    /// average, .002 by default; 0 takes all iterations.
    pub fn settled(mut self, change: f32) -> Self {
        self.settled = change;
        self
    }

    /// Pixels between parameters, 7 by default.
    pub fn step(mut self, pixels: usize) -> Self {
        self.step = pixels;
        self
    }

    /// Smoothness of masks in pixels, 21 by default.
    pub fn sigma(mut self, pixels: f32) -> Self {
        self.sigma = pixels;
        self
    }

    /// Coldness of the soft-max pool, 20 by default; at most 80.
    pub fn coldness(mut self, coldness: f32) -> Self {
        self.coldness = coldness;
        self
    }

    /// Levels between blurred and whole, 8 by default.
    pub fn levels(mut self, levels: usize) -> Self {
        self.levels = levels;
        self
    }

    /// Sigma of the strongest blur in pixels, 20 by default.
    pub fn blur(mut self, sigma: f32) -> Self {
        self.blur = sigma;
        self
    }

    /// Whether the perturbed image is mirrored left to right on even iterations, as it is by default.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Blurs the masks that were found, with a sigma of this fraction of the image's shorter side and
    /// zeros beyond its edges; 0, the default, leaves them.
    pub fn smooth(mut self, fraction: f32) -> Self {
        self.smooth = fraction;
        self
    }

    /// Learning rate, .01 by default.
    pub fn learning_rate(mut self, rate: f32) -> Self {
        self.learning_rate = rate;
        self
    }

    /// Share of the last step that is taken again, and share of the new gradient that is left out, .9
    /// and .9 by default.
    pub fn momentum(mut self, momentum: f32, dampening: f32) -> Self {
        (self.momentum, self.dampening) = (momentum, dampening);
        self
    }

    /// Weight of the area at the first iteration, and its growth at each, 300 and 1.0035 by default.
    pub fn area_weight(mut self, weight: f32, growth: f32) -> Self {
        (self.area_weight, self.area_growth) = (weight, growth);
        self
    }

    fn check(&self) -> Result<(), AttributionError> {
        at_least_one("number of areas", self.areas.len())?;
        at_least_one("iterations", self.iterations)?;
        at_least_one("step", self.step)?;
        let refuse = |parameter, value: f32, expected| {
            Err(AttributionError::Parameter {
                parameter,
                value: value.to_string(),
                expected,
            })
        };
        if let Some(&area) = self.areas.iter().find(|&&area| !(area > 0.0 && area < 1.0)) {
            return refuse("area", area, "a share above 0 and below 1");
        }
        if self.levels < 2 {
            return refuse("levels", self.levels as f32, "2 or more");
        }
        if !(self.coldness > 0.0 && self.coldness < 80.0) {
            return refuse("coldness", self.coldness, "above 0 and below 80");
        }
        for (name, value) in [("sigma", self.sigma), ("blur", self.blur)] {
            if !(value > 0.0 && value <= 10_000.0) {
                return refuse(name, value, "pixels, above 0 and at most 10000");
            }
        }
        for (name, value) in [
            ("learning rate", self.learning_rate),
            ("growth of the area's weight", self.area_growth),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(name, value, "above 0");
            }
        }
        for (name, value) in [
            ("area's weight", self.area_weight),
            ("change of a settled mask", self.settled),
            ("smooth", self.smooth),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(name, value, "0 or more");
            }
        }
        for (name, value) in [("momentum", self.momentum), ("dampening", self.dampening)] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(name, value, "from 0 to 1");
            }
        }
        Ok(())
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
        self.check()?;
        let target = match self.reward {
            Reward::Simple => target,
            Reward::Contrastive => {
                target
                    .as_contrast()
                    .ok_or_else(|| AttributionError::Parameter {
                        parameter: "reward",
                        value: "contrastive".to_owned(),
                        expected: "simple, for a target that is no class",
                    })?
            }
        };
        let work = Work::new(network, images, &target, &self.setup)?;
        let [height, width] = work.size();
        let shape = SmoothMask::new([height, width], self.step, self.sigma, self.coldness);
        let pairs: Vec<(usize, usize)> = (0..work.count())
            .flat_map(|image| (0..self.areas.len()).map(move |area| (image, area)))
            .collect();
        let sides = self.sides();
        let mut count = Count {
            done: 0,
            total: pairs.len() * self.iterations,
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
                searches.push(Search {
                    image,
                    area,
                    pyramid,
                    parameters: vec![1.0; shape.parameters()],
                    step: Vec::new(),
                    before: Vec::new(),
                    reward: 0.0,
                    is_settled: false,
                });
            }
            for iteration in 0..self.iterations {
                self.advance(&work, &shape, &mut searches, iteration, sides)?;
                count.done += searches.len();
                let left = self.iterations - iteration - 1;
                let (ended, under_way): (Vec<_>, Vec<_>) = searches
                    .into_iter()
                    .partition(|search| left == 0 || search.is_settled);
                // Iterations that are not needed count as done.
                count.done += left * ended.len();
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
                self.setup.progress.report(count.done, count.total)?;
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
        self.check()?;
        let refuse = |value, expected| {
            Err(AttributionError::Parameter {
                parameter: "parameters of the mask",
                value,
                expected,
            })
        };
        let [rows, columns] = size.map(|side| side.div_ceil(self.step));
        if parameters.dim() != (rows, columns) {
            return refuse(
                format!("{:?}", parameters.dim()),
                "one for every step of each axis of the image",
            );
        }
        if !parameters.iter().all(|p| (0.0..=1.0).contains(p)) {
            return refuse("other numbers".to_owned(), "numbers from 0 to 1");
        }
        let shape = SmoothMask::new(size, self.step, self.sigma, self.coldness);
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
        self.check()?;
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

    /// For each image that a mask is seen by: whether the mask is shown, or else hidden.
    fn sides(&self) -> &'static [bool] {
        match self.variant {
            Variant::Preserve => &[true],
            Variant::Delete => &[false],
            Variant::Dual => &[true, false],
        }
    }

    fn pyramid(&self, image: &Tensor<4>) -> Result<Pyramid, AttributionError> {
        match self.perturbation {
            Perturbation::Blur => Pyramid::blur(image, self.levels, self.blur),
            Perturbation::Fade => Pyramid::fade(image),
        }
    }

    /// One iteration of several searches.
    fn advance(
        &self,
        work: &Work<'_>,
        shape: &SmoothMask,
        searches: &mut [Search],
        iteration: usize,
        sides: &[bool],
    ) -> Result<(), AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let weight = self.area_weight * self.area_growth.powi(iteration as i32);
        let is_mirrored = self.jitter && iteration.is_multiple_of(2);
        let masks: Vec<FullMask> = searches
            .iter()
            .map(|search| shape.full_mask(&search.parameters))
            .collect();
        // Each search's mask as each of its sides shows it.
        let shown: Vec<Vec<Vec<f32>>> = masks
            .iter()
            .map(|mask| {
                let mask = shape.cropped(&mask.values);
                let hidden = || mask.iter().map(|m| 1.0 - m).collect();
                let side = |&keep: &bool| if keep { mask.clone() } else { hidden() };
                sides.iter().map(side).collect()
            })
            .collect();
        let mut rows = Vec::new();
        let mut pixels = Vec::new();
        for (search, shown) in searches.iter().zip(&shown) {
            for mask in shown {
                rows.push(search.image);
                pixels.extend(search.pyramid.under(mask));
            }
        }
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let mirror = |x: Tensor<4>| if is_mirrored { x.flip([3]) } else { x };
        let seen = mirror(Tensor::from_data(data, &work.device()));
        // Images one by one where a batch holds fewer than one mask needs.
        let (mut scores, mut gradients) = (Vec::new(), Vec::new());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            let found = work.gradients(rows, part.into())?;
            scores.extend(found.scores);
            let gradient: Tensor<4> = found.gradient.tensor()?;
            gradients.extend(to_vec(&mirror(gradient).into())?);
        }
        let image = channels * height * width;
        let mut each = gradients.chunks(image).zip(scores);
        for ((search, mask), shown) in searches.iter_mut().zip(&masks).zip(&shown) {
            let mut gradient = area_gradient(&mask.values, self.areas[search.area], -weight);
            search.reward = 0.0;
            for ((&keep, shown), (at_image, score)) in sides.iter().zip(shown).zip(&mut each) {
                // Hiding changes the sign twice: that of the reward, and that of the mask.
                search.reward += if keep { score } else { -score };
                shape.add_inside(&mut gradient, &search.pyramid.gradient(shown, at_image));
            }
            let ascent = shape.gradient(&search.parameters, mask, &gradient);
            if search.step.is_empty() {
                search.step = ascent;
            } else {
                for (step, ascent) in search.step.iter_mut().zip(ascent) {
                    *step = self.momentum * *step + (1.0 - self.dampening) * ascent;
                }
            }
            for (parameter, step) in search.parameters.iter_mut().zip(&search.step) {
                *parameter = (*parameter + self.learning_rate * step).clamp(0.0, 1.0);
            }
            if iteration.is_multiple_of(LOOK_EVERY) {
                if !search.before.is_empty() {
                    let change = search.before.iter().zip(&mask.values);
                    let change: f32 = change.map(|(a, b)| (a - b).abs()).sum();
                    search.is_settled =
                        self.settled > 0.0 && change <= self.settled * mask.values.len() as f32;
                }
                search.before.clone_from(&mask.values);
            }
        }
        Ok(())
    }
}

/// The search of one mask.
struct Search {
    image: usize,
    area: usize,
    pyramid: Rc<Pyramid>,
    parameters: Vec<f32>,
    /// The last step, per learning rate; none before the first.
    step: Vec<f32>,
    /// The mask at the last look.
    before: Vec<f32>,
    reward: f32,
    is_settled: bool,
}

struct Count {
    done: usize,
    total: usize,
}

/// The gradient of `weight mean((sort(mask) - ref)^2)` at the mask, where `ref` is 0 for a share
/// `1 - area` of the pixels and then 1.
fn area_gradient(mask: &[f32], area: f32, weight: f32) -> Vec<f32> {
    let hidden = (mask.len() as f32 * (1.0 - area)) as usize;
    let mut order: Vec<usize> = (0..mask.len()).collect();
    if hidden < mask.len() {
        // The order among the hidden, and among the shown, changes nothing; among equals it is that of
        // the pixels, so that it does not hang on how the pixels were sorted.
        order.select_nth_unstable_by(hidden, |&a, &b| mask[a].total_cmp(&mask[b]).then(a.cmp(&b)));
    }
    let factor = 2.0 * weight / mask.len() as f32;
    let mut gradient = vec![0.0; mask.len()];
    for (rank, &pixel) in order.iter().enumerate() {
        let wanted = if rank < hidden { 0.0 } else { 1.0 };
        gradient[pixel] = factor * (mask[pixel] - wanted);
    }
    gradient
}

/// Convolution with a Gaussian, zeros beyond the edges.
fn smoothed(mask: ArrayView2<'_, f32>, sigma: f32) -> Array2<f32> {
    const CUT: f32 = 4.0;
    let margin = gaussian_kernel(sigma, CUT).len() / 2;
    let (height, width) = mask.dim();
    let mut padded = Array2::zeros((height + 2 * margin, width + 2 * margin));
    let inside = s![margin..margin + height, margin..margin + width];
    padded.slice_mut(inside).assign(&mask);
    let blurred = gaussian_blur(padded.view(), sigma, CUT);
    blurred.slice(inside).to_owned()
}

/// What [`ExtremalPerturbation`] found for each image and area.
#[derive(Debug, Clone)]
pub struct ExtremalMasks {
    masks: Array4<f32>,
    rewards: Vec<Vec<f32>>,
    iterations: Vec<Vec<usize>>,
}

impl ExtremalMasks {
    /// The masks, `[N, A, H, W]`, for the areas in their order; 1 keeps a pixel, or deletes it, as the
    /// variant says.
    pub fn masks(&self) -> &Array4<f32> {
        &self.masks
    }

    /// The reward of each mask at its last iteration, by image and area.
    pub fn rewards(&self) -> &[Vec<f32>] {
        &self.rewards
    }

    /// How many iterations each mask took, by image and area.
    pub fn iterations(&self) -> &[Vec<usize>] {
        &self.iterations
    }
}

impl Attributor for ExtremalPerturbation {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let found = self.masks(network, images, target.clone())?;
        let work = Work::new(network, images, &target, &self.setup)?;
        let values: ArrayD<f32> = found
            .masks
            .sum_axis(Axis(1))
            .insert_axis(Axis(1))
            .into_dyn();
        let passes =
            |iterations: &Vec<usize>| self.sides().len() * iterations.iter().sum::<usize>();
        let evaluations = found.iterations.iter().map(passes).collect();
        let scores = work.all_scores()?;
        Ok(
            Attribution::new(self.name(), &work, values, scores, Reduce::Sum)
                .with_evaluations(evaluations),
        )
    }
}

/// Areas as text, joined by commas.
struct Areas(Vec<f32>);

impl FromStr for Areas {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let areas = text.split(',').map(|area| area.trim().parse());
        Ok(Self(areas.collect::<Result<_, _>>()?))
    }
}

const fn option(name: &'static str, default: &'static str, help: &'static str) -> MethodOption {
    MethodOption {
        name,
        default,
        help,
    }
}

pub(crate) const METHOD: Method = Method {
    name: "extremal-perturbation",
    title: "Extremal perturbation",
    place: Place::Input,
    needs_model: false,
    takes_rules: false,
    random: false,
    sums_to: "",
    options: &[
        option(
            "areas",
            "0.1",
            "areas of the masks as shares of the image, joined by commas",
        ),
        option(
            "perturbation",
            "blur",
            "what becomes of hidden pixels: blur, or fade to zero",
        ),
        option(
            "variant",
            "preserve",
            "what a mask is to do: preserve, delete or dual",
        ),
        option(
            "reward",
            "simple",
            "simple, or contrastive: against the best of all other classes",
        ),
        option("iterations", "800", "most iterations"),
        option(
            "settled",
            "0.002",
            "ends when 50 iterations change a pixel by no more than this on average; 0 never",
        ),
        option("step", "7", "pixels between parameters of the mask"),
        option("sigma", "21", "smoothness of the mask, in pixels"),
        option(
            "coldness",
            "20",
            "coldness of the soft-max pool that makes the mask",
        ),
        option("levels", "8", "levels between blurred and whole"),
        option("blur", "20", "sigma of the strongest blur, in pixels"),
        option("jitter", "true", "false never mirrors the image"),
        option(
            "mask-smooth",
            "0",
            "blurs the masks found, as a fraction of the shorter side",
        ),
        option("learning-rate", "0.01", "learning rate"),
        option(
            "momentum",
            "0.9",
            "share of the last step that is taken again",
        ),
        option(
            "dampening",
            "0.9",
            "share of the new gradient that is left out",
        ),
        option("area-weight", "300", "weight of the area at first"),
        option(
            "area-growth",
            "1.0035",
            "growth of the area's weight at each iteration",
        ),
    ],
    reference: "Fong, Patrick and Vedaldi 2019",
    build: |options| {
        let mut method = ExtremalPerturbation::new();
        method.setup = options.setup();
        if let Some(Areas(areas)) = options.get("areas", "shares of the image, as 0.05,0.1")? {
            method.areas = areas;
        }
        macro_rules! set {
            ($($name:literal $field:ident $expected:expr;)*) => {$(
                if let Some(value) = options.get($name, $expected)? {
                    method.$field = value;
                }
            )*};
        }
        set! {
            "perturbation" perturbation PERTURBATIONS;
            "variant" variant VARIANTS;
            "reward" reward REWARDS;
            "iterations" iterations "a number of iterations";
            "settled" settled "a number";
            "step" step "a number of pixels";
            "sigma" sigma "a number of pixels";
            "coldness" coldness "a number";
            "levels" levels "a number of levels";
            "blur" blur "a number of pixels";
            "jitter" jitter "true or false";
            "mask-smooth" smooth "a fraction of the shorter side";
            "learning-rate" learning_rate "a number";
            "momentum" momentum "a number from 0 to 1";
            "dampening" dampening "a number from 0 to 1";
            "area-weight" area_weight "a number";
            "area-growth" area_growth "a number";
        }
        Ok(Box::new(method))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_pulls_to_zero_and_one() {
        let mask = [0.9, 0.1, 0.4, 0.4, 0.8, 0.0, 0.3, 1.0, 0.2, 0.5];
        let value = |mask: &[f32]| {
            let mut sorted = mask.to_vec();
            sorted.sort_by(f32::total_cmp);
            let wanted = |i: usize| if i < 7 { 0.0 } else { 1.0 };
            let squares = sorted
                .iter()
                .enumerate()
                .map(|(i, m)| (m - wanted(i)).powi(2));
            3.0 * squares.sum::<f32>() / 10.0
        };
        let gradient = area_gradient(&mask, 0.3, 3.0);
        for (i, got) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut mask = mask;
                mask[i] += by;
                value(&mask)
            };
            let want = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((got - want).abs() < 1e-3, "pixel {i}: {got} for {want}");
        }
    }

    #[test]
    fn smoothing_loses_what_leaves_the_image() {
        let ones = Array2::<f32>::ones((20, 30));
        let smooth = smoothed(ones.view(), 2.0);
        assert!((smooth[[10, 15]] - 1.0).abs() < 1e-3);
        assert!((0.5..0.65).contains(&smooth[[0, 15]]));
        assert!((0.25..0.4).contains(&smooth[[0, 0]]));
    }
}
