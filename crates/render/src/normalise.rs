//! From values in any unit to the interval 0 to 1 that colour maps take.

use ndarray::{Array2, ArrayView2, Dimension};

use crate::RenderError;

/// How the values of a map become numbers from 0 to 1.
///
/// | variant | 0 | 1 | a constant map becomes |
/// | --- | --- | --- | --- |
/// | `MinMax` | the smallest value | the largest value | 0 |
/// | `MaxAbs` | `-max abs(v)` | `+max abs(v)` | 0 or 1 by its sign, 0.5 when it is zero |
/// | `Positive` | 0 and everything below | the largest value | 1, or 0 unless it is positive |
/// | `Percentile(p)` | 0 and everything below | the `p`-th percentile of the positive parts | 1, or 0 unless it is positive |
/// | `PercentileAbs(p)` | minus the `p`-th percentile of `abs(v)` | plus the same | 0 or 1 by its sign, 0.5 when it is zero |
/// | `Range` | `low` and everything below | `high` and everything above | by its value |
///
/// `MaxAbs` puts zero at 0.5, the centre of a diverging colour map such as
/// [`ColorMap::RdBu`](crate::ColorMap::RdBu); so does `PercentileAbs`.
///
/// Gradients have outliers, beside which everything else would be dark. The two percentiles leave
/// them at the end of the scale: 99 is what PAIR's saliency library draws with. Where the percentile
/// is zero, because fewer cells than that have a value, the largest value takes its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalisation {
    /// From the smallest to the largest value.
    MinMax,
    /// Symmetrical about zero, for signed maps.
    MaxAbs,
    /// The positive part over the largest value.
    Positive,
    /// The positive part over a percentile of it: nearest rank, over 0 and up to 100.
    Percentile(f32),
    /// Symmetrical about zero, by a percentile of the absolute values: nearest rank, over 0 and up
    /// to 100.
    PercentileAbs(f32),
    /// A fixed range, the same for several maps.
    Range {
        /// The value that becomes 0.
        low: f32,
        /// The value that becomes 1; above `low`.
        high: f32,
    },
}

impl Normalisation {
    /// The map `[H, W]` with every value in 0 to 1.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] for a map without cells, [`RenderError::NotFinite`] for a NaN or an
    /// infinity, [`RenderError::Parameter`] for a range that is not finite and increasing, and for a
    /// percentile that is none.
    pub fn apply(self, map: ArrayView2<f32>) -> Result<Array2<f32>, RenderError> {
        let [low, high] = self.ends(map)?;
        let span = high - low;
        let is_symmetrical = matches!(self, Self::MaxAbs | Self::PercentileAbs(_));
        Ok(map.mapv(|v| match span {
            0.0 if is_symmetrical => 0.5,
            0.0 => 0.0,
            span => ((f64::from(v) - low) / span).clamp(0.0, 1.0) as f32,
        }))
    }

    /// The values of the map `[H, W]` that become 0 and 1, of which there is one where nothing has a scale.
    ///
    /// # Errors
    ///
    /// As [`Normalisation::apply`].
    pub fn range(self, map: ArrayView2<f32>) -> Result<[f32; 2], RenderError> {
        Ok(self.ends(map)?.map(|end| end as f32))
    }

    fn ends(self, map: ArrayView2<f32>) -> Result<[f64; 2], RenderError> {
        check_map("the map", map)?;
        // f64, because the distance between two finite f32 may not be one.
        let values = || map.iter().map(|&v| f64::from(v));
        Ok(match self {
            Normalisation::MinMax => [
                values().fold(f64::INFINITY, f64::min),
                values().fold(f64::NEG_INFINITY, f64::max),
            ],
            Normalisation::MaxAbs | Normalisation::PercentileAbs(_) => {
                let largest = match self {
                    Normalisation::PercentileAbs(p) => percentile(values().map(f64::abs), p)?,
                    _ => values().map(f64::abs).fold(0.0, f64::max),
                };
                // No minus zero.
                [0.0 - largest, largest]
            }
            Normalisation::Positive => [0.0, values().fold(0.0, f64::max)],
            Normalisation::Percentile(p) => [0.0, percentile(values().map(|v| v.max(0.0)), p)?],
            Normalisation::Range { low, high } => {
                if !(low.is_finite() && high.is_finite() && low < high) {
                    return Err(RenderError::Parameter {
                        parameter: "the range of a normalisation",
                        value: format!("{low} to {high}"),
                        expected: "two finite numbers, the lower one first",
                    });
                }
                [f64::from(low), f64::from(high)]
            }
        })
    }
}

/// The `p`-th percentile of values of zero and more, by nearest rank; the largest value where that
/// is zero.
pub(crate) fn percentile(values: impl Iterator<Item = f64>, p: f32) -> Result<f64, RenderError> {
    if !(p > 0.0 && p <= 100.0) {
        return Err(RenderError::Parameter {
            parameter: "the percentile of a normalisation",
            value: p.to_string(),
            expected: "a number above 0 and up to 100",
        });
    }
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let rank = (f64::from(p) / 100.0 * values.len() as f64).ceil() as usize;
    let at = values.get(rank.saturating_sub(1)).copied();
    let largest = values.last().copied().unwrap_or(0.0);
    Ok(at.filter(|&v| v > 0.0).unwrap_or(largest))
}

/// Refuses maps without cells and values that are not numbers.
pub(crate) fn check_map(what: &str, map: ArrayView2<f32>) -> Result<(), RenderError> {
    if map.is_empty() {
        return Err(RenderError::Empty {
            what: what.to_owned(),
            shape: map.shape().to_vec(),
        });
    }
    check_finite(what, map.into_dyn())
}

pub(crate) fn check_finite(what: &str, array: ndarray::ArrayViewD<f32>) -> Result<(), RenderError> {
    if array.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    match array.indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((index, &value)) => Err(RenderError::NotFinite {
            what: what.to_owned(),
            index: index.slice().to_vec(),
            value,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let map = array![[-1.0, 0.0], [1.0, 3.0]];
        let apply = |n: Normalisation| n.apply(map.view()).unwrap();
        assert_eq!(
            apply(Normalisation::MinMax),
            array![[0.0, 0.25], [0.5, 1.0]]
        );
        assert_eq!(
            apply(Normalisation::MaxAbs),
            array![[1.0 / 3.0, 0.5], [2.0 / 3.0, 1.0]]
        );
        assert_eq!(
            apply(Normalisation::Positive),
            array![[0.0, 0.0], [1.0 / 3.0, 1.0]]
        );
        let range = Normalisation::Range {
            low: 0.0,
            high: 2.0,
        };
        assert_eq!(apply(range), array![[0.0, 0.0], [0.5, 1.0]]);
    }

    #[test]
    fn percentiles_leave_outliers_at_the_end() {
        // 1 to 99, and an outlier; nearest rank puts 99 at the 99th percentile.
        let map = Array2::from_shape_fn((10, 10), |(y, x)| (10 * y + x + 1) as f32);
        let mut positive = map.clone();
        positive[[9, 9]] = 1e6;
        let unit = Normalisation::Percentile(99.0)
            .apply(positive.view())
            .unwrap();
        assert_eq!(unit[[9, 8]], 1.0);
        assert_eq!(unit[[9, 9]], 1.0);
        assert!((unit[[3, 2]] - 33.0 / 99.0).abs() < 1e-6);
        let unit = Normalisation::PercentileAbs(99.0)
            .apply(positive.mapv(|v| -v).view())
            .unwrap();
        assert_eq!((unit[[9, 8]], unit[[9, 9]]), (0.0, 0.0));
        assert!((unit[[3, 2]] - (0.5 - 33.0 / 198.0)).abs() < 1e-6);

        // One lit cell of a hundred is not lost.
        let mut one = Array2::zeros((10, 10));
        one[[4, 5]] = 2.0;
        let unit = Normalisation::Percentile(50.0).apply(one.view()).unwrap();
        assert_eq!((unit[[4, 5]], unit.sum()), (1.0, 1.0));

        for p in [0.0, -1.0, 100.5, f32::NAN] {
            for normalisation in [
                Normalisation::Percentile(p),
                Normalisation::PercentileAbs(p),
            ] {
                let error = normalisation.apply(map.view());
                assert!(matches!(error, Err(RenderError::Parameter { .. })));
            }
        }
    }

    #[test]
    fn constant_maps_are_defined() {
        let cases = [
            (Normalisation::MinMax, 5.0, 0.0),
            (Normalisation::MinMax, 0.0, 0.0),
            (Normalisation::MaxAbs, 5.0, 1.0),
            (Normalisation::MaxAbs, -5.0, 0.0),
            (Normalisation::MaxAbs, 0.0, 0.5),
            (Normalisation::Positive, 5.0, 1.0),
            (Normalisation::Positive, 0.0, 0.0),
            (Normalisation::Positive, -5.0, 0.0),
            (Normalisation::Percentile(99.0), 5.0, 1.0),
            (Normalisation::Percentile(99.0), 0.0, 0.0),
            (Normalisation::Percentile(99.0), -5.0, 0.0),
            (Normalisation::PercentileAbs(99.0), 5.0, 1.0),
            (Normalisation::PercentileAbs(99.0), -5.0, 0.0),
            (Normalisation::PercentileAbs(99.0), 0.0, 0.5),
        ];
        for (normalisation, value, expected) in cases {
            let map = normalisation.apply(array![[value, value]].view()).unwrap();
            assert_eq!(
                map,
                array![[expected, expected]],
                "{normalisation:?} of {value}"
            );
        }
    }

    #[test]
    fn bad_maps_and_ranges_are_errors() {
        let error = Normalisation::MinMax.apply(Array2::zeros((0, 3)).view());
        assert!(matches!(error, Err(RenderError::Empty { .. })));
        let error = Normalisation::MaxAbs.apply(array![[0.0, f32::NAN]].view());
        assert!(
            matches!(error, Err(RenderError::NotFinite { index, .. }) if index == [0, 1]),
            "the position is named"
        );
        for (low, high) in [
            (1.0, 1.0),
            (2.0, 1.0),
            (f32::NAN, 1.0),
            (0.0, f32::INFINITY),
        ] {
            let error = Normalisation::Range { low, high }.apply(array![[1.0]].view());
            assert!(matches!(error, Err(RenderError::Parameter { .. })));
        }
    }

    proptest! {
        #[test]
        fn stays_in_the_interval_and_keeps_the_order(
            values in proptest::collection::vec(proptest::num::f32::NORMAL, 6),
        ) {
            let map = Array2::from_shape_vec((2, 3), values).unwrap();
            for normalisation in [
                Normalisation::MinMax,
                Normalisation::MaxAbs,
                Normalisation::Positive,
                Normalisation::Percentile(70.0),
                Normalisation::PercentileAbs(70.0),
                Normalisation::Range { low: -2.0, high: 7.0 },
            ] {
                let out = normalisation.apply(map.view()).unwrap();
                prop_assert!(out.iter().all(|t| (0.0..=1.0).contains(t)));
                for (a, ta) in map.iter().zip(&out) {
                    for (b, tb) in map.iter().zip(&out) {
                        prop_assert!(a > b || ta <= tb);
                    }
                }
            }
        }
    }
}
