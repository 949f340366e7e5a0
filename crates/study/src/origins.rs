//! Where the shards of a merge lie: what is too large to be merged, such as pictures, stays with them.

use std::fs;
use std::path::{self, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::StudyError;
use crate::files::replace;
use crate::growth::Growth;
use crate::settings::Settings;
use crate::shard::Shard;

/// The list of them in the folder of a merge.
pub const ORIGINS: &str = "origins.json";

/// The folders that measured a study's images.
#[derive(Debug, Clone)]
pub struct Origins(Vec<Origin>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Origin {
    shard: Shard,
    folder: PathBuf,
}

impl Origins {
    /// Of a study in `folder`: that folder or, of a merge, the folders of its shards, as far as they still hold them, where they
    /// lay or beside the merge.
    pub fn of(folder: &Path, settings: &Settings) -> Self {
        if settings.merged_from == 0 {
            return Self(vec![Origin {
                shard: Shard::WHOLE,
                folder: folder.to_owned(),
            }]);
        }
        let found = read(folder)
            .into_iter()
            .filter_map(|Origin { shard, folder: lay }| {
                // Whether it is that shard of this study.
                let expected = Settings {
                    shard,
                    merged_from: 0,
                    ..settings.clone()
                };
                // It may have grown since.
                let is_right = |place: &PathBuf| {
                    Settings::read(place).is_ok_and(|there| {
                        let same = expected.check_same(&there, place, false, true);
                        let growth = Growth::of(&expected, &there, place);
                        same.is_ok() && growth.is_ok_and(|growth| growth.is_nothing())
                    })
                };
                let beside = lay.file_name().map(|name| folder.join("..").join(name));
                let mut places = [Some(lay), beside].into_iter().flatten();
                let folder = places.find(is_right)?;
                Some(Origin { shard, folder })
            });
        Self(found.collect())
    }

    /// The folder that measured an image, if it is there.
    pub fn folder(&self, number: usize) -> Option<&Path> {
        let origin = self.0.iter().find(|origin| origin.shard.takes(number))?;
        Some(&origin.folder)
    }
}

/// What the list of a merge says; merges of before there was one have none.
fn read(folder: &Path) -> Vec<Origin> {
    let bytes = fs::read(folder.join(ORIGINS)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Writes the list of a merge of `shards` into its folder.
pub(crate) fn write<'s>(
    folder: &Path,
    shards: impl Iterator<Item = (&'s Path, Shard)>,
) -> Result<(), StudyError> {
    let mut origins = Vec::new();
    for (folder, shard) in shards {
        // A merge of a merge: the pictures are where they were.
        match read(folder) {
            before if before.is_empty() => origins.push(Origin {
                shard,
                folder: path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            }),
            before => origins.extend(before),
        }
    }
    let path = folder.join(ORIGINS);
    let text = serde_json::to_string_pretty(&origins)
        .map_err(|error| StudyError::Data(format!("origins cannot be written: {error}")))?;
    replace(&path, |to| {
        (to.write_all((text + "\n").as_bytes())).map_err(StudyError::file("write", &path))
    })
}
