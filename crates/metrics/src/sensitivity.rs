//! Sensitivity-max: how far the explanation moves when the image moves a little.
//!
//! With the attribution `Phi(x)` as one vector of numbers and `r` drawn uniformly from
//! `-radius..radius` for every number of the image,
//!
//! ```text
//! SENS = max over r of |Phi(x + r) - Phi(x)| / |Phi(x)|
//! ```
//!
//! in Frobenius norms. Smaller is better.
//!
//! Yeh et al., *On the (in)fidelity and sensitivity of explanations* (2019), as Captum's
//! `sensitivity_max` has it by default: 10 perturbations, radius 0.02, Frobenius. Quantus'
//! `MaxSensitivity` takes 200 and a bound of 0.2. See [`Scale`] for what the radius is measured in. A
//! maximum grows with the number of samples: compare at equal numbers; the mean
//! ([`average_sensitivity`](crate::average_sensitivity)) does not. The division is Captum's; the
//! paper's definition has none.
//!
//! The method is called again for every sample, at the layer that it attributes to. Methods that draw
//! random numbers draw the same ones each time. An attribution of zeros has no direction to lose: not
//! applicable. Memory: one batch of images, and their attributions.

use elucid_attribution::Configurable;

use crate::case::{Case, Scale};
use crate::metric::{Halt, NotApplicable, info};
use crate::neighbours::{Neighbours, length, own, within};
use crate::table::MetricInfo;

/// A metric of how far the explanation moves when the image moves a little: all but what it makes of the moves, which is its
/// function `run`.
macro_rules! small_moves {
    ($(#[$meta:meta])* $metric:ident as $info:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[must_use = "a metric does nothing until it is asked to measure"]
        pub struct $metric {
            radius: f64,
            samples: usize,
            scale: crate::Scale,
            batch_size: usize,
            seed: u64,
        }

        impl Default for $metric {
            fn default() -> Self {
                Self {
                    radius: 0.02,
                    samples: 10,
                    scale: crate::Scale::Deviation,
                    batch_size: crate::metric::BATCH_SIZE,
                    seed: 0,
                }
            }
        }

        impl $metric {
            /// 10 samples within 0.02 deviations of the image.
            pub fn new() -> Self {
                Self::default()
            }

            crate::metric::setters!(batch_size, seed);

            /// How far the explanation moves, in its own length, with each of the neighbours.
            fn each_move(
                &self,
                case: &crate::Case<'_>,
                take: impl FnMut(f64),
            ) -> Result<(), crate::metric::Halt> {
                case.method()?;
                let neighbours = crate::neighbours::Neighbours {
                    samples: self.samples,
                    batch_size: self.batch_size,
                };
                let radius = self.radius * case.unit(self.scale)?;
                crate::sensitivity::each_move(case, radius, self.seed, &neighbours, take)
            }
        }

        crate::options!($metric {
            {
                /// Largest change of a number of the image, in units of the [`Scale`](crate::Scale).
                radius: f64 as "radius", "largest change of a number of the image", "more than 0",
                crate::options::is_positive
            }
            {
                /// How many changes, 10 by default.
                samples: usize as "samples", "how many changes of the image", "1 or more",
                crate::options::is_some_number
            }
            {
                /// What the radius is measured in, the image's deviation by default.
                scale: crate::Scale as "scale", "what the radius is measured in", crate::case::SCALES
            }
        } check |metric| crate::metric::at_least_one("batch size", metric.batch_size));

        crate::metric::measures!($metric as $info);
    };
}
pub(crate) use small_moves;

small_moves! {
    /// Sensitivity-max.
    SensitivityMax as METRIC
}

impl SensitivityMax {
    /// 10 samples within 0.02 of the numbers that the network takes.
    pub fn captum() -> Self {
        Self::new().scale(Scale::Absolute)
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let mut largest = 0.0_f64;
        self.each_move(case, |moved| largest = largest.max(moved))?;
        Ok(largest)
    }
}

/// How far the explanation moves, in its own length, with each of the neighbours within `radius`.
pub(crate) fn each_move(
    case: &Case<'_>,
    radius: f64,
    seed: u64,
    neighbours: &Neighbours,
    mut take: impl FnMut(f64),
) -> Result<(), Halt> {
    let first = own(case)?;
    let size = length(first.iter().copied());
    if size == 0.0 {
        return Err(NotApplicable::Zero.into());
    }
    let change = within(radius, case.random(seed));
    neighbours.explain(case, false, change, |near| {
        let moved = near.attribution.iter().zip(&first);
        let moved = length(moved.map(|(&a, b)| f64::from(a) - b));
        match moved.is_finite() {
            true => take(moved / size),
            false => return Err(NotApplicable::NotFinite.into()),
        }
        Ok(())
    })
}

pub(crate) const METRIC: MetricInfo = info!(
    "sensitivity-max" or "max-sensitivity": "Sensitivity-max", Smaller, Robustness, needs(attributor),
    "Yeh et al. 2019; Captum"; SensitivityMax::OPTIONS, SensitivityMax::new(), batch_size, seed
);
