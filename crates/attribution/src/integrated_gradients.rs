//! Integrated gradients at the input or along the activations of any layer.
//!
//! `attr = (a - a') * integral of d score / d a at a' + t (a - a'), for t from 0 to 1`: Sundararajan,
//! Taly and Yan, *Axiomatic attribution for deep networks* (2017). The attributions add up to the
//! score of `a` less that of `a'`, as far as the integral is accurate; every result states by how
//! much it is not ([`Attribution::completeness`]).
//!
//! **The integral.** [`IntegratedGradients::new`] takes 50 points by Gauss and Legendre's rule, the
//! default of Captum, whose results it reproduces: on GoogLeNet it is nearer to the truth than the
//! trapezoid with as many points (the notebook's, [`IntegratedGradients::notebook`]), and still off
//! by 2 % to 20 %, because the integrand of a network rises steeply near the baseline.
//! [`IntegratedGradients::adaptive`] spends its points where they are needed: it knows the score at
//! each point, so it knows the *defect* of each interval, by how much the trapezoid over it misses
//! the change of the score. It halves the intervals with the largest defects until the error is
//! within the tolerance of the difference of scores, or the evaluations are spent;
//! [`Attribution::tolerance_met`] says which. The error is the larger of two numbers: the sum of
//! the defects, which is the completeness error that is reported, and twice the square root of the
//! sum of their squares, so that large defects which happen to cancel do not pass for accuracy. It
//! begins with 32 even intervals and takes 50 to 70 points for one percent on GoogLeNet. (The sum
//! of absolute defects would bound the error without any assumption, but thousands of ReLUs open
//! and close along the path: the integrand jumps everywhere, the small defects that are left have
//! random signs, and their absolute sum shrinks so slowly that one percent takes hundreds of points
//! and a fifth of it thousands.) Which intervals are halved does not depend on the size of batches.
//! Completeness is a statement about the sum: single numbers are less exact. At one percent the map
//! of a photograph is 2.5 % from that of 600 points in the L2 norm, at half a percent and 100
//! points 1.7 %; with 50 points of Gauss and Legendre's rule it is 2.4 % to 3.3 %.
//!
//! **Where it differs.** Captum's `riemann_trapezoid` weights add up to `1 - 1/n`, ours to 1. The
//! notebook explains the softmax probability ([`Target::probability`](crate::Target::probability)), the others here the logit.
//! Captum's `LayerIntegratedGradients` runs the layers below at every step and starts at the
//! baseline's activations; here layers below run once, and the path may start at zero activations,
//! as Lucid's channel attribution does (with the rule [`Quadrature::Left`] and 100 steps). Where
//! other branches lead past the layer they keep the values that the image gives them.
//!
//! **Scores that do not differ.** If `a` equals `a'` all attributions are 0 and complete. If they
//! differ but their scores do not, no error can be relative to the difference: fixed rules give
//! what they give, and adaptive integration spends its evaluations and says so. With
//! [`Rules`](elucid_rules::Rules) gradients are no longer those of the score, and nothing promises
//! a sum.
//!
//! **Stopped** ([`IntegratedGradients::keep_partial`]), points of a fixed rule are taken in an order of which any beginning
//! is spread evenly over the path and over baselines (van der Corput's), and the result is the weighted mean at those
//! that were reached: an estimate for any number of points, without the order of convergence of the rule. Of adaptive
//! integration it is the trapezoid over the intervals so far, once each line has its first ones; before that, and of
//! images that were not reached, it is 0, of 0 evaluations.
//!
//! **Shown** as the sum of absolute values over channels, as in the notebook.
//!
//! **Memory**: `batch_size` points are propagated together, of one image after another. With fixed
//! points nothing else is kept but a value of the layer per baseline; adaptive integration keeps
//! the gradient at every point of one image on the host, that is at most
//! `max_evaluations * numbers of the layer * 4` bytes: 230 MiB for 400 points at an input of
//! `[3, 224, 224]`.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::Activation;

use crate::adaptive::Mesh;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::lines::{Lines, Point, mean};
use crate::methods::{Method, MethodOptions, Place};
use crate::options::{Configurable, Setting};
use crate::quadrature::{Quadrature, STEPS, check_steps};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::work::{Context, column, join, to_vec};

/// The completeness error that adaptive integration aims for by default.
const TOLERANCE: f64 = 0.01;
/// The gradients that adaptive integration takes at most by default.
pub(crate) const MAX_EVALUATIONS: usize = 400;

method! {
    /// The integral of the gradient along a straight path from a baseline.
    pub struct IntegratedGradients {
        integral: Integral = Integral::Fixed {
            quadrature: Quadrature::GaussLegendre,
            steps: 50,
        },
        start: Start = Start::Baseline(Baseline::zero()),
    }
    /// At the input, from [`Baseline::zero`], with 50 points of [`Quadrature::GaussLegendre`].
    new
}

#[derive(Debug, Clone, Copy)]
enum Integral {
    Fixed {
        quadrature: Quadrature,
        steps: usize,
    },
    Adaptive {
        tolerance: f64,
        max_evaluations: usize,
    },
}

#[derive(Debug, Clone)]
enum Start {
    Baseline(Baseline),
    ZeroActivations,
}

impl IntegratedGradients {
    /// Captum's defaults, which are those of [`IntegratedGradients::new`].
    pub fn captum() -> Self {
        Self::new()
    }

    /// The notebook's: the trapezoid with 50 steps. It explains [`Target::probability`](crate::Target::probability).
    pub fn notebook() -> Self {
        Self::new().quadrature(Quadrature::Trapezoid)
    }

    /// Halves intervals where the integrand bends until the error is within `tolerance` of the
    /// difference of scores, 0.01 for one percent, with at most 400 gradients for each image.
    pub fn adaptive(tolerance: f64) -> Self {
        Self {
            integral: Integral::Adaptive {
                tolerance,
                max_evaluations: MAX_EVALUATIONS,
            },
            ..Self::new()
        }
    }

    /// Along the activations of a layer instead of the input.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    /// Starts where a baseline puts the layer, [`Baseline::zero`] by default; attributions from
    /// several are averaged.
    pub fn baseline(mut self, baseline: Baseline) -> Self {
        self.start = Start::Baseline(baseline);
        self
    }

    /// Starts at zero activations of the layer, whatever image would give them.
    pub fn from_zero_activations(mut self) -> Self {
        self.start = Start::ZeroActivations;
        self
    }

    /// Divides the path evenly, or as [`Quadrature`] says, into so many steps; 50 by default. Not
    /// adaptive any longer.
    pub fn steps(mut self, steps: usize) -> Self {
        let (quadrature, _) = self.fixed();
        self.integral = Integral::Fixed { quadrature, steps };
        self
    }

    /// The rule for the integral, [`Quadrature::GaussLegendre`] by default. Not adaptive any longer.
    pub fn quadrature(mut self, quadrature: Quadrature) -> Self {
        let (_, steps) = self.fixed();
        self.integral = Integral::Fixed { quadrature, steps };
        self
    }

    /// How many gradients adaptive integration may take for each image, 400 by default; they bound
    /// its memory. Adaptive to one percent if it was not adaptive before.
    pub fn max_evaluations(mut self, evaluations: usize) -> Self {
        let tolerance = match self.integral {
            Integral::Adaptive { tolerance, .. } => tolerance,
            Integral::Fixed { .. } => TOLERANCE,
        };
        self.integral = Integral::Adaptive {
            tolerance,
            max_evaluations: evaluations,
        };
        self
    }

    setup_builders!(rules, batch_size, seed, progress, keep_partial);

    fn fixed(&self) -> (Quadrature, usize) {
        match self.integral {
            Integral::Fixed { quadrature, steps } => (quadrature, steps),
            Integral::Adaptive { .. } => (Quadrature::GaussLegendre, 50),
        }
    }

    /// The tolerance, and the most evaluations, of adaptive integration.
    fn adapts(&self) -> Option<(f64, usize)> {
        match self.integral {
            Integral::Adaptive {
                tolerance,
                max_evaluations,
            } => Some((tolerance, max_evaluations)),
            Integral::Fixed { .. } => None,
        }
    }

    /// What can be known to be wrong without the network.
    pub(crate) fn check_numbers(&self) -> Result<(), AttributionError> {
        self.integral.check(1)
    }

    fn check(&self, work: &Context<'_>) -> Result<usize, AttributionError> {
        let lines = match &self.start {
            Start::Baseline(baseline) => {
                baseline.check(work)?;
                baseline.count()
            }
            Start::ZeroActivations => 1,
        };
        self.integral.check(lines)?;
        Ok(lines)
    }

    fn lines<'l, 'w>(
        &self,
        work: &'l Context<'w>,
        image: usize,
    ) -> Result<Lines<'l, 'w>, AttributionError> {
        let end = work.activation_of(&[image])?;
        let starts = match &self.start {
            Start::Baseline(baseline) => {
                baseline.rows(work, image, &mut Random::new(self.setup.seed))?
            }
            Start::ZeroActivations => vec![end.zeros_like().rows()],
        };
        Ok(Lines::new(work, image, end, starts))
    }
}

impl Integral {
    fn check(self, lines: usize) -> Result<(), AttributionError> {
        let (tolerance, max_evaluations) = match self {
            Self::Fixed { steps, .. } => return check_steps(steps),
            Self::Adaptive {
                tolerance,
                max_evaluations,
            } => (tolerance, max_evaluations),
        };
        let refuse = |parameter, value: String, expected| {
            Err(AttributionError::Parameter {
                parameter,
                value,
                expected,
            })
        };
        if !(tolerance.is_finite() && tolerance > 0.0) {
            let expected = "above 0, 0.01 for one percent";
            return refuse("tolerance", tolerance.to_string(), expected);
        }
        if max_evaluations / 2 < lines {
            let expected = "2 or more for each baseline";
            return refuse("max-evaluations", max_evaluations.to_string(), expected);
        }
        Ok(())
    }
}

/// Reports evaluations of all images.
struct Count<'c, 'w> {
    work: &'c Context<'w>,
    done: usize,
    total: usize,
    /// Whether the callback asked to stop, and what there is so far is kept.
    is_stopped: bool,
}

impl Count<'_, '_> {
    fn add(&mut self, evaluations: usize) -> Result<(), AttributionError> {
        self.done = self.done.saturating_add(evaluations);
        match self.work.report(self.done, self.total) {
            Err(AttributionError::Cancelled { .. }) if self.work.keeps_partial => {
                self.is_stopped = true;
                Ok(())
            }
            told => told,
        }
    }
}

/// What was found for one image.
struct Found {
    integral: Tensor<2>,
    evaluations: usize,
    /// Whether adaptive integration met its tolerance.
    met: bool,
}

impl Found {
    /// Of no evaluations.
    fn none(lines: &Lines<'_, '_>) -> Self {
        Self {
            integral: lines.end().rows().zeros_like(),
            evaluations: 0,
            met: false,
        }
    }
}

/// `0..count` in an order of which any beginning is spread evenly: that of van der Corput's sequence.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let sequence = count.next_power_of_two();
    let bits = sequence.trailing_zeros();
    let reversed = move |i: usize| match bits {
        0 => i,
        bits => i.reverse_bits() >> (usize::BITS - bits),
    };
    (0..sequence).map(reversed).filter(move |&i| i < count)
}

/// The mean over all lines of the integral by given nodes and weights. Stopped, it is the weighted mean of the
/// integrand at the points so far, which are spread over all lines.
fn by_rule(
    lines: &Lines<'_, '_>,
    nodes: &[(f64, f64)],
    count: &mut Count<'_, '_>,
) -> Result<Found, AttributionError> {
    let points = lines.count() * nodes.len();
    let order: Vec<usize> = match count.work.keeps_partial {
        true => spread(points).collect(),
        false => (0..points).collect(),
    };
    let mut found = Found::none(lines);
    let mut weighed = 0.0;
    for batch in order.chunks(count.work.batch_size) {
        let of_point = |&i: &usize| {
            let (at, weight) = nodes[i % nodes.len()];
            let line = i / nodes.len();
            (Point { line, at }, weight / lines.count() as f64)
        };
        let (points, weights): (Vec<Point>, Vec<f64>) = batch.iter().map(of_point).unzip();
        let gradient = lines.gradients(&points)?.gradient.rows();
        let differences = lines.differences(points.iter().map(|point| point.line));
        weighed += weights.iter().sum::<f64>();
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        let weights = column(&weights, &gradient.device());
        found.integral = found.integral + (gradient * differences * weights).sum_dim(0);
        found.evaluations += points.len();
        count.add(points.len())?;
        if count.is_stopped {
            break;
        }
    }
    if found.evaluations < points && weighed > 0.0 {
        found.integral = found.integral / weighed as f32;
    }
    Ok(found)
}

/// The mean over all lines of the integral, each interval halved as often as it needs. Stopped, it is that of the
/// intervals so far; of nothing, before each line has its first ones.
fn adapted(
    lines: &Lines<'_, '_>,
    within: f64,
    max_evaluations: usize,
    count: &mut Count<'_, '_>,
) -> Result<Found, AttributionError> {
    let differences = (0..lines.count())
        .map(|line| to_vec(&lines.differences([line]).into()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut mesh = Mesh::new(lines.count(), max_evaluations);
    let first = mesh.wanted().len();
    let met = 'adapting: loop {
        let wanted = mesh.wanted();
        for points in wanted.chunks(count.work.batch_size) {
            let found = lines.gradients(points)?;
            let gradients = to_vec(&found.gradient)?;
            let rows = gradients.chunks((gradients.len() / points.len()).max(1));
            for ((point, row), score) in points.iter().zip(rows).zip(found.scores) {
                let along = row.iter().zip(&differences[point.line]);
                let slope = along.map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
                mesh.add(f64::from(score), slope, row.to_vec());
            }
            count.add(points.len())?;
            if count.is_stopped {
                break 'adapting mesh.len() >= first && mesh.error() <= within;
            }
        }
        if mesh.error() <= within {
            break true;
        }
        let left = max_evaluations.saturating_sub(mesh.len());
        if left == 0 || !mesh.refine(left) {
            break false;
        }
    };
    if mesh.len() < first {
        return Ok(Found::none(lines));
    }
    let mut sum = vec![0.0; differences.first().map_or(0, Vec::len)];
    for (integral, difference) in mesh.integrals().iter().zip(&differences) {
        for ((sum, integral), &difference) in sum.iter_mut().zip(integral).zip(difference) {
            *sum += integral * f64::from(difference) / lines.count() as f64;
        }
    }
    let sum: Vec<f32> = sum.into_iter().map(|v| v as f32).collect();
    let shape = [1, sum.len()];
    let device = lines.end().rows().device();
    Ok(Found {
        integral: Tensor::from_data(TensorData::new(sum, shape), &device),
        evaluations: mesh.len(),
        met,
    })
}

impl Attributor for IntegratedGradients {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let line_count = self.check(work)?;
        let (nodes, each) = match self.integral {
            Integral::Fixed { quadrature, steps } => {
                let nodes = quadrature.nodes(steps);
                let each = nodes.len() * line_count;
                (nodes, each)
            }
            Integral::Adaptive {
                max_evaluations, ..
            } => (Vec::new(), max_evaluations),
        };
        let mut count = Count {
            work,
            done: 0,
            total: work.count().saturating_mul(each),
            is_stopped: false,
        };
        let (mut parts, mut scores, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let (mut evaluations, mut met) = (Vec::new(), Vec::new());
        for image in 0..work.count() {
            let lines = self.lines(work, image)?;
            if let Integral::Adaptive {
                max_evaluations, ..
            } = self.integral
            {
                let what = format!("the gradients of {max_evaluations} evaluations");
                let numbers = lines.end().shape().iter().product();
                work.afford(what, &[max_evaluations, numbers, SINGLE])?;
            }
            let (starts, end) = lines.scores()?;
            let difference = f64::from(end) - mean(&starts);
            let found = match self.integral {
                _ if count.is_stopped => Found::none(&lines),
                Integral::Fixed { .. } => by_rule(&lines, &nodes, &mut count)?,
                Integral::Adaptive { tolerance, .. } => {
                    let within = tolerance * difference.abs();
                    let found = adapted(&lines, within, each, &mut count)?;
                    // What an image has left over is not the next one's.
                    if !count.is_stopped {
                        count.add(each.saturating_sub(found.evaluations))?;
                    }
                    found
                }
            };
            evaluations.push(found.evaluations);
            if self.adapts().is_some() {
                met.push(found.met);
            }
            let integral = found.integral;
            parts.push(Activation::from_rows(integral, lines.end())?.to_array()?);
            expected.push(difference);
            scores.push(end);
        }
        Ok(
            Attribution::new(self, work, join(&parts)?, scores, Reduce::AbsSum)?
                .with_planned(
                    match evaluations.iter().any(|&made| made < each) && count.is_stopped {
                        true => vec![each; evaluations.len()],
                        false => Vec::new(),
                    },
                )
                .with_evaluations(evaluations)
                .with_tolerance_met(met)
                .expecting(expected),
        )
    }
}

const QUADRATURES: &str = "gauss-legendre, trapezoid, left, right, middle or adaptive";

const STARTS: &str = "baseline or zero";

crate::options!(IntegratedGradients {
    {
        "quadrature", "the rule for the integral", QUADRATURES,
        |method, _| Some(match method.integral {
            Integral::Fixed { quadrature, .. } => quadrature.to_string(),
            Integral::Adaptive { .. } => "adaptive".to_owned(),
        }),
        |method, text| {
            let (_, steps) = method.fixed();
            method.integral = match text.trim() {
                "adaptive" => IntegratedGradients::adaptive(TOLERANCE).integral,
                rule => Integral::Fixed { quadrature: rule.parse().ok()?, steps },
            };
            Some(())
        }
    }
    {
        "steps", "how many steps the path is divided into, unless adaptive",
        STEPS,
        |method, _| match method.integral {
            Integral::Fixed { steps, .. } => Some(steps.to_string()),
            Integral::Adaptive { .. } => None,
        },
        |method, text| {
            let (quadrature, _) = method.fixed();
            method.integral = Integral::Fixed { quadrature, steps: Setting::read(text)? };
            Some(())
        }
    }
    {
        "tolerance", "the completeness error that adaptive integration aims for; makes it adaptive",
        "a fraction above 0, 0.01 for one percent",
        |method, _| method.adapts().map(|(tolerance, _)| tolerance.to_string()),
        |method, text| {
            let most = method.adapts().map_or(MAX_EVALUATIONS, |(_, most)| most);
            method.integral = Integral::Adaptive {
                tolerance: Setting::read(text)?,
                max_evaluations: most,
            };
            Some(())
        }
    }
    {
        "max-evaluations", "how many gradients adaptive integration may take; makes it adaptive",
        "2 or more for each baseline",
        |method, _| method.adapts().map(|(_, most)| most.to_string()),
        |method, text| {
            let tolerance = method.adapts().map_or(TOLERANCE, |(tolerance, _)| tolerance);
            method.integral = Integral::Adaptive {
                tolerance,
                max_evaluations: Setting::read(text)?,
            };
            Some(())
        }
    }
    {
        "baseline", "where the path begins", BASELINES,
        |method, size| match &method.start {
            Start::Baseline(baseline) => baseline.text(size),
            Start::ZeroActivations => None,
        },
        |method, text| {
            method.start = Start::Baseline(Setting::read(text)?);
            Some(())
        }
    }
    {
        "start", "zero starts at zero activations of the layer instead of the baseline's", STARTS,
        |method, _| Some(match method.start {
            Start::Baseline(_) => "baseline".to_owned(),
            Start::ZeroActivations => "zero".to_owned(),
        }),
        |method, text| {
            match text.trim() {
                "baseline" => {}
                "zero" => method.start = Start::ZeroActivations,
                _ => return None,
            }
            Some(())
        }
    }
} check IntegratedGradients::check_numbers);

/// Only what was asked for is changed; what contradicts it is refused.
fn build(options: &MethodOptions) -> Result<Box<dyn Attributor>, AttributionError> {
    let given = |option: &str| options.get(option).map(str::trim);
    let is_adaptive = match given("quadrature") {
        Some(rule) => rule == "adaptive",
        None => given("tolerance").or(given("max-evaluations")).is_some(),
    };
    let contradictions: &[(&str, &str)] = match is_adaptive {
        true => &[("steps", "none with adaptive integration")],
        false => &[
            ("tolerance", "none unless the quadrature is adaptive"),
            ("max-evaluations", "none unless the quadrature is adaptive"),
        ],
    };
    let of_start = ("baseline", "none where the path starts at zero activations");
    let of_start = (given("start") == Some("zero")).then_some(of_start);
    for (option, expected) in contradictions.iter().copied().chain(of_start) {
        if let Some(value) = given(option) {
            return Err(AttributionError::OptionValue {
                option: option.to_owned(),
                value: value.to_owned(),
                expected: expected.to_owned(),
            });
        }
    }
    options.apply(IntegratedGradients::new())
}

pub(crate) const METHOD: Method = Method::new(
    "integrated-gradients",
    "Integrated gradients",
    "Sundararajan, Taly and Yan 2017",
    build,
)
.at(Place::AnyLayer)
.takes_rules()
.random()
.keeps_partial()
.sums_to("score - score of the baseline")
.options(IntegratedGradients::OPTIONS)
.also(&["ig"]);
