//! The maps of a study, kept beside its numbers.
//!
//! A study that keeps its maps ([`Begin::save_maps`](crate::Begin::save_maps)) has a folder `maps`, and in it one for each
//! method, with a file for each cell:
//!
//! ```text
//! maps/grad-cam/0000016-0000023-0123456789abcdef.safetensors
//! ```
//!
//! of the cell's first and last image and the first sixteen digits of the file's SHA-256. It holds a tensor for each image that
//! the method did not fail on, under the image's number in the data: float32 `[h, w]`, as it was measured before it was brought
//! to the size of the images (bilinear), which maps that are smoothed have already. The file is there, whole and synced, before
//! the [`journal`](crate::journal) names it; what a crash leaves is a file that no record names, or the same one again.
//!
//! Safetensors rather than archives of NumPy: numbers lie as they are, so that a map is read without unpacking its neighbours,
//! every program that has PyTorch or JAX reads it, and the crate is small. Maps of gradients would hardly be smaller for being
//! deflated, and maps of layers are small by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use elucid_attribution::Saliency;
use elucid_models::sha256;
use ndarray::{Array2, ArrayView2, Axis};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::content;
use crate::error::StudyError;
use crate::files;

/// The folder of the maps.
pub const MAPS: &str = "maps";

/// Ending of a file of maps.
const ENDING: &str = "safetensors";

/// The name of a method's folder: that of the method, as far as names of files can be, and where that is not all of it, digits
/// that tell it from others.
pub fn folder(method: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name: String = method.chars().filter(|&c| plain(c)).take(40).collect();
    match name == method {
        true => name,
        false => format!("{name}_{}", &sha256::of_bytes(method.as_bytes())[..8]),
    }
}

/// A map at the size of the images. One that has it stays as it is, to the bit.
pub(crate) fn large(raw: &Array2<f32>, size: [usize; 2]) -> Array2<f32> {
    match raw.dim() == (size[0], size[1]) {
        true => raw.clone(),
        false => first(&Saliency::new(raw.clone().insert_axis(Axis(0)), size).upsampled()),
    }
}

/// The first of several maps; nothing where there is none.
pub(crate) fn first(maps: &Saliency) -> Array2<f32> {
    match maps.maps().is_empty() {
        true => Array2::zeros((0, 0)),
        false => maps.maps().index_axis(Axis(0), 0).to_owned(),
    }
}

/// Writes the maps of a cell, by the images' numbers, and gives the file's name within the folder `maps`. `images` are the
/// first and the last of the cell.
pub(crate) fn write(
    study: &Path,
    method: &str,
    images: [usize; 2],
    maps: &BTreeMap<usize, Array2<f32>>,
) -> Result<String, StudyError> {
    let bytes = to_bytes(method, maps).map_err(StudyError::Data)?;
    let folder = folder(method);
    let name = content::write(&study.join(MAPS).join(&folder), images, ENDING, &bytes)?;
    Ok(format!("{folder}/{name}"))
}

fn to_bytes(method: &str, maps: &BTreeMap<usize, Array2<f32>>) -> Result<Vec<u8>, String> {
    let cannot = |error: safetensors::SafeTensorError| format!("maps cannot be written: {error}");
    let parts: Vec<(String, [usize; 2], Vec<u8>)> = (maps.iter())
        .map(|(number, map)| {
            let bytes = map.iter().flat_map(|v| v.to_le_bytes()).collect();
            (number.to_string(), [map.nrows(), map.ncols()], bytes)
        })
        .collect();
    let views = parts.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        Ok((name, view.map_err(cannot)?))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    // One entry only: several would stand in any order, and the same maps would make another file.
    let about = HashMap::from([("method".to_owned(), method.to_owned())]);
    serialize(views, Some(about)).map_err(cannot)
}

/// Reads a file of maps, named as the journal names it, by the images' numbers.
///
/// # Errors
///
/// [`StudyError::File`], [`StudyError::Altered`] for a file that is not the one that was written, and [`StudyError::Map`] for one that
/// holds no maps.
pub fn read(study: &Path, name: &str) -> Result<BTreeMap<usize, Array2<f32>>, StudyError> {
    let path = study.join(MAPS).join(name);
    let bytes = content::read(&path)?;
    let wrong = |reason: String| StudyError::Map {
        file: path.clone(),
        reason,
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let maps = tensors.iter().map(|(name, view)| {
        let map = match (view.dtype(), view.shape()) {
            (Dtype::F32, &[height, width]) => {
                let four = view.data().chunks_exact(4);
                let values = four.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                Array2::from_shape_vec((height, width), values.collect()).ok()
            }
            _ => None,
        };
        match (name.parse(), map) {
            (Ok(number), Some(map)) => Ok((number, map)),
            _ => Err(wrong(format!("\"{name}\" is no map of an image"))),
        }
    });
    maps.collect()
}

/// The maps that lie in a method's folder, by the names that a journal has for them, with their sizes in bytes.
///
/// # Errors
///
/// [`StudyError::File`].
pub fn list(study: &Path, method: &str) -> Result<BTreeMap<String, u64>, StudyError> {
    let name = folder(method);
    let within = study.join(MAPS).join(&name);
    let cannot = StudyError::file("read", &within);
    let mut found = BTreeMap::new();
    for entry in files::with_ending(&within, ENDING)? {
        let file = entry.file_name().to_string_lossy().into_owned();
        let bytes = entry.metadata().map_err(&cannot)?.len();
        found.insert(format!("{name}/{file}"), bytes);
    }
    Ok(found)
}

/// Reads maps one after the other, of which neighbours lie in one file.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// The file that was read last.
    open: Option<(String, BTreeMap<usize, Array2<f32>>)>,
    /// Files that could not be read.
    lost: BTreeSet<String>,
}

impl Shelf {
    /// The map of an image in a file, if it is there; what is wrong with the file is said once.
    pub fn map(
        &mut self,
        study: &Path,
        name: &str,
        image: usize,
        mut complain: impl FnMut(&StudyError),
    ) -> Option<ArrayView2<'_, f32>> {
        if self.lost.contains(name) {
            return None;
        }
        if !matches!(&self.open, Some((open, _)) if open == name) {
            match read(study, name) {
                Ok(maps) => self.open = Some((name.to_owned(), maps)),
                Err(error) => {
                    self.lost.insert(name.to_owned());
                    complain(&error);
                    return None;
                }
            }
        }
        let (_, maps) = self.open.as_ref()?;
        maps.get(&image).map(Array2::view)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_have_names_that_are_told_apart() {
        assert_eq!(folder("grad-cam"), "grad-cam");
        let names = ["gradient:smooth=0.02", "gradient:smooth=0.2", "../a", "a"].map(folder);
        assert!(names[0].starts_with("gradientsmooth002_"));
        for (i, name) in names.iter().enumerate() {
            assert!(!name.contains(['/', '.', ':']), "{name}");
            assert!(!names[..i].contains(name), "{name}");
        }
    }

    proptest! {
        // Each is written and synced twice.
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_written_is_read(
            height in 0..4_usize,
            width in 1..5_usize,
            numbers in prop::collection::btree_set(0..1000_usize, 0..4),
            values in prop::collection::vec(prop::num::f32::ANY, 20),
        ) {
            let desk = tempfile::tempdir().unwrap();
            let map = |n: usize| Array2::from_shape_fn((height, width), |(y, x)| values[(n + y * width + x) % 20]);
            let maps: BTreeMap<usize, Array2<f32>> = numbers.iter().map(|&n| (n, map(n))).collect();
            let name = write(desk.path(), "a:b=1", [3, 7], &maps).unwrap();
            prop_assert!(name.contains("/0000003-0000007-"));
            let found = read(desk.path(), &name).unwrap();
            let bits = |maps: &BTreeMap<usize, Array2<f32>>| -> Vec<(usize, Array2<u32>)> {
                maps.iter().map(|(n, map)| (*n, map.mapv(f32::to_bits))).collect()
            };
            prop_assert_eq!(bits(&found), bits(&maps));
            // The same once more is the same file.
            prop_assert_eq!(&write(desk.path(), "a:b=1", [3, 7], &maps).unwrap(), &name);
            prop_assert_eq!(list(desk.path(), "a:b=1").unwrap().into_keys().collect::<Vec<_>>(), vec![name]);
        }
    }

    #[test]
    fn what_is_lost_is_said_once() {
        let desk = tempfile::tempdir().unwrap();
        let maps = BTreeMap::from([(4, Array2::from_elem((2, 2), 0.5))]);
        let name = write(desk.path(), "m", [4, 4], &maps).unwrap();
        let path = desk.path().join(MAPS).join(&name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut shelf = Shelf::default();
        let mut said = 0;
        for _ in 0..2 {
            assert!(shelf.map(desk.path(), &name, 4, |_| said += 1).is_none());
        }
        assert_eq!(said, 1);
        fs::write(&path, &bytes).unwrap();
        let mut shelf = Shelf::default();
        let map = shelf.map(desk.path(), &name, 4, |_| panic!("it is there"));
        assert_eq!(map.unwrap(), maps[&4]);
        assert!(shelf.map(desk.path(), &name, 5, |_| {}).is_none());
    }
}
