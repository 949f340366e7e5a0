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
//! - *Score*: the probability, by the network's softmax or sigmoid, where the target is the logit of a
//!   class; other targets, and scores that are no logits, as they are. The weights of the penalties are made for numbers from 0 to 1.
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

mod masks;
mod options;
mod search;
mod start;

use elucid_graph::ImageBatch;
use ndarray::{Array3, Axis};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setters, setup_builders};
use crate::baseline::Baseline;
use crate::error::AttributionError;
use crate::network::Network;
use crate::perturbation::mask_grid::MaskGrid;
use crate::perturbation::{Variant, at_input};
use crate::saliency::Reduce;
use crate::scaled::Given;
use crate::target::Target;
use crate::work::{Work, at_least_one, require};

pub use self::masks::MeaningfulMasks;
pub(crate) use self::options::METHOD;
use self::search::Search;
pub use self::start::Start;

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
    given: Given,
}

impl Default for MeaningfulPerturbation {
    fn default() -> Self {
        Self::new()
    }
}

impl MeaningfulPerturbation {
    /// As in the paper; on images of fewer than 128 pixels, lengths in pixels shrink in proportion.
    pub fn new() -> Self {
        Self {
            setup: at_input(),
            baseline: Baseline::usual_blur(),
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
            given: Given::default(),
        }
    }

    /// As `perturb_explanations` looks for boxes around objects: smaller masks, with `l1` 1e-3 and
    /// `beta` 2.
    pub fn localisation() -> Self {
        Self::new().penalties(1e-3, 1e-2).beta(2.0)
    }

    setup_builders!(batch_size, seed, progress);

    setters! {
        /// What hidden pixels become, a blur of 10 pixels by default, less on small images.
        baseline(baseline: Baseline);
        /// What a mask is to do, to delete by default.
        variant(variant: Variant);
        /// Whether the logit of a class counts as its probability, as it does by default.
        probability(is_probability: bool) => is_probability;
        /// Most iterations, 300 by default.
        iterations(iterations: usize);
        /// A search ends when 50 iterations have changed a pixel of the mask by no more than this on
        /// average, .002 by default; 0 takes all iterations.
        settled(change: f32);
        /// Learning rate of Adam, .1 by default.
        learning_rate(rate: f32);
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
        self.given.add("mask-scale");
        self
    }

    /// Sigma in pixels of the blur that makes a mask of parameters, 5 by default; 0 leaves squares.
    pub fn mask_blur(mut self, sigma: f32) -> Self {
        self.blur = sigma;
        self.given.add("mask-blur");
        self
    }

    /// Weights of the sum of all parameters and of their total variation, 1e-4 and 1e-2 by default;
    /// at most 1e9.
    pub fn penalties(mut self, l1: f32, tv: f32) -> Self {
        (self.l1, self.tv) = (l1, tv);
        self
    }

    /// Offsets along each axis that the image takes under the mask, 4 by default; 0 and 1 leave it
    /// where it is.
    pub fn jitter(mut self, pixels: usize) -> Self {
        self.jitter = pixels;
        self.given.add("offsets");
        self
    }

    setters! {
        /// Exponent of the total variation, 3 by default, at least 1.
        beta(beta: f32);
        /// Standard deviation of normal noise that is added to the parameters at each iteration, 0 by
        /// default.
        noise(deviation: f32);
        /// Where the search begins, with a disc by default.
        start(start: Start);
    }

    /// Of the disc to start with, the pixels by which its radius grows, the sigma in pixels of its
    /// blur, and the share that it may leave of what hiding the whole image takes: 5, 10 and .01 by
    /// default.
    pub fn disc(mut self, step: f32, blur: f32, left: f32) -> Self {
        (self.disc_step, self.disc_blur, self.disc_left) = (step, blur, left);
        self.given.add("disc");
        self
    }

    /// The same with the lengths that nobody gave as they suit images of that size.
    fn fitted(&self, size: [usize; 2]) -> Self {
        let mut fitted = self.clone();
        self.given.fit_whole("mask-scale", &mut fitted.scale, size);
        self.given.fit("mask-blur", &mut fitted.blur, size);
        self.given.fit_whole("offsets", &mut fitted.jitter, size);
        self.given.fit("disc", &mut fitted.disc_step, size);
        self.given.fit("disc", &mut fitted.disc_blur, size);
        fitted
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
            true => target.as_probability(network.probabilities()),
            false => target,
        };
        let work = Work::new(network, images, &target, &self.setup)?;
        self.baseline.check(&work)?;
        self.fitted(work.size()).found(&work)
    }

    /// The masks, with every length as it is stated.
    fn found(&self, work: &Work<'_>) -> Result<MeaningfulMasks, AttributionError> {
        let [height, width] = work.size();
        require(
            self.jitter <= height.min(width),
            "jitter",
            self.jitter,
            "no more than the images have rows and columns",
        )?;
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
                let mut search = Search::new(work, image, self, &grid)?;
                self.begin(work, &grid, &mut search)?;
                searches.push(search);
            }
            for iteration in 0..self.iterations {
                self.advance(work, &grid, &mut searches)?;
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
