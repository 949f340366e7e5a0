//! Channel attribution: what each channel of a layer contributes to a class, or to one class rather
//! than another.
//!
//! `value[c] = sum over positions of a[c, y, x] * g[c, y, x]`, where `a` is the layer's activation
//! and `g` the gradient of the score `f(A) - f(B)`: Olah et al., *The Building Blocks of
//! Interpretability* (2018), and its notebook on channels. Either side is the logit of a class,
//! nothing ([`Side::None`](crate::Side)), or `log sum exp` of all logits, whose gradient is that of
//! the logits weighted by their softmax; see [`Target::difference`]. Any other [`Target`] will do.
//!
//! [`ChannelMethod`] says at which activations the gradient is taken, with `a` the image's:
//!
//! - [`Linear`](ChannelMethod::Linear), the default: at `a`. Activation times gradient, one backward
//!   pass.
//! - [`Path`](ChannelMethod::Path): the mean along the straight line from zero activations to `a`.
//!   [`ChannelMethod::path`] is the notebook's: at `a n / 100` for `n = 0..99`, the left ends of 100
//!   steps. Those are [integrated gradients](crate::integrated_gradients) from zero activations, and
//!   as the steps become small the values add up to the score of `a` less that of zero activations.
//! - [`AdaptivePath`](ChannelMethod::AdaptivePath): the same integral with points where they are
//!   needed, until the sum is within a tolerance.
//! - [`StochasticPath`](ChannelMethod::StochasticPath): the mean over the same points, at each of
//!   which every channel is multiplied by a random number of its own, one number for all its
//!   positions: the gradient at `a t R`. Channels then come and go independently, and a channel is
//!   not judged in the company of all others at exactly its own strength only.
//!
//! # What is unbiased about the stochastic path
//!
//! `R` is `U1 + U2` with both uniform in `[0, 1)`: between 0 and 2, its mean 1. The *points* are
//! unbiased, `E[a t R] = a t`. So are the values wherever the gradient is linear in the activations,
//! that is for scores of at most second degree: the mean over seeds is then the straight path's value
//! with the same points, and the values add up in the mean to the change of the score. A network is
//! no such score, and the mean of its gradients at scattered points is not its gradient at their
//! mean: a cubic score of one channel gets `E[R^2] = 7/6` of the path's value. Nothing makes these
//! values add up, and what they miss is reported, not promised.
//!
//! The notebook divides by 1.5 instead: `(U1 + U2) / 1.5` has the mean 2/3, so its points lie around
//! the line to two thirds of the activations. Of a purely quadratic score it finds two thirds, of a
//! linear one all. [`ChannelMethod::notebook`] reproduces it. The notebook also has the 528 channels
//! of one layer written into it, and draws from a generator without a seed.
//!
//! # Where it differs from the notebook
//!
//! Any layer `[N, C, H, W]` or `[N, C]`, several images at once, and the completeness of each result:
//! the linear values of a photograph at `inception_4d` of GoogLeNet may add up to 0.8 where the score
//! changes by 17.9, which the notebook does not tell. Where other branches lead past the layer they
//! keep the values that the image gives them.
//!
//! **Memory**: `batch_size` points are propagated together through what lies above the layer; adaptive
//! integration keeps its gradients as [integrated gradients](crate::integrated_gradients) do.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, ImageBatch};
use elucid_rules::RuleUse;
use ndarray::{Array1, ArrayD, ArrayView1, ArrayView2, ArrayView3, ArrayViewD, Axis, Ix3};

use crate::attribution::{Attribution, Completeness};
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::integrated_gradients::{IntegratedGradients, MAX_EVALUATIONS};
use crate::layer_map::Takes;
use crate::linear::LinearApproximation;
use crate::lines::Lines;
use crate::network::Network;
use crate::options::Configuration;
use crate::quadrature::{Quadrature, check_steps};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::{Context, column, join, sums};

/// Steps of a path by default: the notebook's.
const STEPS: usize = 100;

/// The completeness error that adaptive integration aims for when it is chosen by name.
const TOLERANCE: f64 = 0.01;

/// Where the gradient of a [`ChannelAttribution`] is taken. See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ChannelMethod {
    /// At the image's activations.
    #[default]
    Linear,
    /// Along the straight line from zero activations.
    Path {
        /// The rule for the integral.
        quadrature: Quadrature,
        /// How many steps the line is divided into, 1 or more.
        steps: usize,
    },
    /// Along the same line, with points where they are needed.
    AdaptivePath {
        /// The completeness error to aim for, 0.01 for one percent; above 0.
        tolerance: f64,
        /// How many gradients each image may take, 2 or more.
        max_evaluations: usize,
    },
    /// Around the same line, each channel times random numbers.
    StochasticPath {
        /// The points of the line, and their weights.
        quadrature: Quadrature,
        /// How many steps the line is divided into, 1 or more.
        steps: usize,
        /// What channels are multiplied by.
        factors: PathFactors,
    },
}

/// The random numbers that a stochastic path multiplies channels by; `U1` and `U2` are uniform in
/// `[0, 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathFactors {
    /// `U1 + U2`, of mean 1.
    #[default]
    Unbiased,
    /// `(U1 + U2) / 1.5`, of mean 2/3, as in the notebook.
    Notebook,
}

impl PathFactors {
    fn divisor(self) -> f32 {
        match self {
            Self::Unbiased => 1.0,
            Self::Notebook => 1.5,
        }
    }
}

impl ChannelMethod {
    /// The names that [`FromStr`] reads: of each method with its defaults.
    pub const NAMES: &'static [&'static str] =
        &["linear", "path", "adaptive", "stochastic", "notebook"];

    /// The notebook's path: the left ends of 100 steps.
    pub fn path() -> Self {
        Self::Path {
            quadrature: Quadrature::Left,
            steps: STEPS,
        }
    }

    /// The path with points where they are needed until the values add up within `tolerance`, 0.01
    /// for one percent, with at most 400 gradients for each image.
    pub fn adaptive_path(tolerance: f64) -> Self {
        Self::AdaptivePath {
            tolerance,
            max_evaluations: MAX_EVALUATIONS,
        }
    }

    /// The stochastic path around the notebook's points, with factors of mean 1.
    pub fn stochastic_path() -> Self {
        Self::StochasticPath {
            quadrature: Quadrature::Left,
            steps: STEPS,
            factors: PathFactors::Unbiased,
        }
    }

    /// The notebook's stochastic path, whose factors have the mean 2/3.
    pub fn notebook() -> Self {
        Self::StochasticPath {
            quadrature: Quadrature::Left,
            steps: STEPS,
            factors: PathFactors::Notebook,
        }
    }

    fn check(self) -> Result<(), AttributionError> {
        match self {
            Self::Path { steps, .. } | Self::StochasticPath { steps, .. } => check_steps(steps),
            Self::AdaptivePath {
                tolerance,
                max_evaluations,
            } => adaptive(tolerance, max_evaluations).check_numbers(),
            Self::Linear => Ok(()),
        }
    }
}

fn adaptive(tolerance: f64, max_evaluations: usize) -> IntegratedGradients {
    IntegratedGradients::adaptive(tolerance).max_evaluations(max_evaluations)
}

impl fmt::Display for ChannelMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear approximation"),
            Self::Path { quadrature, steps } => write!(f, "path of {steps} steps ({quadrature})"),
            Self::AdaptivePath { tolerance, .. } => {
                write!(f, "adaptive path to {} %", 100.0 * tolerance)
            }
            Self::StochasticPath {
                quadrature,
                steps,
                factors,
            } => {
                write!(f, "stochastic path of {steps} steps ({quadrature}")?;
                f.write_str(match factors {
                    PathFactors::Unbiased => ")",
                    PathFactors::Notebook => ", factors of mean 2/3)",
                })
            }
        }
    }
}

/// `linear`, `path`, `adaptive` (to one percent), `stochastic`, or `notebook`.
impl FromStr for ChannelMethod {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "linear" => Ok(Self::Linear),
            "path" => Ok(Self::path()),
            "adaptive" => Ok(Self::adaptive_path(TOLERANCE)),
            "stochastic" => Ok(Self::stochastic_path()),
            "notebook" => Ok(Self::notebook()),
            _ => Err(AttributionError::unread(
                "method",
                text,
                "linear, path, adaptive, stochastic or notebook",
            )),
        }
    }
}

/// What each channel of a layer contributes to a target. See the [module](self).
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to compute"]
pub struct ChannelAttribution {
    setup: Setup,
    method: ChannelMethod,
}

impl ChannelAttribution {
    /// At a layer `[N, C, H, W]` or `[N, C]`, by [`ChannelMethod::Linear`].
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
            method: ChannelMethod::Linear,
        }
    }

    /// Where the gradient is taken, [`ChannelMethod::Linear`] by default.
    pub fn method(mut self, method: ChannelMethod) -> Self {
        self.method = method;
        self
    }

    setup_builders!(rules, batch_size, seed, progress);

    /// Computes the values of each image of the batch, one result for each.
    ///
    /// # Errors
    ///
    /// Those of [`Attributor::attribute`], and [`AttributionError::NotSpatial`] for layers without
    /// channels, [`AttributionError::LayerLayout`] for those whose axes are not known.
    pub fn compute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Vec<ChannelValues>, AttributionError> {
        self.method.check()?;
        let setup = self.setup.taking(Takes::Channels);
        let work = Context::new(network, images, &target, &setup)?;
        let target_names = target.names(work.count());
        let (mut image, mut zero) = (Vec::new(), Vec::new());
        for rows in work.batches() {
            let at = work.activation_of(&rows)?;
            if !matches!(at.shape().len(), 2 | 4) {
                return Err(AttributionError::NotSpatial {
                    layer: work.layer,
                    shape: at.shape(),
                });
            }
            zero.extend(work.side_scores(&rows, at.zeros_like())?);
            image.extend(work.side_scores(&rows, at)?);
        }
        let found = match self.method {
            ChannelMethod::Linear => {
                let mut linear = LinearApproximation::at(&self.setup.layer);
                linear.setup = setup;
                linear.attribute(network, images, target)
            }
            ChannelMethod::Path { quadrature, steps } => self
                .integrated(
                    IntegratedGradients::new()
                        .quadrature(quadrature)
                        .steps(steps),
                )
                .attribute(network, images, target),
            ChannelMethod::AdaptivePath {
                tolerance,
                max_evaluations,
            } => self
                .integrated(adaptive(tolerance, max_evaluations))
                .attribute(network, images, target),
            ChannelMethod::StochasticPath {
                quadrature,
                steps,
                factors,
            } => self.stochastic(&work, &quadrature.nodes(steps), factors),
        }?;
        let sums = sums(found.values());
        let results = found.values().outer_iter().enumerate();
        let results = results.map(|(i, attribution)| {
            let [a, b] = image[i].map(f64::from);
            let [zero_a, zero_b] = zero[i].map(f64::from);
            ChannelValues {
                values: over_positions(&attribution),
                attribution: attribution.to_owned(),
                sides: image[i],
                completeness: Completeness {
                    sum: sums[i],
                    expected: (a - b) - (zero_a - zero_b),
                },
                evaluations: found.evaluations()[i],
                tolerance_met: found.tolerance_met().get(i).copied(),
                method: self.method,
                seed: self.setup.seed,
                layer: found.layer().to_owned(),
                target: target_names[i].clone(),
                rules: found.rules().to_owned(),
                rule_uses: found.rule_uses().to_vec(),
                size: found.image_size(),
            }
        });
        Ok(results.collect())
    }

    fn integrated(&self, method: IntegratedGradients) -> IntegratedGradients {
        let mut method = method.from_zero_activations();
        method.setup = self.setup.taking(Takes::Channels);
        method
    }

    fn stochastic(
        &self,
        work: &Context<'_>,
        nodes: &[(f64, f64)],
        factors: PathFactors,
    ) -> Result<Attribution, AttributionError> {
        let total = work.count() * nodes.len();
        let (mut parts, mut scores) = (Vec::new(), Vec::new());
        for image in 0..work.count() {
            let end = work.activation_of(&[image])?;
            let lines = Lines::new(work, image, end.clone(), vec![end.zeros_like().rows()]);
            let mut random = Random::new(self.setup.seed);
            let mut sum = end.rows().zeros_like();
            let mut done = image * nodes.len();
            for nodes in nodes.chunks(work.batch_size) {
                let (at, weights): (Vec<f32>, Vec<f32>) = nodes
                    .iter()
                    .map(|&(at, weight)| (at as f32, weight as f32))
                    .unzip();
                let by = scattered(&mut random, &at, factors, &end);
                let gradient = lines.gradients_at(end.rows() * by)?.gradient.rows();
                let weights = column(&weights, &gradient.device());
                sum = sum + (gradient * weights).sum_dim(0);
                done += nodes.len();
                self.setup.progress.report(done, total)?;
            }
            parts.push(Activation::from_rows(sum * end.rows(), &end)?.to_array()?);
            scores.push(lines.scores()?.1);
        }
        let evaluations = vec![nodes.len(); work.count()];
        Ok(Attribution::named(
            "stochastic-path",
            Configuration::new(),
            work,
            join(&parts)?,
            scores,
            Reduce::Sum,
        )?
        .with_evaluations(evaluations))
    }
}

/// What a layer's value `like`, one image, is multiplied by at each of the positions `at`: the
/// position, times a random number for each channel. `[positions, numbers]`
fn scattered(
    random: &mut Random,
    at: &[f32],
    factors: PathFactors,
    like: &Activation,
) -> Tensor<2> {
    let shape = like.shape();
    let channels = shape.get(1).copied().unwrap_or(1);
    let positions = shape.iter().skip(2).product::<usize>();
    let mut values = Vec::with_capacity(at.len() * channels * positions);
    for &at in at {
        let first: Vec<f32> = (0..channels).map(|_| random.uniform()).collect();
        for first in first {
            let factor = at * (first + random.uniform()) / factors.divisor();
            values.extend(std::iter::repeat_n(factor, positions));
        }
    }
    let shape = [at.len(), channels * positions];
    Tensor::from_data(TensorData::new(values, shape), &like.rows().device())
}

/// Sum over positions of `[C, ...]`.
fn over_positions(attribution: &ArrayViewD<'_, f32>) -> Array1<f32> {
    let channels = attribution.outer_iter();
    channels
        .map(|channel| channel.iter().map(|&v| f64::from(v)).sum::<f64>() as f32)
        .collect()
}

/// A channel with its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelValue {
    /// Index, from 0.
    pub channel: usize,
    /// What it contributes.
    pub value: f32,
}

/// What each channel of a layer contributes to a target for one image.
///
/// [`Display`](fmt::Display) writes the method, the score and what the values add up to.
#[derive(Debug, Clone)]
pub struct ChannelValues {
    values: Array1<f32>,
    attribution: ArrayD<f32>,
    sides: [f32; 2],
    completeness: Completeness,
    evaluations: usize,
    tolerance_met: Option<bool>,
    method: ChannelMethod,
    seed: u64,
    layer: String,
    target: String,
    rules: String,
    rule_uses: Vec<RuleUse>,
    size: [usize; 2],
}

impl ChannelValues {
    /// What each channel contributes, `[C]`, signed.
    pub fn values(&self) -> ArrayView1<'_, f32> {
        self.values.view()
    }

    /// The `count` channels with the largest values, largest first: `argsort(-values)[:count]`.
    pub fn top(&self, count: usize) -> Vec<ChannelValue> {
        let mut sorted = self.sorted();
        sorted.truncate(count);
        sorted
    }

    /// The `count` channels with the smallest values, smallest last:
    /// `argsort(values)[:count][::-1]`.
    pub fn bottom(&self, count: usize) -> Vec<ChannelValue> {
        let mut sorted = self.in_order();
        sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
        sorted.truncate(count);
        sorted.reverse();
        sorted
    }

    /// All channels, largest value first; of equal ones the lower number first.
    pub fn sorted(&self) -> Vec<ChannelValue> {
        let mut sorted = self.in_order();
        sorted.sort_by(|a, b| b.value.total_cmp(&a.value));
        sorted
    }

    fn in_order(&self) -> Vec<ChannelValue> {
        let values = self.values.iter().enumerate();
        values
            .map(|(channel, &value)| ChannelValue { channel, value })
            .collect()
    }

    /// What each number of the layer contributes, `[C, H, W]` or `[C]`; its sums over positions are
    /// the [`values`](ChannelValues::values).
    pub fn attribution(&self) -> ArrayViewD<'_, f32> {
        self.attribution.view()
    }

    /// One map for each channel, `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] where the layer has no positions.
    pub fn maps(&self) -> Result<ArrayView3<'_, f32>, AttributionError> {
        let view = self.attribution.view();
        view.into_dimensionality::<Ix3>()
            .map_err(|_| AttributionError::NotSpatial {
                layer: self.layer.clone(),
                shape: [&[1], self.attribution.shape()].concat(),
            })
    }

    /// The map of one channel, `[H, W]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] where the layer has no positions,
    /// [`AttributionError::OutOfRange`] where it has no such channel.
    pub fn map(&self, channel: usize) -> Result<ArrayView2<'_, f32>, AttributionError> {
        let maps = self.maps()?;
        match channel < maps.dim().0 {
            true => Ok(maps.index_axis_move(Axis(0), channel)),
            false => Err(AttributionError::OutOfRange {
                what: "channel",
                index: channel,
                layer: self.layer.clone(),
                size: maps.dim().0,
            }),
        }
    }

    /// `f(A) - f(B)` for the image.
    pub fn score(&self) -> f32 {
        self.sides[0] - self.sides[1]
    }

    /// `[f(A), f(B)]` for the image; `f(B)` is 0 where the target is no difference.
    pub fn side_scores(&self) -> [f32; 2] {
        self.sides
    }

    /// What the values add up to, and the score of the image less that of zero activations, which
    /// the values of a [path](ChannelMethod::Path) approach; the others promise nothing.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// How many times the gradient was evaluated.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Whether [`ChannelMethod::AdaptivePath`] met its tolerance, rather than using up its
    /// evaluations; `None` for the other methods.
    pub fn tolerance_met(&self) -> Option<bool> {
        self.tolerance_met
    }

    /// Where the gradient was taken.
    pub fn method(&self) -> ChannelMethod {
        self.method
    }

    /// The seed; only [`ChannelMethod::StochasticPath`] uses it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The layer's full name.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// What was explained, in words.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Name of the rules used.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// How many operators between layer and target each rule took; empty for the true gradient.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.rule_uses
    }

    /// `[height, width]` of the image.
    pub fn image_size(&self) -> [usize; 2] {
        self.size
    }
}

impl fmt::Display for ChannelValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Completeness { sum, expected } = self.completeness;
        write!(
            f,
            "{} of {} at {}: score {:.4}, {} channels add up to {sum:.4}; zero activations change \
             the score by {expected:.4}",
            self.method,
            self.target,
            self.layer,
            self.score(),
            self.values.len(),
        )?;
        match self.tolerance_met {
            Some(false) => f.write_str(", tolerance not met"),
            _ => Ok(()),
        }
    }
}
