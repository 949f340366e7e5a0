//! `elucid spritemap merge`: one map from those of shards.

use std::path::{Path, PathBuf};

use elucid::prelude::*;

use super::folder::read_map;
use super::{DESCRIPTION, PICTURE, Report, Settings, say};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, Files};
use crate::report::Clock;
use crate::settings::{self, MergeArgs, SETTINGS, Shard};

/// As reports name it.
const COMMAND: &str = "spritemap merge";

/// How many channels an error names.
const NAMED: usize = 20;

pub fn run(args: &MergeArgs) -> Result<(), CliError> {
    let console = Console::new(args.quiet);
    let destination = Destination::check(&args.out, args.force, COMMAND)?;
    let mut clock = Clock::default();
    let Parts {
        settings,
        map,
        absent,
    } = clock.time("merge", || read(&args.shards))?;
    let missing = settings.missing(&map);
    if !missing.is_empty() {
        let mut text = format!(
            "{} channels are missing: {}",
            missing.len(),
            list(missing.iter().map(usize::to_string))
        );
        if !absent.is_empty() {
            let shards = list(absent.iter().map(Shard::to_string));
            text = format!("missing shards: {shards}; {text}");
        }
        match args.allow_missing {
            true => console.note(text),
            false => {
                return Err(CliError::Failure(format!(
                    "{text}; finish the shards with --resume, or go on with --allow-missing"
                )));
            }
        }
    }

    let mut files = Files::default();
    files.add(SETTINGS, settings::to_bytes(&settings)?);
    clock.time("draw", || add(&map, &mut files))?;
    let report = Report {
        command: COMMAND,
        device: None,
        threads: None,
        settings: &settings,
        batch_size: None,
        remarks: &settings.remarks,
        planned: settings.planned().len(),
        missing,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;
    say(&args.out, (&settings, &map), args.json.then_some(&*report))
}

/// What the folders hold together.
struct Parts {
    settings: Settings,
    map: SpriteMap,
    /// Shards without a folder.
    absent: Vec<Shard>,
}

/// Reads the folders one after the other, and refuses such as do not belong together.
fn read(folders: &[PathBuf]) -> Result<Parts, CliError> {
    let mut parts: Vec<(&Path, Settings)> = Vec::new();
    for folder in folders {
        let settings: Settings = settings::read(folder)?;
        let shown = folder.display();
        if let Some((first, theirs)) = parts.first() {
            let except = ["model.name", "shard.index"];
            if let Some(difference) = settings::difference(&settings, theirs, &except) {
                return Err(CliError::Failure(format!(
                    "{shown} was made with other settings than {}: {difference} there",
                    first.display()
                )));
            }
        }
        let same = |part: &&(&Path, Settings)| part.1.shard == settings.shard;
        if let Some((twin, _)) = parts.iter().find(same) {
            return Err(CliError::Failure(format!(
                "{shown} and {} are both shard {}",
                twin.display(),
                settings.shard
            )));
        }
        parts.push((folder, settings));
    }
    let Some((_, first)) = parts.first() else {
        return Err(CliError::Usage("there is nothing to merge".to_owned()));
    };
    let mut merged = first.clone();
    let count = merged.shard.count;
    merged.shard = Shard::WHOLE;
    merged.merged_from = parts.len();
    // A map refuses numbers that no layer has.
    let mut map = merged.map()?;
    let absent = (1..=count.min(merged.planned().len()))
        .map(|index| Shard { index, count })
        .filter(|shard| parts.iter().all(|(_, settings)| settings.shard != *shard));
    let absent: Vec<Shard> = absent.collect();
    for (folder, settings) in parts {
        // A run that was stopped before its first batch has settings only.
        if folder.join(DESCRIPTION).exists() {
            let part = read_map(folder, &settings)?.provenance(map.made_by());
            map = SpriteMap::merge([map, part])?;
        }
    }
    Ok(Parts {
        settings: merged,
        map,
        absent,
    })
}

/// Adds the two files of the map.
fn add(map: &SpriteMap, files: &mut Files) -> Result<(), CliError> {
    let (picture, description) = map.to_bytes()?;
    files.add(PICTURE, picture);
    files.add(DESCRIPTION, description);
    Ok(())
}

fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if count > NAMED {
        text.push_str(&format!(" and {} more", count - NAMED));
    }
    text
}
