//! How sure a mean over images is: percentile intervals by the bootstrap.
//!
//! Images are drawn from the images with replacement, as many as there are, a thousand times; each
//! time the mean is taken anew. The interval is the middle 95 % of these means: the 2.5th and the
//! 97.5th percentile, interpolated as NumPy does. Efron, *Bootstrap methods: another look at the
//! jackknife* (1979).
//!
//! It says how much the mean would vary with *other images of the same kind*. It knows nothing of
//! other networks, seeds or kinds of images. The same seed draws the same images for every method,
//! so that methods measured on the same images meet the same luck.

use std::collections::BTreeMap;

use crate::error::MetricError;
use elucid_attribution::Random;

/// Most times that a mean is taken anew: as many numbers are held.
const MOST: usize = 10_000_000;

/// Share of the resampled means that lies within an interval.
pub const LEVEL: f64 = 0.95;

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean of the images themselves.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How many images it rests on.
    pub count: usize,
}

/// Resampling of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a bootstrap does nothing until it is given values"]
pub struct Bootstrap {
    resamples: usize,
    seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self::new()
    }
}

impl Bootstrap {
    /// 1000 resamples, seed 0.
    pub fn new() -> Self {
        Self {
            resamples: 1000,
            seed: 0,
        }
    }

    /// How many times images are drawn.
    pub fn resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Where the random numbers begin. The same seed gives the same interval.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The mean over images; `None` without any.
    ///
    /// # Errors
    ///
    /// [`MetricError::Parameter`] for no resamples and more than ten million.
    pub fn mean(&self, values: &[f64]) -> Result<Option<Estimate>, MetricError> {
        self.estimate(values.len(), mean(values), |random| {
            drawn_mean(values, random)
        })
    }

    /// The mean over classes of the mean over the images of each class, as
    /// [`ClassMean`](crate::ClassMean); `None` without images. `values` are the class and the value
    /// of each image.
    ///
    /// Classes are drawn with replacement, and then images of each class drawn. Were images drawn
    /// from all of them, a class of one image would count once however often it is drawn, and the
    /// interval come out too narrow.
    ///
    /// # Errors
    ///
    /// [`MetricError::Parameter`] for no resamples and more than ten million.
    pub fn class_mean(&self, values: &[(usize, f64)]) -> Result<Option<Estimate>, MetricError> {
        let mut classes: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (class, value) in values {
            classes.entry(*class).or_default().push(*value);
        }
        let classes: Vec<Vec<f64>> = classes.into_values().collect();
        let means: Vec<f64> = classes.iter().map(|values| mean(values)).collect();
        self.estimate(values.len(), mean(&means), |random| {
            let drawn = (0..classes.len())
                .map(|_| drawn_mean(&classes[random.below(classes.len())], random));
            drawn.sum::<f64>() / classes.len() as f64
        })
    }

    /// `mean` is that of the `count` images themselves, `resample` that of a new draw.
    fn estimate(
        &self,
        count: usize,
        mean: f64,
        mut resample: impl FnMut(&mut Random) -> f64,
    ) -> Result<Option<Estimate>, MetricError> {
        if !(1..=MOST).contains(&self.resamples) {
            return Err(MetricError::Parameter {
                parameter: "resamples",
                value: self.resamples.to_string(),
                expected: "1 to 10000000",
            });
        }
        if count == 0 {
            return Ok(None);
        }
        let mut random = Random::new(self.seed);
        let mut means: Vec<f64> = (0..self.resamples).map(|_| resample(&mut random)).collect();
        means.sort_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        Ok(Some(Estimate {
            mean,
            low: quantile(&means, tail),
            high: quantile(&means, 1.0 - tail),
            count,
        }))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of as many values as there are, drawn with replacement.
fn drawn_mean(values: &[f64], random: &mut Random) -> f64 {
    let drawn = (0..values.len()).map(|_| values[random.below(values.len())]);
    drawn.sum::<f64>() / values.len() as f64
}

/// Of sorted values, one at least.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClassMean;

    /// The mean of n independent values has the standard error s / sqrt(n).
    #[test]
    fn intervals_are_as_wide_as_the_standard_error_says() {
        let n = 400;
        let values: Vec<f64> = (0..n).map(|i| f64::from(i % 2)).collect();
        let found = Bootstrap::new().seed(3).mean(&values).unwrap().unwrap();
        assert_eq!((found.mean, found.count), (0.5, 400));
        let half = 1.96 * 0.5 / f64::from(n).sqrt();
        assert!((found.low - (0.5 - half)).abs() < 0.1 * half, "{found:?}");
        assert!((found.high - (0.5 + half)).abs() < 0.1 * half, "{found:?}");
    }

    #[test]
    fn classes_count_alike() {
        let values = [(7, 1.0), (7, 1.0), (7, 0.0), (2, 0.0)];
        let mut expected = ClassMean::new();
        values.iter().for_each(|&(class, v)| expected.add(class, v));
        let found = Bootstrap::new().class_mean(&values).unwrap().unwrap();
        assert_eq!(Some(found.mean), expected.mean());
        assert!((found.mean - 1.0 / 3.0).abs() < 1e-12);
        assert!(found.low <= found.mean && found.mean <= found.high);
        assert!(found.low < found.high);
    }

    /// Where every class has one image, its mean is that of the images.
    #[test]
    fn classes_of_one_image_are_as_unsure_as_images() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 10 == 0))).collect();
        let classes: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
        let bootstrap = Bootstrap::new();
        let images = bootstrap.mean(&values).unwrap().unwrap();
        let classes = bootstrap.class_mean(&classes).unwrap().unwrap();
        assert!((images.mean - classes.mean).abs() < 1e-12);
        let [a, b] = [images, classes].map(|estimate| estimate.high - estimate.low);
        assert!((a - b).abs() < 0.15 * a, "{a} {b}");
    }

    #[test]
    fn one_image_has_no_spread_and_none_no_mean() {
        let bootstrap = Bootstrap::new();
        let one = bootstrap.mean(&[0.25]).unwrap().unwrap();
        assert_eq!((one.mean, one.low, one.high), (0.25, 0.25, 0.25));
        assert_eq!(bootstrap.mean(&[]).unwrap(), None);
        assert_eq!(bootstrap.class_mean(&[]).unwrap(), None);
        bootstrap.resamples(0).mean(&[1.0]).unwrap_err();
        bootstrap.resamples(usize::MAX).mean(&[1.0]).unwrap_err();
    }

    #[test]
    fn a_seed_is_an_interval() {
        let values: Vec<f64> = (0..30).map(|i| f64::from(i).sin()).collect();
        let of = |seed| Bootstrap::new().seed(seed).mean(&values).unwrap().unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).low, of(2).low);
    }

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0], 0.25), 0.5);
        assert_eq!(quantile(&[4.0], 0.975), 4.0);
    }
}
