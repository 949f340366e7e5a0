//! The icons beside what a page shows: pictures of what channels and groups look for.

use std::fmt;

use clap::Args;
use elucid::prelude::*;
use serde::Serialize;

use crate::console::follow;
use crate::error::CliError;
use crate::icons::{IconArgs, STEPS, check_memory, parse_side};
use crate::session::Session;

/// Flags for icons.
#[derive(Debug, Args)]
pub struct PageIconArgs {
    /// Height and width of each icon in pixels
    #[arg(long, value_name = "PIXELS", value_parser = parse_side, default_value = "110")]
    size: usize,

    /// How many steps each icon is optimised
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value_t = STEPS)]
    steps: u32,

    /// Make no icons
    #[arg(long, conflicts_with_all = ["size", "steps"])]
    pub no_icons: bool,
}

/// How icons were made.
#[derive(Debug, Clone, Serialize)]
pub struct IconFacts {
    size: usize,
    steps: usize,
    parametrisation: String,
    transforms: String,
    /// What each picture began with.
    seeds: Vec<u64>,
    objectives: Vec<String>,
    /// What each objective was worth at the last step.
    values: Vec<f32>,
}

impl fmt::Display for IconFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} steps", self.parametrisation, self.steps)
    }
}

/// Icons, in the order of their objectives.
pub struct Icons {
    pub pictures: Vec<Picture>,
    pub facts: IconFacts,
}

impl PageIconArgs {
    /// Makes an icon for each objective. Each has a number of its own, which is added to `seed`, so
    /// that it looks the same whichever others it is made with.
    pub fn make(
        &self,
        session: &Session,
        objectives: Vec<(usize, Objective)>,
        seed: u64,
        batch_size: Option<u32>,
    ) -> Result<Icons, CliError> {
        let Session { model, console, .. } = session;
        let (numbers, objectives): (Vec<usize>, Vec<Objective>) = objectives.into_iter().unzip();
        let size = [self.size; 2];
        check_memory(objectives.len(), size)?;
        let bar = console.steps(&match objectives.len() {
            1 => "1 icon".to_owned(),
            count => format!("{count} icons"),
        });
        let made = IconArgs::for_pages(self.steps, batch_size, seed)
            .vis(size, &numbers, follow(&bar))
            .render(model, objectives.into_iter().collect::<Objectives>());
        bar.finish_and_clear();
        // What is asked for can be had without them.
        let made = made.map_err(|error| {
            CliError::Failure(format!("no icons: {error}; --no-icons goes without them"))
        })?;
        let pictures = made.all_bytes().map(|icon| Picture::from_rgb(icon.view()));
        Ok(Icons {
            pictures: pictures.collect::<Result<_, _>>()?,
            facts: IconFacts {
                size: self.size,
                steps: self.steps as usize,
                parametrisation: made.parametrisation().to_owned(),
                transforms: made.transforms().to_owned(),
                seeds: made.seeds().to_vec(),
                objectives: made.objectives().to_vec(),
                values: made
                    .values()
                    .iter()
                    .map(|series| series.last().copied().unwrap_or_default())
                    .collect(),
            },
        })
    }
}
