//! Files that belong to images by their names: maps of other programs, masks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::data::Item;

/// How many images an error names.
const NAMED: usize = 5;

/// The files of a folder that may belong to each image.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    folder: PathBuf,
    /// By the image's number, the first that is there counts.
    files: BTreeMap<usize, Vec<PathBuf>>,
}

impl Beside {
    /// Those with this ending that can be no other image's: of `DIR/cat.png` they are `DIR/cat.END`, `DIR/cat.png.END`, `cat.END` and
    /// `cat.png.END` of the folder; of an image with several labels `DIR/cat.CLASS.END` and so on, with the index of the class,
    /// unless all labels share a file.
    pub fn new(folder: &Path, items: &[Item], ending: &str, shared: bool) -> Self {
        let mut labels: HashMap<&str, usize> = HashMap::new();
        for item in items {
            *labels.entry(&item.file).or_default() += 1;
        }
        let each = items.iter().map(|item| {
            let path = Path::new(&item.file);
            let flat = path.file_name().map_or(path, Path::new);
            let label = match labels[item.file.as_str()] {
                1 => String::new(),
                _ if shared => String::new(),
                _ => format!(".{}", item.class),
            };
            let named = [path, flat].into_iter().flat_map(|path| {
                [path.with_extension(""), path.to_owned()].map(|named| {
                    let mut name = named.into_os_string();
                    name.push(&label);
                    name.push(".");
                    name.push(ending);
                    folder.join(name)
                })
            });
            let mut files: Vec<PathBuf> = Vec::new();
            for file in named {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
            (item.number, files)
        });
        let mut each: BTreeMap<usize, Vec<PathBuf>> = each.collect();
        let mut claimed: HashMap<PathBuf, BTreeSet<&str>> = HashMap::new();
        let mut disputed: BTreeSet<PathBuf> = BTreeSet::new();
        for (item, files) in items.iter().zip(each.values()) {
            for file in files {
                let images = claimed.entry(file.clone()).or_default();
                images.insert(&item.file);
                if images.len() > 1 {
                    disputed.insert(file.clone());
                }
            }
        }
        for files in each.values_mut() {
            files.retain(|file| !disputed.contains(file));
        }
        Self {
            folder: folder.to_owned(),
            files: each,
        }
    }

    /// The file of an image that is there.
    pub fn file(&self, number: usize) -> Option<PathBuf> {
        let mut files = self.files.get(&number)?.iter();
        files.find(|file| file.is_file()).cloned()
    }

    /// The first of some images, with the files that would be theirs.
    pub fn named(&self, images: &[&Item]) -> String {
        let named = images.iter().take(NAMED).map(|item| {
            let files = self.files.get(&item.number).map_or(&[][..], Vec::as_slice);
            let files: Vec<String> = files
                .iter()
                .map(|file| {
                    let short = file.strip_prefix(&self.folder).unwrap_or(file);
                    short.display().to_string()
                })
                .collect();
            format!("{} ({})", item.file, files.join(" or "))
        });
        let mut named: Vec<String> = named.collect();
        if images.len() > NAMED {
            named.push(format!("{} more", images.len() - NAMED));
        }
        named.join(", ")
    }
}
