//! Targets as they are typed.

use std::path::Path;
use std::str::FromStr;

use elucid_graph::LOGITS;
use elucid_vision::input::{file_of, is_array, open_array, open_image};
use ndarray::{Array1, Array2, Ix2};
use ndarray_npy::ReadNpyExt;

use super::{Along, Detection, Region, Side, Target, refused};
use crate::error::AttributionError;

/// The most bytes of a file with a direction.
const MAX_DIRECTION: u64 = 1 << 26;

/// A mask's pixels above this are white, of 255.
const WHITE: u8 = 127;

/// What can be typed behind the `@` of a class.
const PLACES: &str = "CLASS@box:XMIN,YMIN,XMAX,YMAX, CLASS@at:ROW,COLUMN, CLASS@predicted, \
                      CLASS@detected:XMIN,YMIN,XMAX,YMAX, CLASS@d-rise:XMIN,YMIN,XMAX,YMAX or \
                      CLASS@MASK.png, CLASS@MASK.npy";

/// | text | target |
/// | --- | --- |
/// | `A` | [`Target::class`], by number or name |
/// | `A:B` | [`Target::difference`]; `A` and `B` also `none` or `logsumexp` |
/// | `logsumexp` | [`Target::log_sum_exp`] |
/// | `out[5,2]` | [`Target::element`] of an output or a layer; `:` for the sum along an axis, `mean`, `norm`, or a file `x.npy` of a direction, see [`Along`] |
/// | `A@box:0,2,4,6` | [`Region::bounds`]: columns 0 to 4, rows 2 to 6, of which 4 and 6 are outside |
/// | `A@mask.png`, `A@mask.npy` | [`Region::mask`]: the white pixels of a picture, the numbers above 0 of an array `[H, W]` |
/// | `A@predicted` | [`Region::predicted`] |
/// | `A@at:3,5` | [`Region::component`] at row 3, column 5 |
/// | `A@detected:10,20,90,80` | [`Detection`] in the box of columns 10 to 90, rows 20 to 80 of the input, in the network's scores |
/// | `A@d-rise:10,20,90,80` | the same, [by cosine](Detection::similar) |
///
/// Files of masks and directions are read here. A class whose name has an `@` in it is given by its
/// number.
impl FromStr for Target {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(element) = element(text)? {
            return Ok(element);
        }
        if let Some((class, place)) = text.rsplit_once('@').filter(|(class, _)| !class.is_empty()) {
            return of_place(text, class, place);
        }
        let side = |part: &str| {
            Side::parse(part).ok_or_else(|| {
                let reason = "expected a class, two classes A:B, logsumexp, or a number \
                              NAME[INDEX,...]";
                refused(text.to_owned(), reason.to_owned())
            })
        };
        Ok(match text.split_once(':') {
            Some((a, b)) => Self::difference(side(a)?, side(b)?),
            None => match side(text)? {
                Side::LogSumExp => Self::log_sum_exp(),
                Side::Class(class) => Self::class(class),
                Side::None => Self::label(text),
            },
        })
    }
}

/// `NAME[INDEX,...]`; `None` where what stands in brackets are no indices, as in a class's name.
fn element(text: &str) -> Result<Option<Target>, AttributionError> {
    let inside = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['));
    let Some((layer, indices)) = inside.filter(|(layer, _)| !layer.trim().is_empty()) else {
        return Ok(None);
    };
    let mut along = Vec::new();
    // One number for each image has no index besides that of the batch.
    let indices = match indices.trim() {
        "" => Vec::new(),
        indices => indices.split(',').map(str::trim).collect(),
    };
    for index in indices {
        along.push(match index {
            ":" => Along::Sum,
            "mean" => Along::Mean,
            "norm" => Along::Norm,
            file if file.ends_with(".npy") => Along::Weights(direction(text, file)?.into()),
            number => match number.parse() {
                Ok(index) => Along::At(index),
                Err(_) if number.starts_with('-') && number[1..].parse::<usize>().is_ok() => {
                    let reason = "indices count from 0";
                    return Err(refused(text.to_owned(), reason.to_owned()));
                }
                Err(_) => return Ok(None),
            },
        });
    }
    Ok(Some(Target::along(layer.trim(), along)))
}

/// The vector in a file of numbers of 4 or 8 bytes.
fn direction(text: &str, file: &str) -> Result<Vec<f32>, AttributionError> {
    let wrong = |reason: String| refused(text.to_owned(), format!("{file}: {reason}"));
    let size = std::fs::metadata(file)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if size > MAX_DIRECTION {
        return Err(wrong(format!("{size} bytes are too many for a direction")));
    }
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let single = Array1::<f32>::read_npy(&bytes[..]).map(|vector| vector.to_vec());
    let vector = single.or_else(|_| {
        let double = Array1::<f64>::read_npy(&bytes[..])?;
        Ok::<_, ndarray_npy::ReadNpyError>(double.iter().map(|&v| v as f32).collect())
    });
    vector.map_err(|error| wrong(format!("no vector of floating-point numbers ({error})")))
}

/// What is typed behind a class and an `@`.
fn of_place(text: &str, class: &str, place: &str) -> Result<Target, AttributionError> {
    let wrong = |reason: &str| Err(refused(text.to_owned(), reason.to_owned()));
    let Some(Side::Class(class)) = Side::parse(class) else {
        return wrong("expected a class before the @, by its number or its name");
    };
    let (word, numbers) = match place.split_once(':') {
        Some((word, numbers)) => (word.trim(), numbers),
        None => (place.trim(), ""),
    };
    Ok(match word {
        "box" => match all::<usize, 4>(numbers) {
            Some([xmin, ymin, xmax, ymax]) => {
                Target::region(class, Region::bounds(xmin, ymin, xmax, ymax))
            }
            None => return wrong("expected box:XMIN,YMIN,XMAX,YMAX, whole pixels of the map"),
        },
        "at" => match all::<usize, 2>(numbers) {
            Some([row, column]) => Target::region(class, Region::component(row, column)),
            None => return wrong("expected at:ROW,COLUMN, whole pixels of the map"),
        },
        "predicted" if numbers.is_empty() => Target::region(class, Region::predicted()),
        "detected" | "d-rise" => {
            let Some(bounds) = all::<f32, 4>(numbers) else {
                return wrong(
                    "expected a box XMIN,YMIN,XMAX,YMAX in pixels of the network's input",
                );
            };
            let detection = Detection::at(LOGITS, class, bounds);
            Target::detection(match word {
                "d-rise" => detection.similar(),
                _ => detection,
            })
        }
        _ if is_array(place) && file_of(place).is_file() => {
            let wrong = |reason: String| refused(text.to_owned(), reason);
            let mask = open_array(place).map_err(|error| wrong(error.to_string()))?;
            let shape = mask.shape().to_vec();
            let mask = mask.into_dimensionality::<Ix2>().map_err(|_| {
                wrong(format!(
                    "{place} has shape {shape:?}, and a mask is an array [H, W]"
                ))
            })?;
            Target::region(class, Region::mask(mask.mapv(|number| number > 0.0)))
        }
        _ if Path::new(place).is_file() => {
            let mask = open_image(place);
            let mask = mask.map_err(|error| refused(text.to_owned(), error.to_string()))?;
            let mask = mask.to_luma8();
            let (width, height) = mask.dimensions();
            let white = |(y, x): (usize, usize)| mask.get_pixel(x as u32, y as u32).0[0] > WHITE;
            let mask = Array2::from_shape_fn((height as usize, width as usize), white);
            Target::region(class, Region::mask(mask))
        }
        _ => {
            let there = match Path::new(place).extension() {
                Some(_) => format!("there is no file {place}; "),
                None => String::new(),
            };
            return wrong(&format!("{there}expected {PLACES}"));
        }
    })
}

/// So many numbers between commas.
fn all<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let numbers: Result<Vec<T>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers.ok()?.try_into().ok()
}
