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
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::Baseline;
use crate::error::AttributionError;
use crate::methods::Method;
use crate::network::Network;
use crate::options::{Configurable, words};
use crate::perturbation::Variant;
use crate::perturbation::mask_grid::MaskGrid;
use crate::saliency::Reduce;
use crate::scaled::Scaled;
use crate::target::Target;
use crate::work::{Context, require};

pub use self::masks::MeaningfulMasks;
pub(crate) use self::options::METHOD;
use self::search::Search;
pub use self::start::Start;

words! {
    /// What a mask is to take away.
    pub enum MeaningfulScore: "score", SCORES = "probability, or target (as it is)" {
        /// The probability of the class, where the target is its logit; other targets as they are.
        Probability = "probability",
        /// The target's score as it is.
        Target = "target",
    }
}

method! {
    /// The smallest smooth masks that take the score away, found by gradient descent.
    pub struct MeaningfulPerturbation {
        baseline: Baseline = Baseline::usual_blur(),
        variant: Variant = Variant::Delete,
        score: MeaningfulScore = MeaningfulScore::Probability,
        iterations: usize = 300,
        settled: f32 = 0.002,
        learning_rate: f32 = 0.1,
        /// Decay of the mean gradient and of its mean square, and epsilon.
        adam: [f32; 3] = [0.9, 0.999, 1e-8],
        scale: Scaled<usize> = Scaled::usual(8),
        mask_blur: Scaled<f32> = Scaled::usual(5.0),
        l1: f32 = 1e-4,
        tv: f32 = 1e-2,
        beta: f32 = 3.0,
        jitter: Scaled<usize> = Scaled::usual(4),
        noise: f32 = 0.0,
        start: Start = Start::Disc,
        /// Step and blur.
        disc: Scaled<[f32; 2]> = Scaled::usual([5.0, 10.0]),
        disc_left: f32 = 0.01,
    }
    /// As in the paper; on images of fewer than 128 pixels, lengths in pixels shrink in proportion.
    new
}

impl MeaningfulPerturbation {
    /// As `perturb_explanations` looks for boxes around objects: smaller masks, with `l1` 1e-3 and
    /// `beta` 2.
    pub fn localisation() -> Self {
        Self::new().l1(1e-3).beta(2.0)
    }

    setup_builders!(batch_size, seed, progress);

    /// How much is kept at each iteration of the means of the gradient and of its square, and what is
    /// added to the square root of the latter: .9, .999 and 1e-8 by default.
    pub fn adam(mut self, decay: f32, square_decay: f32, epsilon: f32) -> Self {
        self.adam = [decay, square_decay, epsilon];
        self
    }

    /// Of the disc to start with, the pixels by which its radius grows, the sigma in pixels of its
    /// blur, and the share that it may leave of what hiding the whole image takes: 5, 10 and .01 by
    /// default.
    pub fn disc(mut self, step: f32, blur: f32, left: f32) -> Self {
        (self.disc, self.disc_left) = (Scaled::given([step, blur]), left);
        self
    }

    /// The disc to start with on images of `[height, width]`: step and blur in pixels, share of the score
    /// left.
    fn disc_at(&self, size: [usize; 2]) -> [f32; 3] {
        let [step, blur] = self.disc.at(size);
        [step, blur, self.disc_left]
    }

    /// Refuses what is out of range among options of several numbers.
    fn check_numbers(&self) -> Result<(), AttributionError> {
        let refuse = |parameter, value: f32, expected| {
            Err(AttributionError::Parameter {
                parameter,
                value: value.to_string(),
                expected,
            })
        };
        let [decay, square_decay, epsilon] = self.adam;
        for (name, value) in [
            ("decay of adam", decay),
            ("decay of the square of adam", square_decay),
        ] {
            if !(0.0..1.0).contains(&value) {
                return refuse(name, value, "from 0 to less than 1");
            }
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return refuse("epsilon of adam", epsilon, "above 0");
        }
        let [step, blur, left] = self.disc_at(Method::PUBLISHED_AT);
        if !(step > 0.0 && step.is_finite()) {
            return refuse("step of the disc", step, "above 0");
        }
        if !(0.0..=10_000.0).contains(&blur) {
            return refuse("blur of the disc", blur, "pixels, from 0 to 10000");
        }
        if !(0.0..=1.0).contains(&left) {
            return refuse("share left by the disc", left, "from 0 to 1");
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
        self.found(&Context::new(network, images, &target, &self.setup)?)
    }

    fn found(&self, work: &Context<'_>) -> Result<MeaningfulMasks, AttributionError> {
        self.check_options()?;
        let scored = match self.score {
            MeaningfulScore::Probability => {
                work.about(&work.asked.as_probability(work.network.probabilities()))?
            }
            MeaningfulScore::Target => work.clone(),
        };
        let work = &scored;
        self.baseline.check(work)?;
        let [height, width] = work.size();
        let jitter = self.jitter.at([height, width]);
        require(
            jitter <= height.min(width),
            "offsets",
            jitter,
            "no more than the images have rows and columns",
        )?;
        let (scale, blur) = (
            self.scale.at([height, width]),
            self.mask_blur.at([height, width]),
        );
        let grid = MaskGrid::new([height, width], scale, blur)?;
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
                work.report(done, total)?;
                if searches.is_empty() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

impl Attributor for MeaningfulPerturbation {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let found = self.found(work)?;
        let values = found.masks.insert_axis(Axis(1)).into_dyn();
        let scores = work.all_scores()?;
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_evaluations(found.evaluations))
    }
}
