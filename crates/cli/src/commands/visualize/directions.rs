//! Directions from a file.

use std::fs;
use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayViewD, Axis, Ix2};
use ndarray_npy::{ViewNpyError, ViewNpyExt};

use crate::error::CliError;

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 28;

/// Reads directions `[n, C]` from an array `[C]` or `[n, C]` of single or double precision.
///
/// # Errors
///
/// The file cannot be read or is of another shape; a number is not finite; a direction is nought.
pub fn read(path: &Path, layer: &str, channels: usize) -> Result<Array2<f32>, CliError> {
    let shown = path.display();
    let cannot = |error| CliError::io(format!("cannot read {shown}"), &error);
    let size = fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_BYTES {
        return Err(CliError::Failure(format!(
            "{shown} holds {size} bytes, more than {MAX_BYTES}"
        )));
    }
    let bytes = fs::read(path).map_err(cannot)?;
    // A view, unlike an array that is read, takes no more memory than the file has bytes.
    let array = match ArrayViewD::<f32>::view_npy(&bytes) {
        Ok(single) => single.to_owned(),
        Err(ViewNpyError::WrongDescriptor(_)) => ArrayViewD::<f64>::view_npy(&bytes)
            .map_err(|error| unreadable(path, &error))?
            .mapv(|v| v as f32),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let shape = array.shape().to_vec();
    let directions = match shape[..] {
        [c] if c == channels => array.insert_axis(Axis(0)),
        [n, c] if c == channels && n > 0 => array,
        _ => {
            return Err(CliError::Failure(format!(
                "{shown} has shape {shape:?}, expected [{channels}] or [n, {channels}], since \
                 \"{layer}\" has {channels} channels"
            )));
        }
    };
    let directions: Array2<f32> = directions
        .into_dimensionality::<Ix2>()
        .map_err(|error| unreadable(path, &error))?;
    if let Some(((n, c), value)) = directions.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(CliError::Failure(format!(
            "{shown} holds {value} at {n}, {c}: directions are made of finite numbers"
        )));
    }
    let is_nought = |direction: &ArrayView1<f32>| direction.iter().all(|v| *v == 0.0);
    match directions.outer_iter().position(|d| is_nought(&d)) {
        Some(n) => Err(CliError::Failure(format!(
            "direction {n} of {shown} is zero everywhere and leads nowhere"
        ))),
        None => Ok(directions),
    }
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> CliError {
    CliError::Failure(format!(
        "{} is not a .npy file of floating-point numbers: {error}",
        path.display()
    ))
}
