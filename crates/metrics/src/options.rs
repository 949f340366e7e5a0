//! Options of metrics, each described once.
//!
//! [`options!`](crate::options!) lists the options of a metric where the metric is defined, as that of methods
//! does: builder methods, the options of the table with their help, the ranges that are checked, and the
//! [`Configuration`](crate::Configuration) by which a built metric says what it will do follow from the list.

use crate::error::MetricError;
use crate::metric::{at_least_one, number};

/// The options of a metric, each described once: `options!(Metric { {…} {…} })`, as those of a method
/// ([`elucid_attribution::options!`]), with [`MetricError`]. The metric implements
/// [`Configurable`](crate::Configurable) by it.
///
/// ```
/// use elucid_metrics::{Configurable, options};
///
/// #[derive(Debug, Clone)]
/// struct Centred {
///     share: f64,
/// }
///
/// options!(Centred {
///     {
///         /// Which share of the pixels counts as the middle.
///         share: f64 as "share", "share of the pixels in the middle", "a share from 0 to 1",
///         |share| (0.0..=1.0).contains(share)
///     }
/// });
///
/// let mut metric = Centred { share: 0.5 };
/// metric.configure("share", "0.25")?;
/// assert_eq!(metric.configured([224, 224]).to_string(), "share 0.25");
/// let refused = metric.share(2.0).check_options().unwrap_err();
/// assert_eq!(refused.to_string(), "share is 2, expected a share from 0 to 1");
/// # Ok::<(), elucid_metrics::MetricError>(())
/// ```
#[macro_export]
macro_rules! options {
    ($($list:tt)*) => {
        $crate::configurable!($crate::MetricError; $($list)*);
    };
}

/// What a metric that has [`options!`] says of itself, and refuses.
macro_rules! stated {
    () => {
        fn configuration(&self, size: [usize; 2]) -> $crate::Configuration {
            $crate::Configurable::configured(self, size)
        }

        fn check(&self) -> Result<(), $crate::MetricError> {
            $crate::Configurable::check_options(self)
        }
    };
}
pub(crate) use stated;

/// Values that are called by a word.
macro_rules! words {
    ($($described:tt)*) => {
        elucid_attribution::words!($crate::MetricError; $($described)*);
    };
}
pub(crate) use words;

elucid_attribution::option_error!(MetricError of metric);

/// A number, or a word that stands for none.
pub(crate) fn number_or(word: &str, text: &str) -> Option<Option<usize>> {
    match text.trim() {
        text if text == word => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// Numbers joined by `+`.
pub(crate) fn joined(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
    numbers.join("+")
}

/// The inverse; `None` where one is no number.
pub(crate) fn parted(text: &str) -> Option<Vec<f64>> {
    let parts = text.split('+').map(|part| part.trim().parse());
    parts.collect::<Result<_, _>>().ok()
}

/// Refuses percentages that leave nothing or all, and none of them.
pub(crate) fn check_percentages(percentages: &[f64]) -> Result<(), MetricError> {
    at_least_one("number of percentages", percentages.len())?;
    percentages.iter().try_for_each(|&percent| {
        let is_part = |v| 0.0 < v && v < 100.0;
        number("percentage", percent, is_part, "more than 0, less than 100")
    })
}

pub(crate) const TRUE_OR_FALSE: &str = "true or false";

/// For ranges of numbers: above 0.
pub(crate) fn is_positive(value: &f64) -> bool {
    *value > 0.0 && value.is_finite()
}

/// For ranges of numbers: 0 or more.
pub(crate) fn is_not_negative(value: &f64) -> bool {
    *value >= 0.0 && value.is_finite()
}

/// For ranges of numbers: from 0 to 1.
pub(crate) fn is_share(value: &f64) -> bool {
    (0.0..=1.0).contains(value)
}

/// For ranges of numbers: between 0 and 1.
pub(crate) fn is_part(value: &f64) -> bool {
    0.0 < *value && *value < 1.0
}

/// For ranges of counts: 1 or more.
pub(crate) fn is_some_number(count: &usize) -> bool {
    *count > 0
}
