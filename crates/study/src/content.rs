//! Files that are named for what is in them, and that a [journal](crate::journal) names: nobody changes them.

use std::fs;
use std::path::Path;

use elucid_models::sha256;

use crate::error::StudyError;
use crate::files;

/// How many digits of the SHA-256 stand in a name.
const DIGITS: usize = 16;

/// Writes a file into a folder, which is made where there is none, and gives its name: `0000016-0000023-0123456789abcdef.png` of
/// the numbers of the first and the last thing in it and the first sixteen digits of its SHA-256. When this returns, the disk
/// has it.
///
/// # Errors
///
/// [`StudyError::File`].
pub fn write(
    folder: &Path,
    [first, last]: [usize; 2],
    ending: &str,
    bytes: &[u8],
) -> Result<String, StudyError> {
    fs::create_dir_all(folder).map_err(StudyError::file("write", folder))?;
    // The folder's own name, and that of the one around it, which may be new, too.
    folder
        .ancestors()
        .skip(1)
        .take(2)
        .for_each(files::sync_folder);
    let digits = &sha256::of_bytes(bytes)[..DIGITS];
    let name = format!("{first:07}-{last:07}-{digits}.{ending}");
    let path = folder.join(&name);
    files::replace(&path, |to| {
        to.write_all(bytes)
            .map_err(StudyError::file("write", &path))
    })?;
    Ok(name)
}

/// Reads such a file.
///
/// # Errors
///
/// [`StudyError::File`], and [`StudyError::Altered`] for one that does not hold what it is named for.
pub fn read(path: &Path) -> Result<Vec<u8>, StudyError> {
    let bytes = fs::read(path).map_err(StudyError::file("read", path))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let digits = stem.and_then(|stem| stem.rsplit('-').next());
    match digits == Some(&sha256::of_bytes(&bytes)[..DIGITS]) {
        true => Ok(bytes),
        false => Err(StudyError::Altered(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_found() {
        let desk = tempfile::tempdir().unwrap();
        let folder = desk.path().join("a/b");
        let bytes = b"what is in it".to_vec();
        let name = write(&folder, [3, 17], "txt", &bytes).unwrap();
        assert!(name.starts_with("0000003-0000017-"), "{name}");
        assert_eq!(write(&folder, [3, 17], "txt", &bytes).unwrap(), name);
        let path = folder.join(name);
        assert_eq!(read(&path).unwrap(), bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            for altered in [&changed[..], &bytes[..at]] {
                fs::write(&path, altered).unwrap();
                let error = read(&path).unwrap_err();
                assert!(matches!(error, StudyError::Altered(_)), "{at}: {error}");
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(&path), Err(StudyError::File { .. })));
    }
}
