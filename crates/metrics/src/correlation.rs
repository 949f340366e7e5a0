//! Correlations of numbers in pairs.

use std::cmp::Ordering;

use crate::options::words;

words! {
    /// How numbers in pairs are correlated.
    pub enum Correlation: "correlation", CORRELATIONS = "pearson or spearman" {
        /// Pearson's: whether they lie on a line.
        Pearson = "pearson",
        /// Spearman's, of ranks: whether they have the same order.
        Spearman = "spearman",
    }
}

impl Correlation {
    /// The correlation of `a` and `b`, as many numbers each, -1 to 1. 0 where either are all the same.
    pub fn of(self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Self::Pearson => pearson(a, b),
            Self::Spearman => of_ranks(a, b),
        }
    }
}

/// The correlation of the ranks of `a` and `b`, of which equal values share the mean.
pub(crate) fn of_ranks<T: PartialOrd + Copy>(a: &[T], b: &[T]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Share of the largest number below which a deviation is rounding.
const ROUNDING: f64 = 1e-12;

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let largest = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let deviations = values.iter().map(|v| v - mean);
        let furthest = deviations
            .clone()
            .fold(0.0_f64, |most, d| most.max(d.abs()));
        // What is left of equal numbers is none; others are brought to a size whose square is a number.
        match furthest <= ROUNDING * largest {
            true => vec![0.0; values.len()],
            false => deviations.map(|d| d / furthest).collect(),
        }
    };
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let length = (product(&a, &a) * product(&b, &b)).sqrt();
    match length > 0.0 {
        true => (product(&a, &b) / length).clamp(-1.0, 1.0),
        false => 0.0,
    }
}

/// Ranks from 0, the largest first; equal values share the mean of theirs.
pub(crate) fn ranks<T: PartialOrd + Copy>(values: &[T]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap_or(Ordering::Equal));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (run.len() - 1) as f64 / 2.0;
        run.iter().for_each(|&i| ranks[i] = rank);
        start += run.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_by_hand() {
        // Deviations -1 0 1 and -1 1 0: 1 / 2.
        let (a, b) = ([1.0, 2.0, 3.0], [5.0, 7.0, 6.0]);
        assert!((Correlation::Pearson.of(&a, &b) - 0.5).abs() < 1e-12);
        assert!((Correlation::Spearman.of(&a, &b) - 0.5).abs() < 1e-12);
        let far = [1.0, 2.0, 1e9];
        assert!((Correlation::Spearman.of(&a, &far) - 1.0).abs() < 1e-12);
        assert!((Correlation::Pearson.of(&a, &a.map(|v| -2e200 * v)) + 1.0).abs() < 1e-12);
        // Ranks 2 1/2 1/2 of the first, 2 1 0 of the second.
        let tied = Correlation::Spearman.of(&[1.0, 4.0, 4.0], &a);
        assert!((tied - 1.5 / (1.5_f64 * 2.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn equal_numbers_are_correlated_with_nothing() {
        let a = [0.1, 0.1, 0.1];
        for correlation in [Correlation::Pearson, Correlation::Spearman] {
            assert_eq!(correlation.of(&a, &[1.0, 2.0, 3.0]), 0.0);
            assert_eq!(correlation.of(&[], &[]), 0.0);
            assert_eq!(correlation.of(&[1.0], &[2.0]), 0.0);
        }
    }
}
