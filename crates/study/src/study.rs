//! What is to be measured on what.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use elucid_metrics::{Metric, MetricOptions, Metrics};
use elucid_models::Labels;
use elucid_vision::{HeadKind, Model};

use crate::data::Item;
use crate::entries::Entry;
use crate::error::StudyError;
use crate::facts::{Build, HeadFacts, InputFacts, ModelFacts};
use crate::folder::Begin;
use crate::foreign::ForeignMaps;
use crate::found::Found;
use crate::part::Part;
use crate::plan::Planned;
use crate::sample::stratified;
use crate::settings::{BASELINES, DataFacts, SCHEMA, Settings};
use crate::shard::Shard;
use crate::shared::Ended;
use crate::work::{self, Control, Watch};

/// How many images, or samples of images, go together unless it is said.
pub const BATCH: usize = 8;

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explained {
    /// The class that the image is labelled with.
    Label,
    /// The class that the network takes the image for.
    Prediction,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "label",
            Self::Prediction => "prediction",
        })
    }
}

/// What explains images: a method, or maps that another program made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Explainer {
    /// A method.
    Method(Entry),
    /// Another program's maps.
    Maps(ForeignMaps),
}

impl From<Entry> for Explainer {
    fn from(entry: Entry) -> Self {
        Self::Method(entry)
    }
}

impl From<ForeignMaps> for Explainer {
    fn from(maps: ForeignMaps) -> Self {
        Self::Maps(maps)
    }
}

impl Explainer {
    /// How it is called in the results.
    pub fn name(&self) -> &str {
        match self {
            Self::Method(entry) => &entry.name,
            Self::Maps(maps) => maps.name(),
        }
    }
}

/// A network, labelled images, methods and metrics: a study that can be run, by one process or by many.
#[derive(Debug)]
#[must_use = "a study does nothing until it is run"]
pub struct Study<'a> {
    pub(crate) model: &'a Model,
    pub(crate) items: Vec<Item>,
    data: DataFacts,
    pub(crate) methods: Vec<Explainer>,
    pub(crate) metric_names: Vec<String>,
    pub(crate) metrics: Vec<Box<dyn Metric>>,
    known: Metrics,
    pub(crate) target: Explained,
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    shard: Shard,
    limit: Option<usize>,
    sample: Option<usize>,
    pub(crate) parts: Vec<Part>,
    device: String,
    build: Build,
    remarks: Vec<String>,
    /// Of which methods channels are added up, with the most of them; set once the maps have been checked.
    added: OnceLock<Vec<(usize, usize)>>,
}

impl<'a> Study<'a> {
    /// A study of `items`, which [`Data::resolve`](crate::Data::resolve) gives and `data`
    /// ([`Data::facts`](crate::Data::facts)) identifies, by `methods` ([`Entry`], [`ForeignMaps`] or both as [`Explainer`]),
    /// measured by `metrics`, each `NAME` or `NAME:OPTION=VALUE,...`.
    /// Explains labels, from seed 0, eight images at a time.
    ///
    /// `device` says what computes, in words that are the same on all machines that compute the same, and `build` which program.
    ///
    /// # Errors
    ///
    /// [`StudyError::Metric`] and [`StudyError::Attribution`] for what cannot be made, [`StudyError::Empty`] for none,
    /// [`StudyError::Repeated`] for names that stand twice among methods and [`BASELINES`], or among metrics.
    pub fn new(
        model: &'a Model,
        (items, data): (Vec<Item>, DataFacts),
        methods: Vec<impl Into<Explainer>>,
        (known, metrics): (&Metrics, &[String]),
        (device, build): (&str, Build),
    ) -> Result<Self, StudyError> {
        let methods: Vec<Explainer> = methods.into_iter().map(Into::into).collect();
        for (what, none) in [
            ("images", items.is_empty()),
            ("methods", methods.is_empty()),
            ("metrics", metrics.is_empty()),
        ] {
            if none {
                return Err(StudyError::Empty(format!("there are no {what}")));
            }
        }
        let rows = methods.iter().map(Explainer::name);
        let columns = metrics.iter().map(String::as_str);
        for (what, repeated) in [
            ("method", repeated(rows.chain(BASELINES))),
            ("metric", repeated(columns)),
        ] {
            if let Some(name) = repeated {
                let name = name.to_owned();
                return Err(StudyError::Repeated { what, name });
            }
        }
        for explainer in &methods {
            if let Explainer::Method(entry) = explainer {
                entry.method.build(&entry.options(0, 1))?;
            }
        }
        let mut study = Self {
            model,
            items,
            data,
            methods,
            metric_names: metrics.to_vec(),
            metrics: Vec::new(),
            known: known.clone(),
            target: Explained::Label,
            seed: 0,
            batch_size: BATCH,
            shard: Shard::WHOLE,
            limit: None,
            sample: None,
            parts: Vec::new(),
            device: device.to_owned(),
            build,
            remarks: Vec::new(),
            added: OnceLock::new(),
        };
        study.make_metrics()?;
        Ok(study)
    }

    fn make_metrics(&mut self) -> Result<(), StudyError> {
        self.metrics = metrics(&self.known, &self.metric_names, self.seed, self.batch_size)?;
        Ok(())
    }

    /// What is explained.
    pub fn target(mut self, target: Explained) -> Self {
        self.target = target;
        self
    }

    /// Where the random numbers of methods, metrics, the random map and the bootstrap begin.
    ///
    /// # Errors
    ///
    /// [`StudyError::Metric`] for metrics that cannot be made.
    pub fn seed(mut self, seed: u64) -> Result<Self, StudyError> {
        self.seed = seed;
        self.make_metrics()?;
        Ok(self)
    }

    /// How many images, or samples of images, go together.
    ///
    /// # Errors
    ///
    /// [`StudyError::Metric`] for metrics that cannot be made.
    pub fn batch_size(mut self, batch_size: usize) -> Result<Self, StudyError> {
        self.batch_size = batch_size.max(1);
        self.make_metrics()?;
        Ok(self)
    }

    /// Only the first `limit` images, and of these only those of `shard`.
    ///
    /// # Errors
    ///
    /// [`StudyError::Empty`] for a shard that holds none of them.
    pub fn part(mut self, limit: Option<usize>, shard: Shard) -> Result<Self, StudyError> {
        let total = limit.map_or(self.data.images, |limit| limit.min(self.data.images));
        self.items
            .retain(|item| item.number < total && shard.takes(item.number));
        if self.items.is_empty() {
            let reason = format!("shard {shard} holds none of {total} images");
            return Err(StudyError::Empty(reason));
        }
        (self.limit, self.shard) = (limit, shard);
        self.added = OnceLock::new();
        Ok(self)
    }

    /// Refuses maps of other programs that are missing or have another size, before anything is computed. Of which maps channels
    /// are added up, by name, with the most of them. Whoever has asked has checked: [`Study::run`] does not look at the files again.
    ///
    /// # Errors
    ///
    /// [`StudyError::MissingMaps`], [`StudyError::Map`], and [`StudyError::Input`] for files that are no arrays.
    pub fn check_maps(&self) -> Result<Vec<(&str, usize)>, StudyError> {
        let added = match self.added.get() {
            Some(added) => added,
            None => {
                let added = self.added_channels()?;
                self.added.get_or_init(|| added)
            }
        };
        let named = added.iter();
        Ok(named
            .map(|&(method, channels)| (self.methods[method].name(), channels))
            .collect())
    }

    fn added_channels(&self) -> Result<Vec<(usize, usize)>, StudyError> {
        let size = self.model.input_spec().size();
        let mut added = Vec::new();
        for (method, explainer) in self.methods.iter().enumerate() {
            if let Explainer::Maps(maps) = explainer
                && let Some(channels) = maps.check(&self.items, size)?
            {
                added.push((method, channels));
            }
        }
        Ok(added)
    }

    /// Only a [`stratified`] sample of so many images, drawn by the study's seed.
    pub fn sample(mut self, count: usize) -> Self {
        let items: Vec<&Item> = self.items.iter().collect();
        let chosen = stratified(&items, count, self.seed);
        self.items
            .retain(|item| chosen.binary_search(&item.number).is_ok());
        self.sample = Some(count);
        self.added = OnceLock::new();
        self
    }

    /// Methods under metrics on some images only, each part its own; all under all on all images if there are none.
    ///
    /// # Errors
    ///
    /// [`StudyError::Entry`] for a method, a metric or an image that the study does not have; [`StudyError::Empty`] for a part
    /// that has none, or no image of this [shard](Study::part).
    pub fn parts(mut self, parts: Vec<Part>) -> Result<Self, StudyError> {
        let methods: Vec<&str> = self.methods.iter().map(Explainer::name).collect();
        let metrics: Vec<&str> = self.metric_names.iter().map(String::as_str).collect();
        for (number, part) in parts.iter().enumerate() {
            let place = format!("part {}", number + 1);
            for (what, names, known) in [
                ("method", &part.methods, &methods),
                ("metric", &part.metrics, &metrics),
            ] {
                if names.is_empty() {
                    return Err(StudyError::Empty(format!("{place} has no {what}s")));
                }
                if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
                    let known = known.join(", ");
                    return Err(StudyError::Entry(format!(
                        "{place}: the study has no {what} {name}, but {known}"
                    )));
                }
            }
            let Some(images) = &part.images else {
                continue;
            };
            if let Some(image) = images.iter().find(|image| **image >= self.data.images) {
                let reason = format!("{place}: there is no image {image} of {}", self.data.images);
                return Err(StudyError::Entry(reason));
            }
            if images.is_empty() || !images.is_sorted_by(|a, b| a < b) {
                let reason = format!("{place}: images are not numbers in their order, each once");
                return Err(StudyError::Empty(reason));
            }
        }
        self.parts = parts;
        Ok(self)
    }

    /// What was assumed of the network, for reports.
    pub fn remarks(mut self, remarks: Vec<String>) -> Self {
        self.remarks = remarks;
        self
    }

    /// The metrics themselves.
    pub fn metrics(&self) -> &[Box<dyn Metric>] {
        &self.metrics
    }

    /// Those metrics, by name, whose values are made of curves.
    pub(crate) fn curved(&self) -> Vec<&str> {
        let metrics = self.metric_names.iter().zip(&self.metrics);
        let curved = metrics.filter(|(_, metric)| metric.curve_axes().is_some());
        curved.map(|(name, _)| name.as_str()).collect()
    }

    /// Why no curves can be kept, and of which metrics they could be.
    pub(crate) fn no_curves(&self) -> StudyError {
        let options = MetricOptions::new();
        let has_curves = |name: &&str| {
            let metric = self.known.metric(name, &options);
            metric.is_ok_and(|metric| metric.curve_axes().is_some())
        };
        let names = self.known.iter().map(|info| info.name);
        let names: Vec<&str> = names.filter(has_curves).collect();
        StudyError::NoCurves(names.join(", "))
    }

    /// The images that are to be measured.
    pub fn planned(&self) -> Vec<Planned> {
        self.items.iter().map(Planned::from).collect()
    }

    /// Everything that the numbers depend on.
    ///
    /// # Errors
    ///
    /// [`StudyError::Attribution`] for layers that do not exist.
    pub fn settings(&self) -> Result<Settings, StudyError> {
        let model = self.model;
        let size = model.input_spec().size();
        let options = self.metrics.iter().map(|metric| metric.configuration(size));
        Ok(Settings {
            schema: SCHEMA,
            build: self.build.clone(),
            device: self.device.clone(),
            precision: "f32".to_owned(),
            batch_size: self.batch_size,
            block: self.batch_size,
            model: ModelFacts::of(model),
            input: InputFacts::of(model).whoever_said_it(),
            head: HeadFacts::of(model),
            class_names: model.labels().map(|labels| labels.set().to_owned()),
            names: unknown_names(model),
            remarks: self.remarks.clone(),
            data: self.data.clone(),
            target: self.target.to_string(),
            methods: (self.methods.iter())
                .map(|explainer| match explainer {
                    Explainer::Method(entry) => entry.facts(model),
                    Explainer::Maps(maps) => Ok(maps.facts()),
                })
                .collect::<Result<_, _>>()?,
            metrics: self.metric_names.clone(),
            metric_options: self.metric_names.iter().cloned().zip(options).collect(),
            parts: self.parts.clone(),
            seed: self.seed,
            shard: self.shard,
            limit: self.limit,
            sample: self.sample,
            merged_from: 0,
        })
    }

    /// Measures what is missing in `folder`, together with whoever else does, until nothing is or until it is asked to stop.
    ///
    /// What one image makes fail is a failure of that image ([`Found::failures`]), and the study goes on.
    ///
    /// # Errors
    ///
    /// As [`Study::check_maps`]; [`StudyError::Occupied`], [`StudyError::Settings`], [`StudyError::Mixed`] and the like for a folder that holds something
    /// else, [`StudyError::File`] where results cannot be kept, and [`StudyError::Empty`] if no image could be read.
    pub fn run(
        &self,
        folder: &Path,
        begin: &Begin,
        control: &Control,
        watch: &mut dyn Watch,
    ) -> Result<(Ended, Settings, Found), StudyError> {
        self.check_maps()?;
        work::run(self, folder, begin, control, watch)
    }
}

/// The first name that was there before.
fn repeated<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut known = BTreeSet::new();
    { names }.find(|name| !known.insert(*name))
}

/// The metrics themselves, by name and options.
///
/// # Errors
///
/// [`StudyError::Metric`] for those that cannot be made.
pub fn metrics(
    known: &Metrics,
    names: &[String],
    seed: u64,
    batch_size: usize,
) -> Result<Vec<Box<dyn Metric>>, StudyError> {
    let options = MetricOptions::new().seed(seed).batch_size(batch_size);
    let metrics = names.iter().map(|name| known.metric(name, &options));
    Ok(metrics.collect::<Result<_, _>>()?)
}

/// The names of the classes, unless what they are called together says it all. Of a yes-or-no network
/// class 1 stands for no.
fn unknown_names(model: &Model) -> Vec<String> {
    match model.labels() {
        _ if model.head().kind() == HeadKind::Binary => {
            let yes = model.label(0);
            vec![yes.clone(), format!("not {yes}")]
        }
        Some(labels) if Labels::of_set(labels.set()).is_none() => {
            labels.names().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Refuses a network of which no class can be the best guess.
///
/// # Errors
///
/// [`StudyError::Data`], in words.
pub fn check_head(model: &Model, target: Explained) -> Result<(), StudyError> {
    let head = model.head();
    let reason = match head.kind() {
        HeadKind::Classes | HeadKind::Labels => return Ok(()),
        HeadKind::Binary if target == Explained::Label => return Ok(()),
        HeadKind::Binary => format!(
            "\"{}\" scores yes and not no, so images of yes are explained by their labels, not by the \
             prediction",
            head.scores()
        ),
        HeadKind::Number | HeadKind::Numbers => format!(
            "images are evaluated by their classes, and \"{}\" scores none that could be the best \
             guess",
            head.scores()
        ),
        _ => match model.logits() {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
    };
    Err(StudyError::Data(reason))
}
