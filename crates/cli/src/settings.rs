//! What long work depends on: stored beside its results, so that nothing else is added to them.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tracing::warn;

use crate::console::{Console, to_json};
use crate::error::CliError;
use crate::interrupt::Interrupt;

pub use elucid::study::{SETTINGS, Shard, difference};

/// Flags of putting the results of shards together.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of the shards
    #[arg(required = true, value_name = "SHARD_DIR")]
    pub shards: Vec<PathBuf>,

    /// Where the results go: a folder that is new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replace the results of an earlier merge in the folder, and nothing else
    #[arg(long)]
    pub force: bool,

    /// Go on where shards or parts of them are missing
    #[arg(long)]
    pub allow_missing: bool,

    /// Take shards together that other devices or builds made, whose results may differ
    #[arg(long)]
    pub allow_mixed: bool,

    /// Print no remarks
    #[arg(long, short)]
    pub quiet: bool,

    /// Print report.json instead of lines for people
    #[arg(long)]
    pub json: bool,
}

impl MergeArgs {
    /// Refuses what is missing, unless it may be.
    pub fn allow(&self, console: &Console, missing: &str) -> Result<(), CliError> {
        match self.allow_missing {
            true => {
                console.note(missing);
                Ok(())
            }
            false => Err(CliError::Failure(format!(
                "{missing}; finish the shards with --resume, or go on with --allow-missing"
            ))),
        }
    }
}

/// Flags of work that several processes share.
#[derive(Debug, Args)]
pub struct SharedArgs {
    /// With --resume, go on though another device or build began, whose results may differ; the results say so
    #[arg(long, requires = "resume")]
    pub allow_mixed: bool,

    #[command(flatten)]
    pub stale: StaleArgs,
}

/// When a worker counts as gone.
#[derive(Debug, Args)]
pub struct StaleArgs {
    /// After how many minutes without a sign of life a worker counts as gone, and its share is given to others
    #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    stale_after: u32,
}

impl StaleArgs {
    /// As a time.
    pub fn time(&self) -> Duration {
        Duration::from_secs(60 * u64::from(self.stale_after))
    }
}

/// Work that several processes shared was asked to end.
pub fn ended(interrupt: &Interrupt, how_far: impl Display) -> CliError {
    /// To be gone on with: EX_TEMPFAIL of sysexits.h.
    const TO_GO_ON: u8 = 75;
    let by = interrupt.by();
    warn!(signal = by, "asked to end");
    let said = format!("ended by {by}: {how_far}; the same command with --resume goes on");
    CliError::Ended(TO_GO_ON, said)
}

/// Parses `K/N`.
pub fn parse_shard(text: &str) -> Result<Shard, String> {
    text.parse()
}

/// Settings as a file.
pub fn to_bytes(settings: &impl Serialize) -> Result<Vec<u8>, CliError> {
    let mut text = to_json(settings)?;
    text.push('\n');
    Ok(text.into_bytes())
}
