//! The images, their labels and where their objects are.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use elucid_metrics::csv::{self, Record};
use elucid_models::{is_synset, sha256};
use elucid_vision::input::is_picture;
use elucid_vision::{Model, ModelError};

use crate::error::StudyError;
use crate::masks::Mask;
use crate::settings::DataFacts;
use crate::stored::Stored;

mod coco;
mod shards;
mod xml;

/// What a folder may hold instead of a folder for each class; the first that is there counts.
const LISTS: [&str; 3] = ["boxes.csv", "images.csv", "labels.csv"];

const FILE: &[&str] = &["file", "image", "filename", "path"];
const CLASS: &[&str] = &["class_index", "class", "label", "class_name"];
const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];
const SIZE: [&str; 2] = ["width", "height"];

/// An image with one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its place in the data, from 0.
    pub number: usize,
    /// As the data name it.
    pub file: String,
    /// Where it lies.
    pub stored: Stored,
    /// The label.
    pub class: usize,
    /// The label as the data name it.
    pub label: String,
    /// `[xmin, ymin, xmax, ymax]`, in pixels of `size`.
    pub boxes: Vec<[f32; 4]>,
    /// Width and height that the boxes are of, where that is not the file's own size.
    pub size: Option<[f32; 2]>,
    /// Which objects of the picture they are, from 1, where the data number them.
    pub objects: Vec<usize>,
    /// Which pixels are the object, if that is known.
    pub mask: Option<Mask>,
}

impl Item {
    /// A picture in a file of that name, of which no more is known than its class.
    pub fn new(number: usize, file: impl Into<String>, class: usize) -> Self {
        let file = file.into();
        Self {
            number,
            stored: PathBuf::from(&file).into(),
            file,
            class,
            label: class.to_string(),
            boxes: Vec::new(),
            size: None,
            objects: Vec::new(),
            mask: None,
        }
    }

    /// What tells it from others wherever the data lie and whichever part of them is measured.
    pub fn identity(&self) -> u64 {
        let named = csv::line([&self.file, &self.class.to_string()]);
        let digits = sha256::of_bytes(named.as_bytes());
        u64::from_str_radix(&digits[..16], 16).unwrap_or_default()
    }
}

/// Images whose labels are still words.
#[derive(Debug)]
pub struct Data {
    /// The list or the folder that was read.
    pub source: PathBuf,
    listed: Vec<Listed>,
}

#[derive(Debug, Clone)]
struct Listed {
    /// For errors.
    place: String,
    file: String,
    stored: Stored,
    label: Label,
    corners: Option<[f32; 4]>,
    size: Option<[f32; 2]>,
    object: Option<usize>,
    mask: Option<Mask>,
}

impl Listed {
    /// A picture of which no more is known than its label.
    fn new(place: String, file: String, stored: Stored, label: Label) -> Self {
        Self {
            place,
            file,
            stored,
            label,
            corners: None,
            size: None,
            object: None,
            mask: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Label {
    /// An index or a name.
    Text(String),
    /// The name of a folder: an index, a name, or an index and a name.
    Folder(String),
}

impl Data {
    /// Reads a list, or looks through a folder: a CSV file; a folder with one or with a folder for each class; a folder with
    /// `Annotations` of VOC or ILSVRC, or a list of VOC's `ImageSets`; a JSON file of COCO; a tar archive in the layout of WebDataset,
    /// or a folder of them.
    ///
    /// # Errors
    ///
    /// [`StudyError::Data`] for what cannot be understood, with the line; [`StudyError::Archive`] for an archive that is broken.
    pub fn read(path: &Path) -> Result<Self, StudyError> {
        Self::read_with(path, false)
    }

    /// As [`Data::read`], with objects that their annotations call difficult (VOC) or a crowd (COCO), which others leave out.
    ///
    /// # Errors
    ///
    /// As [`Data::read`].
    pub fn read_with(path: &Path, difficult: bool) -> Result<Self, StudyError> {
        let of = |listed| Self {
            source: path.to_owned(),
            listed,
        };
        let has_list = || LISTS.iter().any(|name| path.join(name).is_file());
        if xml::is_there(path) && !has_list() {
            return Ok(of(xml::read(path, difficult)?));
        }
        if coco::is_there(path) {
            return Ok(of(coco::read(path, difficult)?));
        }
        let archives = shards::of(path)?;
        if !archives.is_empty() && !has_list() {
            return Ok(of(shards::read(&archives, difficult)?));
        }
        if !path.is_dir() {
            return Self::list(path);
        }
        let list = LISTS.iter().map(|name| path.join(name));
        match list.into_iter().find(|list| list.is_file()) {
            Some(list) => Self::list(&list),
            None => Self::folders(path),
        }
    }

    fn list(path: &Path) -> Result<Self, StudyError> {
        let shown = path.display();
        let bytes = fs::read(path).map_err(StudyError::file("read", path))?;
        let records = csv::parse(&bytes);
        let Some((head, records)) = records.split_first() else {
            return Err(StudyError::Data(format!("{shown} is empty")));
        };
        let columns = Columns::find(head).map_err(|reason| {
            StudyError::Data(format!(
                "{shown}: {reason}; its columns are {}",
                head.cells.join(", ")
            ))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let listed = records
            .iter()
            .map(|record| {
                columns.read(record, folder, path).map_err(|reason| {
                    StudyError::Data(format!("{shown}, line {}: {reason}", record.line))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if listed.is_empty() {
            return Err(StudyError::Data(format!("{shown} lists no images")));
        }
        Ok(Self {
            source: path.to_owned(),
            listed,
        })
    }

    fn folders(path: &Path) -> Result<Self, StudyError> {
        let mut listed = Vec::new();
        for folder in entries(path)? {
            let (Some(name), true) = (visible_name(&folder), folder.is_dir()) else {
                continue;
            };
            for file in entries(&folder)? {
                let (Some(file_name), true) = (visible_name(&file), is_picture(&file)) else {
                    continue;
                };
                listed.push(Listed::new(
                    format!("folder {}", folder.display()),
                    format!("{name}/{file_name}"),
                    file.into(),
                    Label::Folder(name.clone()),
                ));
            }
        }
        if listed.is_empty() {
            return Err(StudyError::Data(format!(
                "{} has no {}, and no folders of photographs named for their class",
                path.display(),
                LISTS.join(", no ")
            )));
        }
        Ok(Self {
            source: path.to_owned(),
            listed,
        })
    }

    /// The images in the order in which they are first named. Lines that name an image and a class
    /// again add boxes to it; one image with two labels is two items.
    ///
    /// # Errors
    ///
    /// [`StudyError::Data`] for labels that the network does not have, with the line.
    pub fn resolve(self, model: &Model) -> Result<Vec<Item>, StudyError> {
        let ranks = self.ranks(model);
        let mut classes: HashMap<Label, usize> = HashMap::new();
        let mut places: HashMap<(String, usize), usize> = HashMap::new();
        let mut items: Vec<Item> = Vec::new();
        for listed in self.listed {
            let class = match classes.get(&listed.label) {
                Some(class) => *class,
                None => {
                    let class = (listed.label.class(model))
                        .or_else(|error| ranks.get(listed.label.text()).copied().ok_or(error))
                        .map_err(|error| {
                            let hint = listed.label.hint();
                            StudyError::Data(format!("{}: {error}{hint}", listed.place))
                        })?;
                    classes.insert(listed.label.clone(), class);
                    class
                }
            };
            let number = *places
                .entry((listed.file.clone(), class))
                .or_insert(items.len());
            if number == items.len() {
                items.push(Item {
                    stored: listed.stored,
                    label: listed.label.text().to_owned(),
                    size: listed.size,
                    mask: listed.mask,
                    ..Item::new(number, listed.file, class)
                });
            }
            let item = &mut items[number];
            if item.size != listed.size {
                return Err(StudyError::Data(format!(
                    "{}: {} has another width or height than in the lines before",
                    listed.place, item.file
                )));
            }
            item.boxes.extend(listed.corners);
            item.objects.extend(listed.object);
        }
        Ok(items)
    }

    /// Where all classes of the network have folders that are named by numbers of WordNet, as ImageNet's are: the classes,
    /// which are in the order of the numbers.
    fn ranks(&self, model: &Model) -> HashMap<String, usize> {
        let names: BTreeSet<&str> = self.listed.iter().map(|l| l.label.text()).collect();
        let is_all = model.classes().is_ok_and(|classes| classes == names.len());
        match is_all && names.iter().all(|name| is_synset(name)) {
            true => (names.into_iter().map(str::to_owned)).zip(0..).collect(),
            false => HashMap::new(),
        }
    }

    /// What identifies it: `items` is what it was resolved to.
    pub fn facts(source: &Path, items: &[Item]) -> DataFacts {
        DataFacts {
            source: source.display().to_string(),
            sha256: fingerprint(items),
            images: items.len(),
        }
    }
}

impl Label {
    fn text(&self) -> &str {
        let (Self::Text(text) | Self::Folder(text)) = self;
        text
    }

    /// What would help where a label is no class, if that can be told.
    fn hint(&self) -> &'static str {
        match is_synset(self.text()) {
            true => {
                "; numbers of WordNet are known from a file of names with lines such as \"n01440764 tench\", and where \
                 every class of the network has a folder"
            }
            false => "",
        }
    }

    fn class(&self, model: &Model) -> Result<usize, ModelError> {
        match self {
            Self::Text(text) => model.class(text),
            Self::Folder(name) => {
                let digits = name.chars().take_while(char::is_ascii_digit).count();
                let (index, rest) = name.split_at(digits);
                match rest.is_empty() || rest.starts_with(['_', '-', ' ', '.']) {
                    true if !index.is_empty() => model.class(index),
                    _ => model
                        .class(name)
                        .or_else(|_| model.class(&name.replace('_', " "))),
                }
            }
        }
    }
}

/// Where in a line everything stands.
struct Columns {
    file: usize,
    class: usize,
    corners: Option<[usize; 4]>,
    size: Option<[usize; 2]>,
}

impl Columns {
    fn find(head: &Record) -> Result<Self, String> {
        let names: Vec<String> = (head.cells.iter())
            .map(|cell| cell.trim().to_ascii_lowercase())
            .collect();
        let find = |name: &str| names.iter().position(|known| known == name);
        let any = |wanted: &[&str]| {
            let found = wanted.iter().find_map(|name| find(name));
            found.ok_or_else(|| format!("there is no column {}", wanted.join(" or ")))
        };
        let corners = CORNERS.map(find);
        let corners = match corners.iter().flatten().count() {
            0 => None,
            4 => Some(corners.map(Option::unwrap_or_default)),
            _ => return Err(format!("boxes need all of {}", CORNERS.join(", "))),
        };
        let size = match SIZE.map(find) {
            [Some(width), Some(height)] => Some([width, height]),
            _ => None,
        };
        Ok(Self {
            file: any(FILE)?,
            class: any(CLASS)?,
            corners,
            size: size.filter(|_| corners.is_some()),
        })
    }

    fn read(&self, record: &Record, folder: &Path, list: &Path) -> Result<Listed, String> {
        let cell = |column: usize| {
            let cell = record.cells.get(column).map(|cell| cell.trim());
            cell.ok_or_else(|| format!("{} cells are too few", record.cells.len()))
        };
        let number = |column: usize| {
            let cell = cell(column)?;
            match cell.parse::<f32>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(format!("\"{cell}\" is no number")),
            }
        };
        let file = cell(self.file)?;
        if file.is_empty() {
            return Err("the name of the file is missing".to_owned());
        }
        let corners = match self.corners {
            Some(columns) if !columns.iter().all(|&c| cell(c).is_ok_and(str::is_empty)) => {
                let [x0, y0, x1, y1] = columns.map(number);
                let corners = [x0?, y0?, x1?, y1?];
                if !is_box(&corners) {
                    return Err(format!("the box {corners:?} encloses nothing"));
                }
                Some(corners)
            }
            _ => None,
        };
        let size = match self.size.map(|columns| columns.map(number)) {
            Some([width, height]) => Some([width?, height?]),
            None => None,
        };
        if size.is_some_and(|size| size.iter().any(|&side| side < 1.0)) {
            return Err("a picture without pixels".to_owned());
        }
        Ok(Listed {
            corners,
            size,
            ..Listed::new(
                format!("{}, line {}", list.display(), record.line),
                file.to_owned(),
                folder.join(file).into(),
                Label::Text(cell(self.class)?.to_owned()),
            )
        })
    }
}

/// Whether a box `[xmin, ymin, xmax, ymax]` encloses something.
fn is_box(corners: &[f32; 4]) -> bool {
    let [x0, y0, x1, y1] = corners;
    x0 < x1 && y0 < y1 && corners.iter().all(|corner| corner.is_finite())
}

/// What a folder holds, in order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StudyError> {
    let cannot = StudyError::file("read", folder);
    let entries = fs::read_dir(folder).map_err(&cannot)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(cannot)?;
    paths.sort();
    Ok(paths)
}

fn visible_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    (!name.starts_with('.')).then_some(name)
}

/// What identifies the data: files, labels, boxes and which masks, but not the pixels.
pub(crate) fn fingerprint(items: &[Item]) -> String {
    let lines: String = items
        .iter()
        .map(|item| {
            let (class, boxes) = (item.class.to_string(), format!("{:?}", item.boxes));
            let mut cells = vec![item.file.clone(), class, boxes, format!("{:?}", item.size)];
            cells.extend(item.mask.iter().map(Mask::named));
            csv::line(cells)
        })
        .collect();
    sha256::of_bytes(lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use elucid_graph::device::{self, DeviceChoice};

    use super::*;

    fn model() -> Model {
        let device = device::open(DeviceChoice::Cpu).unwrap().device;
        Model::find("squeezenet", &device, None).unwrap()
    }

    fn list(text: &str) -> Result<Vec<Item>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        fs::write(&path, text).unwrap();
        let said = |error| match error {
            StudyError::Data(message) => message,
            other => panic!("{other:?}"),
        };
        let data = Data::read(&path).map_err(said)?;
        data.resolve(&model()).map_err(said)
    }

    /// ImageNet as everybody has it: a folder for each class, named by its number in WordNet.
    #[test]
    fn folders_of_wordnet_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let number = |class: usize| format!("n{:08}", 1_440_764 + 13 * class);
        let add = |class: usize| {
            let folder = folder.path().join(number(class));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("ILSVRC2012_val_00000001.JPEG"), "").unwrap();
        };
        (0..999).rev().for_each(add);
        let resolved = |model: &Model| Data::read(folder.path()).unwrap().resolve(model);
        let model = model();
        let error = resolved(&model).unwrap_err().to_string();
        assert!(
            error.contains("n01440764") && error.contains("every class"),
            "{error}"
        );
        add(999);
        let classes = |items: Vec<Item>| items.into_iter().map(|item| item.class).collect();
        let found: Vec<usize> = classes(resolved(&model).unwrap());
        assert_eq!(found, (0..1000).collect::<Vec<_>>());
        // Where the names say it, they are right, and some folders are enough.
        let lines: Vec<String> = (0..1000)
            .map(|i| format!("{} name {i}", number(999 - i)))
            .collect();
        let labels = elucid_models::Labels::read("mine", &lines.join("\n")).unwrap();
        let model = model.with_labels(labels).unwrap();
        let found: Vec<usize> = classes(resolved(&model).unwrap());
        assert_eq!(found, (0..1000).rev().collect::<Vec<_>>());
        fs::remove_dir_all(folder.path().join(number(7))).unwrap();
        let found: Vec<usize> = classes(resolved(&model).unwrap());
        assert_eq!(found[6..8], [993, 991]);
    }

    #[test]
    fn folders_of_every_kind_of_picture() {
        let folder = tempfile::tempdir().unwrap();
        let class = folder.path().join("285");
        fs::create_dir(&class).unwrap();
        for name in ["a.TIF", "b.tiff", "c.png", "notes.txt"] {
            fs::write(class.join(name), "").unwrap();
        }
        let items = Data::read(folder.path())
            .unwrap()
            .resolve(&model())
            .unwrap();
        let files: Vec<&str> = items.iter().map(|item| item.file.as_str()).collect();
        assert_eq!(files, ["285/a.TIF", "285/b.tiff", "285/c.png"]);
    }

    #[test]
    fn lines_of_one_image_are_its_boxes() {
        let items = list(
            "xmin,file,label,ymin,ymax,xmax,width,height,other\n\
             1,a.png,285,2,4,3,10,20,\n\
             0,b.png,espresso,0,1,1,5,5,x\n\
             5,a.png,Egyptian cat,6,8,7,10,20,\n\
             ,c.png,3,,,,5,5,\n",
        )
        .unwrap();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].boxes, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]);
        assert_eq!(items[0].size, Some([10.0, 20.0]));
        assert_eq!((items[1].class, items[1].number), (967, 1));
        assert_eq!((items[2].class, items[2].boxes.len()), (3, 0));
    }

    #[test]
    fn an_image_with_two_labels_is_two_items() {
        let items = list("file,class_index\na.png,1\na.png,2\na.png,1\n").unwrap();
        let classes: Vec<_> = items.iter().map(|item| (item.class, item.number)).collect();
        assert_eq!(classes, [(1, 0), (2, 1)]);
        assert_ne!(fingerprint(&items), fingerprint(&items[..1]));
    }

    #[test]
    fn faults_name_the_line() {
        for (text, part) in [
            (
                "file,class\na.png,1\nb.png,espreso\n",
                "line 3: no ImageNet class",
            ),
            ("file,class\na.png,1000\n", "classes 0 to 999"),
            ("file,class\na.png\n", "line 2: 1 cells are too few"),
            (
                "file,class\n,3\n",
                "line 2: the name of the file is missing",
            ),
            ("file,class\n", "lists no images"),
            ("", "is empty"),
            ("picture,class\na,1\n", "no column file or image"),
            ("file,wnid\na,1\n", "its columns are file, wnid"),
            ("file,class,xmin\na,1,2\n", "boxes need all of xmin"),
            (
                "file,class,xmin,ymin,xmax,ymax\na,1,2,2,2,3\n",
                "encloses nothing",
            ),
            (
                "file,class,xmin,ymin,xmax,ymax\na,1,0,x,2,3\n",
                "\"x\" is no number",
            ),
            (
                "file,class,xmin,ymin,xmax,ymax\na,1,0,NaN,2,3\n",
                "\"NaN\" is no number",
            ),
        ] {
            let message = list(text).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn folders_are_classes() {
        let root = tempfile::tempdir().unwrap();
        for (folder, files) in [
            (
                "285_whatever",
                &["b.PNG", "a.jpg", "notes.txt", ".hidden.png"][..],
            ),
            ("espresso", &["x.webp"]),
            ("Egyptian_cat", &["y.png"]),
            ("7", &["z.png"]),
            (".git", &["x.png"]),
        ] {
            fs::create_dir(root.path().join(folder)).unwrap();
            for file in files {
                fs::write(root.path().join(folder).join(file), "").unwrap();
            }
        }
        let items = Data::read(root.path()).unwrap().resolve(&model()).unwrap();
        let found: Vec<_> = items.iter().map(|i| (i.file.as_str(), i.class)).collect();
        assert_eq!(
            found,
            [
                ("285_whatever/a.jpg", 285),
                ("285_whatever/b.PNG", 285),
                ("7/z.png", 7),
                ("Egyptian_cat/y.png", 285),
                ("espresso/x.webp", 967),
            ]
        );
        fs::create_dir(root.path().join("nothing at all")).unwrap();
        fs::write(root.path().join("nothing at all/x.png"), "").unwrap();
        let data = Data::read(root.path()).unwrap();
        assert!(data.resolve(&model()).is_err());
        fs::write(root.path().join("labels.csv"), "file,label\nq.png,1\n").unwrap();
        let items = Data::read(root.path()).unwrap().resolve(&model()).unwrap();
        assert_eq!(items[0].stored.file(), root.path().join("q.png"));
    }
}
