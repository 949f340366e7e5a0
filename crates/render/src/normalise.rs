//! From values in any unit to the interval 0 to 1 that colour maps take.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2, Dimension};

use crate::RenderError;

/// How the values of a map become numbers from 0 to 1. As text: `min-max`, `max-abs`, `positive`, `percentile:99`,
/// `percentile-abs:99` and `range:-1,1`; percentiles are 99 where none is said.
///
/// ```
/// use elucid_render::Normalisation;
///
/// let scale: Normalisation = "percentile-abs".parse()?;
/// assert_eq!(scale, Normalisation::PercentileAbs(99.0));
/// assert_eq!(scale.to_string(), "percentile-abs:99");
/// # Ok::<(), elucid_render::RenderError>(())
/// ```
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
    /// The names with which its texts begin.
    pub const NAMES: [&str; 6] = [
        "min-max",
        "max-abs",
        "positive",
        "percentile",
        "percentile-abs",
        "range",
    ];

    /// Where the scale ends unless it is said.
    pub(crate) const PERCENTILE: f32 = 99.0;

    /// Whether zero becomes 0.5, the centre of diverging colours, whatever the values are.
    pub fn is_symmetrical(self) -> bool {
        match self {
            Self::MaxAbs | Self::PercentileAbs(_) => true,
            Self::Range { low, high } => low == -high,
            Self::MinMax | Self::Positive | Self::Percentile(_) => false,
        }
    }

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
        Ok(map.mapv(|v| match span {
            0.0 if self.is_symmetrical() => 0.5,
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
                check_range(low, high)?;
                [f64::from(low), f64::from(high)]
            }
        })
    }
}

impl fmt::Display for Normalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::MaxAbs => f.write_str("max-abs"),
            Self::Positive => f.write_str("positive"),
            Self::Percentile(p) => write!(f, "percentile:{p}"),
            Self::PercentileAbs(p) => write!(f, "percentile-abs:{p}"),
            Self::Range { low, high } => write!(f, "range:{low},{high}"),
        }
    }
}

impl FromStr for Normalisation {
    type Err = RenderError;

    /// Reads what is written as [`Normalisation`] says, in any case.
    ///
    /// # Errors
    ///
    /// [`RenderError::UnknownNormalisation`], and [`RenderError::Parameter`] for a percentile or a range that is none and for
    /// anything behind a name that takes nothing.
    fn from_str(text: &str) -> Result<Self, RenderError> {
        let wrong = |parameter, value: &str, expected| RenderError::Parameter {
            parameter,
            value: value.to_owned(),
            expected,
        };
        let lower = text.trim().to_lowercase();
        let (name, value) = match lower.split_once(':') {
            Some((name, value)) => (name.trim_end(), Some(value.trim())),
            None => (lower.as_str(), None),
        };
        let percentage = || match value {
            None => Ok(Self::PERCENTILE),
            Some(value) => match value.parse() {
                Ok(p) => check_percentile(p).map(|()| p),
                Err(_) => Err(wrong(PERCENTILE, value, PERCENTILES)),
            },
        };
        let plain = |found| match value {
            None => Ok(found),
            Some(value) => Err(wrong("a normalisation", value, "nothing behind its name")),
        };
        match name {
            "min-max" => plain(Self::MinMax),
            "max-abs" => plain(Self::MaxAbs),
            "positive" => plain(Self::Positive),
            "percentile" => percentage().map(Self::Percentile),
            "percentile-abs" => percentage().map(Self::PercentileAbs),
            "range" => {
                let value = value.unwrap_or_default();
                let ends = value.split_once(',').and_then(|(low, high)| {
                    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
                });
                let (low, high) = ends.ok_or_else(|| wrong(RANGE, value, RANGES))?;
                check_range(low, high)?;
                Ok(Self::Range { low, high })
            }
            name => {
                let nearest = Self::NAMES
                    .into_iter()
                    .min_by_key(|known| strsim::damerau_levenshtein(known, name));
                Err(RenderError::UnknownNormalisation {
                    text: text.to_owned(),
                    nearest: nearest.unwrap_or_default(),
                    known: Self::NAMES.join(", "),
                })
            }
        }
    }
}

const PERCENTILE: &str = "the percentile of a normalisation";
const PERCENTILES: &str = "a number above 0 and up to 100";
const RANGE: &str = "the range of a normalisation";
const RANGES: &str = "two finite numbers, the lower one first";

fn check_range(low: f32, high: f32) -> Result<(), RenderError> {
    match low.is_finite() && high.is_finite() && low < high {
        true => Ok(()),
        false => Err(RenderError::Parameter {
            parameter: RANGE,
            value: format!("{low} to {high}"),
            expected: RANGES,
        }),
    }
}

fn check_percentile(p: f32) -> Result<(), RenderError> {
    match p > 0.0 && p <= 100.0 {
        true => Ok(()),
        false => Err(RenderError::Parameter {
            parameter: PERCENTILE,
            value: p.to_string(),
            expected: PERCENTILES,
        }),
    }
}

/// The `p`-th percentile of values of zero and more, by nearest rank; the largest value where that
/// is zero.
pub(crate) fn percentile(values: impl Iterator<Item = f64>, p: f32) -> Result<f64, RenderError> {
    check_percentile(p)?;
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
    fn they_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<Normalisation>();
        for text in [
            "min-max",
            "max-abs",
            "positive",
            "percentile:99",
            "percentile-abs:97.5",
            "range:-0.5,2",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read(" Range: -1 , 1 ").unwrap().to_string(), "range:-1,1");
        assert_eq!(read("PERCENTILE").unwrap(), Normalisation::Percentile(99.0));
        for (text, says) in [
            ("minmax", "did you mean \"min-max\""),
            ("", "range:LOW,HIGH"),
            ("percentile:0", "above 0 and up to 100"),
            ("percentile:half", "above 0 and up to 100"),
            ("percentile:", "above 0 and up to 100"),
            ("percentile-abs:nan", "above 0 and up to 100"),
            ("range", "the lower one first"),
            ("range:1", "the lower one first"),
            ("range:1,1", "the lower one first"),
            ("range:0,inf", "the lower one first"),
            ("positive:3", "nothing behind its name"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn zero_is_in_the_centre_of_what_is_symmetrical() {
        let map = array![[-1.0, 0.0, 3.0]];
        for text in [
            "min-max",
            "max-abs",
            "positive",
            "percentile",
            "percentile-abs:40",
            "range:-2,2",
            "range:-1,2",
        ] {
            let scale: Normalisation = text.parse().unwrap();
            let zero = scale.apply(map.view()).unwrap()[[0, 1]];
            assert_eq!(zero == 0.5, scale.is_symmetrical(), "{text}: {zero}");
        }
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
