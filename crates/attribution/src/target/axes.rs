//! A number of an output or a layer of any rank, by an index along each axis.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, LongRows};

use super::bound::norm;
use super::refused;
use crate::error::AttributionError;

/// What is taken along one axis of a layer, the axis of the batch left out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Along {
    /// The number at this index, from 0.
    At(usize),
    /// The sum over the axis.
    Sum,
    /// The mean over the axis.
    Mean,
    /// The Euclidean norm over the axis, which must be the first behind the batch.
    Norm,
    /// The sum of the numbers times these weights, as many as the axis is long: a direction in the
    /// space of channels.
    Weights(Arc<[f32]>),
}

impl From<usize> for Along {
    fn from(index: usize) -> Self {
        Self::At(index)
    }
}

impl fmt::Display for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(index) => write!(f, "{index}"),
            Self::Sum => f.write_str(":"),
            Self::Mean => f.write_str("mean"),
            Self::Norm => f.write_str("norm"),
            Self::Weights(weights) => write!(f, "direction of {}", weights.len()),
        }
    }
}

/// `name[5,2]`, as it is typed.
pub(super) fn spelled(layer: &str, along: &[Along]) -> String {
    let along: Vec<String> = along.iter().map(ToString::to_string).collect();
    format!("{layer}[{}]", along.join(","))
}

/// Refuses indices that a layer of this shape, the batch included, does not have.
pub(super) fn check(layer: &str, along: &[Along], shape: &[usize]) -> Result<(), AttributionError> {
    let wrong = |reason: String| Err(refused(spelled(layer, along), reason));
    let sizes = shape.get(1..).unwrap_or_default();
    let shape = || {
        let sizes = sizes.iter().map(|size| format!(", {size}"));
        format!("\"{layer}\" has shape [N{}]", sizes.collect::<String>())
    };
    if along.len() != sizes.len() {
        return wrong(format!(
            "{}, so {} behind the batch {}: a number, : for the sum, mean, norm, or a direction",
            shape(),
            match sizes.len() {
                1 => "1 index".to_owned(),
                count => format!("{count} indices"),
            },
            match sizes.len() {
                1 => "is expected",
                _ => "are expected",
            },
        ));
    }
    for (axis, (along, &size)) in along.iter().zip(sizes).enumerate() {
        match along {
            Along::At(index) if *index >= size => {
                return wrong(match size {
                    0 => format!("{}: there is nothing along axis {axis}", shape()),
                    _ => format!(
                        "{}: index {index} is outside axis {axis}, which goes from 0 to {}",
                        shape(),
                        size - 1
                    ),
                });
            }
            Along::Weights(weights) if weights.len() != size => {
                return wrong(format!(
                    "{}: a direction along axis {axis} has {size} numbers, not {}",
                    shape(),
                    weights.len()
                ));
            }
            Along::Weights(weights) if weights.iter().any(|weight| !weight.is_finite()) => {
                return wrong("the direction has numbers that are not finite".to_owned());
            }
            Along::Norm if axis > 0 => {
                return wrong("a norm is over the first axis only, the channels".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The number for each image, `[N]`; the axes were checked.
pub(super) fn score(along: &[Along], activation: &Activation) -> Tensor<1> {
    let shape = activation.shape();
    let images = shape[0];
    let mut x = activation.rows();
    // From the last axis to the first, each of which leaves one number.
    for (axis, along) in along.iter().enumerate().rev() {
        let size = shape[axis + 1];
        let before: usize = shape[..=axis].iter().product();
        let rows = x.reshape([before, size]);
        x = match along {
            Along::At(index) => rows.narrow(1, *index, 1),
            Along::Sum => rows.row_sums(),
            Along::Mean => rows.row_means(),
            Along::Norm => norm(rows).reshape([before, 1]),
            Along::Weights(weights) => {
                let data = TensorData::new(weights.to_vec(), [1, size]);
                let weights = Tensor::<2>::from_data(data, &rows.device());
                (rows * weights).row_sums()
            }
        };
    }
    x.reshape([images])
}
