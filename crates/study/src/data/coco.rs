//! Boxes of COCO: one JSON file with images, categories and annotations.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Label, Listed};
use crate::error::StudyError;

#[derive(Deserialize)]
struct Coco {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: Option<f32>,
    height: Option<f32>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    /// Left, top, width and height.
    bbox: [f32; 4],
    /// Whether it encloses a group of objects.
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// Whether a file is one of these, by its name.
pub(super) fn is_there(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json")
}

/// Every object, image by image in the file's order; groups of objects, which COCO calls crowds, only if difficult ones are
/// asked for.
pub(super) fn read(path: &Path, difficult: bool) -> Result<Vec<Listed>, StudyError> {
    let refused = |reason: String| StudyError::Data(format!("{}: {reason}", path.display()));
    let file = File::open(path).map_err(StudyError::file("read", path))?;
    let coco: Coco = serde_json::from_reader(BufReader::new(file))
        .map_err(|error| refused(format!("it is no COCO file of boxes: {error}")))?;
    let categories: HashMap<u64, &str> = (coco.categories.iter())
        .map(|category| (category.id, category.name.as_str()))
        .collect();
    let mut objects: HashMap<u64, Vec<&Annotation>> = HashMap::new();
    let asked = (coco.annotations.iter()).filter(|object| difficult || object.iscrowd == 0);
    for annotation in asked {
        objects
            .entry(annotation.image_id)
            .or_default()
            .push(annotation);
    }
    let folder = (coco.images.first()).map_or_else(PathBuf::new, |image| pictures(path, image));
    let mut listed = Vec::new();
    for image in &coco.images {
        let size = match (image.width, image.height) {
            (Some(width), Some(height)) if width >= 1.0 && height >= 1.0 => Some([width, height]),
            _ => None,
        };
        for object in objects.remove(&image.id).unwrap_or_default() {
            let name = categories.get(&object.category_id).ok_or_else(|| {
                refused(format!(
                    "{}: there is no category {}",
                    image.file_name, object.category_id
                ))
            })?;
            let [left, top, width, height] = object.bbox;
            let corners = [left, top, left + width, top + height];
            // Some of COCO's own boxes have no width.
            let encloses = width > 0.0 && height > 0.0 && corners.iter().all(|v| v.is_finite());
            listed.push(Listed {
                corners: encloses.then_some(corners),
                size,
                ..Listed::new(
                    path.display().to_string(),
                    image.file_name.clone(),
                    folder.join(&image.file_name).into(),
                    Label::Text((*name).to_owned()),
                )
            });
        }
    }
    if let Some(lost) = objects.keys().min() {
        return Err(refused(format!(
            "objects are of image {lost}, which is not in the file"
        )));
    }
    match listed.is_empty() {
        false => Ok(listed),
        true => Err(refused("it has no objects".to_owned())),
    }
}

/// Where the pictures lie, as the first of them tells: beside the file or, of `annotations/instances_val2017.json`, in
/// `val2017` or `images/val2017` beside `annotations`.
fn pictures(path: &Path, first: &Image) -> PathBuf {
    let here = path.parent().unwrap_or(Path::new(""));
    let above = here.join("..");
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default();
    let set = stem.rsplit('_').next().unwrap_or_default();
    let places = [
        here.to_owned(),
        here.join(set),
        here.join("images"),
        above.join(set),
        above.join("images").join(set),
        above.join("images"),
    ];
    let mut places = places.into_iter();
    let found = places.find(|place| place.join(&first.file_name).is_file());
    found.unwrap_or_else(|| here.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: &str = r#"{
        "info": {}, "licenses": [],
        "images": [
            { "id": 7, "file_name": "b.jpg", "width": 640, "height": 480 },
            { "id": 3, "file_name": "a.jpg" },
            { "id": 9, "file_name": "nothing.jpg" }
        ],
        "annotations": [
            { "id": 1, "image_id": 3, "category_id": 17, "bbox": [1, 2, 3.5, 4], "iscrowd": 0, "area": 3 },
            { "id": 2, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "segmentation": [] },
            { "id": 3, "image_id": 7, "category_id": 17, "bbox": [5, 5, 0, 9] },
            { "id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 640, 480], "iscrowd": 1 }
        ],
        "categories": [{ "id": 17, "name": "cat" }, { "id": 1, "name": "person", "supercategory": "x" }]
    }"#;

    #[test]
    fn objects_are_those_of_the_images_in_order() {
        let desk = tempfile::tempdir().unwrap();
        let folder = desk.path().join("annotations");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(desk.path().join("val2017")).unwrap();
        fs::write(desk.path().join("val2017/b.jpg"), "").unwrap();
        let path = folder.join("instances_val2017.json");
        fs::write(&path, FILE).unwrap();
        let all = read(&path, false).unwrap();
        let said: Vec<_> = (all.iter())
            .map(|object| (object.file.as_str(), object.label.text(), object.corners))
            .collect();
        assert_eq!(
            said,
            [
                ("b.jpg", "person", Some([10.0, 20.0, 40.0, 60.0])),
                // It encloses nothing.
                ("b.jpg", "cat", None),
                ("a.jpg", "cat", Some([1.0, 2.0, 4.5, 6.0])),
            ]
        );
        assert_eq!(all[0].size, Some([640.0, 480.0]));
        assert!(all[0].stored.file().is_file(), "{:?}", all[0].stored);
        assert_eq!(read(&path, true).unwrap().len(), 4);
        assert_eq!(super::super::Data::read(&path).unwrap().listed.len(), 3);
    }

    #[test]
    fn faults_name_the_file() {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("x.json");
        for (text, said) in [
            ("[]".to_owned(), "no COCO file"),
            (
                FILE.replace("\"id\": 17, \"name\"", "\"id\": 4, \"name\""),
                "no category 17",
            ),
            (
                FILE.replace("\"id\": 3, \"file_name\"", "\"id\": 5, \"file_name\""),
                "image 3, which",
            ),
            (FILE.replace("[10, 20, 30, 40]", "[10, 20]"), "no COCO file"),
            (
                r#"{"images": [], "annotations": [], "categories": []}"#.to_owned(),
                "no objects",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path, false).err().unwrap().to_string();
            assert!(error.contains("x.json") && error.contains(said), "{error}");
        }
        assert!(read(&desk.path().join("none.json"), false).is_err());
    }
}
