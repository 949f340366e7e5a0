//! Results as files.

use std::path::{Path, PathBuf};

use elucid_attribution::{Attribution, Saliency};
use elucid_render::{MapStyle, Picture, RenderError, file::write_atomically};
use ndarray::Axis;
use ndarray_npy::WriteNpyExt;

use crate::Error;

/// A result that can be kept in a file, whose name says how.
///
/// A file appears whole or not at all.
///
/// ```no_run
/// use elucid::prelude::*;
/// use elucid::results::{self, Save};
///
/// # fn main() -> Result<(), Error> {
/// # let device = elucid::device::auto().device;
/// let model = Model::embedded(&device)?;
/// let photo = model.read_image("cat.jpg")?;
/// let found = GradCam::at_features().attribute(&model, &photo, Target::label("cat"))?;
/// found.save("cat.npy")?; // the numbers, [N, ...]
/// found.save("cat.json")?; // everything, to be opened again
/// found.save("cat.png")?; // the usual map at the size of the photograph
/// let again = results::open("cat.json")?;
/// # let _ = again;
/// # Ok(())
/// # }
/// ```
pub trait Save {
    /// Saves it as `.npy`, `.json` or `.png`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for another ending, [`Error::Render`] when the file cannot be written, and what
    /// stands at the implementations.
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error>;
}

impl Save for Attribution {
    /// `.npy` has the values, `[N, ...]`; `.json` everything that is known of it, values included, which
    /// [`open`] reads; `.png` the usual map of each image at its size: `NAME.png` of one image,
    /// `NAME-0.png`, `NAME-1.png` and so on of several.
    ///
    /// [`Error::Attribution`] for a picture of a layer without positions.
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        match ending(path)? {
            Ending::Npy => write_npy(path, self.values()),
            Ending::Json => {
                let bytes = serde_json::to_vec(self).map_err(|error| Error::File {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })?;
                Ok(write_atomically(path, &bytes)?)
            }
            Ending::Png => self.map()?.upsampled().save(path),
        }
    }
}

impl Save for Saliency {
    /// `.npy` has the maps, `[N, H, W]`, `.png` a picture of each as it is, without resizing.
    ///
    /// [`Error::File`] for `.json`, since a map alone says nothing of where it is from.
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        match ending(path)? {
            Ending::Npy => write_npy(path, self.maps()),
            Ending::Json => Err(Error::File {
                path: path.to_owned(),
                reason: "a map is saved as .npy or .png; save the attribution as .json".to_owned(),
            }),
            Ending::Png => {
                let style = MapStyle::of(self.maps().view());
                let pictures = self.maps().axis_iter(Axis(0)).map(|map| {
                    Picture::heat_map(map, style.colors(), style.normalisation())?.to_png_bytes()
                });
                // All of them are there before the first is written.
                let pictures = pictures.collect::<Result<Vec<_>, RenderError>>()?;
                for (i, picture) in pictures.iter().enumerate() {
                    let path = match pictures.len() {
                        1 => path.to_owned(),
                        _ => numbered(path, i),
                    };
                    write_atomically(path, picture)?;
                }
                Ok(())
            }
        }
    }
}

/// Opens an attribution that was saved as `.json`.
///
/// # Errors
///
/// [`Error::File`] for a file that cannot be read, or that holds none.
pub fn open(path: impl AsRef<Path>) -> Result<Attribution, Error> {
    let path = path.as_ref();
    let wrong = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

enum Ending {
    Npy,
    Json,
    Png,
}

fn ending(path: &Path) -> Result<Ending, Error> {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("npy") => Ok(Ending::Npy),
        Some("json") => Ok(Ending::Json),
        Some("png") => Ok(Ending::Png),
        _ => Err(Error::File {
            path: path.to_owned(),
            reason: "results are saved as .npy, .json or .png".to_owned(),
        }),
    }
}

/// `NAME-i.png`.
fn numbered(path: &Path, i: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{i}.png"))
}

fn write_npy<D: ndarray::Dimension>(
    path: &Path,
    values: &ndarray::Array<f32, D>,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    values.write_npy(&mut bytes).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    if let Some((at, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(Error::File {
            path: path.to_owned(),
            reason: format!("number {at} is {value}, and no result"),
        });
    }
    Ok(write_atomically(path, &bytes)?)
}
