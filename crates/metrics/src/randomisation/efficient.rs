//! Efficient randomisation test (eMPRT): how much more complex the explanation of a random network is.
//!
//! All weights of the network are random, as in the last stage of [cascading randomisation](crate::randomisation). With the map `m`
//! of the trained network and `m'` of the random one,
//!
//! ```text
//! eMPRT = (H(m') - H(m)) / H(m),   H(m) = - sum over bins b of f_b ln f_b
//! ```
//!
//! where `f_b` is the share of the map's pixels in bin `b` of a histogram with 100 bins of equal width between the map's smallest and
//! largest value. Larger is better: an explanation that depends on what was learned loses its structure with it. It takes two
//! explanations of an image, where `mprt` takes one for each layer, and compares no maps, whose similarity is ruled by noise.
//!
//! Hedström, Weber, Lapuschkin and Höhne, *A fresh look at sanity checks for saliency maps* (2024), as Quantus' `EfficientMPRT` has it
//! by default. They take attributions as they are; this takes the map as it is shown, at the size of the image: absolute values
//! have another histogram, so compare methods that are shown alike. How wide a histogram is follows from the outermost values, so that one
//! pixel far from all others makes a map simple.
//!
//! A map of one value has the entropy 0, of which there is no share: not applicable where that is the trained network's; -1 where it
//! is the random one's. Memory: one further network, kept for all images by [`Case::networks`](crate::Case::networks).

use elucid_attribution::Configurable;
use ndarray::Array2;

use super::cascade::Cascade;
use crate::case::Case;
use crate::metric::{Halt, NotApplicable, info, measures};
use crate::options::is_some_number;
use crate::table::MetricInfo;

/// The rise of the explanation's complexity with a random network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct EfficientRandomisation {
    bins: usize,
    seed: u64,
}

impl Default for EfficientRandomisation {
    fn default() -> Self {
        Self::new()
    }
}

impl EfficientRandomisation {
    /// Of a histogram with 100 bins.
    pub fn new() -> Self {
        Self { bins: 100, seed: 0 }
    }

    /// Where the random weights begin, 0 by default. All images of one seed have the same ones.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let last = Cascade {
            at_most: 1,
            seed: self.seed,
            ..Cascade::ALL
        };
        let mut entropies = [0.0; 2];
        last.each_stage(
            case,
            |network| case.map_of(network, case.class),
            |_, before, now| {
                entropies = [before, now].map(|map| entropy(map, self.bins));
                Ok(())
            },
        )?;
        let [before, now] = entropies;
        match before > 0.0 {
            true => Ok((now - before) / before),
            false => Err(NotApplicable::ConstantMap.into()),
        }
    }
}

/// The entropy of a map's histogram, in nats.
fn entropy(map: &Array2<f32>, bins: usize) -> f64 {
    let values = map.iter().map(|&v| f64::from(v));
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if low >= high {
        return 0.0;
    }
    let mut counts = vec![0_u32; bins];
    for value in values {
        let bin = (value - low) / (high - low) * bins as f64;
        // The largest value belongs to the last bin.
        counts[(bin as usize).min(bins - 1)] += 1;
    }
    let shares = counts.iter().filter(|&&count| count > 0);
    let shares = shares.map(|&count| f64::from(count) / map.len() as f64);
    shares.map(|share| -share * share.ln()).sum()
}

crate::options!(EfficientRandomisation {
    {
        /// How many bins the histogram has, 100 by default.
        bins: usize as "bins", "how many bins the histogram of a map has", "from 1 to 65536",
        |bins| is_some_number(bins) && *bins <= 1 << 16
    }
});

measures!(EfficientRandomisation as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "efficient-mprt" or "emprt": "Rise of complexity with random weights (eMPRT)", Larger, Randomisation,
    needs(model, attributor), "Hedström et al. 2024"; EfficientRandomisation::OPTIONS, EfficientRandomisation::new(), seed
);
