//! One study from the shards of one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StudyError;
use crate::files::{self, replace};
use crate::folder;
use crate::found::Found;
use crate::journal::{self, JOURNAL};
use crate::origins;
use crate::plan;
use crate::settings::{SETTINGS, Settings};
use crate::shard::{Shard, Shards, list};

/// Shards that belong together.
#[derive(Debug)]
pub struct Merge {
    settings: Settings,
    shards: Shards,
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
        let mut merge: Option<Self> = None;
        for folder in folders {
            let (settings, found) = folder::read(folder)?;
            let merge = merge.get_or_insert_with(|| Self {
                settings: settings.clone(),
                shards: Shards::default(),
                missing: Vec::new(),
            });
            if !merge.shards.is_empty() {
                let same = settings.check_same(&merge.settings, folder, true, allow_mixed);
                same.map_err(|error| merge.shards.refusal(folder, error))?;
            }
            merge.shards.add(folder, settings.shard)?;
            if !allow_mixed {
                merge.shards.check_same(folder, found.sessions())?;
            }
            merge.missing.extend(missing(folder, &found));
        }
        let Some(mut merge) = merge else {
            return Err(StudyError::Merge("there is nothing to merge".to_owned()));
        };
        let absent = merge.shards.absent(merge.settings.total());
        merge.missing.splice(0..0, absent);
        merge.settings.merged_from = merge.shards.len();
        merge.settings.shard = Shard::WHOLE;
        Ok(merge)
    }

    /// What is missing, in words.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Refuses to put the merge where it would destroy what was measured: in the place of one of the merged, or of any
    /// evaluation that is not itself a merge. What an earlier merge left, whole or not, may be replaced.
    ///
    /// # Errors
    ///
    /// [`StudyError::Protected`], and whatever reading the folder's settings meets.
    pub fn check_place(&self, folder: &Path) -> Result<(), StudyError> {
        let protected = |reason| {
            let folder = folder.to_owned();
            Err(StudyError::Protected { folder, reason })
        };
        let real = |folder: &Path| fs::canonicalize(folder).ok();
        let place = real(folder);
        if place.is_some() && self.shards.folders().any(|part| real(part) == place) {
            return protected("is among the folders that are merged");
        }
        if folder.join(SETTINGS).exists() {
            return match Settings::read(folder)?.merged_from {
                0 => protected("holds an evaluation that is no merge"),
                _ => Ok(()),
            };
        }
        let journals = journal::names(&folder.join(JOURNAL))?;
        match journals.iter().all(|name| is_of_merge(name)) {
            true => Ok(()),
            false => protected("holds journals of an evaluation"),
        }
    }

    /// Puts settings, images and journals of all of them into a folder, record by record; where [`Merge::check_place`] allows it
    /// in the place of what is there.
    ///
    /// # Errors
    ///
    /// As [`Merge::check_place`]; [`StudyError::File`], and [`StudyError::Empty`] where nothing was measured.
    pub fn write(&self, folder: &Path) -> Result<(Settings, Found), StudyError> {
        self.check_place(folder)?;
        let journals = folder.join(JOURNAL);
        fs::create_dir_all(&journals).map_err(StudyError::file("write", &journals))?;
        // Until the new settings are there, which come last, the folder is no evaluation.
        remove(&folder.join(SETTINGS))?;
        // What was in the journals of an earlier merge may be in none of these folders.
        for name in journal::names(&journals)? {
            remove(&journals.join(name))?;
        }
        let mut planned = Vec::new();
        for part in self.shards.folders() {
            planned.extend(plan::read(part, self.settings.total())?);
        }
        planned.sort_by_key(|planned| planned.number);
        plan::write(folder, &planned)?;
        origins::write(folder, self.shards.iter())?;
        let mut found = Found::new(&self.settings, planned);
        let path = folder.join(Self::JOURNAL);
        replace(&path, |to| {
            let mut parts = self.shards.folders();
            parts.try_for_each(|part| {
                journal::copy(part, (&mut *to, &path), |record| found.add(record))
            })
        })?;
        if found.seen().next().is_none() {
            return Err(StudyError::Empty("nothing was measured".to_owned()));
        }
        let settings = folder.join(SETTINGS);
        replace(&settings, |to| {
            let bytes = self.settings.to_bytes()?;
            to.write_all(&bytes)
                .map_err(StudyError::file("write", &settings))
        })?;
        files::sync_folder(folder);
        Ok((self.settings.clone(), found))
    }
}

/// Whether a journal is that of a merge.
fn is_of_merge(name: &OsStr) -> bool {
    Path::new(JOURNAL).join(name) == Path::new(Merge::JOURNAL)
}

fn remove(path: &Path) -> Result<(), StudyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StudyError::file("write", path)(error))
        }
        _ => Ok(()),
    }
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
            list(absent)
        )
    })
}
