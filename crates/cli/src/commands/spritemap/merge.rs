//! `elucid spritemap merge`: one map from those of shards.

use std::path::PathBuf;

use elucid::prelude::*;
use elucid::study::Shards;
use elucid::study::shared::{Session, list};

use super::folder::{Known, check_same, read_settings};
use super::{DESCRIPTION, PICTURE, Report, Settings, say};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, Files};
use crate::report::Clock;
use crate::settings::{self, MergeArgs, SETTINGS, Shard};

/// As reports name it.
const COMMAND: &str = "spritemap merge";

/// In what shards of one map differ.
const FREE: [&str; 3] = ["model.name", "block", "shard.index"];

pub fn run(args: &MergeArgs) -> Result<(), CliError> {
    let console = Console::new(args.quiet);
    let destination = Destination::check(&args.out, args.force, COMMAND)?;
    let mut clock = Clock::default();
    let Parts {
        settings,
        map,
        sessions,
        lost,
        absent,
    } = clock.time("merge", || read(&args.shards, args.allow_mixed))?;
    lost.iter().for_each(|what| console.note(what));
    let missing = settings.missing(&map);
    if !missing.is_empty() {
        let channels = format!("{} channels are missing: {}", missing.len(), list(&missing));
        let parts: Vec<String> = absent.into_iter().chain([channels]).collect();
        args.allow(&console, &parts.join("; "))?;
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
        made_by: Session::mixed(&sessions).unwrap_or_default(),
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
    /// Who made it.
    sessions: Vec<Session>,
    /// Files that do not hold what was written.
    lost: Vec<String>,
    /// Shards without a folder, in words.
    absent: Option<String>,
}

/// Reads the folders one after the other, and refuses such as do not belong together.
fn read(folders: &[PathBuf], allow_mixed: bool) -> Result<Parts, CliError> {
    let mut shards = Shards::default();
    let mut whole: Option<(Settings, SpriteMap)> = None;
    let (mut sessions, mut lost) = (Vec::new(), Vec::new());
    for folder in folders {
        let settings = read_settings(folder)?;
        if let Some((theirs, _)) = &whole {
            let same = check_same(folder, (&settings, theirs), &FREE, allow_mixed);
            same.map_err(|error| shards.refusal(folder, error))?;
        }
        shards.add(folder, settings.shard)?;
        let known = Known::read(folder, &settings)?;
        if !allow_mixed {
            shards.check_same(folder, &known.sessions)?;
        }
        sessions.extend(known.sessions);
        lost.extend(known.lost);
        whole = Some(match whole.take() {
            None => (settings, known.map),
            Some((settings, map)) => {
                // One network may have several names: that of the first.
                let part = known.map.provenance(map.made_by());
                (settings, SpriteMap::merge([map, part])?)
            }
        });
    }
    let Some((mut settings, map)) = whole else {
        return Err(CliError::Usage("there is nothing to merge".to_owned()));
    };
    settings.shard = Shard::WHOLE;
    settings.merged_from = shards.len();
    Ok(Parts {
        absent: shards.absent(settings.planned().len()),
        settings,
        map,
        sessions,
        lost,
    })
}

/// Adds the two files of the map.
fn add(map: &SpriteMap, files: &mut Files) -> Result<(), CliError> {
    let (picture, description) = map.to_bytes()?;
    files.add(PICTURE, picture);
    files.add(DESCRIPTION, description);
    Ok(())
}
