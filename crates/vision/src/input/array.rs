//! Arrays of NumPy as inputs: `.npy` files, and members of `.npz` archives.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;
use ndarray::ArrayD;

use super::MAX_FILE_BYTES;
use super::error::InputError;
use super::npy::Header;
use super::read::read_file;

/// Whether a name is that of an array: `FILE.npy`, `FILE.npz` or `FILE.npz:MEMBER`.
pub fn is_array(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    let is = |path: &Path, wanted: &[&str]| {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        extension.is_some_and(|e| wanted.contains(&e.as_str()))
    };
    is(path, &["npy", "npz"]) || split(path).1.is_some()
}

/// Endings of the names of files that are pictures, of kinds that can be read, in small letters.
pub const PICTURE_ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Whether a name ends as one of a picture does: in [`PICTURE_ENDINGS`], in small or capital letters.
pub fn is_picture(path: impl AsRef<Path>) -> bool {
    let ending = path.as_ref().extension();
    let ending = ending.map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| PICTURE_ENDINGS.contains(&ending.as_str()))
}

/// The file that a name means: that of the archive, for `FILE.npz:MEMBER`.
pub fn file_of(path: impl AsRef<Path>) -> PathBuf {
    split(path.as_ref()).0
}

/// Reads an array of numbers: a `.npy` file, or a member of a `.npz` archive, `FILE.npz:MEMBER`; the
/// name of the member can be left out where there is only one. Numbers become `f64`, booleans 0 and
/// 1.
///
/// # Errors
///
/// [`InputError::Read`] and [`InputError::FileTooLarge`] for the file, [`InputError::Array`] when it
/// is none of these.
pub fn open_array(path: impl AsRef<Path>) -> Result<ArrayD<f64>, InputError> {
    let path = path.as_ref();
    let (file, member) = split(path);
    let refused = |reason| InputError::Array {
        array: path.display().to_string(),
        reason,
    };
    let bytes = read_file(&file)?;
    match bytes.starts_with(b"PK") {
        true => unzipped(&bytes, member.as_deref())
            .and_then(|bytes| of_bytes(&bytes))
            .map_err(refused),
        false => of_bytes(&bytes).map_err(refused),
    }
}

/// The file, and the member of an archive.
fn split(path: &Path) -> (PathBuf, Option<String>) {
    let text = path.to_string_lossy();
    match text.rsplit_once(':') {
        Some((file, member)) if file.to_lowercase().ends_with(".npz") && !path.exists() => {
            (PathBuf::from(file), Some(member.to_owned()))
        }
        _ => (path.to_owned(), None),
    }
}

fn of_bytes(bytes: &[u8]) -> Result<ArrayD<f64>, String> {
    let header = Header::of(bytes)?;
    header.array(&bytes[header.start..])
}

/// A member of a zip archive, stored or deflated.
fn unzipped(bytes: &[u8], wanted: Option<&str>) -> Result<Vec<u8>, String> {
    let members = members(bytes).ok_or("it is no archive of NumPy's: its list cannot be read")?;
    let name_of = |member: &Member| member.name.trim_end_matches(".npy").to_owned();
    let names: Vec<String> = members.iter().map(name_of).collect();
    let found = match (wanted, &members[..]) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(wanted), members) => {
            let wanted = wanted.trim_end_matches(".npy");
            members.iter().find(|member| name_of(member) == wanted)
        }
    };
    let Some(member) = found else {
        let names = names.join(", ");
        return Err(match wanted {
            Some(wanted) => format!("it has no array \"{wanted}\", but {names}"),
            None => format!("it has several arrays, choose one as FILE.npz:NAME: {names}"),
        });
    };
    let stored = member.data(bytes).ok_or("it is cut short")?;
    let mut data = Vec::new();
    let read = match member.method {
        0 => stored.take(MAX_FILE_BYTES + 1).read_to_end(&mut data),
        8 => DeflateDecoder::new(stored)
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut data),
        other => {
            return Err(format!(
                "it is compressed by method {other}, expected deflate"
            ));
        }
    };
    match read {
        Ok(_) if data.len() as u64 <= MAX_FILE_BYTES => Ok(data),
        Ok(_) => Err(format!("it holds more than {} MiB", MAX_FILE_BYTES >> 20)),
        Err(error) => Err(error.to_string()),
    }
}

struct Member {
    name: String,
    method: u16,
    packed: usize,
    header: usize,
}

impl Member {
    fn data<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let header = bytes.get(self.header..)?;
        let start = 30 + usize::from(short(header, 26)?) + usize::from(short(header, 28)?);
        header.get(start..start.checked_add(self.packed)?)
    }
}

/// What the archive's central directory lists.
fn members(bytes: &[u8]) -> Option<Vec<Member>> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    // A comment of up to 64 KiB may follow.
    let tail = bytes.len().saturating_sub(22 + 0xFFFF);
    let end = tail + bytes[tail..].windows(4).rposition(|w| w == END)?;
    let count = short(bytes, end + 10)?;
    let mut at = long(bytes, end + 16)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let entry = bytes.get(at..)?;
        if !entry.starts_with(ENTRY) {
            return None;
        }
        let [name, extra, comment] = [28, 30, 32].map(|place| short(entry, place));
        let name_end = 46 + usize::from(name?);
        members.push(Member {
            name: String::from_utf8_lossy(entry.get(46..name_end)?).into_owned(),
            method: short(entry, 10)?,
            packed: long(entry, 20)?,
            header: long(entry, 42)?,
        });
        at += name_end + usize::from(extra?) + usize::from(comment?);
    }
    Some(members)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([two[0], two[1]]))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes([four[0], four[1], four[2], four[3]])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn every_type_and_order_of_bytes_is_read() {
        let read = |descriptor: &str, data: &[u8]| {
            let header =
                format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': (2,), }}");
            of_bytes(&npy(&header, data))
                .unwrap()
                .into_raw_vec_and_offset()
                .0
        };
        assert_eq!(read("<f4", &[0, 0, 128, 63, 0, 0, 0, 192]), [1.0, -2.0]);
        assert_eq!(read(">f4", &[63, 128, 0, 0, 192, 0, 0, 0]), [1.0, -2.0]);
        assert_eq!(read("<f2", &[0, 60, 1, 0]), [1.0, 2_f64.powi(-24)]);
        assert_eq!(read("|u1", &[255, 1]), [255.0, 1.0]);
        assert_eq!(read("|i1", &[255, 1]), [-1.0, 1.0]);
        assert_eq!(read("<u2", &[255, 255, 1, 0]), [65_535.0, 1.0]);
        assert_eq!(read(">i2", &[255, 254, 0, 1]), [-2.0, 1.0]);
        assert_eq!(read("|b1", &[0, 1]), [0.0, 1.0]);
        assert_eq!(read("<i8", &[[255; 8], [0; 8]].concat()), [-1.0, 0.0]);
    }

    #[test]
    fn columns_first_is_put_right() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        let read = of_bytes(&npy(header, &[0, 1, 2, 3, 4, 5])).unwrap();
        let expected = ndarray::arr2(&[[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]);
        assert_eq!(read, expected.into_dyn());
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        let header = |text: &str, data: &[u8]| of_bytes(&npy(text, data)).unwrap_err();
        let complex = "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }";
        assert!(header(complex, &[0; 8]).contains("<c8"));
        let huge =
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }";
        assert!(header(huge, &[0; 8]).contains("does not fit"));
        assert!(header("{}", &[]).contains("type"));
        assert!(of_bytes(b"hello").unwrap_err().contains(".npy"));
        let whole = npy(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }",
            &[0; 4],
        );
        for length in 0..whole.len() {
            assert!(of_bytes(&whole[..length]).is_err(), "{length}");
        }
        for garbage in [
            &b"PK"[..],
            b"PK\x05\x06",
            &[0x50, 0x4B, 5, 6, 255, 255, 255, 255],
        ] {
            assert!(unzipped(garbage, None).is_err());
        }
    }
}
