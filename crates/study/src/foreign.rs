//! Maps that another program made, measured like those of a method.
//!
//! A `.npy` file for each image, named as the image, or one array `[N, ...]` with an entry for each image of the data, in their
//! order. A map is `[H, W]`, or `[C, H, W]`, of which the channels are added up; further axes of length 1 in front are left
//! out. `H` and `W` are the sides of the picture as the network sees it, after resizing and cropping.

use std::path::{Path, PathBuf};

use elucid_attribution::Configuration;
use elucid_vision::input::ArrayFile;
use ndarray::{Array2, ArrayD, Axis};

use crate::beside::Beside;
use crate::data::Item;
use crate::entries::MethodFacts;
use crate::error::StudyError;
use crate::maps::large;

/// What settings call the method of such maps.
pub(crate) const METHOD: &str = "maps";

/// Maps that another program made.
#[derive(Debug, Clone)]
#[must_use = "maps are measured by a study"]
pub struct ForeignMaps {
    name: String,
    source: PathBuf,
    layout: Layout,
    resize: bool,
}

#[derive(Debug, Clone)]
enum Layout {
    /// A file for each image.
    Each(Beside),
    /// One array with an entry for each image.
    Together(ArrayFile),
}

impl ForeignMaps {
    /// Maps called `name` in the results, from a folder or a `.npy` file, for `items`, all images of the data.
    ///
    /// The map of `DIR/cat.png` is in `DIR/cat.npy`, `DIR/cat.png.npy`, `cat.npy` or `cat.png.npy` of the folder, whichever is
    /// there and can be no other image's; of an image with several labels, in `DIR/cat.CLASS.npy` or `cat.CLASS.npy`, with the
    /// index of the class.
    ///
    /// # Errors
    ///
    /// [`StudyError::File`] for a source that is not there; [`StudyError::Map`] for an array that has not an entry for each
    /// image.
    pub fn open(
        name: impl Into<String>,
        source: &Path,
        items: &[Item],
    ) -> Result<Self, StudyError> {
        let there = source
            .metadata()
            .map_err(StudyError::file("read", source))?;
        let layout = match there.is_dir() {
            true => Layout::Each(Beside::new(source, items, "npy", false)),
            false => {
                let array = ArrayFile::open(source)?;
                let entries = array.shape().first().copied().unwrap_or_default();
                if entries != items.len() || array.shape().len() < 3 {
                    return Err(StudyError::Map {
                        file: source.to_owned(),
                        reason: format!(
                            "it has shape {:?}, expected [N, H, W] or [N, C, H, W] with N = {}, an entry for each image of \
                             the data, in their order",
                            array.shape(),
                            items.len()
                        ),
                    });
                }
                Layout::Together(array)
            }
        };
        Ok(Self {
            name: name.into(),
            source: source.to_owned(),
            layout,
            resize: false,
        })
    }

    /// Brings maps of another size to that of the images, bilinear with edges aligned, as
    /// [`Saliency::resized`](elucid_attribution::Saliency::resized), instead of refusing them.
    pub fn resize(mut self, resize: bool) -> Self {
        self.resize = resize;
        self
    }

    /// How it is called in the results.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the maps lie.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Refuses maps of `items` that are missing, or have another size than `[height, width]` without being allowed to. The most
    /// channels of a map, where channels are added up.
    ///
    /// # Errors
    ///
    /// [`StudyError::MissingMaps`], [`StudyError::Map`], and [`StudyError::Input`] for files that are no arrays.
    pub fn check(&self, items: &[Item], size: [usize; 2]) -> Result<Option<usize>, StudyError> {
        let mut most = None;
        let mut missing = Vec::new();
        let together = match &self.layout {
            Layout::Together(array) => Some(array.shape()[1..].to_vec()),
            Layout::Each(_) => None,
        };
        for item in items {
            let (file, shape) = match &together {
                Some(shape) => (self.source.clone(), shape.clone()),
                None => match self.file(item.number) {
                    Some(file) => {
                        let shape = ArrayFile::open(&file)?.shape().to_vec();
                        (file, shape)
                    }
                    None => {
                        missing.push(item);
                        continue;
                    }
                },
            };
            let [channels, height, width] = layout_of(&shape).map_err(|reason| {
                let file = file.clone();
                StudyError::Map { file, reason }
            })?;
            if [height, width] != size && !self.resize {
                let [h, w] = size;
                return Err(StudyError::Map {
                    file,
                    reason: format!(
                        "the map has {height} x {width} pixels, and the picture as the network sees it {h} x {w}; \
                         ForeignMaps::resize brings it to that size"
                    ),
                });
            }
            most = most.max(Some(channels).filter(|&channels| channels > 1));
        }
        match missing.is_empty() {
            true => Ok(most),
            false => Err(self.missing(&missing, items.len())),
        }
    }

    fn missing(&self, missing: &[&Item], of: usize) -> StudyError {
        let Layout::Each(files) = &self.layout else {
            return StudyError::Data("an array has all entries".to_owned());
        };
        StudyError::MissingMaps {
            name: self.name.clone(),
            folder: self.source.clone(),
            missing: missing.len(),
            of,
            images: files.named(missing),
        }
    }

    /// The file of an image's map.
    fn file(&self, number: usize) -> Option<PathBuf> {
        match &self.layout {
            Layout::Each(files) => files.file(number),
            Layout::Together(_) => Some(self.source.clone()),
        }
    }

    /// The map of an image of the data, `[H, W]`.
    ///
    /// # Errors
    ///
    /// [`StudyError::Map`] for a map of another shape, and for numbers that are not finite, with the first place.
    pub fn map(&self, number: usize) -> Result<Array2<f32>, StudyError> {
        let file = self.file(number).ok_or_else(|| StudyError::Map {
            file: self.source.clone(),
            reason: format!("the map of image {number} is not there any more"),
        })?;
        let values = match &self.layout {
            Layout::Each(_) => ArrayFile::open(&file)?.read()?,
            Layout::Together(array) => array.entry(number)?,
        };
        flat(values).map_err(|reason| StudyError::Map { file, reason })
    }

    /// The map as it is, and at the size of the images.
    pub(crate) fn maps(
        &self,
        number: usize,
        size: [usize; 2],
    ) -> Result<[Array2<f32>; 2], StudyError> {
        let raw = self.map(number)?;
        let large = match self.resize {
            true => large(&raw, size),
            false => raw.clone(),
        };
        Ok([raw, large])
    }

    /// What settings say of it: what it is, not its numbers, as of pictures.
    pub(crate) fn facts(&self) -> MethodFacts {
        let laid = match &self.layout {
            Layout::Each(_) => "a file for each image",
            Layout::Together(_) => "an array of all images",
        };
        let mut options = Configuration::new().with("layout", laid);
        if self.resize {
            options.set("resize", "bilinear");
        }
        MethodFacts {
            name: self.name.clone(),
            method: METHOD.to_owned(),
            title: "Maps of another program".to_owned(),
            layer: String::new(),
            rules: String::new(),
            options,
            reduce: "sum".to_owned(),
            smooth: 0.0,
        }
    }
}

/// `[C, H, W]` of a map's shape.
fn layout_of(shape: &[usize]) -> Result<[usize; 3], String> {
    let ones = shape.iter().take_while(|&&side| side == 1).count();
    // As many of them as are too many.
    let rest = &shape[ones.min(shape.len().saturating_sub(3))..];
    match *rest {
        [channels, height, width] if channels * height * width > 0 => Ok([channels, height, width]),
        [height, width] if height * width > 0 => Ok([1, height, width]),
        _ => Err(format!(
            "it has shape {shape:?}, expected [H, W] or [C, H, W]"
        )),
    }
}

/// The map of an array: channels are added up.
fn flat(values: ArrayD<f64>) -> Result<Array2<f32>, String> {
    let [channels, height, width] = layout_of(values.shape())?;
    let odd = values.indexed_iter().find(|(_, value)| !value.is_finite());
    if let Some((place, value)) = odd {
        let place: Vec<String> = (0..values.ndim())
            .map(|axis| place[axis].to_string())
            .collect();
        return Err(format!("it holds {value} at [{}]", place.join(", ")));
    }
    let values = values.as_standard_layout().into_owned();
    let shaped = values.into_shape_with_order((channels, height, width));
    let shaped = shaped.map_err(|error| error.to_string())?;
    let sum = shaped.sum_axis(Axis(0)).mapv(|value| value as f32);
    match sum.iter().all(|value| value.is_finite()) {
        true => Ok(sum),
        false => Err("its numbers are too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ndarray::{Array3, Array4, ShapeBuilder, array};
    use ndarray_npy::write_npy;

    use super::*;

    fn items(files: &[(&str, usize)]) -> Vec<Item> {
        let items = files
            .iter()
            .enumerate()
            .map(|(number, (file, class))| Item::new(number, *file, *class));
        items.collect()
    }

    #[test]
    fn files_are_found_by_the_names_of_the_images() {
        let desk = tempfile::tempdir().unwrap();
        let at = |name: &str| desk.path().join(name);
        let data = items(&[
            ("a/cat.png", 0),
            ("b/cat.png", 0),
            ("a/dog.png", 0),
            ("a/dog.jpg", 0),
            ("two.png", 3),
            ("two.png", 5),
            ("c/only.png", 1),
        ]);
        let maps = |data: &[Item]| ForeignMaps::open("x", desk.path(), data).unwrap();
        fs::create_dir(at("a")).unwrap();
        fs::create_dir(at("b")).unwrap();
        // Whose these are cannot be told.
        for name in ["cat.npy", "a/dog.npy", "two.npy"] {
            write_npy(at(name), &array![[0.0_f32]]).unwrap();
        }
        let found = maps(&data);
        assert!((0..7).all(|number| found.file(number).is_none()));
        let error = found.check(&data, [1, 1]).unwrap_err();
        let StudyError::MissingMaps { missing, of, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((*missing, *of), (7, 7));
        let said = error.to_string();
        assert!(
            said.contains("two.png (two.3.npy or two.png.3.npy)"),
            "{said}"
        );
        assert!(said.contains("2 more"), "{said}");
        let names = [
            "a/cat.npy",
            "b/cat.npy",
            "a/dog.png.npy",
            "dog.jpg.npy",
            "two.3.npy",
            "two.png.5.npy",
            "only.npy",
        ];
        for (number, name) in names.iter().enumerate() {
            write_npy(at(name), &array![[number as f32]]).unwrap();
            assert_eq!(maps(&data).file(number), Some(at(name)), "{name}");
            assert_eq!(maps(&data).map(number).unwrap()[[0, 0]], number as f32);
        }
        maps(&data).check(&data, [1, 1]).unwrap();
        // A part of the images needs no more.
        fs::remove_file(at("only.npy")).unwrap();
        maps(&data).check(&data[..6], [1, 1]).unwrap();
        assert!(maps(&data).check(&data, [1, 1]).is_err());
    }

    #[test]
    fn arrays_of_every_layout_are_the_same_map() {
        let desk = tempfile::tempdir().unwrap();
        let file = desk.path().join("a.npy");
        let data = items(&[("a.png", 0)]);
        let whole = array![[1.0_f32, -2.0, 3.0], [0.5, 0.25, 8.0]];
        let maps = || ForeignMaps::open("x", desk.path(), &data).unwrap();
        let is_read = |channels: Option<usize>| {
            assert_eq!(maps().map(0).unwrap(), whole);
            assert_eq!(maps().check(&data, [2, 3]).unwrap(), channels);
        };
        write_npy(&file, &whole).unwrap();
        is_read(None);
        write_npy(&file, &whole.mapv(f64::from)).unwrap();
        is_read(None);
        let mut fortran = Array2::<f32>::zeros((2, 3).f());
        fortran.assign(&whole);
        write_npy(&file, &fortran).unwrap();
        assert!(fs::read(&file).unwrap().windows(4).any(|w| w == b"True"));
        is_read(None);
        write_npy(&file, &whole.clone().insert_axis(Axis(0))).unwrap();
        is_read(None);
        // Channels that add up to it.
        let mut channels = Array3::<f64>::zeros((3, 2, 3));
        for ((y, x), &value) in whole.indexed_iter() {
            let value = f64::from(value);
            channels[[0, y, x]] = value - 1.0;
            channels[[1, y, x]] = 3.0;
            channels[[2, y, x]] = -2.0;
        }
        write_npy(&file, &channels).unwrap();
        is_read(Some(3));
        write_npy(&file, &channels.insert_axis(Axis(0))).unwrap();
        is_read(Some(3));
        // Half precision, which all of these numbers have.
        let half: [u16; 6] = [0x3c00, 0xc000, 0x4200, 0x3800, 0x3400, 0x4800];
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n";
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(half.iter().flat_map(|bits| bits.to_le_bytes()));
        fs::write(&file, bytes).unwrap();
        is_read(None);
    }

    #[test]
    fn one_array_has_an_entry_for_each_image() {
        let desk = tempfile::tempdir().unwrap();
        let file = desk.path().join("all.npy");
        let data = items(&[("a.png", 0), ("b.png", 0), ("c.png", 0)]);
        let all = Array4::from_shape_fn((3, 2, 4, 5), |(n, c, y, x)| {
            (100 * n + 50 * c + 5 * y + x) as f32
        });
        let mut fortran = Array4::<f32>::zeros((3, 2, 4, 5).f());
        fortran.assign(&all);
        for array in [&all, &fortran] {
            write_npy(&file, array).unwrap();
            let maps = ForeignMaps::open("x", &file, &data).unwrap();
            maps.check(&data, [4, 5]).unwrap();
            assert_eq!(maps.check(&data, [4, 5]).unwrap(), Some(2));
            for number in 0..3 {
                let expected = all.index_axis(Axis(0), number).sum_axis(Axis(0));
                assert_eq!(maps.map(number).unwrap(), expected);
            }
        }
        for (count, said) in [(2, "N = 2"), (4, "N = 4")] {
            let other = items(&[("a.png", 0), ("b.png", 0), ("c.png", 0), ("d.png", 0)][..count]);
            let error = ForeignMaps::open("x", &file, &other).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let alone = items(&[("a.png", 0)]);
        write_npy(&file, &array![[1.0_f32]]).unwrap();
        assert!(ForeignMaps::open("x", &file, &alone).is_err());
    }

    #[test]
    fn what_is_no_map_is_refused_by_name() {
        let desk = tempfile::tempdir().unwrap();
        let file = desk.path().join("a.npy");
        let data = items(&[("a.png", 0)]);
        let maps = || ForeignMaps::open("x", desk.path(), &data).unwrap();
        write_npy(&file, &Array2::<f32>::ones((3, 4))).unwrap();
        let error = maps().check(&data, [6, 8]).unwrap_err().to_string();
        assert!(
            error.contains("3 x 4 pixels") && error.contains("6 x 8"),
            "{error}"
        );
        let resized = maps().resize(true);
        resized.check(&data, [6, 8]).unwrap();
        let [raw, large] = resized.maps(0, [6, 8]).unwrap();
        assert_eq!((raw.dim(), large.dim()), ((3, 4), (6, 8)));
        assert_eq!(large, Array2::<f32>::ones((6, 8)));
        for wrong in [vec![3], vec![2, 2, 3, 4], vec![0, 4], vec![]] {
            write_npy(&file, &ArrayD::<f32>::ones(wrong.clone())).unwrap();
            let error = maps().check(&data, [3, 4]).unwrap_err().to_string();
            assert!(error.contains("expected [H, W]"), "{wrong:?}: {error}");
            assert!(maps().map(0).is_err());
        }
        write_npy(&file, &array![[0.0, 1.0], [f64::NAN, 2.0]]).unwrap();
        let error = maps().map(0).unwrap_err().to_string();
        assert!(error.contains("NaN at [1, 0]"), "{error}");
        write_npy(&file, &array![[1e300_f64]]).unwrap();
        assert!(maps().map(0).unwrap_err().to_string().contains("too large"));
        fs::write(&file, "no array").unwrap();
        let error = maps().check(&data, [1, 1]).unwrap_err();
        assert!(matches!(error, StudyError::Input(_)), "{error}");
        let error = ForeignMaps::open("x", &desk.path().join("none"), &data).unwrap_err();
        assert!(matches!(error, StudyError::File { .. }), "{error}");
    }
}
