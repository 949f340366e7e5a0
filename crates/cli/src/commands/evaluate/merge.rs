//! `elucid evaluate merge`: one table from the shards of an evaluation.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::examples;
use super::outcome::{Outcome, PAGE};
use super::results::{
    self, Found, IMAGES, NOTES, Planned, RESULTS, SKIPPED, head, images, remarks,
};
use super::settings::Settings;
use super::summary::{SUMMARY, TABLE};
use super::{entries, say};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, Files};
use crate::report::Clock;
use crate::settings::{self, MergeArgs, SETTINGS, Shard};

/// How many images an error names.
const NAMED: usize = 20;

/// What one folder holds.
struct Part {
    folder: PathBuf,
    settings: Settings,
    planned: Vec<Planned>,
    found: Found,
}

pub fn run(args: &MergeArgs) -> Result<(), CliError> {
    let console = Console::new(args.quiet);
    let destination = Destination::check(&args.out, args.force)?;
    let mut clock = Clock::default();
    let parts = clock.time("read", || read(&args.shards))?;
    let settings = merged(&parts)?;
    let missing = missing(&parts, &settings);
    if !missing.is_empty() {
        let text = missing.join("; ");
        match args.allow_missing {
            true => console.note(&text),
            false => {
                return Err(CliError::Failure(format!(
                    "{text}; finish them with --resume, or go on with --allow-missing"
                )));
            }
        }
    }

    let mut files = Files::default();
    let methods = settings.rows();
    // Which folder has the picture of an image.
    let mut origin: HashMap<usize, usize> = HashMap::new();
    let mut planned = Vec::new();
    let mut found = Found::default();
    let folders: Vec<Vec<PathBuf>> = (parts.iter())
        .map(|part| examples::folders(&part.folder, &methods))
        .collect();
    for (i, part) in parts.into_iter().enumerate() {
        origin.extend(part.planned.iter().map(|planned| (planned.number, i)));
        planned.extend(part.planned);
        found.measured.extend(part.found.measured);
        found.skipped.extend(part.found.skipped);
        found.notes.extend(part.found.notes);
    }
    planned.sort_by_key(|planned| planned.number);
    found.measured.sort_by_key(|image| image.number);
    found.skipped.sort_by_key(|remark| remark.number);
    found.notes.sort_by_key(|remark| remark.number);
    if found.measured.is_empty() {
        return Err(CliError::Failure("nothing was measured".to_owned()));
    }

    let metrics = entries::metrics(&settings.metrics, settings.seed, None)?;
    let outcome = clock.time("sum up", || {
        Outcome::new(&settings, &metrics, &planned, &found)
    })?;
    let picture = |row: usize, number: usize| {
        let part = origin.get(&number)?;
        Some(folders[*part][row].join(examples::file(number)))
    };
    let places: HashMap<usize, &Planned> = planned.iter().map(|p| (p.number, p)).collect();
    let lines = found
        .measured
        .iter()
        .filter_map(|image| Some(image.lines(places.get(&image.number)?, &methods)));
    let lines: String = std::iter::once(head(&settings)).chain(lines).collect();
    files.add(SETTINGS, settings::to_bytes(&settings)?);
    files.add(IMAGES, images(&planned).into_bytes());
    files.add(RESULTS, lines.into_bytes());
    files.add(SKIPPED, remarks(&found.skipped).into_bytes());
    files.add(NOTES, remarks(&found.notes).into_bytes());
    files.add(SUMMARY, outcome.csv().into_bytes());
    files.add(TABLE, outcome.markdown().into_bytes());
    files.add(PAGE, outcome.page(picture)?);
    let report = outcome.report("evaluate merge", None, None, clock.steps(), files.names());
    files.write(&destination, &report)?;
    say(&outcome, &args.out)
}

/// Reads the folders, and refuses such as do not belong together.
fn read(folders: &[PathBuf]) -> Result<Vec<Part>, CliError> {
    let mut parts: Vec<Part> = Vec::new();
    for folder in folders {
        let shown = folder.display();
        let settings = settings::read::<Settings>(folder)?;
        if let Some(first) = parts.first() {
            let except = ["model.name", "data.source", "shard.index"];
            if let Some(difference) = settings::difference(&settings, &first.settings, &except)? {
                return Err(CliError::Failure(format!(
                    "{shown} was measured with other settings than {}: {difference} there",
                    first.folder.display()
                )));
            }
            let same = |part: &&Part| part.settings.shard == settings.shard;
            if let Some(twin) = parts.iter().find(same) {
                return Err(CliError::Failure(format!(
                    "{shown} and {} are both shard {}, so that their images would count twice",
                    twin.folder.display(),
                    settings.shard
                )));
            }
        }
        let planned = results::read_images(folder)?;
        let mine = (0..settings.total()).filter(|&number| settings.shard.takes(number));
        if !mine.eq(planned.iter().map(|planned| planned.number)) {
            return Err(CliError::Failure(format!(
                "{} does not list the images of shard {}",
                folder.join(IMAGES).display(),
                settings.shard
            )));
        }
        let found = results::read(folder, &settings, &planned)?;
        parts.push(Part {
            folder: folder.clone(),
            settings,
            planned,
            found,
        });
    }
    Ok(parts)
}

/// The settings of all of them together.
fn merged(parts: &[Part]) -> Result<Settings, CliError> {
    let first = parts.first().map(|part| part.settings.clone());
    let mut settings =
        first.ok_or_else(|| CliError::Usage("there is nothing to merge".to_owned()))?;
    settings.merged_from = parts.len();
    settings.shard = Shard::WHOLE;
    Ok(settings)
}

/// What is missing, in words.
fn missing(parts: &[Part], settings: &Settings) -> Vec<String> {
    let mut said = Vec::new();
    let shards = parts.first().map_or(1, |part| part.settings.shard.count);
    let absent: Vec<String> = (1..=shards.min(settings.total()))
        .filter(|index| parts.iter().all(|part| part.settings.shard.index != *index))
        .map(|index| format!("{index}/{shards}"))
        .collect();
    if !absent.is_empty() {
        said.push(format!("missing shards: {}", list(&absent)));
    }
    for part in parts {
        let measured = part.found.measured.iter().map(|image| image.number);
        let skipped = part.found.skipped.iter().map(|remark| remark.number);
        let known: HashSet<usize> = measured.chain(skipped).collect();
        let absent: Vec<String> = (part.planned.iter())
            .filter(|planned| !known.contains(&planned.number))
            .map(|planned| planned.file.clone())
            .collect();
        if !absent.is_empty() {
            said.push(format!(
                "{} images are missing in {}: {}",
                absent.len(),
                part.folder.display(),
                list(&absent)
            ));
        }
    }
    said
}

fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
