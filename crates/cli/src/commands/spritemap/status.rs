//! `elucid spritemap status`: how far sprite maps are, and who is working on them.

use std::path::Path;

use elucid::study::shared::list;
use serde::Serialize;

use super::folder::{Known, read_settings};
use crate::console::Output;
use crate::error::CliError;
use crate::settings::Shard;
use crate::workers::{StatusArgs, Worker};

#[derive(Debug, Serialize)]
struct Statuses {
    folders: Vec<Status>,
}

#[derive(Debug, Serialize)]
struct Status {
    folder: String,
    layer: String,
    shard: Shard,
    /// How many channels are wanted.
    planned: usize,
    /// Those of them that have no sprite yet.
    missing: Vec<usize>,
    /// Files that do not hold what was written, and why; their sprites are missing.
    lost: Vec<String>,
    workers: Vec<Worker<Share>>,
}

#[derive(Debug, Serialize)]
struct Share {
    channels: Vec<usize>,
}

pub fn run(args: &StatusArgs) -> Result<(), CliError> {
    let folders = args.folders.iter().map(|folder| Status::of(folder, args));
    let folders: Vec<Status> = folders.collect::<Result<_, _>>()?;
    let mut out = Output::new();
    if args.json {
        out.json("spritemap status", &Statuses { folders })?;
        return out.flush();
    }
    for status in &folders {
        status.say(&mut out)?;
    }
    out.flush()
}

impl Status {
    fn of(folder: &Path, args: &StatusArgs) -> Result<Self, CliError> {
        let settings = read_settings(folder)?;
        let known = Known::read(folder, &settings)?;
        let planned = settings.planned();
        let share = |block: usize| Share {
            channels: settings.block_of(&planned, block).to_vec(),
        };
        Ok(Self {
            folder: folder.display().to_string(),
            layer: settings.layer.clone(),
            shard: settings.shard,
            planned: planned.len(),
            missing: settings.missing(&known.map),
            lost: known.lost,
            workers: args.workers(folder, share)?,
        })
    }

    fn say(&self, out: &mut Output) -> Result<(), CliError> {
        let done = self.planned - self.missing.len();
        out.line(format!(
            "{}: {done} of {} channels of {}, shard {}",
            self.folder, self.planned, self.layer, self.shard
        ))?;
        for lost in &self.lost {
            out.line(lost)?;
        }
        for worker in &self.workers {
            let channels = list(&worker.share.channels);
            out.line(worker.sentence(&format!("channels {channels}")))?;
        }
        Ok(())
    }
}
