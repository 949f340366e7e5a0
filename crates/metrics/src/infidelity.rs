//! Infidelity: whether the attribution foretells what a change of the image does to the score.
//!
//! With random changes `I` of the image `x`, attributions `Phi` of its numbers and the score `f`,
//! the logit of the class,
//!
//! ```text
//! INFD = mean over I of (I . Phi - (f(x) - f(x - I)))^2
//! ```
//!
//! Yeh et al., *On the (in)fidelity and sensitivity of explanations* (2019). Smaller is better, 0 is
//! a linear score with its own gradient. It is a squared difference of scores: compare methods on the
//! same network and the same changes only, and not after rescaling their maps.
//!
//! Two kinds of changes of the paper: Gaussian noise ([`Change::Noise`]; the deviation of 0.003 is
//! the example's in Captum, see [`Scale`]) and the removal of a square to zero
//! ([`Change::Square`]), at a random place within the image. As in Captum there are 10 of them unless
//! told otherwise, which is few: the value changes with the seed.
//!
//! `Phi` is what a change of one unit does to the score, as gradients are. Attributions that hold the
//! contribution of the whole pixel (input times gradient, integrated gradients) are divided by the
//! pixel first under [`Infidelity::contributions`], as Captum's decorator for
//! `multiply_by_inputs` does; pixels of zero are not divided.
//! [`Infidelity::normalised`] multiplies the attribution by the number that makes the value smallest,
//! as Captum's `normalize=True`, so that maps without a meaningful scale can be compared.
//!
//! The attribution must be at the pixels `[1, C, H, W]`: not applicable at other layers. Memory: one
//! batch of images, and as many changes.

use elucid_attribution::{Configurable, Setting};

use crate::case::{Case, SCALES, Scale};
use crate::metric::{BATCH_SIZE, Halt, at_least_one, flags, info, measures, setters};
use crate::options::{TRUE_OR_FALSE, is_positive, is_some_number};
use crate::probe::Probe;
use crate::table::MetricInfo;
use elucid_attribution::Random;

/// How the image is changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Gaussian noise of this deviation, in units of the [`Scale`].
    Noise(f64),
    /// A square of this side, in pixels, set to zero in all channels.
    Square(usize),
}

/// Infidelity.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Infidelity {
    change: Change,
    samples: usize,
    contributions: bool,
    normalised: bool,
    scale: Scale,
    batch_size: usize,
    seed: u64,
}

impl Infidelity {
    fn new(change: Change) -> Self {
        Self {
            change,
            samples: 10,
            contributions: false,
            normalised: false,
            scale: Scale::Deviation,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    /// Under Gaussian noise of this deviation, in units of the [`Scale`].
    pub fn noise(deviation: f64) -> Self {
        Self::new(Change::Noise(deviation))
    }

    /// Under the removal of squares of this side, in pixels.
    pub fn square(side: usize) -> Self {
        Self::new(Change::Square(side))
    }

    flags! {
        /// The attribution holds contributions of whole pixels, not what a change of one unit does.
        contributions => contributions,
        /// Scales the attribution so that the value is smallest.
        normalised => normalised,
    }

    /// What the strength of the noise is measured in, the image's deviation by default.
    pub fn scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    setters!(batch_size, seed);

    fn is_noise(&self) -> bool {
        matches!(self.change, Change::Noise(_))
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let mut phi = case.pixel_attribution()?;
        if self.contributions {
            for (phi, &x) in phi.iter_mut().zip(&case.pixels) {
                if x != 0.0 {
                    *phi /= x;
                }
            }
        }
        let unit = match self.change {
            Change::Noise(_) => case.unit(self.scale)?,
            Change::Square(_) => 1.0,
        };
        let mut random = case.random(self.seed);
        let mut foretold = Vec::new();
        let scores = Probe::new(case, self.batch_size)?.scores(
            self.samples.saturating_add(1),
            |i, batch| {
                let from = batch.len();
                batch.extend(&case.pixels);
                if i > 0 {
                    self.change(case, unit, &mut random, &mut batch[from..]);
                    // From what the network is given: the change after rounding.
                    let products = batch[from..].iter().zip(&case.pixels).zip(&phi);
                    foretold.push(
                        products
                            .map(|((&changed, &x), &phi)| {
                                (f64::from(x) - f64::from(changed)) * f64::from(phi)
                            })
                            .sum::<f64>(),
                    );
                }
            },
        )?;
        let falls: Vec<f64> = scores[1..]
            .iter()
            .map(|score| scores[0].logit - score.logit)
            .collect();
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let factor = match (self.normalised, dot(&foretold, &foretold)) {
            (true, squares) if squares > 0.0 => dot(&foretold, &falls) / squares,
            _ => 1.0,
        };
        let squares = foretold.iter().zip(&falls);
        let squares: f64 = squares.map(|(f, d)| (factor * f - d).powi(2)).sum();
        Ok(squares / self.samples as f64)
    }

    fn change(&self, case: &Case<'_>, unit: f64, random: &mut Random, image: &mut [f32]) {
        let [h, w] = case.size();
        match self.change {
            Change::Noise(deviation) => {
                for value in image {
                    *value -= (deviation * unit * random.normal_double()) as f32;
                }
            }
            Change::Square(side) => {
                let (rows, columns) = (side.min(h), side.min(w));
                let (y, x) = (random.below(h - rows + 1), random.below(w - columns + 1));
                for channel in image.chunks_mut(h * w) {
                    for y in y..y + rows {
                        channel[y * w + x..y * w + x + columns].fill(0.0);
                    }
                }
            }
        }
    }
}

crate::options!(Infidelity {
    {
        /// How many changes, 10 by default.
        samples: usize as "samples", "how many changes of the image", "1 or more", is_some_number
    }
    {
        "noise", "deviation of the noise that changes the image", "more than 0",
        |metric, _| match metric.change {
            Change::Noise(deviation) => Some(deviation.to_string()),
            Change::Square(_) => None,
        },
        |metric, text| {
            metric.change = Change::Noise(Setting::read(text)?);
            Some(())
        },
        |metric| match metric.change {
            Change::Noise(deviation) => is_positive(&deviation),
            Change::Square(_) => true,
        }
    }
    {
        "square", "side of the square that is removed instead, in pixels; 0 for noise", "1 or more",
        |metric, _| match metric.change {
            Change::Noise(_) => None,
            Change::Square(side) => Some(side.to_string()),
        },
        |metric, text| {
            match Setting::read(text)? {
                0 => {}
                side => metric.change = Change::Square(side),
            }
            Some(())
        },
        |metric| metric.change != Change::Square(0)
    }
    {
        contributions as "contributions", "whether the attribution holds contributions of whole pixels",
        TRUE_OR_FALSE
    }
    {
        normalised as "normalised", "whether the attribution is scaled so that the value is smallest",
        TRUE_OR_FALSE
    }
    {
        "scale", "what the noise is measured in", SCALES,
        |metric, size| metric.scale.text(size).filter(|_| metric.is_noise()),
        |metric, text| {
            metric.scale = Setting::read(text)?;
            Some(())
        }
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(Infidelity as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "infidelity": "Infidelity", Smaller, Faithfulness, needs(scores, attribution), "Yeh et al. 2019; Captum";
    Infidelity::OPTIONS, Infidelity::noise(0.003), batch_size, seed
);
