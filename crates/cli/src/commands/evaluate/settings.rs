//! What was measured and how.

use std::collections::BTreeMap;

use elucid::attribution::Configuration;
use elucid::models::Labels;
use serde::{Deserialize, Serialize};

use super::entries::MethodFacts;
use crate::report::{HeadFacts, InputFacts, ModelFacts};
use crate::settings::Shard;

/// Rows that stand in every table beside the methods.
pub const BASELINES: [&str; 2] = ["centre", "random"];

/// Everything that the numbers depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub elucid: String,
    pub burn: String,
    pub model: ModelFacts,
    pub input: InputFacts,
    /// Absent in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadFacts>,
    /// What the classes are called together, if they have names.
    pub class_names: Option<String>,
    /// The names themselves, unless this program knows them by what they are called together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What was assumed of the network where nobody said it.
    #[serde(default)]
    pub remarks: Vec<String>,
    pub data: DataFacts,
    /// What is explained: the image's label, or the network's prediction.
    pub target: String,
    pub methods: Vec<MethodFacts>,
    pub metrics: Vec<String>,
    /// Their options in effect on pictures of the network's size, by how a metric is called above. Absent in
    /// what earlier versions wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metric_options: BTreeMap<String, Configuration>,
    pub seed: u64,
    pub shard: Shard,
    /// How many images were asked for; all of them if absent.
    pub limit: Option<usize>,
    /// How many shards these results were merged from; 0 for results of one run.
    pub merged_from: usize,
}

/// The images, by what identifies them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
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

    /// How many images there are, in all shards together.
    pub fn total(&self) -> usize {
        self.limit
            .map_or(self.data.images, |limit| limit.min(self.data.images))
    }
}
