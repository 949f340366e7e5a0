//! What all metrics share.

use std::fmt;

use elucid_attribution::{AttributionError, Configuration};
use elucid_graph::GraphError;

use crate::case::Case;
use crate::error::MetricError;
use crate::table::{Build, MetricOption};
use crate::traced::{CurveAxes, Traced};

/// A measure of one explanation of one image.
///
/// Every metric reads the same: a builder with defaults, then [`measure`](Metric::measure). The
/// table of all metrics by name is [`METRICS`](crate::METRICS).
pub trait Metric: fmt::Debug + Send + Sync {
    /// The metric's name in the table of metrics.
    fn name(&self) -> &str;

    /// Whether larger or smaller values are better.
    fn direction(&self) -> Direction;

    /// What it needs besides the map.
    fn needs(&self) -> Needs;

    /// What it will do on images of `[height, width]`: its own options in effect. Reports print it.
    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let _ = size;
        Configuration::new()
    }

    /// Checks the parameters, as [`measure`](Metric::measure) does before any work.
    ///
    /// # Errors
    ///
    /// [`MetricError::Parameter`] for one that is out of range.
    fn check(&self) -> Result<(), MetricError> {
        Ok(())
    }

    /// Measures one explanation.
    ///
    /// Maps with numbers that are not finite, and cases that lack what the metric
    /// [`needs`](Metric::needs), are not errors: they give [`Outcome::NotApplicable`].
    ///
    /// # Errors
    ///
    /// As [`Metric::check`], and whatever running the network or attributing again meets.
    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError>;

    /// What the axes of its curves say; `None` for a metric whose value is no mean or area of any.
    fn curve_axes(&self) -> Option<CurveAxes> {
        None
    }

    /// As [`measure`](Metric::measure), which does the same work, with the curves that the value was made of. A metric with
    /// [`curve_axes`](Metric::curve_axes) gives one or more with every value.
    ///
    /// # Errors
    ///
    /// As [`Metric::measure`].
    fn trace(&self, case: &Case<'_>) -> Result<Traced, MetricError> {
        Ok(Traced::plain(self.measure(case)?))
    }
}

impl<M: Metric + ?Sized> Metric for Box<M> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn direction(&self) -> Direction {
        (**self).direction()
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        (**self).configuration(size)
    }

    fn check(&self) -> Result<(), MetricError> {
        (**self).check()
    }

    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError> {
        (**self).measure(case)
    }

    fn curve_axes(&self) -> Option<CurveAxes> {
        (**self).curve_axes()
    }

    fn trace(&self, case: &Case<'_>) -> Result<Traced, MetricError> {
        (**self).trace(case)
    }
}

/// Which end of a metric is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Larger is better.
    Larger,
    /// Smaller is better.
    Smaller,
}

impl Direction {
    /// Whether `a` is better than `b`.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Larger => a > b,
            Self::Smaller => a < b,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Larger => "larger is better",
            Self::Smaller => "smaller is better",
        })
    }
}

/// What a metric asks of an explanation: the six kinds of Hedström et al. 2023 (Quantus).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Whether the network depends on what the map shows.
    Faithfulness,
    /// Whether the explanation stays where the image hardly changes.
    Robustness,
    /// Whether the map lies on the object.
    Localisation,
    /// On how little the explanation rests.
    Complexity,
    /// Whether the explanation changes where weights or classes do.
    Randomisation,
    /// Whether the explanation has a property that follows from a definition.
    Axiomatic,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Faithfulness,
        Self::Robustness,
        Self::Localisation,
        Self::Complexity,
        Self::Randomisation,
        Self::Axiomatic,
    ];

    /// In one word, such as `faithfulness`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faithfulness => "faithfulness",
            Self::Robustness => "robustness",
            Self::Localisation => "localisation",
            Self::Complexity => "complexity",
            Self::Randomisation => "randomisation",
            Self::Axiomatic => "axiomatic",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a metric needs besides the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Where the object is: boxes or a mask.
    pub truth: bool,
    /// The network's scores of changed images.
    pub scores: bool,
    /// A [`Model`](elucid_vision::Model), whose weights can be changed, rather than any network.
    pub model: bool,
    /// The attribution that the map was made from; where it is not given, the attributor makes it
    /// again.
    pub attribution: bool,
    /// The attributor, to be called again.
    pub attributor: bool,
}

impl Needs {
    /// Nothing but the map.
    pub const MAP: Self = Self {
        truth: false,
        scores: false,
        model: false,
        attribution: false,
        attributor: false,
    };

    /// Where the object is.
    pub const TRUTH: Self = Self {
        truth: true,
        ..Self::MAP
    };

    /// The network's scores of changed images.
    pub const SCORES: Self = Self {
        scores: true,
        ..Self::MAP
    };
}

/// What a metric found.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A finite number.
    Value(f64),
    /// Nothing, and why. Means leave such images out, and should say how many they are.
    NotApplicable(NotApplicable),
}

impl Outcome {
    /// The number, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::NotApplicable(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) if value.abs() < 1e-3 && *value != 0.0 => write!(f, "{value:.2e}"),
            Self::Value(value) => write!(f, "{value:.4}"),
            Self::NotApplicable(reason) => write!(f, "not applicable: {reason}"),
        }
    }
}

/// Why a metric says nothing about an explanation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotApplicable {
    /// The map holds NaN or an infinity.
    #[error("the map holds numbers that are not finite")]
    NotFinite,
    /// The map has no number above zero.
    #[error("the map has no number above zero")]
    NothingPositive,
    /// The map, or the attribution, is zero everywhere.
    #[error("the explanation is zero everywhere")]
    Zero,
    /// The map has one value only, of whose complexity there is no share.
    #[error("the map is the same everywhere")]
    ConstantMap,
    /// The image has one value only, so that it has no scale to perturb it by.
    #[error("the image is constant")]
    ConstantImage,
    /// Neither boxes nor a mask.
    #[error("it is not known where the object is: no boxes and no mask")]
    NoTruth,
    /// The boxes or the mask leave nothing out, or have no pixel.
    #[error("the mask has no pixel")]
    EmptyMask,
    /// The case has no attributor.
    #[error("there is no method to attribute again with")]
    NoAttributor,
    /// The case has neither an attribution nor an attributor.
    #[error("only a map is known, not the attribution that it shows")]
    NoAttribution,
    /// The attribution is at a layer.
    #[error("the attribution is at layer \"{layer}\", not at the pixels")]
    NotAtInput {
        /// The layer.
        layer: String,
    },
    /// The method does not state what its attributions add up to.
    #[error("the method promises no sum")]
    NoPromise,
    /// The network's weights cannot be changed.
    #[error("the network's weights cannot be changed")]
    NeedsModel,
    /// The network has no weights that can be randomised.
    #[error("the network has no layer with weights")]
    NoWeights,
    /// The network's scores are no logits of probabilities.
    #[error("the network's scores are numbers, not logits of probabilities")]
    NoProbability,
    /// The mask is the whole image.
    #[error("the mask leaves no pixel out")]
    FullMask,
    /// What is explained is no class, so that there is no other one.
    #[error("what is explained is no class of the picture")]
    NotAClass,
    /// The image from which a curve begins is as good as the true one.
    #[error("the class is seen without any pixel of the map")]
    NothingGained,
    /// Changes of the image that rounding has swallowed.
    #[error("the image has no digits for so small a change")]
    Rounded,
    /// No change of the image that was drawn left the network's best guess as it is.
    #[error("the network's best guess changed with every change of the image")]
    NoNeighbour,
    /// The network has one class only.
    #[error("the network has no other class")]
    OneClass,
    /// What a metric of one's own says, in words.
    #[error("{0}")]
    Other(String),
}

/// Why a measurement ends early.
pub(crate) enum Halt {
    Error(MetricError),
    Not(NotApplicable),
}

impl From<MetricError> for Halt {
    fn from(error: MetricError) -> Self {
        Self::Error(error)
    }
}

impl From<AttributionError> for Halt {
    fn from(error: AttributionError) -> Self {
        Self::Error(error.into())
    }
}

impl From<GraphError> for Halt {
    fn from(error: GraphError) -> Self {
        Self::Error(error.into())
    }
}

impl From<NotApplicable> for Halt {
    fn from(reason: NotApplicable) -> Self {
        Self::Not(reason)
    }
}

pub(crate) fn outcome(found: Result<f64, Halt>) -> Result<Outcome, MetricError> {
    match found {
        Ok(value) if value.is_finite() => Ok(Outcome::Value(value)),
        Ok(_) => Ok(Outcome::NotApplicable(NotApplicable::NotFinite)),
        Err(Halt::Not(reason)) => Ok(Outcome::NotApplicable(reason)),
        Err(Halt::Error(error)) => Err(error),
    }
}

/// What was computed, or the reason why it does not exist.
pub(crate) fn or_reason<T>(
    found: Result<T, Halt>,
) -> Result<Result<T, NotApplicable>, MetricError> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(Halt::Not(reason)) => Ok(Err(reason)),
        Err(Halt::Error(error)) => Err(error),
    }
}

/// How many changed images are propagated together by default.
pub(crate) const BATCH_SIZE: usize = 8;

/// Builder methods that several metrics have.
macro_rules! setters {
    ($($field:ident),* $(,)?) => {
        $(crate::metric::setters!(@$field);)*
    };
    (@batch_size) => {
        /// How many changed images are propagated together, 8 by default: what bounds the memory.
        pub fn batch_size(mut self, batch_size: usize) -> Self {
            self.batch_size = batch_size;
            self
        }
    };
    (@seed) => {
        /// Where the random numbers begin, 0 by default. The same seed gives the same value, for images of one
        /// [identity](crate::Case::identity).
        pub fn seed(mut self, seed: u64) -> Self {
            self.seed = seed;
            self
        }
    };
    (@probability) => {
        crate::metric::flags! {
            /// The score is the class's probability, as the network's head makes it, rather than the logit.
            probability => probability,
        }
    };
}
pub(crate) use setters;

/// Constructors of a metric that has several forms, each of which its `new` is told.
macro_rules! forms {
    ($($(#[$meta:meta])* $name:ident => $form:expr),* $(,)?) => {$(
        $(#[$meta])*
        pub fn $name() -> Self {
            Self::new($form)
        }
    )*};
}
pub(crate) use forms;

/// Builder methods without an argument, each of which says yes to a field.
macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident => $field:ident),* $(,)?) => {$(
        $(#[$meta])*
        pub fn $name(mut self) -> Self {
            self.$field = true;
            self
        }
    )*};
}
pub(crate) use flags;

/// The method `curve` of a metric that is a number of a curve, which its function `points` makes.
macro_rules! curve {
    ($(#[$meta:meta])*) => {
        $(#[$meta])*
        ///
        /// # Errors
        ///
        /// As [`Metric::measure`](crate::Metric::measure).
        pub fn curve(
            &self,
            case: &crate::Case<'_>,
        ) -> Result<Result<crate::Curve, crate::NotApplicable>, crate::MetricError> {
            crate::Metric::check(self)?;
            crate::metric::or_reason(self.points(case))
        }
    };
}
pub(crate) use curve;

/// What the table says of a metric.
macro_rules! described {
    // By what the metric's own `info` says.
    () => {
        fn name(&self) -> &'static str {
            self.info().name
        }

        fn direction(&self) -> crate::Direction {
            self.info().direction
        }

        fn needs(&self) -> crate::Needs {
            self.info().needs
        }
    };
    ($info:expr) => {
        fn name(&self) -> &'static str {
            $info.name
        }

        fn direction(&self) -> crate::Direction {
            $info.direction
        }

        fn needs(&self) -> crate::Needs {
            $info.needs
        }
    };
}
pub(crate) use described;

/// [`Metric`] of a metric that has options and a function `run`, described by a constant of the table, or by its own `info`
/// where it stands for several of them; of one without options, the function that measures is given.
macro_rules! measures {
    ($metric:ident $(as $info:ident)?) => {
        impl $crate::Metric for $metric {
            $crate::metric::described!($($info)?);
            $crate::options::stated!();

            fn measure(
                &self,
                case: &$crate::Case<'_>,
            ) -> Result<$crate::Outcome, $crate::MetricError> {
                $crate::Metric::check(self)?;
                $crate::metric::outcome(self.run(case))
            }
        }
    };
    ($metric:ident as $info:expr, $value:path) => {
        impl $crate::Metric for $metric {
            $crate::metric::described!($info);

            fn measure(
                &self,
                case: &$crate::Case<'_>,
            ) -> Result<$crate::Outcome, $crate::MetricError> {
                $crate::metric::outcome($value(case))
            }
        }
    };
}
pub(crate) use measures;

/// A row of the table of metrics:
///
/// ```ignore
/// info!("its-name" or "that-of-others": "Its title", Larger, Faithfulness, needs(scores), "Who published it";
///       Metric::OPTIONS, Metric::new(), batch_size, seed)
/// ```
///
/// Behind the semicolon stand its options, the metric unless told otherwise, and what it takes of what all share; one that takes
/// a seed is random. A metric without options stands there alone.
macro_rules! info {
    (
        $name:literal $(or $other:literal)*: $title:literal, $direction:ident, $category:ident, needs($($needs:ident),*),
        $reference:expr; $($made:tt)*
    ) => {{
        let made = $crate::metric::info!(@ $($made)*);
        $crate::MetricInfo {
            name: $name,
            others: &[$($other),*],
            title: $title,
            category: Some($crate::Category::$category),
            direction: $crate::Direction::$direction,
            needs: $crate::Needs { $($needs: true,)* ..$crate::Needs::MAP },
            random: made.random,
            options: made.options,
            reference: $reference,
            build: made.build,
        }
    }};
    (@ $metric:ident) => {
        $crate::metric::Made { random: false, options: &[], build: |_| Ok(Box::new($metric)) }
    };
    (@ $options:expr, $metric:expr) => {
        $crate::metric::Made { random: false, options: $options, build: |given| given.apply($metric) }
    };
    (@ $options:expr, $metric:expr, batch_size) => {
        $crate::metric::Made {
            random: false,
            options: $options,
            build: |given| given.apply($metric.batch_size(given.rows())),
        }
    };
    (@ $options:expr, $metric:expr, seed) => {
        $crate::metric::Made {
            random: true,
            options: $options,
            build: |given| given.apply($metric.seed(given.first_seed())),
        }
    };
    (@ $options:expr, $metric:expr, batch_size, seed) => {
        $crate::metric::Made {
            random: true,
            options: $options,
            build: |given| given.apply($metric.batch_size(given.rows()).seed(given.first_seed())),
        }
    };
}
pub(crate) use info;

/// What the table knows of how a metric is made.
pub(crate) struct Made {
    pub random: bool,
    pub options: &'static [MetricOption],
    pub build: Build,
}

pub(crate) fn at_least_one(parameter: &'static str, value: usize) -> Result<(), MetricError> {
    match value {
        0 => Err(MetricError::Parameter {
            parameter,
            value: "0".to_owned(),
            expected: "1 or more",
        }),
        _ => Ok(()),
    }
}

/// Checks a number against a condition that NaN never meets.
pub(crate) fn number(
    parameter: &'static str,
    value: f64,
    holds: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<(), MetricError> {
    if value.is_finite() && holds(value) {
        return Ok(());
    }
    Err(MetricError::Parameter {
        parameter,
        value: value.to_string(),
        expected,
    })
}
