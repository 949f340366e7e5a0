//! The table of all metrics, by name.

use std::fmt;

use elucid_attribution::by_name::{self, OptionTexts};
use elucid_attribution::{Configurable, Configuration};

use crate::error::MetricError;
use crate::metric::{BATCH_SIZE, Direction, Metric, Needs};
use crate::{
    completeness, complexity, infidelity, insertion_deletion, localisation, mass, pixel_flipping,
    pointing, randomisation, road, sensitivity, sparseness,
};

/// Every metric, in the order of the documentation.
pub const METRICS: &[&MetricInfo] = &[
    &pointing::METRIC,
    localisation::METRICS[0],
    localisation::METRICS[1],
    localisation::METRICS[2],
    mass::METRICS[0],
    mass::METRICS[1],
    insertion_deletion::METRICS[0],
    insertion_deletion::METRICS[1],
    insertion_deletion::METRICS[2],
    insertion_deletion::METRICS[3],
    &pixel_flipping::METRIC,
    &road::METRIC,
    &infidelity::METRIC,
    &sensitivity::METRIC,
    &randomisation::METRIC,
    &randomisation::RANDOM_LOGIT,
    &completeness::METRIC,
    &sparseness::METRIC,
    &complexity::METRIC,
];

/// One option of a metric.
pub use elucid_attribution::MethodOption as MetricOption;

/// A metric by name: what it needs, its options and where it comes from.
#[derive(Clone, Copy)]
pub struct MetricInfo {
    /// The name.
    pub name: &'static str,
    /// The name in full.
    pub title: &'static str,
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

impl fmt::Debug for MetricInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricInfo")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

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
            title,
            direction,
            needs: Needs::MAP,
            random: false,
            options: &[],
            reference,
            build,
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
    /// The metric with this name.
    ///
    /// # Errors
    ///
    /// [`MetricError::UnknownMetric`], with the nearest name there is.
    pub fn find(name: &str) -> Result<&'static MetricInfo, MetricError> {
        find(METRICS, name)
    }

    /// The metric under no options at all.
    ///
    /// # Errors
    ///
    /// Those of [`MetricInfo::build`], of a metric whose own options are out of range.
    pub fn usual(&self) -> Result<Box<dyn Metric>, MetricError> {
        self.build(&MetricOptions::new())
    }

    /// Its options on images of `[height, width]` where none is given: what [`MetricInfo::usual`] says of
    /// itself. An option that is not here has no part in the result, or none unless it is given.
    pub fn defaults(&self, size: [usize; 2]) -> Configuration {
        let built = self.usual();
        built.map_or_else(|_| Configuration::new(), |built| built.configuration(size))
    }

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

impl Metrics {
    /// Those of the table [`METRICS`].
    pub fn standard() -> Self {
        Self(METRICS.iter().map(|metric| **metric).collect())
    }

    /// With one more, in the place of one of the same name if there is one.
    #[must_use]
    pub fn with(mut self, metric: MetricInfo) -> Self {
        match self.0.iter_mut().find(|known| known.name == metric.name) {
            Some(known) => *known = metric,
            None => self.0.push(metric),
        }
        self
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> std::slice::Iter<'_, MetricInfo> {
        self.0.iter()
    }

    /// The metric with this name.
    ///
    /// # Errors
    ///
    /// [`MetricError::UnknownMetric`], with the nearest name there is.
    pub fn find(&self, name: &str) -> Result<&MetricInfo, MetricError> {
        let all: Vec<&MetricInfo> = self.0.iter().collect();
        find(&all, name)
    }

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

impl<'m> IntoIterator for &'m Metrics {
    type Item = &'m MetricInfo;
    type IntoIter = std::slice::Iter<'m, MetricInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn find<'t>(table: &[&'t MetricInfo], name: &str) -> Result<&'t MetricInfo, MetricError> {
    by_name::find(table, name, |metric| metric.name).map_err(|nearest| MetricError::UnknownMetric {
        name: name.to_owned(),
        nearest,
    })
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

    /// How many changed images are propagated together, 8 by default.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Where random numbers begin, 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
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
