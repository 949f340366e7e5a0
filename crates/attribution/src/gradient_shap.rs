//! Expected gradients, or gradient SHAP: integrated gradients over a distribution of baselines, by
//! sampling.
//!
//! `attr = mean_i (x_i - x'_i) * d score / d a` at `a = x'_i + u_i (x_i - x'_i)`, where `x'_i` is
//! drawn from the list of baselines, `u_i` evenly from `[0, 1)`, and `x_i` is the layer's value plus
//! normal noise of the standard deviation asked for, none by default: Lundberg and Lee's SHAP
//! package, 2017; Erion et al., *Improving performance of deep learning models with axiomatic
//! attribution priors and expected gradients* (2021).
//!
//! In expectation the attributions add up to the score of the value with noise less the mean score
//! of the baselines. The completeness that is reported compares them with the score without noise,
//! so that it shows both what the samples are too few for and what the noise has changed. Sampling
//! converges with one over the square root of the samples: [`IntegratedGradients`] with
//! [`Baseline::several`] computes the same expectation without chance.
//!
//! 50 samples by default; Captum's `GradientShap` takes 5, SHAP's `GradientExplainer` 200. Noise is
//! in the units of the layer, as Captum's `stdevs`.
//!
//! Memory: beside a batch of samples, one value of the layer for each baseline, for each of its images.
//!
//! [`IntegratedGradients`]: crate::IntegratedGradients

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::lines::{Lines, mean};
use crate::methods::{Method, Place};
use crate::options::Configurable;
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::{Draws, errors_of_all};
use crate::work::{Context, column, join};

/// Integrated gradients over a distribution of baselines, by sampling.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct GradientShap {
    pub(crate) setup: Setup,
    baseline: Baseline,
    samples: usize,
    noise: f32,
}

impl GradientShap {
    /// Against these baselines, [`Baseline::several`] for a distribution, at the network's input.
    pub fn new(baselines: Baseline) -> Self {
        Self {
            setup: Setup::at(INPUT),
            baseline: baselines,
            samples: 50,
            noise: 0.0,
        }
    }

    /// At a layer instead of the input: between the values that the baselines and the image give
    /// it.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    setup_builders!(rules, batch_size, seed, progress, keep_partial);
}

crate::options!(GradientShap {
    {
        /// The baselines, [`Baseline::several`] for a distribution.
        baseline: Baseline as "baseline", "where paths begin", BASELINES
    }
    {
        /// How many gradients are taken, 50 by default.
        samples: usize as "samples", "how many gradients are taken", "1 or more",
        |samples| *samples > 0
    }
    {
        /// Standard deviation of the noise on the layer's value, in its units, 0 by default.
        noise: f32 as "noise", "standard deviation of the noise, in the units of the layer",
        "0 or more", |noise| noise.is_finite() && *noise >= 0.0
    }
});

impl Attributor for GradientShap {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        self.baseline.check(work)?;
        let start = |image| {
            let mut random = Random::new(work.seed);
            let starts = self.baseline.rows(work, image, &mut random)?;
            let lines = Lines::new(work, image, work.activation_of(&[image])?, starts);
            let noise = self.noise;
            Ok(Drawn {
                lines,
                random,
                noise,
            })
        };
        let found = work.sampled(self.samples, start, |_, sampled| {
            let values = sampled.shaped(sampled.moments.mean())?;
            Ok((
                values,
                sampled.standard_errors()?,
                sampled.drawn.lines.scores()?,
            ))
        })?;
        let planned = found.planned();
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        let (mut scores, mut expected) = (Vec::new(), Vec::new());
        for (values, error, (starts, end)) in found.found {
            parts.push(values);
            errors.push(error);
            expected.push(f64::from(end) - mean(&starts));
            scores.push(end);
        }
        Ok(
            Attribution::new(self, work, join(&parts)?, scores, Reduce::AbsSum)?
                .with_evaluations(found.samples)
                .with_planned(planned)
                .with_standard_errors(errors_of_all(errors)?)
                .expecting(expected),
        )
    }
}

/// Points on the lines to one image.
struct Drawn<'l, 'w> {
    lines: Lines<'l, 'w>,
    random: Random,
    noise: f32,
}

impl Draws for Drawn<'_, '_> {
    fn value(&self) -> &Activation {
        self.lines.end()
    }

    fn draw(&mut self, count: usize) -> (Tensor<2>, Option<Tensor<2>>) {
        let end = self.lines.end().rows();
        let device = end.device();
        let random = &mut self.random;
        let (mut chosen, mut at, mut noises) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            chosen.push(random.below(self.lines.count()));
            at.push(random.uniform());
            if self.noise > 0.0 {
                noises.push(random.normal_row(end.dims()[1], &device));
            }
        }
        let starts = self.lines.starts(chosen);
        let mut difference = end - starts.clone();
        if !noises.is_empty() {
            difference = difference + Tensor::cat(noises, 0) * self.noise;
        }
        let values = starts + difference.clone() * column(&at, &device);
        (values, Some(difference))
    }
}

pub(crate) const METHOD: Method = Method::new(
    "gradient-shap",
    "Gradient SHAP (expected gradients)",
    "Lundberg and Lee 2017; Erion et al. 2021",
    |options| options.apply(GradientShap::new(Baseline::zero())),
)
.at(Place::AnyLayer)
.takes_rules()
.random()
.keeps_partial()
.sums_to("score - mean score of the baselines, in expectation")
.options(GradientShap::OPTIONS);
