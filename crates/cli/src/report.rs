//! What a run leaves behind for whoever asks later where its numbers came from.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use elucid::graph::GraphError;
use elucid::models::sha256;
use elucid::prelude::*;
use elucid::rules::RuleUse;
use elucid::vision::Guess;
use elucid::vision::input::{Transparency, file_of};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::session::Session;
use crate::wording::in_flags;

/// Version of the library that computes; a test holds it against the lock file.
pub const BURN: &str = "0.22.1";

/// The programs that computed.
#[derive(Debug, Serialize)]
struct Versions {
    elucid: &'static str,
    burn: &'static str,
}

impl Versions {
    /// Those of this program.
    fn current() -> Self {
        Self {
            elucid: env!("CARGO_PKG_VERSION"),
            burn: BURN,
        }
    }
}

/// A network, by what identifies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    pub name: String,
    pub sha256: String,
}

impl ModelFacts {
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
    pub height: usize,
    pub width: usize,
    pub channel_order: String,
    pub scale: f32,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
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
    /// The same whoever said it: work goes on with the same numbers.
    pub fn whoever_said_it(self) -> Self {
        Self {
            preparation: None,
            ..self
        }
    }

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

/// What every report begins with: which command ran, and what it ran.
#[derive(Debug, Serialize)]
pub struct RunFacts {
    command: &'static str,
    versions: Versions,
    device: String,
    model: ModelFacts,
    input: InputFacts,
    head: HeadFacts,
    /// What was assumed of the network where nobody said it.
    remarks: Vec<String>,
}

impl RunFacts {
    pub fn of(command: &'static str, session: &Session) -> Self {
        Self {
            command,
            versions: Versions::current(),
            device: session.device.clone(),
            model: ModelFacts::of(&session.model),
            input: InputFacts::of(&session.model),
            head: HeadFacts::of(&session.model),
            remarks: remarks(&session.model),
        }
    }
}

/// What was assumed of a network, in words.
pub fn remarks(model: &Model) -> Vec<String> {
    let remarks = model.remarks().iter();
    remarks.map(|remark| in_flags(remark.text())).collect()
}

/// What was done to a photograph that is not usual, in words.
pub fn remark(photo: &Photo) -> Option<String> {
    photo.remark().map(|remark| in_flags(remark.text()))
}

/// A photograph, by what identifies it.
#[derive(Debug, Serialize)]
pub struct ImageFacts {
    pub file: String,
    pub sha256: String,
    /// What was done to it that is not usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

impl ImageFacts {
    /// The same with what was done to the picture.
    pub fn seen_as(self, photo: &Photo) -> Self {
        Self {
            remark: remark(photo),
            ..self
        }
    }

    pub fn of(path: &Path) -> Result<Self, CliError> {
        let sha256 = sha256::of_file(file_of(path))
            .map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?;
        Ok(Self {
            file: path.display().to_string(),
            sha256,
            remark: None,
        })
    }
}

/// A class with its score.
#[derive(Debug, Clone, Serialize)]
pub struct GuessFacts {
    pub index: usize,
    pub label: String,
    /// Absent where the score is no logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    pub logit: f32,
}

impl GuessFacts {
    /// Of each guess.
    pub fn list(guesses: &[Guess]) -> Vec<Self> {
        guesses.iter().cloned().map(Self::from).collect()
    }
}

impl From<Guess> for GuessFacts {
    fn from(guess: Guess) -> Self {
        let Guess {
            index,
            label,
            probability,
            logit,
        } = guess;
        Self {
            index,
            label,
            probability,
            logit,
        }
    }
}

/// A layer with its shape.
#[derive(Debug, Clone, Serialize)]
pub struct LayerFacts {
    pub name: String,
    pub shape: Vec<usize>,
    /// What its axes are: `channels first`, `channels last`, `tokens ...` or `unknown`.
    pub layout: String,
}

impl LayerFacts {
    pub fn of(layer: &Layer, model: &Model) -> Result<Self, GraphError> {
        Ok(Self {
            name: layer.name().to_owned(),
            shape: layer.shape().to_vec(),
            layout: model.layout(layer.name())?.to_string(),
        })
    }
}

/// What an attribution adds up to, and what it should.
#[derive(Debug, Serialize)]
pub struct CompletenessFacts {
    pub sum: f64,
    pub expected: f64,
    /// `|sum - expected| / |expected|`.
    pub error: f64,
}

impl From<Completeness> for CompletenessFacts {
    fn from(completeness: Completeness) -> Self {
        Self {
            sum: completeness.sum,
            expected: completeness.expected,
            error: completeness.error(),
        }
    }
}

/// How many operators a rule took.
#[derive(Debug, Serialize)]
pub struct RuleUseFacts {
    pub rule: String,
    pub operators: usize,
}

impl From<&RuleUse> for RuleUseFacts {
    fn from(used: &RuleUse) -> Self {
        Self {
            rule: used.rule.clone(),
            operators: used.operators,
        }
    }
}

/// A step of the work, and how long it took.
#[derive(Debug, Serialize)]
pub struct Step {
    pub step: String,
    pub seconds: f64,
}

/// Times the steps of a command.
#[derive(Debug, Default)]
pub struct Clock(Vec<Step>);

impl Clock {
    /// Does `work` and notes how long it took.
    pub fn time<T>(&mut self, step: impl Into<String>, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        // Milliseconds: more digits would only look like knowledge.
        let seconds = (start.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        self.0.push(Step {
            step: step.into(),
            seconds,
        });
        result
    }

    /// The steps so far.
    pub fn steps(self) -> Vec<Step> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::BURN;

    #[test]
    fn the_version_of_burn_is_the_locked_one() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let burn = format!("name = \"burn\"\nversion = \"{BURN}\"\n");
        assert!(
            lock.contains(&burn),
            "Cargo.lock has another burn than {BURN}"
        );
    }
}
