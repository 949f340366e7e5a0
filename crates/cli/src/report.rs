//! What a run leaves behind for whoever asks later where its numbers came from.

use std::path::Path;
use std::time::Instant;

use elucid::graph::GraphError;
use elucid::models::sha256;
use elucid::prelude::*;
use elucid::rules::{RuleUse, winograd};
use elucid::vision::Guess;
use elucid::vision::input::file_of;
use serde::Serialize;
use tracing::info;

pub use elucid::study::{Build, HeadFacts, InputFacts, ModelFacts};

use crate::error::CliError;
use crate::images;
use crate::session::Session;
use crate::wording::in_flags;

/// Version of the library that computes, as it was locked when the program was built.
pub const BURN: &str = match option_env!("ELUCID_BURN") {
    Some(version) => version,
    None => "unknown",
};

/// This program, by what identifies it.
pub fn build() -> Build {
    let features = [
        ("flex", cfg!(feature = "flex")),
        ("wgpu", cfg!(feature = "wgpu")),
    ];
    let features = features.into_iter().filter(|(_, is_on)| *is_on);
    Build {
        git: option_env!("ELUCID_GIT").map(str::to_owned),
        dirty: option_env!("ELUCID_DIRTY").map(str::to_owned),
        features: features.map(|(name, _)| name.to_owned()).collect(),
        ..Build::of_versions(env!("CARGO_PKG_VERSION"), BURN)
    }
}

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

/// What every report begins with: which command ran, and what it ran.
#[derive(Debug, Serialize)]
pub struct RunFacts {
    command: &'static str,
    versions: Versions,
    device: String,
    /// Those that compute on the CPU.
    threads: usize,
    /// Whether convolutions there may take fewer products than windows have elements.
    winograd: bool,
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
            threads: rayon::current_num_threads(),
            winograd: winograd::is_on(),
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
#[derive(Debug, Clone, Serialize)]
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
        let sha256 = match images::is_stdin(path) {
            true => sha256::of_bytes(images::stdin()?),
            false => sha256::of_file(file_of(path))
                .map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?,
        };
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
        let step = step.into();
        info!("{step}: begun");
        let start = Instant::now();
        let result = work();
        // Milliseconds: more digits would only look like knowledge.
        let seconds = (start.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        info!(seconds, "{step}: done");
        self.0.push(Step { step, seconds });
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
