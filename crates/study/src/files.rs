//! Files that are there whole or not at all, whatever happens to the process or the machine.

use std::fs::{self, DirEntry, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::StudyError;

/// How the names of our passing files begin.
pub(crate) const PASSING: &str = ".elucid-";

/// Writes a file in one step: a reader sees the old one or the new one, and after a crash of the machine, too, one of them
/// is there.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    let (part, folder) = written(path, write)?;
    part.persist(path)
        .map_err(|error| StudyError::file("write", path)(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Writes a file where there is none yet; whether this call did it.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool, StudyError> {
    let (part, folder) = written(path, |to| {
        to.write_all(bytes).map_err(StudyError::file("write", path))
    })?;
    match part.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(StudyError::file("write", path)(error.error)),
    }
    sync_folder(folder);
    Ok(true)
}

fn written(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), StudyError>,
) -> Result<(tempfile::NamedTempFile, &Path), StudyError> {
    let cannot = StudyError::file("write", path);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(PASSING).suffix(".part");
    // Temporary files are private to their owner; a result is an ordinary file, as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let part = builder.tempfile_in(folder).map_err(&cannot)?;
    let mut to = BufWriter::new(part);
    write(&mut to)?;
    let part = to.into_inner().map_err(|e| cannot(e.into_error()))?;
    part.as_file().sync_all().map_err(&cannot)?;
    Ok((part, folder))
}

/// Makes names that were made or changed in a folder last. Systems that cannot have to do without.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// What lies in a folder under names of this ending, in the order of names; nothing where there is no such folder.
pub(crate) fn with_ending(folder: &Path, ending: &str) -> Result<Vec<DirEntry>, StudyError> {
    let cannot = StudyError::file("read", folder);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(&cannot)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(&cannot)?;
        if Path::new(&entry.file_name())
            .extension()
            .is_some_and(|e| e == ending)
        {
            found.push(entry);
        }
    }
    found.sort_by_key(DirEntry::file_name);
    Ok(found)
}

/// Whether nothing lies in a folder but what a process left that was killed while it wrote.
pub(crate) fn is_empty(folder: &Path) -> Result<bool, StudyError> {
    let cannot = StudyError::file("read", folder);
    for entry in fs::read_dir(folder).map_err(&cannot)? {
        let name = entry.map_err(&cannot)?.file_name();
        if !name.to_string_lossy().starts_with(PASSING) {
            return Ok(false);
        }
    }
    Ok(true)
}
