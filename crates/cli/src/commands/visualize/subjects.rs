//! What the pictures are to show.

use elucid::prelude::*;
use serde::Serialize;

use super::{VisualizeArgs, directions};
use crate::error::CliError;
use crate::icons::channel_count;
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

/// The layer, and what to show with its objective.
pub fn of<'m>(
    args: &VisualizeArgs,
    model: &'m Model,
) -> Result<(&'m Layer, Vec<(Subject, Objective)>), CliError> {
    let Some(name) = &args.layer else {
        return classes(&args.of.classes, model);
    };
    let layer = model.layer(name)?;
    let subjects = match (&args.of.channels, &args.of.directions) {
        (Some(channels), _) => (channels.of(layer)?.into_iter())
            .map(|n| (Subject::Channel(n), Objective::channel(layer.name(), n)))
            .collect(),
        (None, Some(path)) => {
            let directions = directions::read(path, layer.name(), channel_count(layer)?)?;
            let each = directions.outer_iter().enumerate();
            each.map(|(n, direction)| {
                let objective = Objective::direction(layer.name(), direction);
                (Subject::Direction(n), objective)
            })
            .collect()
        }
        (None, None) => Vec::new(),
    };
    Ok((layer, subjects))
}

fn classes<'m>(
    names: &[String],
    model: &'m Model,
) -> Result<(&'m Layer, Vec<(Subject, Objective)>), CliError> {
    let layer = model.logits()?;
    let mut subjects: Vec<(Subject, Objective)> = Vec::new();
    for name in names {
        let index = model.class(name)?;
        if subjects.iter().any(|(known, _)| known.number() == index) {
            return Err(CliError::Usage(format!(
                "--class names class {index} twice"
            )));
        }
        let label = model.label(index);
        subjects.push((Subject::Class { index, label }, Objective::class(index)));
    }
    Ok((layer, subjects))
}
