//! Shards of WebDataset: tar archives in which the files of a sample follow one another and share the name up to its first dot.
//!
//! `000123.jpg` is a picture; `000123.cls` its class, an index or a name; `000123.json` an object with `label` (or `class`,
//! `class_index`, `class_name`) and, where there are boxes, `boxes`, a list of `[xmin, ymin, xmax, ymax]`; `000123.xml` objects of VOC or
//! ILSVRC, which say class and boxes; `000123.mask.png` a mask. Other files are let be.
//!
//! An archive is walked from header to header, once; what is kept of it is where its files lie. Nothing is unpacked.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elucid_vision::input::PICTURE_ENDINGS;
use serde_json::Value;
use tar::Archive;

use super::xml::{self, MAX_BYTES};
use super::{CLASS, Label, Listed, is_box};
use crate::error::StudyError;
use crate::files::with_ending;
use crate::masks::Mask;
use crate::stored::Stored;

/// How the names of archives end.
const ENDING: &str = "tar";

/// The length of headers, and of what files are filled up to.
const BLOCK: u64 = 512;

/// The archives that are meant: a file, or all of a folder.
pub(super) fn of(path: &Path) -> Result<Vec<PathBuf>, StudyError> {
    if path.is_dir() {
        let found = with_ending(path, ENDING)?;
        return Ok(found.into_iter().map(|entry| entry.path()).collect());
    }
    let is_archive = path.extension().is_some_and(|ending| ending == ENDING);
    Ok(is_archive.then(|| path.to_owned()).into_iter().collect())
}

/// What a sample is made of so far.
#[derive(Default)]
struct Sample {
    key: String,
    picture: Option<Stored>,
    mask: Option<Stored>,
    /// The texts of what labels it, by their endings.
    labels: Vec<(String, String)>,
}

/// The samples of archives, in order; objects that are difficult only if they are asked for.
pub(super) fn read(archives: &[PathBuf], difficult: bool) -> Result<Vec<Listed>, StudyError> {
    let mut listed = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for archive in archives {
        let mut take = |sample: Sample| {
            if sample.key.is_empty() {
                return Ok(());
            }
            if !known.insert(sample.key.clone()) {
                let reason = format!("there is a sample {} before", sample.key);
                return Err(refused(archive, reason));
            }
            listed.extend(sample.objects(archive, difficult)?);
            Ok(())
        };
        walk(archive, &mut take)?;
    }
    match listed.is_empty() {
        false => Ok(listed),
        true => Err(StudyError::Data(format!(
            "{} have no pictures with labels",
            archives
                .iter()
                .map(|archive| archive.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn refused(archive: &Path, reason: impl Into<String>) -> StudyError {
    StudyError::Archive {
        archive: archive.to_owned(),
        reason: reason.into(),
    }
}

/// Hands each sample of an archive to `take`.
fn walk(
    archive: &Path,
    take: &mut dyn FnMut(Sample) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    let cannot = StudyError::file("read", archive);
    let broken = |error: std::io::Error| refused(archive, error.to_string());
    let file = File::open(archive).map_err(&cannot)?;
    let length = file.metadata().map_err(&cannot)?.len();
    let shared: Arc<Path> = archive.into();
    let mut tar = Archive::new(BufReader::new(file));
    let mut sample = Sample::default();
    let mut end = 0;
    for entry in tar.entries_with_seek().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_gnu_sparse() {
            return Err(refused(
                archive,
                format!("{name} is written with holes (sparse)"),
            ));
        }
        // Where there is something behind it, all of it is there.
        end = offset
            .checked_add(size)
            .and_then(|end| end.checked_next_multiple_of(BLOCK))
            .filter(|end| *end <= length)
            .ok_or_else(|| refused(archive, format!("it is cut short in {name}")))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((key, ending)) = parted(&name) else {
            continue;
        };
        if key != sample.key {
            take(std::mem::take(&mut sample))?;
            sample.key = key;
        }
        let stored = Stored::Member {
            archive: Arc::clone(&shared),
            name: name.clone(),
            offset,
            length: size,
        };
        let repeated = || refused(archive, format!("{name} is a second one of its sample"));
        let place = match ending.as_str() {
            "mask.png" => &mut sample.mask,
            ending if PICTURE_ENDINGS.contains(&ending) => &mut sample.picture,
            "cls" | "json" | "xml" => {
                if size > MAX_BYTES {
                    let reason = format!("{name} has more than {} MiB", MAX_BYTES >> 20);
                    return Err(refused(archive, reason));
                }
                if sample.labels.iter().any(|(known, _)| *known == ending) {
                    return Err(repeated());
                }
                let mut text = String::new();
                entry
                    .read_to_string(&mut text)
                    .map_err(|error| refused(archive, format!("{name}: {error}")))?;
                sample.labels.push((ending, text));
                continue;
            }
            _ => continue,
        };
        if place.replace(stored).is_some() {
            return Err(repeated());
        }
    }
    // Two blocks of zeros, of which programs write at least one. First of all: what is cut short may lack a label, too.
    let mut file = tar.into_inner().into_inner();
    let mut mark = [1; BLOCK as usize];
    file.seek(SeekFrom::Start(end)).map_err(&cannot)?;
    match file.read_exact(&mut mark) {
        Ok(()) if mark.iter().all(|&byte| byte == 0) => take(sample),
        _ => Err(refused(
            archive,
            "it ends without the mark of its end: it is cut short",
        )),
    }
}

/// The key of a sample's file and its ending, in small letters: the name is parted at its first dot. None for names that begin with
/// one.
fn parted(name: &str) -> Option<(String, String)> {
    let short = name.rsplit('/').next()?;
    let (stem, ending) = short.split_once('.')?;
    let key = &name[..name.len() - short.len() + stem.len()];
    (!stem.is_empty()).then(|| (key.to_owned(), ending.to_ascii_lowercase()))
}

impl Sample {
    /// What is listed of it: an image with its label, or the objects of its annotation.
    fn objects(self, archive: &Path, difficult: bool) -> Result<Vec<Listed>, StudyError> {
        let place = format!("{}: {}", archive.display(), self.key);
        let refused = |reason: &str| StudyError::Data(format!("{place}: {reason}"));
        let Some(stored) = self.picture else {
            return match self.labels.is_empty() && self.mask.is_none() {
                // Files that belong to no picture, such as notes.
                true => Ok(Vec::new()),
                false => Err(refused("the sample has no picture")),
            };
        };
        let file = match &stored {
            Stored::Member { name, .. } => name.clone(),
            Stored::File(path) => path.display().to_string(),
        };
        let text = |ending: &str| {
            let found = self.labels.iter().find(|(known, _)| known == ending);
            found.map(|(_, text)| text.as_str())
        };
        let mut listed = match (text("xml"), text("cls"), text("json")) {
            (Some(annotation), ..) => {
                let objects = xml::objects_of(annotation, &place, |_| (file, stored))?;
                let asked = (objects.into_iter()).filter(|(_, is_hard)| difficult || !is_hard);
                asked.map(|(object, _)| object).collect()
            }
            (None, Some(class), json) => {
                let label = Label::Text(class.trim().to_owned());
                let boxes = match json {
                    Some(json) => facts(json).map_err(|reason| refused(&reason))?.1,
                    None => Vec::new(),
                };
                boxed(Listed::new(place, file, stored, label), boxes)
            }
            (None, None, Some(json)) => {
                let (label, boxes) = facts(json).map_err(|reason| refused(&reason))?;
                let label = label.ok_or_else(|| {
                    refused(&format!("its json has none of {}", CLASS.join(", ")))
                })?;
                boxed(Listed::new(place, file, stored, Label::Text(label)), boxes)
            }
            (None, None, None) => {
                return Err(refused(
                    "the sample has no label: no .cls, no .json and no .xml of that name",
                ));
            }
        };
        for object in &mut listed {
            object.mask = self.mask.clone().map(|stored| Mask {
                stored,
                numbers: Vec::new(),
            });
        }
        Ok(listed)
    }
}

/// An image once for each of its boxes, and once if there are none.
fn boxed(listed: Listed, boxes: Vec<[f32; 4]>) -> Vec<Listed> {
    if boxes.is_empty() {
        return vec![listed];
    }
    let boxes = boxes.into_iter();
    boxes
        .map(|corners| Listed {
            corners: Some(corners),
            ..listed.clone()
        })
        .collect()
}

/// The label and the boxes of a sample's JSON file.
fn facts(json: &str) -> Result<(Option<String>, Vec<[f32; 4]>), String> {
    let json: Value =
        serde_json::from_str(json).map_err(|error| format!("its json is none: {error}"))?;
    let label = CLASS.iter().find_map(|name| match json.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let boxes = match json.get("boxes") {
        None | Some(Value::Null) => Vec::new(),
        Some(boxes) => serde_json::from_value::<Vec<[f32; 4]>>(boxes.clone())
            .ok()
            .filter(|boxes| boxes.iter().all(is_box))
            .ok_or(
                "boxes of its json are no list of [xmin, ymin, xmax, ymax] that enclose something",
            )?,
    };
    Ok((label, boxes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Data;
    use super::*;

    /// An archive of these files.
    fn archive(path: &Path, files: &[(&str, &[u8])]) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap();
    }

    const XML: &[u8] = b"<annotation><filename>x.jpg</filename><source><database>VOC</database></source>\
        <object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>\
        <object><name>cat</name><difficult>1</difficult><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax>\
        <ymax>3</ymax></bndbox></object></annotation>";

    #[test]
    fn samples_are_files_of_one_name() {
        let desk = tempfile::tempdir().unwrap();
        let at = |name: &str| desk.path().join(name);
        let long = format!("{}/deep.jpg", "long".repeat(40));
        let long_class = format!("{}/deep.cls", "long".repeat(40));
        archive(
            &at("b.tar"),
            &[
                ("val/7.jpg", b"picture 7"),
                ("val/7.cls", b" 285\n"),
                ("val/7.mask.png", b"mask 7"),
                ("val/7.npy", b"something"),
                (".notes", b"let be"),
                ("notes.txt", b"let be"),
                ("val/8.cls", b"3"),
                ("val/8.JSON", br#"{"boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]}"#),
                ("val/8.PNG", b"picture 8"),
            ],
        );
        archive(
            &at("a.tar"),
            &[
                ("1.json", br#"{"label": "tabby", "boxes": null}"#),
                ("1.webp", b"1"),
                ("2.xml", XML),
                ("2.jpeg", b"2"),
                (&long, b"3"),
                (&long_class, b"9"),
            ],
        );
        let all = Data::read(desk.path()).unwrap().listed;
        let said: Vec<_> = (all.iter())
            .map(|listed| (listed.file.as_str(), listed.label.text(), listed.corners))
            .collect();
        assert_eq!(
            said,
            [
                ("1.webp", "tabby", None),
                ("2.jpeg", "cat", Some([0.0, 0.0, 5.0, 6.0])),
                (long.as_str(), "9", None),
                ("val/7.jpg", "285", None),
                ("val/8.PNG", "3", Some([1.0, 2.0, 3.0, 4.0])),
                ("val/8.PNG", "3", Some([5.0, 6.0, 7.0, 8.0])),
            ]
        );
        let bytes: Vec<Vec<u8>> = all
            .iter()
            .map(|listed| listed.stored.bytes().unwrap())
            .collect();
        let expected = ["1", "2", "3", "picture 7", "picture 8", "picture 8"];
        assert_eq!(bytes, expected.map(|text| text.as_bytes().to_vec()));
        let mask = all[3].mask.as_ref().unwrap();
        assert_eq!(mask.stored.bytes().unwrap(), b"mask 7");
        assert!(all[3].stored.to_string().ends_with("b.tar: val/7.jpg"));
        assert_eq!(Data::read(&at("a.tar")).unwrap().listed.len(), 3);
        assert_eq!(Data::read_with(&at("a.tar"), true).unwrap().listed.len(), 4);
        // A picture that is taken away says whose it was.
        fs::write(at("b.tar"), "short").unwrap();
        let error = all[3].stored.picture().unwrap_err().to_string();
        assert!(error.contains("val/7.jpg"), "{error}");
    }

    #[test]
    fn faults_name_the_archive_and_the_sample() {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("x.tar");
        let picture = ("1.jpg", &b"picture"[..]);
        for (files, said) in [
            (&[][..], "no pictures with labels"),
            (&[("notes.txt", &b""[..])], "no pictures with labels"),
            (&[picture], "1: the sample has no label"),
            (&[("1.cls", b"3")], "1: the sample has no picture"),
            (
                &[picture, ("1.png", b""), ("1.cls", b"3")],
                "1.png is a second one",
            ),
            (
                &[picture, ("1.cls", b"3"), ("1.cls", b"4")],
                "1.cls is a second one",
            ),
            (&[picture, ("1.json", b"{}")], "none of class_index"),
            (&[picture, ("1.json", b"{")], "its json is none"),
            (
                &[
                    picture,
                    ("1.json", br#"{"label": 1, "boxes": [[3, 3, 1, 9]]}"#),
                ],
                "that enclose something",
            ),
            (&[picture, ("1.xml", b"<annotation>")], "x.tar: 1: "),
            (&[picture, ("1.cls", b"\xff\xfe")], "1.cls: "),
            (
                &[
                    picture,
                    ("1.cls", b"3"),
                    ("2.jpg", b""),
                    ("2.cls", b"3"),
                    ("1.mask.png", b""),
                ],
                "there is a sample 1 before",
            ),
        ] {
            archive(&path, files);
            let error = Data::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("x.tar"),
                "{said}: {error}"
            );
        }
    }

    /// Whatever is left of an archive is an error, also where it ends between two files.
    #[test]
    fn archives_that_are_broken_are_errors() {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("x.tar");
        let long = format!("{}.jpg", "n".repeat(150));
        archive(
            &path,
            &[
                ("1.jpg", &[7; 700]),
                ("1.cls", b"3"),
                (&long, b"4"),
                (&long.replace("jpg", "cls"), b"4"),
            ],
        );
        let whole = fs::read(&path).unwrap();
        assert_eq!(Data::read(&path).unwrap().listed.len(), 2);
        let used = whole.len() - 1024;
        for end in (0..=used).step_by(128) {
            fs::write(&path, &whole[..end]).unwrap();
            let error = Data::read(&path).unwrap_err();
            assert!(
                matches!(error, StudyError::Archive { .. }),
                "{end}: {error}"
            );
        }
        // One block of zeros is enough.
        fs::write(&path, &whole[..used + 512]).unwrap();
        assert!(Data::read(&path).is_ok());
        for at in (0..whole.len()).step_by(17) {
            let mut turned = whole.clone();
            turned[at] ^= 0x41;
            fs::write(&path, turned).unwrap();
            if let Ok(data) = Data::read(&path) {
                data.listed
                    .iter()
                    .for_each(|listed| drop(listed.stored.picture()));
            }
        }
        fs::write(&path, "no archive at all").unwrap();
        assert!(matches!(Data::read(&path), Err(StudyError::Archive { .. })));
    }
}
