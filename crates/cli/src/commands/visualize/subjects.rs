//! What the pictures are to show.

use elucid::prelude::*;
use serde::Serialize;

use super::{VisualizeArgs, directions};
use crate::error::CliError;
use crate::icons::{channel_count, check_memory};
use crate::names::slug;

/// What one picture shows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A channel of the layer.
    Channel(usize),
    /// A direction, by its place in the file.
    Direction(usize),
    Class {
        index: usize,
        label: String,
    },
}

impl Subject {
    /// What is added to the seed.
    pub fn number(&self) -> usize {
        match self {
            Self::Channel(number) | Self::Direction(number) => *number,
            Self::Class { index, .. } => *index,
        }
    }

    /// What a contact sheet says of it.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Channel(number) => vec![format!("channel {number}")],
            Self::Direction(number) => vec![format!("direction {number}")],
            Self::Class { index, label } => vec![format!("class {index}"), label.clone()],
        }
    }

    /// The file's name, without its extension.
    pub fn slug(&self) -> String {
        match self {
            Self::Channel(number) => format!("channel_{number}"),
            Self::Direction(number) => format!("direction_{number}"),
            Self::Class { index, label } if label.parse() == Ok(*index) => format!("class_{index}"),
            Self::Class { index, label } => format!("class_{index}_{}", slug(label)),
        }
    }
}

/// What is to be shown of a layer.
pub struct Subjects<'m> {
    pub layer: &'m Layer,
    pub each: Vec<Subject>,
    /// One for each.
    pub objectives: Vec<Objective>,
}

impl<'m> Subjects<'m> {
    /// Finds what the arguments name.
    pub fn of(args: &VisualizeArgs, model: &'m Model) -> Result<Self, CliError> {
        let Some(name) = &args.layer else {
            return Self::classes(&args.of.classes, model);
        };
        let mut subjects = Self::none_of(model.layer(name)?);
        let layer = subjects.layer;
        if let Some(channels) = &args.of.channels {
            for number in channels.of(model, layer)? {
                let objective = Objective::channel(layer.name(), number);
                subjects.add(Subject::Channel(number), objective);
            }
        }
        if let Some(path) = &args.of.directions {
            let directions = directions::read(path, layer.name(), channel_count(model, layer)?)?;
            check_memory(directions.nrows(), args.size)?;
            for (number, direction) in directions.outer_iter().enumerate() {
                let objective = Objective::direction(layer.name(), direction);
                subjects.add(Subject::Direction(number), objective);
            }
        }
        Ok(subjects)
    }

    fn classes(names: &[String], model: &'m Model) -> Result<Self, CliError> {
        let mut subjects = Self::none_of(model.logits()?);
        for name in names {
            let index = model.class(name)?;
            if subjects.each.iter().any(|known| known.number() == index) {
                return Err(CliError::Usage(format!(
                    "--class names class {index} twice"
                )));
            }
            let label = model.label(index);
            subjects.add(Subject::Class { index, label }, Objective::class(index));
        }
        Ok(subjects)
    }

    fn none_of(layer: &'m Layer) -> Self {
        Self {
            layer,
            each: Vec::new(),
            objectives: Vec::new(),
        }
    }

    fn add(&mut self, subject: Subject, objective: Objective) {
        self.each.push(subject);
        self.objectives.push(objective);
    }
}
