//! A folder in which a map grows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use elucid::prelude::*;
use elucid::render::file::write_atomically;

use super::{DESCRIPTION, PICTURE, Settings};
use crate::error::CliError;
use crate::settings::{self, SETTINGS};

/// Keeps other runs out while it is locked.
const LOCK: &str = ".elucid-lock";
/// How the names of our passing files begin.
const OURS: &str = ".elucid-";

/// A folder that sprites are being added to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Folders that were made for it, itself among them, from the inmost.
    made: Vec<PathBuf>,
    /// Whether it was empty.
    is_new: bool,
    _lock: File,
    pub map: SpriteMap,
}

impl Folder {
    /// Begins in a folder that is new or empty, or goes on with what is there where `resume` allows
    /// it.
    pub fn open(path: &Path, settings: &Settings, resume: bool) -> Result<Self, CliError> {
        let map = settings.map()?;
        let shown = path.display();
        let cannot = |error: io::Error| CliError::io(format!("cannot write {shown}"), &error);
        let made: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        fs::create_dir_all(path).map_err(cannot)?;
        let mut passing = Vec::new();
        let mut is_new = true;
        for entry in fs::read_dir(path).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            match name.to_string_lossy() {
                name if name == LOCK => {}
                name if name.starts_with(OURS) => passing.push(path.join(&*name)),
                _ => is_new = false,
            }
        }
        if !is_new {
            check_resumable(path, settings, resume)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.join(LOCK))
            .map_err(cannot)?;
        settings::lock(&lock, path)?;
        // What a run left that was killed while it wrote.
        for file in passing {
            let _ = fs::remove_file(file);
        }
        let mut folder = Self {
            path: path.to_owned(),
            made,
            is_new,
            _lock: lock,
            map,
        };
        if is_new {
            write_atomically(path.join(SETTINGS), &settings::to_bytes(settings)?)?;
        } else if path.join(DESCRIPTION).exists() {
            folder.map = read_map(path, settings)?;
        }
        Ok(folder)
    }

    /// Adds sprites, and writes them.
    pub fn add(&mut self, sprites: &[(usize, Picture)]) -> Result<(), CliError> {
        for (channel, sprite) in sprites {
            self.map.insert(*channel, sprite)?;
        }
        Ok(self.map.save(self.path.join(PICTURE))?)
    }

    /// Leaves nothing behind where nothing was done.
    pub fn abandon(self) {
        if self.is_new && self.map.present().is_empty() {
            for file in [SETTINGS, LOCK] {
                let _ = fs::remove_file(self.path.join(file));
            }
            for folder in &self.made {
                let _ = fs::remove_dir(folder);
            }
        }
    }

    /// Lets others in.
    pub fn close(self) -> SpriteMap {
        let _ = fs::remove_file(self.path.join(LOCK));
        self.map
    }
}

/// The map of a folder, which must be what its settings say.
pub fn read_map(folder: &Path, settings: &Settings) -> Result<SpriteMap, CliError> {
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

/// Refuses to mix what was made in different ways.
fn check_resumable(folder: &Path, settings: &Settings, resume: bool) -> Result<(), CliError> {
    let shown = folder.display();
    if !resume {
        return Err(CliError::Failure(format!(
            "the folder {shown} is not empty; give another one, or --resume to go on with a map \
             that ended early"
        )));
    }
    if !folder.join(SETTINGS).is_file() {
        return Err(CliError::Failure(format!(
            "{shown} holds something, but no sprite map: it has no {SETTINGS}"
        )));
    }
    let before: Settings = settings::read(folder)?;
    // The same file may have another name, and what shards left out is filled in.
    let except = ["model.name", "merged_from"];
    match settings::difference(settings, &before, &except) {
        Some(difference) => Err(CliError::Failure(format!(
            "{shown} was begun with other settings: {difference}; give another folder"
        ))),
        None => Ok(()),
    }
}
