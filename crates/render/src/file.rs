//! Files that are either complete or absent.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::RenderError;

/// Writes `bytes` to `path`, replacing what is there in one step.
///
/// The bytes go to a temporary file in the same folder, which is then renamed. A reader sees the
/// old file or the new one, after a crash of the machine, too, and a failure leaves no half-written file behind.
///
/// # Errors
///
/// [`RenderError::Write`], naming `path`, when the folder is missing, not writable or full.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), RenderError> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    replace(folder, path, bytes).map_err(|source| RenderError::Write {
        path: path.to_owned(),
        source,
    })
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".elucid-").suffix(".part");
    // Temporary files are private to their owner; a result is an ordinary file, as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder);
    Ok(())
}

/// Makes names that were made, changed or removed in a folder last, whatever happens to the machine. Systems that
/// cannot have to do without.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.bin");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("absent").join("map.png");
        let message = write_atomically(&missing, b"x").unwrap_err().to_string();
        assert!(message.contains("map.png"), "{message}");

        // A folder of that name is in the way: the rename fails after the bytes were written.
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        write_atomically(&taken, b"x").unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_the_result() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ordinary = folder.path().join("ordinary");
        std::fs::write(&ordinary, b"x").unwrap();
        let ours = folder.path().join("ours");
        write_atomically(&ours, b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&ordinary));
    }
}
