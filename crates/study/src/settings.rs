//! What was measured and how: everything that the numbers depend on.

use std::collections::BTreeMap;
use std::path::Path;

use elucid_attribution::Configuration;
use elucid_models::Labels;
use serde::{Deserialize, Serialize};

use crate::difference::difference;
use crate::entries::MethodFacts;
use crate::error::StudyError;
use crate::facts::{Build, HeadFacts, InputFacts, ModelFacts};
use crate::growth::{self, Growth};
use crate::part::Part;
use crate::shard::Shard;
use crate::shared;

/// Their name in the folder.
pub const SETTINGS: &str = "settings.json";

/// Version of what a folder holds. Versions before 2 had no number and no journal.
pub const SCHEMA: u32 = 2;

/// Rows that stand in every table beside the methods.
pub const BASELINES: [&str; 2] = ["centre", "random"];

/// What may differ without the study being another: a file may have another name, data another place, more images may be asked
/// for; and how many images go together decides about rounding only.
const FREE: [&str; 5] = ["model.name", "data.source", "limit", "batch_size", "block"];

/// What decides about numbers in their last digits or more, and nothing about what is measured.
const MIXABLE: [&str; 3] = ["device", "precision", "build"];

/// What may be added to a study later.
const GROWING: [&str; 4] = ["methods", "metrics", "metric_options", "parts"];

/// Which of the images.
const SOME: [&str; 3] = ["shard", "sample", "merged_from"];

/// Everything that the numbers depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The program.
    pub build: Build,
    /// What computes, in words that are the same on all machines that compute the same.
    pub device: String,
    /// Of the numbers that the network computes with.
    pub precision: String,
    /// How many images, or samples of images, went together when the study was begun.
    pub batch_size: usize,
    /// How many images make a block, of which one worker at a time takes care.
    pub block: usize,
    /// The network.
    pub model: ModelFacts,
    /// How photographs become its input.
    pub input: InputFacts,
    /// How its scores are read.
    pub head: HeadFacts,
    /// What the classes are called together, if they have names.
    pub class_names: Option<String>,
    /// The names themselves, unless this program knows them by what they are called together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What was assumed of the network where nobody said it.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The images.
    pub data: DataFacts,
    /// What is explained: the image's `label`, or the network's `prediction`.
    pub target: String,
    /// The methods as they are applied.
    pub methods: Vec<MethodFacts>,
    /// The metrics with their options as they were given.
    pub metrics: Vec<String>,
    /// Their options in effect on pictures of the network's size, by how a metric is called above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metric_options: BTreeMap<String, Configuration>,
    /// Which methods and metrics are asked for on which images; all on all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Where random numbers begin.
    pub seed: u64,
    /// Which part of the images.
    pub shard: Shard,
    /// How many images were asked for, from the first on; all of them if absent.
    pub limit: Option<usize>,
    /// How many images were drawn ([`stratified`](crate::stratified)); all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// How many shards these results were merged from; 0 for results of one study.
    pub merged_from: usize,
}

/// The images, by what identifies them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// The list or folder.
    pub source: String,
    /// Of files, labels and boxes; not of pixels.
    pub sha256: String,
    /// How many images there are, before any limit.
    pub images: usize,
}

impl Settings {
    /// Names of the rows: the methods and the baselines.
    pub fn rows(&self) -> Vec<&str> {
        let methods = self.methods.iter().map(|method| method.name.as_str());
        methods.chain(BASELINES).collect()
    }

    /// Name of a class, or its number.
    pub fn label(&self, class: usize) -> String {
        let known = self.class_names.as_deref().and_then(Labels::of_set);
        let known = known.as_ref().and_then(|labels| labels.name(class));
        let name = known.or_else(|| self.names.get(class).map(String::as_str));
        name.map_or_else(|| format!("class {class}"), str::to_owned)
    }

    /// Which methods and metrics are asked for on which images, also where that is all on all.
    pub fn all_parts(&self) -> Vec<Part> {
        match self.parts.is_empty() {
            false => self.parts.clone(),
            true => vec![Part {
                methods: self
                    .methods
                    .iter()
                    .map(|method| method.name.clone())
                    .collect(),
                metrics: self.metrics.clone(),
                images: None,
            }],
        }
    }

    /// How many images there are, in all shards together.
    pub fn total(&self) -> usize {
        self.limit
            .map_or(self.data.images, |limit| limit.min(self.data.images))
    }

    /// Reads those of a folder, with what was added since it was begun.
    ///
    /// # Errors
    ///
    /// [`StudyError::NoStudy`] where there are none, [`StudyError::Schema`] where another version wrote them,
    /// [`StudyError::Damaged`] for anything else.
    pub fn read(folder: &Path) -> Result<Self, StudyError> {
        let mut settings: Self = shared::read_settings(folder, "evaluation", SCHEMA)?;
        for growth in growth::read(folder)? {
            growth.add_to(&mut settings);
        }
        Ok(settings)
    }

    /// As a file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StudyError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| StudyError::Data(format!("settings cannot be written: {error}")))?;
        Ok((text + "\n").into_bytes())
    }

    /// Refuses to take results under `before`, in `folder`, for part of this study, whatever methods and metrics it has besides.
    /// `shards` of one study differ in their number, and in nothing else.
    pub(crate) fn check_same(
        &self,
        before: &Self,
        folder: &Path,
        shards: bool,
        allow_mixed: bool,
    ) -> Result<(), StudyError> {
        if shards {
            let lacks =
                |a: &Self, b: &Self| Ok::<_, StudyError>(!Growth::of(a, b, folder)?.is_nothing());
            if lacks(self, before)? || lacks(before, self)? {
                let folder = folder.to_owned();
                let difference = self.asked_difference(before);
                return Err(StudyError::Settings { folder, difference });
            }
        }
        let mut except: Vec<&str> = [&FREE[..], &GROWING, &MIXABLE].concat();
        if shards {
            except.push("shard.index");
            except.retain(|name| *name != "limit");
        }
        let folder = folder.to_owned();
        if let Some(difference) = difference(self, before, &except) {
            return Err(StudyError::Settings { folder, difference });
        }
        except.retain(|name| !MIXABLE.contains(name));
        match difference(self, before, &except) {
            Some(difference) if !allow_mixed => Err(StudyError::Mixed { folder, difference }),
            _ => Ok(()),
        }
    }

    /// Refuses to hold results of this study, in `folder`, against those under `first`, whatever methods, metrics and images each
    /// has, and on whatever it was measured.
    pub(crate) fn check_beside(&self, first: &Self, folder: &Path) -> Result<(), StudyError> {
        let except = [&FREE[..], &GROWING, &MIXABLE, &SOME].concat();
        match difference(self, first, &except) {
            None => Ok(()),
            Some(difference) => Err(StudyError::Settings {
                folder: folder.to_owned(),
                difference,
            }),
        }
    }

    /// What is asked for here and not there, or there and not here, in words.
    fn asked_difference(&self, before: &Self) -> String {
        let all: Vec<&str> = FREE
            .into_iter()
            .chain(MIXABLE)
            .chain(["shard.index"])
            .collect();
        let said = difference(self, before, &all);
        said.unwrap_or_else(|| "parts are others".to_owned())
    }
}
