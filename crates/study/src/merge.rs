//! One study from the shards of one.

use std::path::{Path, PathBuf};

use crate::error::StudyError;
use crate::files::{self, replace};
use crate::folder;
use crate::found::Found;
use crate::journal::{self, JOURNAL, Session};
use crate::plan;
use crate::settings::{SETTINGS, Settings};
use crate::shard::Shard;

/// How many images an error names.
const NAMED: usize = 20;

/// Shards that belong together.
#[derive(Debug)]
pub struct Merge {
    folders: Vec<PathBuf>,
    settings: Settings,
    shards: Vec<Shard>,
    missing: Vec<String>,
}

impl Merge {
    /// The journal of a merge, in its folder.
    pub const JOURNAL: &str = "journal/merged.jsonl";

    /// Looks at the folders one after the other, and refuses such as do not belong together. Shards of different devices,
    /// precisions or builds, whose numbers may differ, only where `allow_mixed` says so.
    ///
    /// # Errors
    ///
    /// [`StudyError::Merge`], [`StudyError::Mixed`], and whatever reading them meets.
    pub fn of(folders: &[PathBuf], allow_mixed: bool) -> Result<Self, StudyError> {
        let mut first: Option<Session> = None;
        let mut merge: Option<Self> = None;
        for folder in folders {
            let shown = folder.display();
            let (settings, found) = folder::read(folder)?;
            let merge = merge.get_or_insert_with(|| Self {
                folders: Vec::new(),
                settings: settings.clone(),
                shards: Vec::new(),
                missing: Vec::new(),
            });
            if let Some(with) = merge.folders.first() {
                let same = settings.check_same(&merge.settings, folder, true, allow_mixed);
                same.map_err(|error| match error {
                    StudyError::Settings { difference, .. } => StudyError::Merge(format!(
                        "{shown} was measured with other settings than {}: {difference} there",
                        with.display()
                    )),
                    other => other,
                })?;
            }
            let same = merge
                .shards
                .iter()
                .position(|shard| *shard == settings.shard);
            if let Some(twin) = same {
                return Err(StudyError::Merge(format!(
                    "{shown} and {} are both shard {}, so that their images would count twice",
                    merge.folders[twin].display(),
                    settings.shard
                )));
            }
            if !allow_mixed {
                check_sessions(folder, &found, &mut first)?;
            }
            merge.missing.extend(missing(folder, &found));
            merge.folders.push(folder.clone());
            merge.shards.push(settings.shard);
        }
        let Some(mut merge) = merge else {
            return Err(StudyError::Merge("there is nothing to merge".to_owned()));
        };
        let count = merge.settings.shard.count;
        let absent = (1..=count.min(merge.settings.total()))
            .map(|index| Shard { index, count })
            .filter(|shard| !merge.shards.contains(shard));
        let absent: Vec<String> = absent.map(|shard| shard.to_string()).collect();
        if !absent.is_empty() {
            let text = format!("missing shards: {}", list(&absent));
            merge.missing.insert(0, text);
        }
        merge.settings.merged_from = merge.folders.len();
        merge.settings.shard = Shard::WHOLE;
        Ok(merge)
    }

    /// What is missing, in words.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The folder that measured an image, if there is one.
    pub fn origin(&self, number: usize) -> Option<&Path> {
        let takes = |shard: &Shard| shard.takes(number);
        let place = self.shards.iter().position(takes)?;
        Some(&self.folders[place])
    }

    /// Puts settings, images and journals of all of them into a new folder, record by record.
    ///
    /// # Errors
    ///
    /// [`StudyError::File`], and [`StudyError::Empty`] where nothing was measured.
    pub fn write(&self, folder: &Path) -> Result<(Settings, Found), StudyError> {
        let journals = folder.join(JOURNAL);
        std::fs::create_dir_all(&journals).map_err(StudyError::file("write", &journals))?;
        let mut planned = Vec::new();
        for part in &self.folders {
            planned.extend(plan::read(part)?);
        }
        planned.sort_by_key(|planned| planned.number);
        plan::write(folder, &planned)?;
        let path = folder.join(Self::JOURNAL);
        replace(&path, |to| {
            let mut parts = self.folders.iter();
            parts.try_for_each(|part| journal::copy(part, to, &path))
        })?;
        let settings = folder.join(SETTINGS);
        replace(&settings, |to| {
            let bytes = self.settings.to_bytes()?;
            to.write_all(&bytes)
                .map_err(StudyError::file("write", &settings))
        })?;
        files::sync_folder(folder);
        let (settings, found) = folder::read(folder)?;
        if found.seen().next().is_none() {
            return Err(StudyError::Empty("nothing was measured".to_owned()));
        }
        Ok((settings, found))
    }
}

/// Refuses what was measured on other devices or by other builds than the first of all.
fn check_sessions(
    folder: &Path,
    found: &Found,
    first: &mut Option<Session>,
) -> Result<(), StudyError> {
    for session in found.sessions() {
        let Some(before) = first else {
            *first = Some(session.clone());
            continue;
        };
        // Who it was and when it began decides nothing.
        let except = ["host", "pid", "begun", "batch_size"];
        if let Some(difference) = crate::difference::difference(session, before, &except) {
            return Err(StudyError::Mixed {
                folder: folder.to_owned(),
                difference,
            });
        }
    }
    Ok(())
}

fn missing(folder: &Path, found: &Found) -> Option<String> {
    let absent: Vec<String> = (found.planned().iter().enumerate())
        .filter(|(at, _)| !found.is_done(*at))
        .map(|(_, planned)| planned.file.clone())
        .collect();
    (!absent.is_empty()).then(|| {
        format!(
            "{} images are missing in {}: {}",
            absent.len(),
            folder.display(),
            list(&absent)
        )
    })
}

fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
