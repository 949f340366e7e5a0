//! Guided integrated gradients: a path that follows small gradients first.
//!
//! Kapishnikov et al., *Guided integrated gradients: an adaptive path method for removing noise*
//! (2021), algorithm 1. Every number `a_k` moves on its own straight line from the baseline to the
//! image, `a_k = x'_k + p_k (x_k - x'_k)`, but not all at the same time: in each of `steps` steps,
//! the `fraction` of numbers with the smallest absolute gradient moves first, then the next, until
//! the distance left to the image, the sum of `|x_k - a_k|`, is what the straight path would have
//! left. No `p_k` gets further than `max_dist` ahead of the straight path or behind it. The
//! attribution adds up gradient times movement, the gradient taken before each step.
//!
//! Defaults are the paper's and PAIR's: 200 steps, fraction 0.25, distance 0.02. Where several
//! numbers have the same gradient as the last of a fraction they move together, as in PAIR.
//!
//! The attributions add up to the score of the image less that of the baseline as the steps become
//! many; since each step's gradient is that of its beginning, 200 leave an error, which is
//! reported.
//!
//! When it is stopped there is nothing to keep: the path is found step by step, and a part of it is no estimate of the whole.
//!
//! Memory: beside a batch of paths, four numbers on the host for each of the network's input, for
//! each path of a batch. Several images, or several baselines of one, are propagated together.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::Activation;
use ndarray::{ArrayD, Axis};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::lines::{Lines, mean};
use crate::methods::Method;
use crate::options::Configurable;
use crate::quadrature::{STEPS, steps_fit};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::work::{Context, to_vec};

method! {
    /// The integral of the gradient along a path that follows small gradients first.
    pub struct GuidedIntegratedGradients {
        baseline: Baseline = Baseline::zero(),
        steps: usize = 200,
        fraction: f64 = 0.25,
        max_distance: f64 = 0.02,
    }
    /// From a baseline of zero in 200 steps.
    new
}

impl GuidedIntegratedGradients {
    setup_builders!(rules, batch_size, seed, progress);
}

crate::options!(GuidedIntegratedGradients {
    {
        /// Where the path begins, [`Baseline::zero`] by default; attributions from several are
        /// averaged.
        baseline: Baseline as "baseline", "where the path begins", BASELINES
    }
    {
        /// How many steps the path takes, 200 by default.
        steps: usize as "steps", "how many steps the path takes", STEPS, steps_fit
    }
    {
        /// The fraction of numbers that move together, above 0 and up to 1, 0.25 by default.
        fraction: f64 as "fraction", "the fraction of numbers that move together",
        "above 0 and at most 1", |fraction| *fraction > 0.0 && *fraction <= 1.0
    }
    {
        /// How far a number may be ahead of the straight path or behind it, from 0, which is the
        /// straight path, to 1, which lets it move when it likes; 0.02 by default.
        max_distance: f64 as "max-dist", "how far a number may be from the straight path",
        "0 to 1", |distance| (0.0..=1.0).contains(distance)
    }
});

/// One path, from a baseline to an image.
struct Path {
    image: usize,
    start: Vec<f32>,
    difference: Vec<f32>,
    /// How far each number has come, 0 to 1.
    progress: Vec<f64>,
    attribution: Vec<f64>,
}

impl Path {
    fn new(image: usize, start: Vec<f32>, end: &[f32]) -> Self {
        Self {
            image,
            difference: end.iter().zip(&start).map(|(x, s)| x - s).collect(),
            progress: vec![0.0; start.len()],
            attribution: vec![0.0; start.len()],
            start,
        }
    }

    fn value(&self) -> impl Iterator<Item = f32> {
        let moved = self.difference.iter().zip(&self.progress);
        self.start
            .iter()
            .zip(moved)
            .map(|(&start, (&difference, &p))| {
                (f64::from(start) + p * f64::from(difference)) as f32
            })
    }

    /// Moves on until no more is left of the way than `1 - at` of it.
    fn advance(&mut self, gradient: &[f32], at: f64, fraction: f64, max_distance: f64) {
        let lowest = (at - max_distance).max(0.0);
        let highest = (at + max_distance).min(1.0);
        let size = |k: usize| f64::from(self.difference[k]).abs();
        let whole: f64 = (0..self.difference.len()).map(size).sum();
        let before = self.progress.clone();
        for p in &mut self.progress {
            *p = p.max(lowest);
        }
        let left: f64 = (0..before.len())
            .map(|k| size(k) * (1.0 - self.progress[k]))
            .sum();
        let mut surplus = left - whole * (1.0 - at);

        let mut movable: Vec<(f32, usize)> = (0..before.len())
            .filter(|&k| size(k) > 0.0 && self.progress[k] < highest)
            .map(|k| (gradient[k].abs(), k))
            .collect();
        movable.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // The quantile is one of all numbers; those that cannot move count as the largest.
        let together = (fraction * before.len().saturating_sub(1) as f64) as usize + 1;
        let mut rest = &movable[..];
        while surplus > whole * f64::EPSILON && !rest.is_empty() {
            let last = rest[together.min(rest.len()) - 1].0;
            let (now, later) = rest.split_at(rest.partition_point(|(g, _)| *g <= last));
            // Where gradients are not numbers nothing is at most the last of them.
            let (now, later) = if now.is_empty() {
                (rest, &rest[..0])
            } else {
                (now, later)
            };
            let reach: f64 = now
                .iter()
                .map(|&(_, k)| size(k) * (highest - self.progress[k]))
                .sum();
            let share = (surplus / reach).min(1.0);
            for &(_, k) in now {
                self.progress[k] += share * (highest - self.progress[k]);
            }
            surplus -= share * reach;
            rest = later;
        }

        for (k, sum) in self.attribution.iter_mut().enumerate() {
            let moved = self.progress[k] - before[k];
            *sum += f64::from(gradient[k]) * f64::from(self.difference[k]) * moved;
        }
    }
}

impl Attributor for GuidedIntegratedGradients {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        self.baseline.check(work)?;
        let baselines = self.baseline.count();
        let (mut scores, mut expected) = (Vec::new(), Vec::new());
        for image in 0..work.count() {
            let lines = self.lines(work, image)?;
            let (starts, end) = lines.scores()?;
            expected.push(f64::from(end) - mean(&starts));
            scores.push(end);
        }
        let like = Activation::from(work.images.clone());
        let mut values = ArrayD::<f32>::zeros(like.shape());
        let paths: Vec<(usize, usize)> = (0..work.count())
            .flat_map(|image| (0..baselines).map(move |baseline| (image, baseline)))
            .collect();
        let mut done = 0;
        for batch in paths.chunks(work.batch_size) {
            let mut batch = batch
                .iter()
                .map(|&(image, baseline)| {
                    let lines = self.lines(work, image)?;
                    let start = to_vec(&lines.starts([baseline]).into())?;
                    Ok(Path::new(image, start, &to_vec(lines.end())?))
                })
                .collect::<Result<Vec<_>, AttributionError>>()?;
            let rows: Vec<usize> = batch.iter().map(|path| path.image).collect();
            for step in 1..=self.steps {
                let at: Vec<f32> = batch.iter().flat_map(Path::value).collect();
                let wide = [batch.len(), at.len() / batch.len()];
                let at = Tensor::<2>::from_data(TensorData::new(at, wide), &work.device());
                let found = work.gradients(&rows, Activation::from_rows(at, &like)?)?;
                let gradients = to_vec(&found.gradient)?;
                let at = step as f64 / self.steps as f64;
                for (path, gradient) in batch.iter_mut().zip(gradients.chunks(wide[1])) {
                    path.advance(gradient, at, self.fraction, self.max_distance);
                }
                done += batch.len();
                let total = paths.len() * self.steps;
                work.report(done, total)?;
            }
            for path in batch {
                let mut image = values.index_axis_mut(Axis(0), path.image);
                for (sum, found) in image.iter_mut().zip(path.attribution) {
                    *sum += (found / baselines as f64) as f32;
                }
            }
        }
        let evaluations = vec![self.steps * baselines; scores.len()];
        Ok(
            Attribution::new(self, work, values, scores, Reduce::AbsSum)?
                .with_evaluations(evaluations)
                .expecting(expected),
        )
    }
}

impl GuidedIntegratedGradients {
    fn lines<'l, 'w>(
        &self,
        work: &'l Context<'w>,
        image: usize,
    ) -> Result<Lines<'l, 'w>, AttributionError> {
        let mut random = Random::new(self.setup.seed);
        let starts = self.baseline.rows(work, image, &mut random)?;
        let end = work.activation_of(&[image])?;
        Ok(Lines::new(work, image, end, starts))
    }
}

pub(crate) const METHOD: Method = Method::of::<GuidedIntegratedGradients>(
    "guided-ig",
    "Guided integrated gradients",
    "Kapishnikov et al. 2021",
)
.takes_rules()
.random()
.sums_to("score - score of the baseline, as the steps become many")
.also(&["guided-integrated-gradients"]);
