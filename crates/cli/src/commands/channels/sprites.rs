//! A sprite map that was made before.

use std::fs;
use std::path::{Path, PathBuf};

use elucid::prelude::*;
use serde::Serialize;

use crate::error::CliError;
use crate::icons::channel_count;

/// A sprite map, and where it was.
pub struct Sprites {
    pub file: PathBuf,
    pub map: SpriteMap,
}

/// Where the icons came from.
#[derive(Debug, Serialize)]
pub struct SpriteFacts {
    file: String,
    size: usize,
    /// How they were made.
    made_by: String,
}

impl SpriteFacts {
    pub fn of(sprites: &Sprites) -> Self {
        Self {
            file: sprites.file.display().to_string(),
            size: sprites.map.size(),
            made_by: sprites.map.made_by().to_owned(),
        }
    }
}

/// Opens a sprite map: its picture, or the folder it lies in.
pub fn open(path: &Path) -> Result<Sprites, CliError> {
    let file = match path.is_dir() {
        true => the_only_map(path)?,
        false => path.to_owned(),
    };
    let map = SpriteMap::open(&file)?;
    Ok(Sprites { file, map })
}

/// The picture in a folder that has a description beside it.
fn the_only_map(folder: &Path) -> Result<PathBuf, CliError> {
    let shown = folder.display();
    let cannot = |error| CliError::io(format!("cannot read {shown}"), &error);
    let mut maps = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let is_picture = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("png"));
        if is_picture && path.with_extension("json").is_file() {
            maps.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(maps) {
        Ok([map]) => Ok(map),
        Err(maps) if maps.is_empty() => Err(CliError::Failure(format!(
            "there is no sprite map in {shown}, a .png file with a .json file beside it"
        ))),
        Err(mut maps) => {
            maps.sort();
            let names: Vec<_> = maps.iter().map(|map| map.display().to_string()).collect();
            Err(CliError::Failure(format!(
                "there are several sprite maps in {shown}; name one of {}",
                names.join(", ")
            )))
        }
    }
}

/// Refuses the map of another layer.
pub fn check(sprites: &Sprites, model: &Model, layer: &Layer) -> Result<(), CliError> {
    let file = sprites.file.display();
    let map = &sprites.map;
    if map.layer() != layer.name() {
        return Err(CliError::Failure(format!(
            "{file} is a sprite map of \"{}\", not of \"{}\"",
            map.layer(),
            layer.name()
        )));
    }
    let channels = channel_count(model, layer)?;
    if map.count() != channels {
        return Err(CliError::Failure(format!(
            "{file} is a sprite map of {} channels, and \"{}\" has {channels}",
            map.count(),
            layer.name()
        )));
    }
    Ok(())
}
