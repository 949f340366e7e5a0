//! Gaussian blur of images on their device.

use burn::tensor::{Device, Tensor, TensorData};

use crate::saliency::gaussian_kernel;

/// Standard deviations after which the Gaussian is cut off, as SciPy's `gaussian_filter` does.
const CUT: f32 = 4.0;

/// What lies beyond the edges of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// The pixels at the edge, again and again.
    Edge,
    Zeros,
}

/// Images `[N, C, H, W]` convolved with a Gaussian of `sigma` pixels, edges replicated.
///
/// Each axis is one multiplication by a matrix, so that the cost does not grow with `sigma`.
pub(crate) fn blurred(images: &Tensor<4>, sigma: f32) -> Tensor<4> {
    convolved(images, sigma, Beyond::Edge)
}

/// The same with zeros beyond the edges, into which the image darkens.
pub(crate) fn blurred_into_zeros(images: &Tensor<4>, sigma: f32) -> Tensor<4> {
    convolved(images, sigma, Beyond::Zeros)
}

fn convolved(images: &Tensor<4>, sigma: f32, beyond: Beyond) -> Tensor<4> {
    if sigma <= 0.0 {
        return images.clone();
    }
    let [n, c, h, w] = images.dims();
    let device = images.device();
    let across = images
        .clone()
        .reshape([n * c * h, w])
        .matmul(matrix(w, sigma, beyond, &device).transpose())
        .reshape([n * c, h, w]);
    let down = matrix(h, sigma, beyond, &device).reshape([1, h, h]);
    down.repeat_dim(0, n * c)
        .matmul(across)
        .reshape([n, c, h, w])
}

fn matrix(size: usize, sigma: f32, beyond: Beyond, device: &Device) -> Tensor<2> {
    let weights = weights_with(size, sigma, beyond);
    Tensor::from_data(TensorData::new(weights, [size, size]), device)
}

/// The matrix `[size, size]` that blurs a line, edges replicated: row `i` holds the weights of all
/// pixels of the line in its blurred pixel `i`.
pub(crate) fn weights(size: usize, sigma: f32) -> Vec<f32> {
    weights_with(size, sigma, Beyond::Edge)
}

fn weights_with(size: usize, sigma: f32, beyond: Beyond) -> Vec<f32> {
    // A Gaussian that reaches far beyond the line on both sides is flat on it.
    let kernel = gaussian_kernel(sigma.min(64.0 * size as f32), CUT);
    let half = kernel.len() / 2;
    let mut weights = vec![0_f32; size * size];
    for i in 0..size {
        for (k, &weight) in kernel.iter().enumerate() {
            let is_inside = (half..size + half).contains(&(i + k));
            if is_inside || beyond == Beyond::Edge {
                let at = (i + k).saturating_sub(half).min(size - 1);
                weights[i * size + at] += weight;
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;
    use crate::saliency::gaussian_blur;

    #[test]
    fn the_same_as_pixel_by_pixel() {
        let shape = [2, 3, 9, 14];
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|i| ((i * 37) % 101) as f32 - 50.0)
            .collect();
        let images = Array4::from_shape_vec(shape, values.clone()).unwrap();
        let tensor = Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex());
        for sigma in [0.3, 1.0, 4.0, 30.0] {
            let got: Vec<f32> = blurred(&tensor, sigma).into_data().iter::<f32>().collect();
            let got = Array4::from_shape_vec(shape, got).unwrap();
            for (got, image) in got.outer_iter().zip(images.outer_iter()) {
                for (got, map) in got.outer_iter().zip(image.outer_iter()) {
                    let want = gaussian_blur(map, sigma, CUT);
                    let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs());
                    assert!(worst.fold(0.0, f32::max) < 1e-4, "sigma {sigma}");
                }
            }
        }
    }
}
