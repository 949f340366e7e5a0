//! What long work depends on: stored beside its results, so that nothing else is added to them.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::console::to_json;
use crate::error::CliError;

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

    /// Print no remarks
    #[arg(long, short)]
    pub quiet: bool,

    /// Print report.json instead of lines for people
    #[arg(long)]
    pub json: bool,
}

/// Parses `K/N`.
pub fn parse_shard(text: &str) -> Result<Shard, String> {
    text.parse()
}

/// Reads the settings of an earlier run.
pub fn read<S: DeserializeOwned>(folder: &Path) -> Result<S, CliError> {
    let path = folder.join(SETTINGS);
    let bytes =
        fs::read(&path).map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CliError::Failure(format!("{} is damaged: {error}", path.display())))
}

/// Settings as a file.
pub fn to_bytes(settings: &impl Serialize) -> Result<Vec<u8>, CliError> {
    let mut text = to_json(settings)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Makes an open file of a folder this run's own. File systems without locks have to do without.
pub fn lock(file: &File, folder: &Path) -> Result<(), CliError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(CliError::Failure(format!(
            "another run is writing results to {}",
            folder.display()
        ))),
        _ => Ok(()),
    }
}
