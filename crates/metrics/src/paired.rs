//! Whether one of two methods is better on the same images: a permutation test, sizes of the effect, and Holm's
//! correction for many such questions at once.
//!
//! **Test.** If two methods were alike, it would be chance which of them had the larger value on an image: the sign of each
//! difference could as well be the other. Of all ways to choose the signs, `p` is the share under which the mean of the
//! differences is at least as far from 0 as it was found (two-sided; Fisher, *The design of experiments*, 1935). Up to
//! [`EXACT`] images all ways are looked at, beyond that [`FLIPS`] drawn ones with the one found among them, so that `p` is
//! never 0 (Phipson and Smyth, *Permutation p-values should never be zero*, 2010). Of `m` questions that are corrected together,
//! [`PER_QUESTION`] times `m` ways are drawn if that is more, up to [`MOST_FLIPS`]: `m` times the smallest `p` that can come
//! out must be small. As soon as [`FAR`] of them are as far, no more than [`FLIPS`] are drawn: such a `p` is known well enough
//! (Besag and Clifford, *Sequential Monte Carlo p-values*, 1991). It assumes nothing of the distribution but that images are
//! independent; nothing is promised of other networks or kinds of images.
//!
//! **Size.** [`Paired::effect`] is the mean difference in units of the differences' deviation (Cohen's `d` for pairs, `d_z`);
//! [`Paired::share`] the share of images on which the first is larger, those on which both are equal counting half.
//!
//! **Many questions.** Of a hundred comparisons of methods that are alike, five come out below 0.05. [`holm`] corrects `p` so
//! that with the corrected ones the chance of a single wrong answer among all is at most 0.05: the smallest of `m` is
//! multiplied by `m`, the next by `m - 1`, and so on, and none may be below the one before (Holm, *A simple sequentially
//! rejective multiple test procedure*, 1979). Which questions were asked has to be said before looking.

use elucid_attribution::Random;

use crate::bootstrap::{Bootstrap, Estimate};
use crate::error::MetricError;

/// Up to so many images all signs are looked at.
pub const EXACT: usize = 14;

/// How many ways to choose the signs are drawn beyond that, at least.
pub const FLIPS: usize = 19_999;

/// How many are drawn for each question that is corrected together with this one, where that is more.
pub const PER_QUESTION: usize = 100;

/// The most that are drawn.
pub const MOST_FLIPS: usize = 1_000_000;

/// So many that are as far as what was found say how small `p` is, to a tenth of it.
pub const FAR: usize = 100;

/// How two methods differ on the same images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The mean of the differences, first minus second, with its interval.
    pub difference: Estimate,
    /// Chance of a mean difference so far from 0, were the methods alike. Not corrected for other comparisons.
    pub p: f64,
    /// The mean difference in units of the differences' deviation; none where they are all the same, to rounding.
    pub effect: Option<f64>,
    /// Share of the images on which the first is larger.
    pub share: f64,
}

impl Paired {
    /// Of the values of both methods on each image; `None` without images. The same seed gives the same numbers.
    ///
    /// # Errors
    ///
    /// None; as [`Bootstrap::mean`].
    pub fn of(pairs: &[(f64, f64)], seed: u64) -> Result<Option<Self>, MetricError> {
        Self::among(pairs, seed, 1)
    }

    /// As [`Paired::of`], for one of `questions` that will be corrected together by [`holm`]: the more there are, the smaller a
    /// `p` can be told.
    ///
    /// # Errors
    ///
    /// None; as [`Bootstrap::mean`].
    pub fn among(
        pairs: &[(f64, f64)],
        seed: u64,
        questions: usize,
    ) -> Result<Option<Self>, MetricError> {
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
        let Some(difference) = Bootstrap::new().seed(seed).mean(&differences)? else {
            return Ok(None);
        };
        let count = differences.len() as f64;
        let squares = differences.iter().map(|d| (d - difference.mean).powi(2));
        let deviation = (squares.sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
        let larger = differences.iter().map(|&d| match d {
            0.0 => 0.5,
            d => f64::from(u8::from(d > 0.0)),
        });
        let largest =
            (pairs.iter().flat_map(|(a, b)| [a, b])).fold(0.0, |m: f64, v| m.max(v.abs()));
        let flips = PER_QUESTION.saturating_mul(questions);
        Ok(Some(Self {
            difference,
            p: sign_flips(&differences, seed, flips.clamp(FLIPS, MOST_FLIPS)),
            // What is left of a deviation of 0 after rounding is none.
            effect: (deviation > 1e-12 * largest).then_some(difference.mean / deviation),
            share: larger.sum::<f64>() / count,
        }))
    }
}

/// The sum of differences of which those with a bit of `signs` have the other sign.
fn signed(differences: &[f64], signs: usize) -> f64 {
    let terms = differences.iter().enumerate();
    terms
        .map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d })
        .sum()
}

/// The share of the ways to choose signs under which the sum is at least as far from 0: of all, or of at most `flips`.
fn sign_flips(differences: &[f64], seed: u64, flips: usize) -> f64 {
    let found = differences.iter().sum::<f64>().abs();
    let size: f64 = differences.iter().map(|d| d.abs()).sum();
    // Sums of the same numbers in another order are equal.
    let as_far = |sum: f64| sum.abs() >= found - 1e-12 * size;
    let count = differences.len();
    if count <= EXACT {
        let far = (0..1_usize << count).filter(|&signs| as_far(signed(differences, signs)));
        return far.count() as f64 / (1_usize << count) as f64;
    }
    // The sums of every four, so that a way to choose the signs is looked up.
    let fours: Vec<[f64; 16]> = (differences.chunks(4))
        .map(|four| std::array::from_fn(|signs| signed(four, signs)))
        .collect();
    let mut random = Random::new(seed);
    let (mut drawn, mut far) = (0, 0);
    while drawn < flips && (drawn < FLIPS || far < FAR) {
        let mut sum = 0.0;
        for fours in fours.chunks(4) {
            let signs = random.below(1 << 16);
            let terms = fours.iter().enumerate();
            sum += terms
                .map(|(i, four)| four[signs >> (4 * i) & 15])
                .sum::<f64>();
        }
        drawn += 1;
        far += usize::from(as_far(sum));
    }
    // With the one that was found.
    (far + 1) as f64 / (drawn + 1) as f64
}

/// Holm's correction: for each `p`, the smallest error rate of all together at which it is still told apart.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|&a, &b| ps[a].total_cmp(&ps[b]));
    let mut corrected = vec![0.0; ps.len()];
    let mut before = 0.0_f64;
    for (rank, &place) in order.iter().enumerate() {
        before = before.max((ps.len() - rank) as f64 * ps[place]).min(1.0);
        corrected[place] = before;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(differences: &[f64]) -> Paired {
        let pairs: Vec<(f64, f64)> = differences.iter().map(|d| (d + 1.0, 1.0)).collect();
        Paired::of(&pairs, 0).unwrap().unwrap()
    }

    /// Of the eight ways to sign 1, 2 and 3, two reach a sum of 6; of 1, 2 and -3 all reach 0.
    #[test]
    fn three_images_by_hand() {
        let found = paired(&[1.0, 2.0, 3.0]);
        assert_eq!((found.p, found.share), (0.25, 1.0));
        assert!(
            (found.effect.unwrap() - 2.0).abs() < 1e-12,
            "mean 2, deviation 1"
        );
        let found = paired(&[1.0, 2.0, -3.0]);
        assert_eq!(found.p, 1.0);
        assert!((found.share - 2.0 / 3.0).abs() < 1e-12);
        // +-4 +-1: sums of 5, 3, -3, -5; four of four are as far as 3.
        assert_eq!(paired(&[4.0, -1.0]).p, 1.0);
        assert_eq!(paired(&[4.0, 1.0]).p, 0.5);
    }

    #[test]
    fn equal_methods_are_not_told_apart() {
        let found = paired(&[0.0; 30]);
        assert_eq!((found.p, found.share, found.effect), (1.0, 0.5, None));
        assert_eq!(found.difference.mean, 0.0);
        assert_eq!(Paired::of(&[], 0).unwrap(), None);
    }

    /// Differences that are all the same have no deviation to be measured in, though sums of them round.
    #[test]
    fn a_difference_without_deviation_has_no_effect() {
        let values = [0.1, 1e-9, -3.7, 1e12];
        for difference in values {
            for count in [1, 2, 3, 30] {
                let pairs: Vec<(f64, f64)> = (0..count)
                    .map(|i| (f64::from(i) + difference, f64::from(i)))
                    .collect();
                let found = Paired::of(&pairs, 0).unwrap().unwrap();
                assert_eq!(found.effect, None, "{count} of {difference}");
            }
        }
        let found = paired(&[0.1, 0.2]);
        assert!(found.effect.unwrap().is_finite());
    }

    /// Of many questions each may be told, however many they are.
    #[test]
    fn many_questions_draw_more_signs() {
        let all: Vec<(f64, f64)> = (0..40).map(|i| (1.0 + f64::from(i), 0.0)).collect();
        for questions in [1, 199, 1_000, 3_000] {
            let found = Paired::among(&all, 0, questions).unwrap().unwrap();
            let flips = FLIPS.max(100 * questions);
            assert_eq!(found.p, 1.0 / (flips + 1) as f64);
            let corrected = holm(&vec![found.p; questions]);
            assert!(corrected[0] < 0.05, "{questions}: {}", corrected[0]);
        }
        // What is far from being told needs no more.
        let some: Vec<(f64, f64)> = (0..40).map(|i| (f64::from(i % 5) - 1.5, 0.0)).collect();
        let [one, many] = [1, 3_000].map(|m| Paired::among(&some, 0, m).unwrap());
        assert!(one.unwrap().p > 0.005);
        assert_eq!(one, many);
    }

    /// Where signs are drawn, the share is that of the normal distribution: a mean of two standard errors has 0.0455.
    #[test]
    fn drawn_signs_give_what_the_normal_distribution_does() {
        let n = 400;
        let shift = 2.0 / f64::from(n).sqrt();
        // Two values of deviation 1 around the shift, as often one as the other.
        let differences: Vec<f64> = (0..n)
            .map(|i| shift + if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let found = paired(&differences);
        assert!((found.p - 0.0455).abs() < 0.006, "{}", found.p);
        let far: Vec<f64> = differences.iter().map(|d| d + 1.0).collect();
        assert_eq!(paired(&far).p, 1.0 / (FLIPS + 1) as f64);
        // Exact and drawn signs agree where both can be had.
        let few = &differences[..EXACT];
        let drawn = {
            let mut random = Random::new(3);
            let found = few.iter().sum::<f64>().abs();
            let far = (0..20_000).filter(|_| {
                let signed = few
                    .iter()
                    .map(|d| if random.below(2) == 1 { -d } else { *d });
                signed.sum::<f64>().abs() >= found - 1e-9
            });
            far.count() as f64 / 20_000.0
        };
        assert!((sign_flips(few, 0, FLIPS) - drawn).abs() < 0.02);
    }

    /// Holm's steps by hand: 0.01, 0.04, 0.03 of three become 0.03, 0.06, 0.06.
    #[test]
    fn holm_by_hand() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        let expected = [0.03, 0.06, 0.06];
        for (a, b) in corrected.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
