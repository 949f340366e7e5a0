//! An open model on an open device.

use std::path::Path;

use elucid::ModelError;
use elucid::device::{self, Chosen};
use elucid::models::ResolveError;
use elucid::prelude::*;
use elucid::rules::winograd;
use elucid::vision::Guess;
use elucid::vision::input::decode_image;
use tracing::{Level, debug, enabled};

use crate::args::{ModelArgs, RunArgs};
use crate::console::Console;
use crate::download;
use crate::error::CliError;
use crate::images;

/// What every command that runs a network begins with.
pub struct Session {
    /// The network.
    pub model: Model,
    /// Where it runs, in words.
    pub device: String,
    /// Where remarks go.
    pub console: Console,
}

impl Session {
    /// Opens the device, and the model on it.
    pub fn open(run: &RunArgs, model: &ModelArgs) -> Result<Self, CliError> {
        run.start()?;
        let console = run.console();
        let device = device::open(run.device)?;
        if let (true, Some(name)) = (model.pull, model.model.to_str()) {
            download::ensure(name, console)?;
        }
        let model = open_model(model, &device)?;
        console.note(format!("{} on {}", model.name(), device.description));
        // Where they are not in the log already.
        if !enabled!(target: "elucid_vision", Level::WARN) {
            for remark in model.remarks() {
                console.note(format!("note: {remark}"));
            }
        }
        Ok(Self {
            model,
            device: device.description,
            console,
        })
    }

    /// What computes, in words that are the same on every machine that has the same: how many threads a CPU has and which
    /// number a GPU has there decides about nothing, how convolutions are rounded does.
    pub fn kind(&self) -> &str {
        match (self.device.as_str(), self.device.split_once(' ')) {
            (device, _) if device.starts_with("cpu (flex, ") => match winograd::is_on() {
                true => "cpu (flex)",
                false => "cpu (flex, no Winograd)",
            },
            (_, Some((number, name))) if number.starts_with("wgpu:") => name,
            (device, _) => device,
        }
    }

    /// Reads a photograph, and says what was done to it that is not usual.
    pub fn read(&self, path: &Path) -> Result<Photo, CliError> {
        let photo = match images::is_stdin(path) {
            true => {
                let picture = decode_image(images::stdin()?).map_err(ModelError::from)?;
                self.model.prepare(&picture)?
            }
            false => self.model.read_image(path)?,
        };
        debug!(image = %images::name(path), "read and prepared");
        if let Some(remark) = photo.remark() {
            self.console
                .note(format!("note: {}: {remark}", images::name(path)));
        }
        Ok(photo)
    }

    /// The network's scores of a photograph, best first; none where it has no row of scores for a whole
    /// picture.
    pub fn ranked(&self, photo: &Photo) -> Result<Vec<Guess>, CliError> {
        Ok(match self.model.head().kind().is_vector() {
            true => self.model.classify(photo)?.top(usize::MAX),
            false => Vec::new(),
        })
    }

    /// The one of them that is explained when nobody says which.
    pub fn best<'g>(&self, ranked: &'g [Guess]) -> Result<&'g Guess, CliError> {
        match (self.model.head().no_best(), ranked) {
            (None, [best, ..]) => Ok(best),
            (Some(reason), _) => Err(CliError::Failure(reason)),
            (None, []) => Err(CliError::Failure("the network has no classes".to_owned())),
        }
    }
}

fn open_model(args: &ModelArgs, device: &Chosen) -> Result<Model, CliError> {
    let opening = args
        .head
        .apply(args.input.opening()?.limits(args.limits()))?;
    let opened = match args.model.to_str() {
        Some(name) => opening.find(name, &device.device),
        // No known model has such a name, so this is a file.
        None => opening.open(Path::new(&args.model), &device.device),
    };
    opened.map_err(|error| match error {
        ModelError::NotFound(missing @ ResolveError::NotPulled { .. }) => {
            CliError::Failure(format!("{missing}, or add --pull"))
        }
        // What a flag says of the preparation, or a file beside the network.
        ModelError::Input(error) => CliError::Usage(error.to_string()),
        other => other.into(),
    })
}
