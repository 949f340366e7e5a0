//! An open model on an open device.

use std::path::Path;

use elucid::ModelError;
use elucid::device::{self, Chosen};
use elucid::models::ResolveError;
use elucid::prelude::*;

use crate::args::{ModelArgs, RunArgs};
use crate::console::Console;
use crate::download;
use crate::error::CliError;

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
        let console = run.console();
        let device = device::open(run.device)?;
        if let (true, Some(name)) = (model.pull, model.model.to_str()) {
            download::ensure(name, console)?;
        }
        let model = open_model(model, &device)?;
        console.note(format!("{} on {}", model.name(), device.description));
        if runs_one_by_one(&model) {
            console.note(
                "the file fixes a batch of one, and its images cannot be computed together: they \
                 run one at a time, whatever the batch size",
            );
        }
        for remark in model.remarks() {
            console.note(format!("note: {remark}"));
        }
        Ok(Self {
            model,
            device: device.description,
            console,
        })
    }
}

/// Whether images of a batch run one after the other on their way to the end of the network.
fn runs_one_by_one(model: &Model) -> bool {
    let graph = model.graph();
    let ends: Vec<&str> = match model.logits() {
        Ok(logits) => vec![logits.name()],
        Err(_) => graph.outputs().iter().map(|&v| graph.name(v)).collect(),
    };
    // What cannot be planned is an error of whoever runs it.
    model.runs_one_by_one(ends).unwrap_or(false)
}

fn open_model(args: &ModelArgs, device: &Chosen) -> Result<Model, CliError> {
    let opening = args.input.opening()?;
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
