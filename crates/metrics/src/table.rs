//! The table of all metrics, by name.

use elucid_attribution::Configurable;
use elucid_attribution::by_name::{Names, OptionTexts};

use crate::error::MetricError;
use crate::metric::{BATCH_SIZE, Category, Direction, Metric, Needs};
use crate::{
    adcc, attribution_localisation, auc, average_drop, average_sensitivity, completeness,
    complexity, effective_complexity, faithfulness_correlation, faithfulness_estimate, infidelity,
    information_curves, insertion_deletion, irof, lipschitz, localisation, mass, monotonicity,
    monotonicity_correlation, pixel_flipping, pointing, randomisation, relative_stability, road,
    sensitivity, sensitivity_n, sparseness, top_k,
};

/// Every metric, in the order of the documentation.
pub const METRICS: &[&MetricInfo] = &[
    &pointing::METRIC,
    localisation::METRICS[0],
    localisation::METRICS[1],
    localisation::METRICS[2],
    mass::METRICS[0],
    mass::METRICS[1],
    &attribution_localisation::METRIC,
    &top_k::METRIC,
    &auc::METRIC,
    insertion_deletion::METRICS[0],
    insertion_deletion::METRICS[1],
    insertion_deletion::METRICS[2],
    insertion_deletion::METRICS[3],
    &pixel_flipping::METRIC,
    &irof::METRIC,
    &road::METRIC,
    information_curves::METRICS[0],
    information_curves::METRICS[1],
    average_drop::METRICS[0],
    average_drop::METRICS[1],
    average_drop::METRICS[2],
    adcc::METRICS[0],
    faithfulness_correlation::METRICS[0],
    faithfulness_correlation::METRICS[1],
    &faithfulness_estimate::METRIC,
    &sensitivity_n::METRIC,
    &monotonicity::METRIC,
    &monotonicity_correlation::METRIC,
    &infidelity::METRIC,
    &sensitivity::METRIC,
    &average_sensitivity::METRIC,
    &lipschitz::METRIC,
    relative_stability::METRICS[0],
    relative_stability::METRICS[1],
    adcc::METRICS[1],
    &randomisation::METRIC,
    &randomisation::smooth::METRIC,
    &randomisation::efficient::METRIC,
    &randomisation::RANDOM_LOGIT,
    &completeness::METRIC,
    &sparseness::METRIC,
    &complexity::METRIC,
    &effective_complexity::METRIC,
    adcc::METRICS[2],
];

/// One option of a metric.
pub use elucid_attribution::MethodOption as MetricOption;

/// A metric by name: what it needs, its options and where it comes from.
#[derive(Clone, Copy)]
pub struct MetricInfo {
    /// The name.
    pub name: &'static str,
    /// Names that other programs give it, by which it is found as well.
    pub others: &'static [&'static str],
    /// The name in full.
    pub title: &'static str,
    /// What it asks of an explanation, if that is said.
    pub category: Option<Category>,
    /// Which end is the good one.
    pub direction: Direction,
    /// What it needs besides the map.
    pub needs: Needs,
    /// Whether it draws random numbers, so that it takes a seed.
    pub random: bool,
    /// Its options. The first may be given without its name.
    pub options: &'static [MetricOption],
    /// Who published it.
    pub reference: &'static str,
    pub(crate) build: Build,
}

/// Makes a metric under options.
pub type Build = fn(&MetricOptions) -> Result<Box<dyn Metric>, MetricError>;

/// What is not said is not so.
impl MetricInfo {
    /// A metric that needs the map alone, without options, that `build` makes.
    pub const fn new(
        name: &'static str,
        title: &'static str,
        direction: Direction,
        reference: &'static str,
        build: Build,
    ) -> Self {
        Self {
            name,
            others: &[],
            title,
            category: None,
            direction,
            needs: Needs::MAP,
            random: false,
            options: &[],
            reference,
            build,
        }
    }

    /// Other programs call it by these names.
    #[must_use]
    pub const fn also(self, others: &'static [&'static str]) -> Self {
        Self { others, ..self }
    }

    /// Asks this of an explanation.
    #[must_use]
    pub const fn category(self, category: Category) -> Self {
        Self {
            category: Some(category),
            ..self
        }
    }

    /// Needs more than the map.
    #[must_use]
    pub const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// Draws random numbers.
    #[must_use]
    pub const fn random(self) -> Self {
        Self {
            random: true,
            ..self
        }
    }

    /// Has options of its own ([`Configurable::OPTIONS`]); the first may be given without its name.
    #[must_use]
    pub const fn options(self, options: &'static [MetricOption]) -> Self {
        Self { options, ..self }
    }
}

impl MetricInfo {
    /// The metric under a list of options as text, and others.
    fn with_list(
        &self,
        list: &str,
        options: &MetricOptions,
    ) -> Result<Box<dyn Metric>, MetricError> {
        let mut options = options.clone();
        for (i, part) in list.split(',').enumerate() {
            let part = part.trim();
            match (part.split_once('='), self.options.first()) {
                (Some((key, value)), _) => options = options.set(key.trim(), value.trim()),
                (None, _) if part.is_empty() => {}
                (None, Some(first)) if i == 0 => options = options.set(first.name, part),
                (None, _) => options = options.set(part, ""),
            }
        }
        self.build(&options)
    }

    /// The metric under these options.
    ///
    /// # Errors
    ///
    /// [`MetricError::UnknownOption`] for an option that it does not have,
    /// [`MetricError::OptionValue`] for a value that cannot be understood,
    /// [`MetricError::Parameter`] for one that is out of range.
    pub fn build(&self, options: &MetricOptions) -> Result<Box<dyn Metric>, MetricError> {
        let takes = |name: &str| self.options.iter().any(|known| known.name == name);
        if let Some(name) = options.values.unknown(takes) {
            return Err(MetricError::UnknownOption {
                metric: self.name,
                option: name.to_owned(),
                options: self.options.iter().map(|option| option.name).collect(),
            });
        }
        let metric = (self.build)(options)?;
        metric.check()?;
        Ok(metric)
    }
}

/// Metrics by name: those of the table, and one's own.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<MetricInfo>);

elucid_attribution::table!(Metrics, METRICS of MetricInfo: Metric by MetricOptions or MetricError::UnknownMetric, named |metric| Names { own: metric.name, others: metric.others });

impl Metrics {
    /// A metric from its name and options as text, as [`metric`] has them.
    ///
    /// # Errors
    ///
    /// As [`metric`].
    pub fn metric(
        &self,
        text: &str,
        options: &MetricOptions,
    ) -> Result<Box<dyn Metric>, MetricError> {
        let (name, list) = text.split_once(':').unwrap_or((text, ""));
        self.find(name)?.with_list(list, options)
    }
}

/// A metric from its name and options as text: `pointing`, `pointing:0`,
/// `pointing:tolerance=15,ties=share`.
///
/// What stands behind the colon are options separated by commas; the metric's first option may be
/// given without its name.
///
/// # Errors
///
/// As [`MetricInfo::find`] and [`MetricInfo::build`].
///
/// ```
/// use elucid_metrics::{MetricOptions, metric};
///
/// let pointing = metric("pointing:15", &MetricOptions::new())?;
/// assert_eq!(pointing.name(), "pointing");
/// # Ok::<(), elucid_metrics::MetricError>(())
/// ```
pub fn metric(text: &str, options: &MetricOptions) -> Result<Box<dyn Metric>, MetricError> {
    let (name, list) = text.split_once(':').unwrap_or((text, ""));
    MetricInfo::find(name)?.with_list(list, options)
}

/// Options of a metric as text, and what several metrics share.
#[derive(Debug, Clone)]
pub struct MetricOptions {
    batch_size: usize,
    seed: u64,
    values: OptionTexts,
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self {
            batch_size: BATCH_SIZE,
            seed: 0,
            values: OptionTexts::default(),
        }
    }
}

impl MetricOptions {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    elucid_attribution::builder_methods! {
        /// How many changed images are propagated together, 8 by default.
        #[must_use]
        set batch_size(batch_size: usize) => batch_size;
        /// Where random numbers begin, 0 by default.
        #[must_use]
        set seed(seed: u64) => seed;
    }

    /// An option of the metric's own, as text.
    #[must_use]
    pub fn set(mut self, option: &str, value: &str) -> Self {
        self.values.set(option, value);
        self
    }

    /// How many changed images are propagated together.
    pub fn rows(&self) -> usize {
        self.batch_size
    }

    /// Where random numbers begin.
    pub fn first_seed(&self) -> u64 {
        self.seed
    }

    /// An option of the metric's own as it was given.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.values.text(option)
    }

    /// A metric under these options, which change what it says of itself and nothing else.
    ///
    /// # Errors
    ///
    /// [`MetricError::OptionValue`] for a value that cannot be understood.
    pub fn apply<M>(&self, mut metric: M) -> Result<Box<dyn Metric>, MetricError>
    where
        M: Configurable<Error = MetricError> + Metric + 'static,
    {
        self.values.configure(&mut metric)?;
        Ok(Box::new(metric))
    }
}
