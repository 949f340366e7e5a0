//! Values with the curves that they are means or areas of.

use crate::error::MetricError;
use crate::metric::{Halt, Outcome, outcome};
use crate::probe::Curve;

/// What the axes of a metric's curves say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurveAxes {
    /// What [`Curve::fractions`] are shares of, such as `share of the pixels put back`.
    pub horizontal: &'static str,
    /// What [`Curve::scores`] are, such as `probability`.
    pub vertical: &'static str,
}

/// What a metric found, and the curves that the value was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// As [`Metric::measure`](crate::Metric::measure) gives it.
    pub outcome: Outcome,
    /// By name: `curve` where there is one, `most` and `least` of ROAD. Empty where there is no value.
    pub curves: Vec<(&'static str, Curve)>,
}

impl Traced {
    /// Of a metric that is made of no curve.
    pub fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            curves: Vec::new(),
        }
    }
}

/// A value, and the curves that it is made of, by name.
pub(crate) type Made = (f64, Vec<(&'static str, Curve)>);

/// A value and its curves; where there is none, there are no curves either.
pub(crate) fn traced(found: Result<Made, Halt>) -> Result<Traced, MetricError> {
    let (found, curves) = match found {
        Ok((value, curves)) => (Ok(value), curves),
        Err(halt) => (Err(halt), Vec::new()),
    };
    let outcome = outcome(found)?;
    let curves = match outcome {
        Outcome::Value(_) => curves,
        Outcome::NotApplicable(_) => Vec::new(),
    };
    Ok(Traced { outcome, curves })
}

/// [`Metric`](crate::Metric) of a metric that has options and is a number of a curve: its function `points` makes the curve, and
/// `value` the number of it. What the axes say is given, horizontal first; else as [`measures`](crate::metric::measures).
macro_rules! traces {
    ($metric:ident $(as $info:ident)?, |$of:ident| $axes:expr) => {
        impl $crate::Metric for $metric {
            $crate::metric::described!($($info)?);
            $crate::options::stated!();

            fn measure(
                &self,
                case: &$crate::Case<'_>,
            ) -> Result<$crate::Outcome, $crate::MetricError> {
                Ok(self.trace(case)?.outcome)
            }

            fn curve_axes(&self) -> Option<$crate::CurveAxes> {
                let $of = self;
                let [horizontal, vertical] = $axes;
                Some($crate::CurveAxes {
                    horizontal,
                    vertical,
                })
            }

            fn trace(
                &self,
                case: &$crate::Case<'_>,
            ) -> Result<$crate::Traced, $crate::MetricError> {
                $crate::Metric::check(self)?;
                $crate::traced::traced(
                    self.points(case)
                        .and_then(|curve| Ok((self.value(&curve)?, vec![("curve", curve)]))),
                )
            }
        }
    };
}
pub(crate) use traces;
