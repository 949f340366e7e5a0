//! Meaningful perturbation: the smallest smooth mask whose region takes the score away.
//!
//! The mask `m`, 1 where the image is hidden, minimises
//!
//! `l1 sum_i(p_i) + tv sum_i(|dp_i|^beta) + f(x under m)`
//!
//! over a coarse grid of parameters `p` in `[0, 1]`, one for every `scale` pixels of each axis, of
//! which `dp_i` are the differences to the next row and column. Repeated over its pixels and blurred,
//! the grid is `m`; `x under m` is `x (1 - m) + b m`, and `b` the image blurred. Fong and Vedaldi,
//! *Interpretable Explanations of Black Boxes by Meaningful Perturbation*, ICCV 2017,
//! <https://arxiv.org/abs/1704.03296>; its mask is `1 - m`.
//!
//! - *Score*: the softmax probability where the target is the logit of a class, other targets as they
//!   are. The weights of the penalties are made for numbers from 0 to 1.
//! - *Search*: Adam with learning rate .1 (.9, .999, 1e-8), 300 iterations; parameters are clamped to
//!   `[0, 1]` after each.
//! - *Start*: the smallest centred disc, 5 pixels wider each time and blurred by 10, that takes 99 % of
//!   what hiding the whole image takes of the score; [`Start`] has others.
//! - *Jitter*: at each iteration the image, and what hides it, moves under the mask by a random offset,
//!   one of 4 along each axis, pixels at its edges replicated.
//!
//! | | l1 | tv | beta | score |
//! | --- | --- | --- | --- | --- |
//! | [`MeaningfulPerturbation::new`]: the paper, and `perturb_explanations` by default | 1e-4 | 1e-2 | 3 | the class's |
//! | [`MeaningfulPerturbation::localisation`]: its `--loc_params`, for boxes around objects | 1e-3 | 1e-2 | 2 | sum of the best 5 classes |
//!
//! The score of the second is the target's here, too; a sum over classes can be given as
//! [`Target::closure`]. Other numbers are the same in both. `perturb_explanations` further rounds the
//! blurred mask to 256 steps and leaves the blur out of its gradient, which here is exact; it scales
//! the image up by 4 pixels for room to move, and always takes 300 iterations. Here the search ends
//! before that once the mask has settled, see [`MeaningfulPerturbation::settled`]. Its kinds of
//! hiding are the baselines `blur:10`, `zero` (the mean colour), `noise:LOW:HIGH`, drawn anew at each
//! iteration, and several of them joined, of which the mean score counts.
//!
//! [`Variant::Preserve`] looks for the smallest region that keeps the score where nothing else is
//! shown, the paper's preservation game; [`Variant::Dual`] does both, with the difference of the
//! scores.
//!
//! The attribution, `[N, 1, H, W]`, is `m`: from 0 to 1 for each pixel.
//!
//! The network is a model or a differentiable closure. Memory: `batch_size` images are propagated
//! together, each with what a gradient needs; besides, for each image under way itself and its
//! baselines.

use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::ImageBatch;
use ndarray::{Array2, Array3, Axis};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::Baseline;
use crate::error::AttributionError;
use crate::methods::{Method, Place, option};
use crate::network::Network;
use crate::perturbation::extremal::VARIANTS;
use crate::perturbation::mask_grid::{MaskGrid, total_variation};
use crate::perturbation::{BASELINE_HELP, Variant, at_input};
use crate::random::Random;
use crate::saliency::{Reduce, gaussian_blur};
use crate::target::Target;
use crate::work::{Work, at_least_one, to_vec};

/// Where the search of a mask begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// A centred disc.
    Disc,
    /// The same number for every parameter, from 0 to 1.
    Value(f32),
    /// Numbers drawn evenly from 0 to 1.
    Random,
}

const STARTS: &str = "disc, random, or a number from 0 to 1";

impl FromStr for Start {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disc" => Ok(Self::Disc),
            "random" => Ok(Self::Random),
            _ => text
                .parse()
                .map(Self::Value)
                .map_err(|_| AttributionError::Parameter {
                    parameter: "start",
                    value: format!("\"{text}\""),
                    expected: STARTS,
                }),
        }
    }
}

/// The smallest smooth masks that take the score away, found by gradient descent.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct MeaningfulPerturbation {
    pub(crate) setup: Setup,
    baseline: Baseline,
    variant: Variant,
    is_probability: bool,
    iterations: usize,
    settled: f32,
    learning_rate: f32,
    decay: f32,
    square_decay: f32,
    epsilon: f32,
    scale: usize,
    blur: f32,
    l1: f32,
    tv: f32,
    beta: f32,
    jitter: usize,
    noise: f32,
    start: Start,
    disc_step: f32,
    disc_blur: f32,
    disc_left: f32,
}

impl Default for MeaningfulPerturbation {
    fn default() -> Self {
        Self::new()
    }
}

/// Iterations between two looks at whether a mask still changes.
const LOOK_EVERY: usize = 50;

impl MeaningfulPerturbation {
    /// As in the paper.
    pub fn new() -> Self {
        Self {
            setup: at_input(),
            baseline: Baseline::blur(10.0),
            variant: Variant::Delete,
            is_probability: true,
            iterations: 300,
            settled: 0.002,
            learning_rate: 0.1,
            decay: 0.9,
            square_decay: 0.999,
            epsilon: 1e-8,
            scale: 8,
            blur: 5.0,
            l1: 1e-4,
            tv: 1e-2,
            beta: 3.0,
            jitter: 4,
            noise: 0.0,
            start: Start::Disc,
            disc_step: 5.0,
            disc_blur: 10.0,
            disc_left: 0.01,
        }
    }

    /// As `perturb_explanations` looks for boxes around objects: smaller masks, with `l1` 1e-3 and
    /// `beta` 2.
    pub fn localisation() -> Self {
        Self::new().penalties(1e-3, 1e-2).beta(2.0)
    }

    setup_builders!(batch_size, seed, progress);

    /// What hidden pixels become, a blur of 10 pixels by default.
    pub fn baseline(mut self, baseline: Baseline) -> Self {
        self.baseline = baseline;
        self
    }

    /// What a mask is to do, to delete by default.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// Whether the logit of a class counts as its softmax probability, as it does by default.
    pub fn probability(mut self, is_probability: bool) -> Self {
        self.is_probability = is_probability;
        self
    }

    /// Most iterations, 300 by default.
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

    /// Learning rate of Adam, .1 by default.
    pub fn learning_rate(mut self, rate: f32) -> Self {
        self.learning_rate = rate;
        self
    }

    /// How much is kept at each iteration of the means of the gradient and of its square, and what is
    /// added to the square root of the latter: .9, .999 and 1e-8 by default.
    pub fn adam(mut self, decay: f32, square_decay: f32, epsilon: f32) -> Self {
        (self.decay, self.square_decay, self.epsilon) = (decay, square_decay, epsilon);
        self
    }

    /// Pixels that share a parameter along each axis, 8 by default.
    pub fn scale(mut self, pixels: usize) -> Self {
        self.scale = pixels;
        self
    }

    /// Sigma in pixels of the blur that makes a mask of parameters, 5 by default; 0 leaves squares.
    pub fn mask_blur(mut self, sigma: f32) -> Self {
        self.blur = sigma;
        self
    }

    /// Weights of the sum of all parameters and of their total variation, 1e-4 and 1e-2 by default;
    /// at most 1e9.
    pub fn penalties(mut self, l1: f32, tv: f32) -> Self {
        (self.l1, self.tv) = (l1, tv);
        self
    }

    /// Exponent of the total variation, 3 by default, at least 1.
    pub fn beta(mut self, beta: f32) -> Self {
        self.beta = beta;
        self
    }

    /// Offsets along each axis that the image takes under the mask, 4 by default; 0 and 1 leave it
    /// where it is.
    pub fn jitter(mut self, pixels: usize) -> Self {
        self.jitter = pixels;
        self
    }

    /// Standard deviation of normal noise that is added to the parameters at each iteration, 0 by
    /// default.
    pub fn noise(mut self, deviation: f32) -> Self {
        self.noise = deviation;
        self
    }

    /// Where the search begins, with a disc by default.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Of the disc to start with, the pixels by which its radius grows, the sigma in pixels of its
    /// blur, and the share that it may leave of what hiding the whole image takes: 5, 10 and .01 by
    /// default.
    pub fn disc(mut self, step: f32, blur: f32, left: f32) -> Self {
        (self.disc_step, self.disc_blur, self.disc_left) = (step, blur, left);
        self
    }

    fn check(&self) -> Result<(), AttributionError> {
        at_least_one("iterations", self.iterations)?;
        at_least_one("scale of the mask", self.scale)?;
        let refuse = |parameter, value: f32, expected| {
            Err(AttributionError::Parameter {
                parameter,
                value: value.to_string(),
                expected,
            })
        };
        for (name, value) in [
            ("learning rate", self.learning_rate),
            ("step of the disc", self.disc_step),
            ("epsilon", self.epsilon),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(name, value, "above 0");
            }
        }
        for (name, value) in [
            ("blur of the mask", self.blur),
            ("blur of the disc", self.disc_blur),
        ] {
            if !(0.0..=10_000.0).contains(&value) {
                return refuse(name, value, "pixels, from 0 to 10000");
            }
        }
        for (name, value) in [("l1", self.l1), ("tv", self.tv)] {
            // With larger ones the gradient would leave the numbers.
            if !(0.0..=1e9).contains(&value) {
                return refuse(name, value, "from 0 to 1e9");
            }
        }
        for (name, value) in [
            ("noise", self.noise),
            ("change of a settled mask", self.settled),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(name, value, "0 or more");
            }
        }
        for (name, value) in [
            ("decay", self.decay),
            ("decay of the square", self.square_decay),
        ] {
            if !(0.0..1.0).contains(&value) {
                return refuse(name, value, "from 0 to less than 1");
            }
        }
        if !(1.0..=100.0).contains(&self.beta) {
            return refuse("beta", self.beta, "from 1 to 100");
        }
        if !(0.0..=1.0).contains(&self.disc_left) {
            return refuse("share left by the disc", self.disc_left, "from 0 to 1");
        }
        match self.start {
            Start::Value(value) if !(0.0..=1.0).contains(&value) => {
                refuse("start", value, "from 0 to 1")
            }
            _ => Ok(()),
        }
    }

    /// The mask of each image, with its loss at every iteration.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`].
    pub fn masks(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<MeaningfulMasks, AttributionError> {
        self.check()?;
        let target = match self.is_probability {
            true => target.as_probability(),
            false => target,
        };
        let work = Work::new(network, images, &target, &self.setup)?;
        self.baseline.check(&work)?;
        let [height, width] = work.size();
        if self.jitter > height.min(width) {
            return Err(AttributionError::Parameter {
                parameter: "jitter",
                value: self.jitter.to_string(),
                expected: "no more than the images have rows and columns",
            });
        }
        let grid = MaskGrid::new([height, width], self.scale, self.blur)?;
        let mut found = MeaningfulMasks {
            masks: Array3::zeros((work.count(), height, width)),
            losses: vec![Vec::new(); work.count()],
            evaluations: vec![0; work.count()],
        };
        let rows = self.variant.sides().len() * self.baseline.count();
        let together = (work.batch_size / rows).max(1);
        let all: Vec<usize> = (0..work.count()).collect();
        let (mut done, total) = (0, work.count().saturating_mul(self.iterations));
        for chunk in all.chunks(together) {
            let mut searches = Vec::with_capacity(chunk.len());
            for &image in chunk {
                let mut search = Search::new(&work, image, self, &grid)?;
                self.begin(&work, &grid, &mut search)?;
                searches.push(search);
            }
            for iteration in 0..self.iterations {
                self.advance(&work, &grid, &mut searches)?;
                done += searches.len();
                let left = self.iterations - iteration - 1;
                let (ended, under_way): (Vec<_>, Vec<_>) = searches
                    .into_iter()
                    .partition(|search| left == 0 || search.is_settled);
                // Iterations that are not needed count as done.
                done = left.saturating_mul(ended.len()).saturating_add(done);
                for search in ended {
                    let mask = grid.mask(&search.parameters);
                    found
                        .masks
                        .index_axis_mut(Axis(0), search.image)
                        .assign(&mask);
                    found.evaluations[search.image] = search.evaluations;
                    found.losses[search.image] = search.losses;
                }
                searches = under_way;
                self.setup.progress.report(done, total)?;
                if searches.is_empty() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Puts a search at its start.
    fn begin(
        &self,
        work: &Work<'_>,
        grid: &MaskGrid,
        search: &mut Search,
    ) -> Result<(), AttributionError> {
        match self.start {
            Start::Value(value) => search.parameters.fill(value),
            Start::Random => {
                let random = &mut search.random;
                search.parameters.mapv_inplace(|_| random.uniform());
            }
            Start::Disc => {
                let discs = Discs::new(work.size(), self);
                let mut of = |numbers: &[usize]| {
                    let discs = numbers.iter().map(|&number| discs.parameters(grid, number));
                    let discs: Vec<Array2<f32>> = discs.collect();
                    let scores = self.disc_scores(work, grid, search, &discs)?;
                    Ok::<_, AttributionError>((discs, scores))
                };
                let (mut ends, scores) = of(&[0, discs.count])?;
                let (nothing, all) = (scores[0], scores[1]);
                let wanted = all + self.disc_left * (nothing - all);
                let mut disc = ends.swap_remove(usize::from(nothing > wanted));
                if nothing > wanted {
                    let numbers: Vec<usize> = (1..discs.count).collect();
                    let views = self.variant.sides().len() * self.baseline.count();
                    for batch in numbers.chunks((work.batch_size / views).max(1)) {
                        let (mut discs, scores) = of(batch)?;
                        if let Some(smallest) = scores.iter().position(|&score| score <= wanted) {
                            disc = discs.swap_remove(smallest);
                            break;
                        }
                    }
                }
                search.parameters = disc;
            }
        }
        Ok(())
    }

    fn disc_scores(
        &self,
        work: &Work<'_>,
        grid: &MaskGrid,
        search: &mut Search,
        discs: &[Array2<f32>],
    ) -> Result<Vec<f32>, AttributionError> {
        let sight = search.sight([0, 0]);
        let mut pixels = Vec::new();
        for disc in discs {
            let mask = grid.mask(disc);
            for &keep in self.variant.sides() {
                sight.under(&mask, keep, &mut pixels);
            }
        }
        let [channels, height, width] = search.shape;
        let views = self.variant.sides().len() * self.baseline.count();
        let rows = vec![search.image; discs.len() * views];
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let seen = Tensor::<4>::from_data(data, &work.device());
        let mut scores = Vec::with_capacity(rows.len());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            scores.extend(work.scores(rows, part.into())?);
        }
        search.evaluations += scores.len();
        Ok(scores
            .chunks(views)
            .map(|found| self.score(found))
            .collect())
    }

    /// What is minimised besides the penalties, of the scores of each side under each baseline.
    fn score(&self, scores: &[f32]) -> f32 {
        let baselines = self.baseline.count();
        let sides = self.variant.sides().iter().zip(scores.chunks(baselines));
        sides
            .map(|(&keep, scores)| sign(keep) * scores.iter().sum::<f32>() / baselines as f32)
            .sum()
    }

    /// One iteration of several searches.
    fn advance(
        &self,
        work: &Work<'_>,
        grid: &MaskGrid,
        searches: &mut [Search],
    ) -> Result<(), AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let (mut rows, mut pixels) = (Vec::new(), Vec::new());
        let mut views = Vec::with_capacity(searches.len());
        for search in searches.iter_mut() {
            if search.steps > 0 && self.baseline.is_random() {
                search.hidden = hidden(&self.baseline, work, search.image, &mut search.random)?;
            }
            let mut offset = || match self.jitter {
                0 => 0,
                most => search.random.below(most) as isize - (most / 2) as isize,
            };
            let offset = [offset(), offset()];
            let sight = search.sight(offset);
            let mut parameters = search.parameters.clone();
            if self.noise > 0.0 {
                let random = &mut search.random;
                parameters.mapv_inplace(|p| (p + self.noise * random.normal()).clamp(0.0, 1.0));
            }
            let mask = grid.mask(&parameters);
            for &keep in self.variant.sides() {
                sight.under(&mask, keep, &mut pixels);
                rows.extend(sight.hidden.iter().map(|_| search.image));
            }
            views.push((sight, mask));
        }
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let seen = Tensor::<4>::from_data(data, &work.device());
        let (mut scores, mut gradients) = (Vec::new(), Vec::new());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            let found = work.gradients(rows, part.into())?;
            scores.extend(found.scores);
            gradients.extend(to_vec(&found.gradient)?);
        }
        let each = self.variant.sides().len() * self.baseline.count();
        let image = channels * height * width;
        let found = scores.chunks(each).zip(gradients.chunks(each * image));
        for ((search, (sight, mask)), (scores, at_images)) in
            searches.iter_mut().zip(&views).zip(found)
        {
            let mut at_mask = Array2::zeros((height, width));
            for at_images in at_images.chunks(self.baseline.count() * image) {
                sight.add_gradient(at_images, &mut at_mask);
            }
            let (penalty, mut gradient) = self.penalty(&search.parameters);
            gradient += &grid.gradient(&at_mask);
            search.losses.push(penalty + self.score(scores));
            search.evaluations += scores.len();
            self.step(search, &gradient);
            if (search.steps - 1).is_multiple_of(LOOK_EVERY) {
                if let Some(before) = &search.before {
                    let change: f32 = before.iter().zip(mask).map(|(a, b)| (a - b).abs()).sum();
                    search.is_settled =
                        self.settled > 0.0 && change <= self.settled * mask.len() as f32;
                }
                search.before = Some(mask.clone());
            }
        }
        Ok(())
    }

    /// The penalties of some parameters, and their gradient.
    fn penalty(&self, parameters: &Array2<f32>) -> (f32, Array2<f32>) {
        let (variation, mut gradient) = total_variation(parameters.view(), self.beta);
        gradient *= self.tv;
        // No parameter is below 0; at 0 the sum has no gradient.
        gradient.zip_mut_with(parameters, |g, &p| {
            if p > 0.0 {
                *g += self.l1;
            }
        });
        (self.l1 * parameters.sum() + self.tv * variation, gradient)
    }

    /// One step of Adam.
    fn step(&self, search: &mut Search, gradient: &Array2<f32>) {
        search.steps += 1;
        // What is missing of the means, which begin at 0.
        let missing = |decay: f32| 1.0 - decay.powi(search.steps as i32);
        let (of_mean, of_square) = (missing(self.decay), missing(self.square_decay));
        let means = search.mean.iter_mut().zip(&mut search.square);
        let each = search.parameters.iter_mut().zip(means).zip(gradient);
        for ((parameter, (mean, square)), &g) in each {
            *mean = self.decay * *mean + (1.0 - self.decay) * g;
            *square = self.square_decay * *square + (1.0 - self.square_decay) * g * g;
            let step = *mean / of_mean / ((*square / of_square).sqrt() + self.epsilon);
            *parameter = (*parameter - self.learning_rate * step).clamp(0.0, 1.0);
        }
    }
}

/// The score of what is hidden falls, that of what is shown rises.
fn sign(keep: bool) -> f32 {
    if keep { -1.0 } else { 1.0 }
}

fn hidden(
    baseline: &Baseline,
    work: &Work<'_>,
    image: usize,
    random: &mut Random,
) -> Result<Vec<Vec<f32>>, AttributionError> {
    let images = baseline.images(work, image, random).into_iter();
    images.map(|image| to_vec(&image.into())).collect()
}

/// Centred discs from none to one that covers the image.
struct Discs {
    /// The number of the last, which covers the image.
    count: usize,
    step: f32,
    size: [usize; 2],
    blur: f32,
    scale: usize,
}

impl Discs {
    fn new([height, width]: [usize; 2], method: &MeaningfulPerturbation) -> Self {
        let corner = (height as f32).hypot(width as f32) / 2.0;
        // More discs than that would differ in no pixel.
        let step = method.disc_step.max(corner / 4096.0);
        Self {
            count: ((corner / step).ceil() as usize).max(1),
            step,
            size: [height, width],
            blur: method.disc_blur,
            scale: method.scale,
        }
    }

    fn parameters(&self, grid: &MaskGrid, number: usize) -> Array2<f32> {
        let [height, width] = self.size;
        let away = |at: usize, size: usize| at as f32 - (size as f32 - 1.0) / 2.0;
        let radius = self.step * number as f32;
        let sharp = Array2::from_shape_fn((height, width), |(y, x)| {
            let away = away(y, height).hypot(away(x, width));
            f32::from(u8::from(number > 0 && away <= radius))
        });
        let soft = match self.blur > 0.0 {
            true => gaussian_blur(sharp.view(), self.blur, 4.0),
            false => sharp,
        };
        // The mean over the pixels of each cell.
        let mut sums = Array2::<f32>::zeros(grid.cells());
        let mut counts = Array2::<f32>::zeros(grid.cells());
        for ((y, x), value) in soft.indexed_iter() {
            sums[[y / self.scale, x / self.scale]] += value;
            counts[[y / self.scale, x / self.scale]] += 1.0;
        }
        (sums / counts).mapv(|p| p.clamp(0.0, 1.0))
    }
}

/// The search of one mask.
struct Search {
    image: usize,
    /// `[C, H, W]`.
    shape: [usize; 3],
    photo: Vec<f32>,
    /// What it is hidden by, shaped alike.
    hidden: Vec<Vec<f32>>,
    parameters: Array2<f32>,
    mean: Array2<f32>,
    square: Array2<f32>,
    steps: usize,
    /// The mask at the last look.
    before: Option<Array2<f32>>,
    is_settled: bool,
    random: Random,
    losses: Vec<f32>,
    evaluations: usize,
}

impl Search {
    fn new(
        work: &Work<'_>,
        image: usize,
        method: &MeaningfulPerturbation,
        grid: &MaskGrid,
    ) -> Result<Self, AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let mut random = Random::new(method.setup.seed);
        let zeros = Array2::zeros(grid.cells());
        Ok(Self {
            image,
            shape: [channels, height, width],
            photo: to_vec(&work.rows(&[image]).into())?,
            hidden: hidden(&method.baseline, work, image, &mut random)?,
            parameters: zeros.clone(),
            mean: zeros.clone(),
            square: zeros,
            steps: 0,
            before: None,
            is_settled: false,
            random,
            losses: Vec::new(),
            evaluations: 0,
        })
    }

    /// The image and what it is hidden by, moved by so many rows and columns.
    fn sight(&self, offset: [isize; 2]) -> Sight {
        Sight {
            photo: moved(&self.photo, self.shape, offset),
            hidden: self
                .hidden
                .iter()
                .map(|hidden| moved(hidden, self.shape, offset))
                .collect(),
        }
    }
}

/// What lies under a mask.
struct Sight {
    photo: Vec<f32>,
    hidden: Vec<Vec<f32>>,
}

impl Sight {
    /// Adds to `to` the image under a mask `[H, W]`, once for each that hides it, with what lies
    /// under the mask shown alone, or hidden.
    fn under(&self, mask: &Array2<f32>, keep: bool, to: &mut Vec<f32>) {
        for hidden in &self.hidden {
            let pixels = self.photo.iter().zip(hidden);
            to.extend(pixels.zip(mask.iter().cycle()).map(|((&x, &b), &m)| {
                let shown = if keep { m } else { 1.0 - m };
                b + (x - b) * shown
            }));
        }
    }

    /// Adds the gradient at the mask of what is minimised, from those of the scores at the images.
    fn add_gradient(&self, at_images: &[f32], to: &mut Array2<f32>) {
        // The same for what is shown and for what is hidden: where the sign of the score changes,
        // so does that of what the mask does to the image.
        let share = -1.0 / self.hidden.len() as f32;
        for (hidden, gradient) in self.hidden.iter().zip(at_images.chunks(self.photo.len())) {
            let pixels = to.len();
            for channel in (0..gradient.len()).step_by(pixels) {
                for (to, i) in to.iter_mut().zip(channel..) {
                    *to += share * gradient[i] * (self.photo[i] - hidden[i]);
                }
            }
        }
    }
}

/// Channels `[C, H, W]` moved by so many rows and columns, pixels at the edge replicated.
fn moved(pixels: &[f32], [channels, height, width]: [usize; 3], by: [isize; 2]) -> Vec<f32> {
    if by == [0, 0] {
        return pixels.to_vec();
    }
    let from = |at: usize, by: isize, size: usize| at.saturating_add_signed(by).min(size - 1);
    let mut moved = Vec::with_capacity(pixels.len());
    for channel in pixels.chunks(height * width).take(channels) {
        for row in 0..height {
            let row = from(row, by[0], height) * width;
            moved.extend((0..width).map(|column| channel[row + from(column, by[1], width)]));
        }
    }
    moved
}

/// What [`MeaningfulPerturbation`] found for each image.
#[derive(Debug, Clone)]
pub struct MeaningfulMasks {
    masks: Array3<f32>,
    losses: Vec<Vec<f32>>,
    evaluations: Vec<usize>,
}

impl MeaningfulMasks {
    /// The masks, `[N, H, W]`: 1 for what matters, hidden or kept as the variant says.
    pub fn masks(&self) -> &Array3<f32> {
        &self.masks
    }

    /// What was minimised, at each iteration of each image.
    pub fn losses(&self) -> &[Vec<f32>] {
        &self.losses
    }

    /// How many iterations each mask took.
    pub fn iterations(&self) -> Vec<usize> {
        self.losses.iter().map(Vec::len).collect()
    }
}

impl Attributor for MeaningfulPerturbation {
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
        let values = found.masks.insert_axis(Axis(1)).into_dyn();
        let scores = work.all_scores()?;
        Ok(
            Attribution::new(self.name(), &work, values, scores, Reduce::Sum)
                .with_evaluations(found.evaluations),
        )
    }
}

pub(crate) const METHOD: Method = Method {
    name: "meaningful-perturbation",
    title: "Meaningful perturbation",
    place: Place::Input,
    needs_model: false,
    takes_rules: false,
    random: true,
    sums_to: "",
    options: &[
        option(
            "preset",
            "paper",
            "paper or localisation; the options below change it",
        ),
        option("baseline", "blur:10", BASELINE_HELP),
        option(
            "variant",
            "delete",
            "what a mask is to do: preserve, delete or dual",
        ),
        option(
            "score",
            "probability",
            "what a mask is to take away: probability, or target (as it is)",
        ),
        option("iterations", "300", "most iterations"),
        option(
            "settled",
            "0.002",
            "ends when 50 iterations change a pixel by no more than this on average; 0 never",
        ),
        option("learning-rate", "0.1", "learning rate"),
        option(
            "adam",
            "0.9,0.999,1e-8",
            "decay of the mean gradient and of its mean square, and epsilon",
        ),
        option(
            "mask-scale",
            "8",
            "pixels that share a parameter along each axis",
        ),
        option(
            "mask-blur",
            "5",
            "sigma of the blur that makes the mask, in pixels",
        ),
        option(
            "l1",
            "0.0001",
            "weight of the mask's size; 0.001 of localisation",
        ),
        option("tv", "0.01", "weight of its total variation"),
        option(
            "tv-beta",
            "3",
            "exponent of its total variation; 2 of localisation",
        ),
        option(
            "offsets",
            "4",
            "offsets along each axis that the image takes under the mask",
        ),
        option(
            "mask-noise",
            "0",
            "standard deviation of noise on the parameters",
        ),
        option("start", "disc", STARTS),
        option(
            "disc",
            "5,10,0.01",
            "of the disc to start with: step and blur in pixels, share of the score left",
        ),
    ],
    reference: "Fong and Vedaldi 2017",
    build: |options| {
        let presets = "paper or localisation";
        let refuse = |option: &str, value: String, expected: &str| {
            Err(AttributionError::OptionValue {
                option: option.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        let mut method = match options.get::<String>("preset", presets)?.as_deref() {
            None | Some("paper") => MeaningfulPerturbation::new(),
            Some("localisation") => MeaningfulPerturbation::localisation(),
            Some(other) => return refuse("preset", other.to_owned(), presets),
        };
        method.setup = options.setup();
        let scores = "probability or target";
        match options.get::<String>("score", scores)?.as_deref() {
            None | Some("probability") => {}
            Some("target") => method.is_probability = false,
            Some(other) => return refuse("score", other.to_owned(), scores),
        }
        macro_rules! set {
            ($($name:literal $field:ident $expected:expr;)*) => {$(
                if let Some(value) = options.get($name, $expected)? {
                    method.$field = value;
                }
            )*};
        }
        set! {
            "baseline" baseline BASELINE_HELP;
            "variant" variant VARIANTS;
            "iterations" iterations "a number of iterations";
            "settled" settled "a number";
            "learning-rate" learning_rate "a number";
            "mask-scale" scale "a number of pixels";
            "mask-blur" blur "a number of pixels";
            "l1" l1 "a number";
            "tv" tv "a number";
            "tv-beta" beta "a number";
            "offsets" jitter "a number of pixels";
            "mask-noise" noise "a number";
            "start" start STARTS;
        }
        let three = "three numbers joined by commas";
        if let Some(Three([decay, square_decay, epsilon])) = options.get("adam", three)? {
            method = method.adam(decay, square_decay, epsilon);
        }
        if let Some(Three([step, blur, left])) = options.get("disc", three)? {
            method = method.disc(step, blur, left);
        }
        Ok(Box::new(method))
    },
};

/// Three numbers as text, joined by commas.
struct Three([f32; 3]);

impl FromStr for Three {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split(',').map(|number| number.trim().parse());
        let numbers: Vec<f32> = numbers.collect::<Result<_, _>>().map_err(|_| ())?;
        numbers.try_into().map(Self).map_err(|_| ())
    }
}
