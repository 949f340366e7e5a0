//! Eigen-CAM: activations along their first principal component. It looks at no target.
//!
//! With the layer's value of one image as a matrix `X [H W, C]`, one row for each position, and `v`
//! its first right singular vector, `attr[c, i] = x[c, i] v_c`; the map, the sum over channels, is
//! the projection `X v`. Singular vectors have no sign: here `v` points along the activations,
//! `v . sum_i(x_i) > 0`, so that the map is large where activations are. The same map belongs to
//! every target; a score is reported all the same.
//!
//! Source: Muhammad and Yeasin, *Eigen-CAM: Class Activation Map using Principal Components*, IJCNN
//! 2020, <https://arxiv.org/abs/2008.00299>. The paper takes the singular vectors of the activations
//! as they are. pytorch-grad-cam subtracts each channel's mean over positions first, and projects
//! what is left: [`EigenCam::centred`]. It keeps whatever sign its singular value decomposition
//! returns, so its map may be the negative of this one; then it takes the ReLU and stretches to 0..1.
//!
//! Memory: besides the activations, on the host and in double precision, `X` of one image and two
//! square matrices of side `min(H W, C)`. When the first two singular values are equal, `v` is not
//! unique, and any vector of that plane may come out.

use burn::tensor::{Tensor, TensorData};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix4};

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::saliency::Reduce;
use crate::work::Context;

method! {
    /// Eigen-CAM: activations along their first principal component.
    pub struct EigenCam {
        centred: bool = false,
    }
    /// At a layer of shape `[N, C, H, W]`.
    at_features
}

impl EigenCam {
    setup_builders!(batch_size, progress);
}

crate::options!(EigenCam {
    {
        /// Whether each channel's mean over positions is subtracted first, as pytorch-grad-cam does;
        /// not by default.
        centred: bool as "centred",
        "whether each channel's mean is subtracted first, as pytorch-grad-cam does", "true or false"
    }
});

impl Attributor for EigenCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (values, scores) = work.each_batch(|rows, at| {
            let mut x = spatial(work, &at)?;
            let scores = work.scores(rows, at)?;
            let sums = x.clone().sum_dim(3).sum_dim(2);
            if self.centred {
                x = x.clone() - x.mean_dim(3).mean_dim(2);
            }
            let directions = directions(x.clone(), sums)?;
            Ok(((x * directions).into(), scores))
        })?;
        let evaluations = vec![0; scores.len()];
        Ok(
            Attribution::new(self, work, values, scores, Reduce::Sum)?
                .with_evaluations(evaluations),
        )
    }
}

/// The first principal component of each image of `x`, `[N, C, 1, 1]`, along `sums` `[N, C, 1, 1]`.
pub(super) fn directions(x: Tensor<4>, sums: Tensor<4>) -> Result<Tensor<4>, AttributionError> {
    let device = x.device();
    let [n, c, h, w] = x.dims();
    let rows = |x: Tensor<4>| -> Result<ArrayD<f32>, AttributionError> {
        Ok(elucid_graph::Activation::from(x).to_array()?)
    };
    let (x, sums) = (rows(x)?, rows(sums)?);
    let unreadable = |_| AttributionError::ReadBack {
        expected: vec![n, c, h, w],
        got: x.shape().to_vec(),
    };
    let images = x.view().into_dimensionality::<Ix4>().map_err(unreadable)?;
    let mut directions = Vec::with_capacity(n * c);
    for (image, sum) in images.outer_iter().zip(sums.outer_iter()) {
        let matrix: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
        let channels =
            Array2::from_shape_vec((c, h * w), matrix).map_err(|_| AttributionError::ReadBack {
                expected: vec![c, h * w],
                got: image.shape().to_vec(),
            })?;
        let mut v = principal(&channels);
        let along: f64 = v.iter().zip(&sum).map(|(v, &s)| v * f64::from(s)).sum();
        if along < 0.0 {
            v = -v;
        }
        directions.extend(v.iter().map(|&v| v as f32));
    }
    Ok(Tensor::from_data(
        TensorData::new(directions, [n, c, 1, 1]),
        &device,
    ))
}

/// The first left singular vector of `[C, H W]`, of length 1; zeros for zeros.
fn principal(channels: &Array2<f64>) -> Array1<f64> {
    let (c, positions) = channels.dim();
    let gram = match c <= positions {
        true => channels.dot(&channels.t()),
        false => channels.t().dot(channels),
    };
    let v = leading(gram);
    let v = match c <= positions {
        true => v,
        false => channels.dot(&v),
    };
    let length = v.dot(&v).sqrt();
    match length > 0.0 {
        true => v / length,
        false => Array1::zeros(c),
    }
}

/// An eigenvector of the largest eigenvalue of a symmetric matrix without negative ones.
///
/// Squared again and again, and scaled to a trace of 1, such a matrix becomes the projection onto
/// that vector: thirty squarings are 2^30 steps of the power iteration, which tell apart whatever
/// double precision can.
fn leading(mut matrix: Array2<f64>) -> Array1<f64> {
    let mut trace = matrix.diag().sum();
    for _ in 0..30 {
        if trace.is_nan() || trace <= 0.0 {
            return Array1::zeros(matrix.nrows());
        }
        matrix /= trace;
        matrix = matrix.dot(&matrix);
        // The sum of the squares of eigenvalues that add up to 1 is 1 only if there is one.
        trace = matrix.diag().sum();
        if trace > 1.0 - 1e-12 {
            break;
        }
    }
    let diagonal = matrix.diag();
    let largest = (0..diagonal.len()).max_by(|&a, &b| diagonal[a].total_cmp(&diagonal[b]));
    match largest {
        Some(column) => matrix.index_axis(Axis(1), column).to_owned(),
        None => Array1::zeros(0),
    }
}

pub(crate) const METHOD: Method =
    Method::of::<EigenCam>("eigen-cam", "Eigen-CAM", "Muhammad and Yeasin 2020")
        .at(Place::SpatialLayer);
