//! Who works on what several processes share: flags and facts of commands that say how far that is.

use std::path::{Path, PathBuf};

use clap::Args;
use elucid::study::lease;
use serde::Serialize;

use crate::error::CliError;
use crate::settings::StaleArgs;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folders of results
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,

    #[command(flatten)]
    stale: StaleArgs,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A worker, with its share of the work.
#[derive(Debug, Serialize)]
pub struct Worker<S> {
    #[serde(flatten)]
    pub share: S,
    host: String,
    pid: u32,
    silent_seconds: u64,
    /// Whether others may take its share.
    is_stale: bool,
}

impl StatusArgs {
    /// Those who hold a lease in a folder; `share` says of what, by the number of the block.
    pub fn workers<S>(
        &self,
        folder: &Path,
        share: impl Fn(usize) -> S,
    ) -> Result<Vec<Worker<S>>, CliError> {
        let held = lease::held(folder, self.stale.time())?.into_iter();
        let workers = held.map(|held| {
            let holder = held.holder.as_ref();
            Worker {
                share: share(held.block),
                host: holder.map_or("unknown".to_owned(), |holder| holder.host.clone()),
                pid: holder.map_or(0, |holder| holder.pid),
                silent_seconds: held.silent.as_secs(),
                is_stale: held.is_stale,
            }
        });
        Ok(workers.collect())
    }
}

impl<S> Worker<S> {
    /// What it does, for people.
    pub fn sentence(&self, share: &str) -> String {
        let Self {
            host,
            pid,
            silent_seconds,
            ..
        } = self;
        let state = if self.is_stale { "gone" } else { "working" };
        format!(
            "process {pid} on {host} is {state} on {share}, last heard of {silent_seconds} s ago"
        )
    }
}
