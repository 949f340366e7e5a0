//! How alike an embedding is to another.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, LongRows};

use super::refused;
use crate::error::AttributionError;

/// Below this length, squared, an embedding has no direction.
const SMALLEST: f32 = 1e-16;

/// The direction of a vector, computed in double precision.
pub(super) fn direction(vector: &[f32], text: &str) -> Result<Arc<[f32]>, AttributionError> {
    let length = vector
        .iter()
        .map(|&v| f64::from(v).powi(2))
        .sum::<f64>()
        .sqrt();
    match length.is_finite() && length > 0.0 {
        true => Ok(vector
            .iter()
            .map(|&v| (f64::from(v) / length) as f32)
            .collect()),
        false => Err(refused(
            text.to_owned(),
            "a cosine needs a vector of finite numbers that are not all zero".to_owned(),
        )),
    }
}

/// The cosine of each image's numbers and the direction, `[N]`.
pub(super) fn score(
    direction: &[f32],
    activation: &Activation,
    text: &str,
) -> Result<Tensor<1>, AttributionError> {
    let rows = activation.rows();
    let [images, width] = rows.dims();
    if width != direction.len() {
        let shape = activation.shape();
        return Err(refused(
            text.to_owned(),
            format!(
                "the layer has shape {shape:?}, {width} numbers for each image, and the vector {}",
                direction.len()
            ),
        ));
    }
    let data = TensorData::new(direction.to_vec(), [1, width]);
    Ok(cosine(rows, Tensor::from_data(data, &activation.device())).reshape([images]))
}

/// The cosine of each row of `[N, K]` and a direction of length 1, `[1, K]`, giving `[N, 1]`; 0 for
/// rows of zeros.
pub(super) fn cosine(rows: Tensor<2>, direction: Tensor<2>) -> Tensor<2> {
    let squares = (rows.clone() * rows.clone()).row_sums();
    (rows * direction).row_sums() / squares.clamp_min(SMALLEST).sqrt()
}
