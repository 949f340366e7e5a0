//! SmoothGrad, VarGrad and SquareGrad: statistics of the gradient around a value.
//!
//! With `g_i` the gradient of the target at the layer's value plus noise drawn from a normal
//! distribution of standard deviation `noise * (max - min)`, where maximum and minimum are those of
//! the layer's value for that image:
//!
//! | kind | result | published by |
//! | --- | --- | --- |
//! | [`SmoothGrad::mean`] | `mean_i g_i` | Smilkov et al., *SmoothGrad: removing noise by adding noise* (2017) |
//! | [`SmoothGrad::variance`] | `mean_i (g_i - mean_j g_j)^2` | Adebayo et al., *Local explanation methods for deep neural networks lack sensitivity to parameter values* (2018) |
//! | [`SmoothGrad::squared`] | `mean_i g_i^2` | Hooker et al., *A benchmark for interpretability methods in deep neural networks* (2019) |
//!
//! Defaults are those of the first: 50 samples, noise 0.15 (they recommend 0.1 to 0.2). Captum's
//! `NoiseTunnel` takes 5 samples and noise of standard deviation 1.0 in the units of the input,
//! whatever its range; Zennit 20 samples at 0.1; PAIR 25 at 0.15. The variance is that of the
//! samples, divided by their number and not by one less, as in Captum.
//!
//! Without noise, that is for a constant image as much as for `noise` 0, the mean is the gradient,
//! the square its square and the variance zero. None of the three promises a sum.
//!
//! Memory: beside a batch of samples, two values of the layer for each of its images.

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT, LongRows};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Build, Method, Place};
use crate::options::{Configurable, Configuration};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::{Draws, errors_of_all};
use crate::work::{Context, join};

/// Mean, variance or mean square of the gradient under noise.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct SmoothGrad {
    pub(crate) setup: Setup,
    kind: Kind,
    samples: usize,
    noise: f32,
    times_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mean,
    Variance,
    Squared,
}

impl SmoothGrad {
    fn new(kind: Kind) -> Self {
        Self {
            setup: Setup::at(INPUT),
            kind,
            samples: 50,
            noise: 0.15,
            times_input: false,
        }
    }

    /// SmoothGrad: the mean of the gradients.
    pub fn mean() -> Self {
        Self::new(Kind::Mean)
    }

    /// VarGrad: their variance.
    pub fn variance() -> Self {
        Self::new(Kind::Variance)
    }

    /// SquareGrad: the mean of their squares.
    pub fn squared() -> Self {
        Self::new(Kind::Squared)
    }

    /// At a layer instead of the input: the noise is added to the layer's value.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    setup_builders!(rules, batch_size, seed, progress, keep_partial);
}

crate::options!(SmoothGrad {
    {
        /// How many gradients are taken, 50 by default.
        samples: usize as "samples", "how many gradients are taken", "1 or more",
        |samples| *samples > 0
    }
    {
        /// Standard deviation of the noise, as a fraction of the range of the layer's value for each
        /// image, 0.15 by default.
        noise: f32 as "noise", "standard deviation of the noise, as a fraction of the range of values",
        "0 or more", |noise| noise.is_finite() && *noise >= 0.0
    }
    {
        /// Multiplies each gradient by the layer's value without noise before the statistic is taken.
        /// Captum's noise tunnel around `InputXGradient` multiplies by the value with noise.
        times_input: bool as "times-input",
        "whether each gradient is multiplied by the value without noise", "true or false"
    }
});

impl Attributor for SmoothGrad {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Mean => SMOOTH_GRAD.name,
            Kind::Variance => VAR_GRAD.name,
            Kind::Squared => SQUARE_GRAD.name,
        }
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        self.configured(size)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let start = |image| Noisy::new(self, work, image);
        let found = work.sampled(self.samples, start, |image, sampled| {
            let (statistic, errors) = match self.kind {
                Kind::Mean | Kind::Squared => (sampled.moments.mean(), sampled.standard_errors()?),
                Kind::Variance => (sampled.moments.variance(), None),
            };
            let values = sampled.shaped(statistic)?;
            let score = work.scores(&[image], sampled.drawn.value)?[0];
            Ok((values, errors, score))
        })?;
        let planned = found.planned();
        let (mut parts, mut errors, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        for (values, error, score) in found.found {
            parts.push(values);
            errors.push(error);
            scores.push(score);
        }
        let reduce = match self.times_input && self.kind == Kind::Mean {
            true => Reduce::Sum,
            false => Reduce::MaxAbs,
        };
        Ok(Attribution::new(self, work, join(&parts)?, scores, reduce)?
            .with_evaluations(found.samples)
            .with_planned(planned)
            .with_standard_errors(errors_of_all(errors)?))
    }
}

/// Noise around one image's value.
struct Noisy {
    value: Activation,
    /// `[1, 1]`
    deviation: Tensor<2>,
    random: Random,
    times_input: bool,
    is_squared: bool,
}

impl Noisy {
    fn new(
        method: &SmoothGrad,
        work: &Context<'_>,
        image: usize,
    ) -> Result<Self, AttributionError> {
        let value = work.activation_of(&[image])?;
        let row = value.rows();
        let range = row.clone().row_maxima() - row.row_minima();
        Ok(Self {
            value,
            deviation: range * method.noise,
            random: Random::new(method.setup.seed),
            times_input: method.times_input,
            is_squared: method.kind == Kind::Squared,
        })
    }
}

impl Draws for Noisy {
    fn value(&self) -> &Activation {
        &self.value
    }

    fn draw(&mut self, count: usize) -> (Tensor<2>, Option<Tensor<2>>) {
        let row = self.value.rows();
        let device = row.device();
        let noise = (0..count).map(|_| self.random.normal_row(row.dims()[1], &device));
        let noise = Tensor::cat(noise.collect(), 0);
        let noisy = row.clone() + noise * self.deviation.clone();
        (noisy, self.times_input.then_some(row))
    }

    fn sample(&self, gradients: Tensor<2>) -> Tensor<2> {
        match self.is_squared {
            true => gradients.clone() * gradients,
            false => gradients,
        }
    }
}

/// A method of this family.
const fn noisy(
    name: &'static str,
    title: &'static str,
    reference: &'static str,
    build: Build,
) -> Method {
    let method = Method::new(name, title, reference, build);
    let method = method
        .at(Place::AnyLayer)
        .takes_rules()
        .random()
        .keeps_partial();
    method.options(SmoothGrad::OPTIONS)
}

pub(crate) const SMOOTH_GRAD: Method = noisy(
    "smooth-grad",
    "SmoothGrad",
    "Smilkov et al. 2017",
    |options| options.apply(SmoothGrad::mean()),
);

pub(crate) const VAR_GRAD: Method =
    noisy("var-grad", "VarGrad", "Adebayo et al. 2018", |options| {
        options.apply(SmoothGrad::variance())
    });

pub(crate) const SQUARE_GRAD: Method = noisy(
    "square-grad",
    "SquareGrad",
    "Hooker et al. 2019",
    |options| options.apply(SmoothGrad::squared()),
)
.also(&["smooth-grad-squared"]);
