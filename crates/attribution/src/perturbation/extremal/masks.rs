//! What the method finds.

use ndarray::{Array2, Array4, ArrayView2, s};

use crate::saliency::{gaussian_blur, gaussian_kernel};

/// What [`ExtremalPerturbation`](super::ExtremalPerturbation) found for each image and area.
#[derive(Debug, Clone)]
pub struct ExtremalMasks {
    pub(super) masks: Array4<f32>,
    pub(super) rewards: Vec<Vec<f32>>,
    pub(super) iterations: Vec<Vec<usize>>,
}

impl ExtremalMasks {
    /// The masks, `[N, A, H, W]`, for the areas in their order; 1 keeps a pixel, or deletes it, as the
    /// variant says.
    pub fn masks(&self) -> &Array4<f32> {
        &self.masks
    }

    /// The reward of each mask at its last iteration, by image and area.
    pub fn rewards(&self) -> &[Vec<f32>] {
        &self.rewards
    }

    /// How many iterations each mask took, by image and area.
    pub fn iterations(&self) -> &[Vec<usize>] {
        &self.iterations
    }
}

/// Convolution with a Gaussian, zeros beyond the edges.
pub(super) fn smoothed(mask: ArrayView2<'_, f32>, sigma: f32) -> Array2<f32> {
    const CUT: f32 = 4.0;
    let margin = gaussian_kernel(sigma, CUT).len() / 2;
    let (height, width) = mask.dim();
    let mut padded = Array2::zeros((height + 2 * margin, width + 2 * margin));
    let inside = s![margin..margin + height, margin..margin + width];
    padded.slice_mut(inside).assign(&mask);
    let blurred = gaussian_blur(padded.view(), sigma, CUT);
    blurred.slice(inside).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_loses_what_leaves_the_image() {
        let ones = Array2::<f32>::ones((20, 30));
        let smooth = smoothed(ones.view(), 2.0);
        assert!((smooth[[10, 15]] - 1.0).abs() < 1e-3);
        assert!((0.5..0.65).contains(&smooth[[0, 15]]));
        assert!((0.25..0.4).contains(&smooth[[0, 0]]));
    }
}
