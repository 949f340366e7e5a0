//! What identifies a network and how it was used: what settings and reports print of it.

use std::collections::BTreeMap;

use elucid_vision::Model;
use elucid_vision::input::Transparency;
use serde::{Deserialize, Serialize};

/// A network, by what identifies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// What it is called here.
    pub name: String,
    /// Of its file.
    pub sha256: String,
}

impl ModelFacts {
    /// Those of a network.
    pub fn of(model: &Model) -> Self {
        Self {
            name: model.name().to_owned(),
            sha256: model.sha256().to_owned(),
        }
    }
}

/// How photographs become the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputFacts {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// `rgb` or `bgr`.
    pub channel_order: String,
    /// Factor on values of 0 to 255.
    pub scale: f32,
    /// Subtracted after scaling, of each channel.
    pub mean: Vec<f32>,
    /// Divisor after the mean, of each channel.
    pub std: Vec<f32>,
    /// How photographs are fitted.
    pub resize: String,
    /// Who says so; "assumed" where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<String>,
    /// What becomes of transparent pixels where no channel holds the opacity; absent for the usual, white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency: Option<String>,
    /// Inputs that are held fixed, and what identifies their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feeds: BTreeMap<String, String>,
}

impl InputFacts {
    /// Those of a network.
    pub fn of(model: &Model) -> Self {
        let spec = model.input_spec();
        let [height, width] = spec.size();
        Self {
            height,
            width,
            channel_order: spec.order().to_string(),
            scale: spec.scale(),
            mean: spec.mean().to_vec(),
            std: spec.std().to_vec(),
            resize: spec.resize().to_string(),
            preparation: Some(model.prepared_by().to_string()),
            transparency: match spec.transparency() {
                Transparency::White => None,
                other => Some(other.to_string()),
            },
            feeds: model.feeds().iter().cloned().collect(),
        }
    }

    /// The same whoever said it: work goes on with the same numbers.
    #[must_use]
    pub fn whoever_said_it(self) -> Self {
        Self {
            preparation: None,
            ..self
        }
    }
}

/// What is explained of a network, and how its scores are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadFacts {
    /// The output that is explained.
    pub output: String,
    /// The layer that holds the scores.
    pub scores: String,
    /// `classes`, `labels`, `binary`, `number`, `numbers`, `map`, `boxes` or `other`.
    pub kind: String,
    /// What makes probabilities of the scores: `softmax`, `sigmoid` or `none`.
    pub probabilities: String,
}

impl HeadFacts {
    /// Those of a network.
    pub fn of(model: &Model) -> Self {
        let head = model.head();
        Self {
            output: head.output().to_owned(),
            scores: head.scores().to_owned(),
            kind: head.kind().to_string(),
            probabilities: head.probabilities().to_string(),
        }
    }
}

/// The program that computes, by what identifies it. Versions alone do not: between two releases many programs
/// have one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Version of the program.
    pub elucid: String,
    /// Version of the library that computes.
    pub burn: String,
    /// The commit that it was built from; absent where it was built without a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// Of a build from files that were changed since the commit: when it was built, which tells two of them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<String>,
    /// Features that it was built with and that decide what computes.
    pub features: Vec<String>,
}

impl Build {
    /// One of which no more is known than the versions.
    pub fn of_versions(elucid: impl Into<String>, burn: impl Into<String>) -> Self {
        Self {
            elucid: elucid.into(),
            burn: burn.into(),
            git: None,
            dirty: None,
            features: Vec::new(),
        }
    }
}
