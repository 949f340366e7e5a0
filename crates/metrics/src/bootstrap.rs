//! How sure a mean over images is: intervals by the bootstrap.
//!
//! Images are drawn from the images with replacement, as many as there are, a thousand times; each
//! time the mean is taken anew. The interval is the middle 95 % of these means: the 2.5th and the
//! 97.5th percentile, interpolated as NumPy does. Efron, *Bootstrap methods: another look at the
//! jackknife* (1979).
//!
//! **BCa.** Values that are skewed, as most are 0 and some large, have means whose percentiles lie to one side, and with few images
//! the interval is too narrow. [`Bootstrap::bca`] takes other percentiles than these: bias-corrected and accelerated ones (Efron,
//! *Better bootstrap confidence intervals*, 1987). With the share `b` of the means below that of the images themselves, those equal
//! to it counting half, and the means `m_i` without image `i`,
//!
//! ```text
//! z = inverse normal distribution of b,  a = sum of (m - m_i)^3 / (6 (sum of (m - m_i)^2)^(3/2))
//! percentile of q: normal distribution of (z + (z + z_q) / (1 - a (z + z_q)))
//! ```
//!
//! for `q` of 2.5 % and 97.5 %, with `z_q` = -1.96 and 1.96. Of means over classes, `m_i` is the mean without class `i`, since
//! classes are what is drawn first. Where all means are the same the interval is that one number.
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
    bca: bool,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self::new()
    }
}

impl Bootstrap {
    /// 1000 resamples, seed 0, percentiles.
    pub fn new() -> Self {
        Self {
            resamples: 1000,
            seed: 0,
            bca: false,
        }
    }

    /// Intervals are bias-corrected and accelerated, rather than plain percentiles.
    pub fn bca(mut self) -> Self {
        self.bca = true;
        self
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
        self.estimate(values.len(), mean(values), values, |random| {
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
        self.estimate(values.len(), mean(&means), &means, |random| {
            let drawn = (0..classes.len())
                .map(|_| drawn_mean(&classes[random.below(classes.len())], random));
            drawn.sum::<f64>() / classes.len() as f64
        })
    }

    /// `mean` is that of the `count` images themselves, and of the `parts` that are drawn, `resample` that of a new draw.
    fn estimate(
        &self,
        count: usize,
        mean: f64,
        parts: &[f64],
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
        let [low, high] = match self.bca {
            true => accelerated(mean, parts, &means, [tail, 1.0 - tail]),
            false => [tail, 1.0 - tail],
        };
        Ok(Some(Estimate {
            mean,
            low: quantile(&means, low),
            high: quantile(&means, high),
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

/// The percentiles, as shares, of sorted means that stand for those of `shares` after correction for bias and skewness.
fn accelerated(mean: f64, parts: &[f64], means: &[f64], shares: [f64; 2]) -> [f64; 2] {
    // Sums of the same numbers in another order are equal.
    let rounding = 1e-12 * parts.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let below = means.iter().filter(|&&m| m < mean - rounding).count() as f64;
    let equal = means.iter().filter(|&&m| (m - mean).abs() <= rounding);
    let below = below + equal.count() as f64 / 2.0;
    let count = means.len() as f64;
    // All on one side of it would be infinitely far: half a draw is on the other.
    let bias = normal_quantile(below.clamp(0.5, count - 0.5) / count);
    // The mean without one of n differs from the mean by its deviation over n - 1, which cancels.
    let power = |n| parts.iter().map(|v| (v - mean).powi(n)).sum::<f64>();
    let squares = power(2);
    let acceleration = match squares.sqrt() > rounding {
        true => power(3) / (6.0 * squares.powf(1.5)),
        false => 0.0,
    };
    shares.map(|share| {
        let z = bias + normal_quantile(share);
        // So skewed that no percentile is far enough out.
        let stretch = (1.0 - acceleration * z).max(f64::MIN_POSITIVE);
        normal(bias + z / stretch)
    })
}

/// The normal distribution: the chance of a number below `z`.
fn normal(z: f64) -> f64 {
    libm::erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

/// Below which number a normal one is with this chance, of 0 to 1, by halving; none is sought beyond 40 deviations.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        match normal(middle) < share {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
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
    fn the_normal_distribution() {
        assert!((normal(1.959_963_985) - 0.975).abs() < 1e-9);
        assert!((normal_quantile(0.025) + 1.959_963_985).abs() < 1e-8);
        assert_eq!(normal(-50.0), 0.0);
        assert!(normal_quantile(0.5).abs() < 1e-12);
    }

    /// Five means, of which three are below and one is equal: b = 0.7, z = 0.524401. Of 1 1 1 5 with the mean 2: cubes -3 + 27,
    /// squares 3 + 9, a = 24 / (6 * 12^1.5) = 0.096225.
    #[test]
    fn acceleration_by_hand() {
        let parts = [1.0, 1.0, 1.0, 5.0];
        let means = [1.0, 1.5, 1.75, 2.0, 3.0];
        let (z, a) = (0.524_400_513, 24.0 / (6.0 * 12_f64.powf(1.5)));
        let want = [-1.959_963_985, 1.959_963_985].map(|q| {
            let both: f64 = z + q;
            normal(z + both / (1.0 - a * both))
        });
        let found = accelerated(2.0, &parts, &means, [0.025, 0.975]);
        for (found, want) in found.iter().zip(want) {
            assert!((found - want).abs() < 1e-8, "{found} {want}");
        }
        // Without bias and skewness they are what they were.
        let found = accelerated(2.0, &[1.0, 3.0], &[1.0, 2.0, 3.0], [0.025, 0.975]);
        assert!((found[0] - 0.025).abs() < 1e-9 && (found[1] - 0.975).abs() < 1e-9);
    }

    /// Of values skewed to the right both ends lie further to the right, and the interval holds the true mean more often: that of
    /// percentiles is too short there.
    #[test]
    fn skewed_means_are_held_more_often() {
        let mut random = Random::new(5);
        let (mut plain, mut bca, mut further) = (0, 0, 0);
        for seed in 0..1000 {
            // Squares of exponential numbers: of mean 2.
            let values: Vec<f64> = (0..30)
                .map(|_| (1.0 - f64::from(random.uniform())).ln().powi(2))
                .collect();
            let of = |bootstrap: Bootstrap| {
                let found = bootstrap.seed(seed).mean(&values).unwrap().unwrap();
                (found.low, found.high)
            };
            let holds = |(low, high)| usize::from(low <= 2.0 && 2.0 <= high);
            let (a, b) = (of(Bootstrap::new()), of(Bootstrap::new().bca()));
            plain += holds(a);
            bca += holds(b);
            further += usize::from(b.0 >= a.0 && b.1 > a.1);
        }
        assert!(bca > plain + 10, "{bca} and {plain} of 1000");
        assert!(further > 950, "{further} of 1000");
    }

    #[test]
    fn accelerated_intervals_of_odd_values() {
        let bca = Bootstrap::new().bca();
        let one = bca.mean(&[0.25]).unwrap().unwrap();
        assert_eq!((one.low, one.high), (0.25, 0.25));
        let same = bca.mean(&[0.1; 30]).unwrap().unwrap();
        assert!((same.low - 0.1).abs() < 1e-12 && (same.high - 0.1).abs() < 1e-12);
        assert_eq!(bca.mean(&[]).unwrap(), None);
        let mut rare = vec![0.0; 200];
        rare[7] = 1e9;
        let found = bca.mean(&rare).unwrap().unwrap();
        assert!(found.low >= 0.0 && found.low <= found.mean && found.mean <= found.high);
        let classes = [(0, 1.0), (0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0)];
        let found = bca.class_mean(&classes).unwrap().unwrap();
        assert!(found.low <= found.mean && found.mean <= found.high);
        assert!(found.low < found.high);
    }

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0], 0.25), 0.5);
        assert_eq!(quantile(&[4.0], 0.975), 4.0);
    }
}
