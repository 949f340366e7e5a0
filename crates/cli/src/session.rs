//! An open model on an open device.

use std::path::Path;

use elucid::ModelError;
use elucid::device::{self, Chosen};
use elucid::models::ResolveError;
use elucid::prelude::*;
use elucid::vision::Guess;

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
        Ok(Self {
            model,
            device: device.description,
            console,
        })
    }

    /// The network's scores of a photograph, best first; none where it has no row of scores for a whole
    /// picture.
    pub fn ranked(&self, photo: &Photo) -> Result<Vec<Guess>, CliError> {
        Ok(match self.model.logits() {
            Ok(_) => self.model.classify(photo)?.top(usize::MAX),
            Err(_) => Vec::new(),
        })
    }

    /// The one of them that is explained when nobody says which.
    pub fn best<'g>(&self, ranked: &'g [Guess]) -> Result<&'g Guess, CliError> {
        if let Some(best) = ranked.first() {
            return Ok(best);
        }
        self.model.logits()?;
        Err(CliError::Failure("the network has no classes".to_owned()))
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
    let opened = find(args, device, None);
    if let Err(ModelError::NotFound(missing @ ResolveError::NotPulled { .. })) = &opened {
        return Err(CliError::Failure(format!("{missing}, or add --pull")));
    }
    if !args.input.any() {
        return Ok(opened?);
    }
    // The flags change what is known of the model. A model that does not even open without them,
    // because it does not take the usual size, has nothing known of it.
    let known = opened.map_or_else(|_| InputSpec::default(), |model| *model.input_spec());
    Ok(find(args, device, Some(args.input.apply(known)?))?)
}

fn find(args: &ModelArgs, device: &Chosen, spec: Option<InputSpec>) -> Result<Model, ModelError> {
    match args.model.to_str() {
        Some(name) => Model::find(name, &device.device, spec),
        // No known model has such a name, so this is a file.
        None => {
            let path = Path::new(&args.model);
            match spec {
                Some(spec) => Model::open_with(path, &device.device, spec),
                None => Model::open(path, &device.device),
            }
        }
    }
}
