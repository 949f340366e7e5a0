//! Smooth randomisation test (sMPRT): cascading randomisation of explanations from which the noise is taken.
//!
//! As [cascading randomisation](crate::randomisation), with an explanation that is a mean over noisy images, of the trained network
//! and at each stage alike:
//!
//! ```text
//! Phi_N(x) = (Phi(x) + sum over i = 1..N-1 of Phi(x + n_i)) / N,   n_i ~ Normal(0, (noise (max x - min x))^2)
//! ```
//!
//! and of which the map is made, as the method's own are. The value is the mean over the stages of the maps' similarity; smaller is
//! better. Maps of gradients are noisy, those of random networks more so: without the mean, a method may pass because its noise is
//! another each time, and its rank is that of its noise.
//!
//! Hedström, Weber, Lapuschkin and Höhne, *A fresh look at sanity checks for saliency maps* (2024), and their *Sanity checks
//! revisited* (2023). Of the images one is as it is, so that one sample is `mprt`; that and the defaults, 50 samples with noise of a
//! tenth of the image's range, are those of Quantus' `SmoothMPRT`, which begins at the image
//! ([`LayerOrder::BottomUp`](crate::LayerOrder), as they advise; the default here is that of `mprt`), takes absolute values
//! of the mean, and counts the trained network in its mean over the layers.
//!
//! The noise of an image is the same at every stage. A constant image has no range, and no noise. Memory: what `mprt` takes, and one
//! batch of images with their attributions.

use elucid_attribution::{Configurable, Network};
use ndarray::Array2;

use super::cascade::{Cascade, cascading};
use crate::case::Case;
use crate::metric::{BATCH_SIZE, Halt, at_least_one, info, setters};
use crate::neighbours::{Neighbours, noisy};
use crate::options::{is_not_negative, is_some_number};
use crate::similarity::Similarity;
use crate::table::MetricInfo;

/// Cascading randomisation of the weights, of explanations without their noise.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct SmoothRandomisation {
    similarity: Similarity,
    cascade: Cascade,
    noise: f64,
    samples: usize,
    batch_size: usize,
}

impl SmoothRandomisation {
    fn new(similarity: Similarity) -> Self {
        Self {
            similarity,
            cascade: Cascade::ALL,
            noise: 0.1,
            samples: 50,
            batch_size: BATCH_SIZE,
        }
    }

    setters!(batch_size);

    /// The map of the mean attribution.
    fn map(&self, case: &Case<'_>, network: &dyn Network) -> Result<Array2<f32>, Halt> {
        let own = case.method()?;
        let own = own.attribute(network, &case.image, case.target())?;
        let mut sums = own.values().mapv(f64::from);
        let pixels = case.pixels.iter().copied();
        let range = pixels.clone().fold(f32::MIN, f32::max) - pixels.fold(f32::MAX, f32::min);
        let deviation = self.noise * f64::from(range);
        let change = noisy(deviation, case.random(self.cascade.seed));
        let neighbours = Neighbours {
            samples: self.samples - 1,
            batch_size: self.batch_size,
        };
        neighbours.explain_on(network, case, false, change, |near| {
            sums.zip_mut_with(&near.attribution, |sum, &value| *sum += f64::from(value));
            Ok(())
        })?;
        let count = self.samples as f64;
        let mean = own.with_values(sums.mapv(|sum| (sum / count) as f32))?;
        case.shown(&mean)
    }
}

cascading!(SmoothRandomisation {
    {
        /// Deviation of the noise as a share of the image's range, 0.1 by default.
        noise: f64 as "noise", "deviation of the noise, as a share of the image's range", "0 or more", is_not_negative
    }
    {
        /// How many images are explained of each, one of them without noise; 50 by default.
        samples: usize as "samples", "over how many images an explanation is the mean", "1 or more", is_some_number
    }
} check |metric| at_least_one("batch size", metric.batch_size));

pub(crate) const METRIC: MetricInfo = info!(
    "smooth-mprt" or "smprt": "Smooth cascading randomisation of the weights (sMPRT)", Smaller, Randomisation,
    needs(model, attributor), "Hedström et al. 2024"; SmoothRandomisation::OPTIONS, SmoothRandomisation::spearman(),
    batch_size, seed
);
