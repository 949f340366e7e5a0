//! A folder in which a map grows, by whoever works on it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use elucid::prelude::*;
use elucid::study::shared::{self, Leases, Recorded, Session, Shared};
use elucid::study::{StudyError, lease};
use elucid::vision::input::decode_image_of;
use ndarray::s;
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, PICTURE, SCHEMA, Settings};
use crate::error::CliError;
use crate::settings::{self, SETTINGS};

/// What such a folder is called.
const WHAT: &str = "sprite map";

/// The folder of pictures that journals name: the sprites of a batch, one below the other.
const SPRITES: &str = "sprites";

/// What may differ when somebody goes on: a file may have another name, what shards left out is filled in, and how many
/// channels go together decides about rounding only.
const FREE: [&str; 3] = ["model.name", "merged_from", "block"];

/// What decides about rounding, which an optimisation amplifies, and nothing about what is optimised.
const MIXABLE: [&str; 2] = ["device", "build"];

/// One line of a journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Who writes: the first of every journal.
    Session(Session),
    /// Sprites that were made.
    Sprites {
        channels: Vec<usize>,
        /// In the folder of sprites.
        file: String,
    },
}

impl Recorded for Record {
    fn of_session(session: Session) -> Self {
        Self::Session(session)
    }
}

/// What is known of a map.
#[derive(Debug)]
pub struct Known {
    folder: PathBuf,
    pub map: SpriteMap,
    pub sessions: Vec<Session>,
    /// Files that the journals name and that do not hold what was written, in words.
    pub lost: Vec<String>,
}

impl Known {
    /// What was in the folder's map before: of a merge, or of a program without journals.
    fn before(folder: &Path, settings: &Settings) -> Result<Self, CliError> {
        let map = match folder.join(DESCRIPTION).exists() {
            true => read_map(folder, settings)?,
            false => settings.map()?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            map,
            sessions: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// Reads what is there of a map, without adding to it.
    pub fn read(folder: &Path, settings: &Settings) -> Result<Self, CliError> {
        let mut known = Self::before(folder, settings)?;
        shared::read(folder, |record| known.take(record))?;
        Ok(known)
    }

    fn take(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Session(session) => self.sessions.push(session),
            Record::Sprites { channels, file } => {
                if let Some(channel) = channels.iter().find(|&&n| n >= self.map.count()) {
                    return Err(format!("the layer has no channel {channel}"));
                }
                let path = self.folder.join(SPRITES).join(file);
                if let Err(error) = self.insert(&channels, &path) {
                    self.lost.push(error.to_string());
                }
            }
        }
        Ok(())
    }

    /// Draws the map as far as it is known.
    pub fn draw(&self) -> Result<(), CliError> {
        Ok(self.map.save(self.folder.join(PICTURE))?)
    }

    fn insert(&mut self, channels: &[usize], path: &Path) -> Result<(), Box<dyn Error>> {
        let bytes = shared::read_content(path)?;
        let image = decode_image_of(&bytes, path.display().to_string())?;
        let strip = Picture::from_image(image.into_rgb8())?;
        let (size, count) = (self.map.size(), channels.len());
        if [strip.height(), strip.width()] != [count * size, size] {
            let shown = path.display();
            return Err(format!("{shown} is not {count} sprites of {size} x {size} pixels").into());
        }
        let strip = strip.to_rgb();
        for (i, &channel) in channels.iter().enumerate() {
            let sprite = strip.slice(s![i * size..(i + 1) * size, .., ..]);
            self.map.insert(channel, &Picture::from_rgb(sprite)?)?;
        }
        Ok(())
    }
}

/// A folder that sprites are being added to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Folders that were made for it, itself among them, from the inmost.
    made: Vec<PathBuf>,
    /// Whether this process began the map.
    is_new: bool,
    shared: Shared<Record>,
    pub known: Known,
}

/// How a map is begun, or gone on with.
pub struct Begin {
    pub resume: bool,
    pub allow_mixed: bool,
    pub stale_after: Duration,
}

impl Folder {
    /// Begins in a folder that is new or empty, or goes on with what is there where that is allowed. The settings are then those
    /// under which the map was begun.
    pub fn open(path: &Path, settings: &mut Settings, begin: &Begin) -> Result<Self, CliError> {
        // Refuses what no map can hold, before anything is written.
        settings.map()?;
        let made: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        let session = Session::current(
            settings.block,
            &settings.device,
            "f32",
            settings.build.clone(),
        );
        let is_new = shared::begin(path, &settings::to_bytes(settings)?)?;
        if !is_new {
            *settings = begun(path, settings, begin)?;
        }
        let mut folder = Self {
            known: Known::before(path, settings)?,
            shared: Shared::join(path, session, begin.stale_after)?,
            path: path.to_owned(),
            made,
            is_new,
        };
        folder.refresh()?;
        Ok(folder)
    }

    /// Hears what others have made.
    pub fn refresh(&mut self) -> Result<(), CliError> {
        Ok(self.shared.news(|record| self.known.take(record))?)
    }

    /// Keeps the sprites of some channels, in ascending order.
    pub fn add(&mut self, channels: &[usize], sprites: &[Picture]) -> Result<(), CliError> {
        let (Some(&first), Some(&last)) = (channels.first(), channels.last()) else {
            return Ok(());
        };
        let strip = Picture::below(sprites, 0)?.to_png_bytes()?;
        let file = shared::write_content(&self.path.join(SPRITES), [first, last], "png", &strip)?;
        let channels = channels.to_vec();
        let record = Record::Sprites { channels, file };
        Ok((self.shared).add(record, |record| self.known.take(record))?)
    }

    pub fn leases(&self) -> &Leases {
        self.shared.leases()
    }

    /// Gives back what this process held, and tells what is known by then.
    pub fn close(mut self) -> Result<Known, CliError> {
        self.refresh()?;
        Ok(self.known)
    }

    /// Ends this process's part, and leaves nothing behind where it began the map and nobody has made anything of it.
    pub fn abandon(self) -> Result<(), CliError> {
        let Self {
            path,
            made,
            is_new,
            shared,
            known,
        } = self;
        drop(shared);
        let is_nobodys = lease::held(&path, Duration::MAX)?.is_empty();
        if is_new && is_nobodys && known.sessions.is_empty() {
            let _ = fs::remove_file(path.join(SETTINGS));
            // Only what is empty goes.
            for folder in [path.join(shared::JOURNAL)].iter().chain(&made) {
                let _ = fs::remove_dir(folder);
            }
        }
        Ok(())
    }
}

/// Reads the settings of a folder.
pub fn read_settings(folder: &Path) -> Result<Settings, CliError> {
    Ok(shared::read_settings(folder, WHAT, SCHEMA)?)
}

/// The settings under which the folder's map was begun, which must be these.
fn begun(folder: &Path, settings: &Settings, begin: &Begin) -> Result<Settings, CliError> {
    if !begin.resume {
        return Err(StudyError::Occupied(folder.to_owned()).into());
    }
    let before = read_settings(folder)?;
    check_same(folder, (settings, &before), &FREE, begin.allow_mixed)?;
    Ok(before)
}

/// Refuses to mix what was made in different ways, but for what `except` names.
pub fn check_same(
    folder: &Path,
    (settings, before): (&Settings, &Settings),
    except: &[&str],
    allow_mixed: bool,
) -> Result<(), StudyError> {
    let folder = || folder.to_owned();
    let all = [except, &MIXABLE].concat();
    if let Some(difference) = settings::difference(settings, before, &all) {
        let folder = folder();
        return Err(StudyError::Settings { folder, difference });
    }
    match settings::difference(settings, before, except) {
        Some(difference) if !allow_mixed => {
            let folder = folder();
            Err(StudyError::Mixed { folder, difference })
        }
        _ => Ok(()),
    }
}

/// The map of a folder, which must be what its settings say.
fn read_map(folder: &Path, settings: &Settings) -> Result<SpriteMap, CliError> {
    let map = SpriteMap::open(folder.join(PICTURE))?;
    let found = (map.layer(), map.size(), map.count());
    if found != (&settings.layer, settings.size, settings.count) {
        return Err(CliError::Failure(format!(
            "{} is not the map that {SETTINGS} describes: it has {} channels of {} at {} pixels",
            folder.join(PICTURE).display(),
            map.count(),
            map.layer(),
            map.size(),
        )));
    }
    // One network may have several names.
    Ok(map.provenance(settings.provenance()))
}
