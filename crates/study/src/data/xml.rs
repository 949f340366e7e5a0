//! Boxes of Pascal VOC and of ILSVRC: an XML file for each image, in a folder `Annotations`.

use std::fs;
use std::path::{Path, PathBuf};

use elucid_vision::input::PICTURE_ENDINGS;
use roxmltree::{Document, Node};

use super::{Label, Listed, entries, is_box, visible_name};
use crate::error::StudyError;
use crate::stored::Stored;

/// The folder of the files.
const ANNOTATIONS: &str = "Annotations";

/// What stands in its place in the paths of the pictures.
const PICTURES: [&str; 3] = ["JPEGImages", "Data", "Images"];

/// Where lists of VOC's images lie.
const SETS: &str = "ImageSets";

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// Whether a folder has such files, or a text file lists some of them.
pub(super) fn is_there(path: &Path) -> bool {
    folder_of(path).is_dir()
}

/// The folder of the files: in a folder, or beside that of a list.
fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(ANNOTATIONS);
    }
    let is_list = path.extension().is_some_and(|ending| ending == "txt");
    let sets = path.ancestors().find(|folder| folder.ends_with(SETS));
    match sets.and_then(Path::parent) {
        Some(root) if is_list => root.join(ANNOTATIONS),
        _ => PathBuf::new(),
    }
}

/// Every object of every file, or of those that a list names; the difficult ones only if they are asked for.
pub(super) fn read(path: &Path, difficult: bool) -> Result<Vec<Listed>, StudyError> {
    let folder = folder_of(path);
    let mut files = Vec::new();
    match path.is_dir() {
        true => find(&folder, &mut files)?,
        false => {
            let text = fs::read_to_string(path).map_err(StudyError::file("read", path))?;
            // A line may go on with whether the image has some class: -1 says that it has not.
            let names = text.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next()?;
                (words.next() != Some("-1")).then(|| folder.join(format!("{name}.xml")))
            });
            files.extend(names);
        }
    }
    let mut listed = Vec::new();
    let mut left_out = 0;
    for file in &files {
        let objects = objects(file, &folder)?;
        let all = objects.len();
        listed.extend(
            (objects.into_iter())
                .filter(|(_, is_difficult)| difficult || !is_difficult)
                .map(|(object, _)| object),
        );
        left_out += usize::from(all == 0);
    }
    match listed.is_empty() {
        false => Ok(listed),
        true => Err(StudyError::Data(format!(
            "{} has no objects: {} files, of which {left_out} have none at all{}",
            folder.display(),
            files.len(),
            if difficult {
                ""
            } else {
                " and the others only difficult ones"
            }
        ))),
    }
}

/// All XML files in a folder and below, in order of their names.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), StudyError> {
    for path in entries(folder)? {
        if visible_name(&path).is_none() {
            continue;
        }
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "xml") {
            files.push(path);
        }
    }
    Ok(())
}

/// The objects of a file, and whether each is difficult.
fn objects(file: &Path, annotations: &Path) -> Result<Vec<(Listed, bool)>, StudyError> {
    let place = file.display().to_string();
    let cannot = StudyError::file("read", file);
    if fs::metadata(file).map_err(&cannot)?.len() > MAX_BYTES {
        let reason = format!("{place}: it has more than {} MiB", MAX_BYTES >> 20);
        return Err(StudyError::Data(reason));
    }
    let text = fs::read_to_string(file).map_err(&cannot)?;
    objects_of(&text, &place, |name| {
        let picture = picture(file, annotations, name);
        // As the data name it: the path below the folder of the pictures.
        let below = file.strip_prefix(annotations).ok().and_then(Path::parent);
        let short = picture
            .file_name()
            .map_or(name.into(), |name| name.to_string_lossy());
        let named = match below.map(|below| below.display().to_string()) {
            Some(below) if !below.is_empty() => format!("{}/{short}", below.replace('\\', "/")),
            _ => short.into_owned(),
        };
        (named, picture.into())
    })
}

/// The objects that an annotation, called `place`, lists, and whether each is difficult. `picture` says how the data name the picture
/// of this name, and where it lies.
pub(super) fn objects_of(
    text: &str,
    place: &str,
    picture: impl FnOnce(&str) -> (String, Stored),
) -> Result<Vec<(Listed, bool)>, StudyError> {
    let refused = |reason: String| StudyError::Data(format!("{place}: {reason}"));
    let document = Document::parse(text).map_err(|error| refused(error.to_string()))?;
    let root = document.root_element();
    let name =
        text_of(root, "filename").ok_or_else(|| refused("it has no <filename>".to_owned()))?;
    let (named, stored) = picture(name);
    let size = child(root, "size").and_then(|size| {
        let side = |name| number(size, name).filter(|&side| side >= 1.0);
        Some([side("width")?, side("height")?])
    });
    // VOC counts pixels from 1, ILSVRC from 0; both name the last pixel of a box.
    let source = child(root, "source").and_then(|source| text_of(source, "database"));
    let first = f32::from(u8::from(source.is_some_and(|name| name.contains("VOC"))));
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    let objects = objects.enumerate().map(|(before, object)| {
        let label = text_of(object, "name");
        let label = label.ok_or_else(|| refused("an <object> has no <name>".to_owned()))?;
        let bounds = child(object, "bndbox");
        let corner = |name| bounds.and_then(|bounds| number(bounds, name));
        let corners = match ["xmin", "ymin", "xmax", "ymax"].map(corner) {
            [Some(x0), Some(y0), Some(x1), Some(y1)] => {
                Some([x0 - first, y0 - first, x1 - first + 1.0, y1 - first + 1.0])
            }
            _ => None,
        };
        let corners = corners.filter(is_box);
        let corners = corners.ok_or_else(|| {
            refused(format!(
                "the <bndbox> of a {label} is no box of numbers that encloses something"
            ))
        })?;
        let listed = Listed {
            corners: Some(corners),
            size,
            object: Some(before + 1),
            ..Listed::new(
                place.to_owned(),
                named.clone(),
                stored.clone(),
                Label::Text(label.to_owned()),
            )
        };
        Ok((listed, text_of(object, "difficult") == Some("1")))
    });
    objects.collect()
}

/// Where the picture of a file lies, or would lie.
fn picture(file: &Path, annotations: &Path, name: &str) -> PathBuf {
    let root = annotations.parent().unwrap_or(Path::new(""));
    let below = file.strip_prefix(annotations).ok().and_then(Path::parent);
    let below = below.unwrap_or(Path::new(""));
    let folders = PICTURES.map(|folder| root.join(folder).join(below));
    let folders = folders.into_iter().chain([annotations.join(below)]);
    let mut places = folders.flat_map(|folder| {
        let endings = PICTURE_ENDINGS.iter().flat_map(|ending| {
            [
                format!("{name}.{ending}"),
                format!("{name}.{}", ending.to_uppercase()),
            ]
        });
        let names = [name.to_owned()].into_iter().chain(endings);
        names.map(|name| folder.join(name)).collect::<Vec<_>>()
    });
    let found = places.find(|place| place.is_file());
    found.unwrap_or_else(|| root.join(PICTURES[0]).join(below).join(name))
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text_of<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

fn number(node: Node<'_, '_>, name: &str) -> Option<f32> {
    let number: f32 = text_of(node, name)?.parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::Data;
    use super::*;

    fn object(name: &str, difficult: &str, corners: [i32; 4]) -> String {
        let [x0, y0, x1, y1] = corners;
        format!(
            "<object><name>{name}</name>{difficult}<bndbox><xmax>{x1}</xmax><xmin>{x0}</xmin><ymin>{y0}</ymin>\
             <ymax>{y1}</ymax></bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        )
    }

    fn annotation(name: &str, database: &str, objects: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<annotation><folder>x</folder><filename>{name}</filename>\
             <source><database>{database}</database></source><size><width>50</width><height>40</height></size>\
             {objects}</annotation>"
        )
    }

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn voc_counts_from_one_and_has_difficult_objects() {
        let desk = tempfile::tempdir().unwrap();
        let root = desk.path();
        let difficult = "<difficult>1</difficult>";
        let objects = [
            object("cat", "<difficult>0</difficult>", [1, 2, 50, 40]),
            object("dog", difficult, [3, 3, 9, 9]),
            object("cat", "", [5, 6, 5, 6]),
        ];
        put(
            root,
            "Annotations/1.xml",
            &annotation("1.jpg", "The VOC2007 Database", &objects.concat()),
        );
        let hard = object("cat", difficult, [1, 1, 2, 2]);
        put(
            root,
            "Annotations/2.xml",
            &annotation("2.jpg", "The VOC2007 Database", &hard),
        );
        put(root, "JPEGImages/1.jpg", "");
        put(root, "ImageSets/Main/cat_val.txt", "1  1\n2 -1\n");
        let all = read(root, false).unwrap();
        let corners: Vec<_> = all.iter().map(|listed| listed.corners.unwrap()).collect();
        assert_eq!(corners, [[0.0, 1.0, 50.0, 40.0], [4.0, 5.0, 5.0, 6.0]]);
        assert_eq!(
            (all[0].file.as_str(), all[0].size),
            ("1.jpg", Some([50.0, 40.0]))
        );
        assert_eq!(all[0].stored.file(), root.join("JPEGImages/1.jpg"));
        assert_eq!(read(root, true).unwrap().len(), 4);
        let list = root.join("ImageSets/Main/cat_val.txt");
        assert!(is_there(&list) && !is_there(&root.join("1.txt")));
        assert_eq!(read(&list, true).unwrap().len(), 3);
        assert_eq!(Data::read(root).unwrap().listed.len(), 2);
        fs::remove_file(root.join("Annotations/1.xml")).unwrap();
        let error = read(root, false).err().unwrap().to_string();
        assert!(error.contains("only difficult ones"), "{error}");
        assert!(read(&list, true).is_err());
    }

    #[test]
    fn ilsvrc_counts_from_zero_and_names_no_endings() {
        let desk = tempfile::tempdir().unwrap();
        let root = desk.path();
        let text = annotation(
            "val_1",
            "ILSVRC_2012",
            &object("n02124075", "", [0, 0, 49, 39]),
        );
        put(root, "Annotations/CLS-LOC/val/val_1.xml", &text);
        put(root, "Data/CLS-LOC/val/val_1.JPEG", "");
        let all = read(root, false).unwrap();
        assert_eq!(all[0].corners, Some([0.0, 0.0, 50.0, 40.0]));
        assert_eq!(all[0].file, "CLS-LOC/val/val_1.JPEG");
        assert_eq!(
            all[0].stored.file(),
            root.join("Data/CLS-LOC/val/val_1.JPEG")
        );
        assert_eq!(all[0].label.text(), "n02124075");
    }

    #[test]
    fn faults_name_the_file() {
        let desk = tempfile::tempdir().unwrap();
        let root = desk.path();
        for (text, said) in [
            ("<annotation>".to_owned(), "1.xml: "),
            ("<annotation></annotation>".to_owned(), "no <filename>"),
            (annotation("1.jpg", "", "<object></object>"), "no <name>"),
            (
                annotation("1.jpg", "", &object("cat", "", [3, 3, 1, 9])),
                "of a cat is no box",
            ),
            (
                annotation("1.jpg", "", "<object><name>cat</name></object>"),
                "of a cat is no box",
            ),
            (
                annotation("1.jpg", "", ""),
                "has no objects: 1 files, of which 1",
            ),
        ] {
            put(root, "Annotations/1.xml", &text);
            let error = read(root, false).err().unwrap().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
