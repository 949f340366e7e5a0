//! An image from gone to whole.

use burn::tensor::Tensor;

use crate::blur::blurred_into_zeros;
use crate::error::AttributionError;
use crate::work::to_vec;

/// An image at levels from perturbed to preserved, between which a mask chooses pixel by pixel: 0 is
/// the first level, 1 the last, and between levels it is linear.
#[derive(Debug)]
pub(crate) struct Pyramid {
    /// Each `[C, H, W]`.
    levels: Vec<Vec<f32>>,
}

impl Pyramid {
    /// Level `l` of `L` is the image `[1, C, H, W]` blurred with `(1 - l / (L - 1)) sigma`, zeros
    /// beyond its edges.
    pub fn blur(image: &Tensor<4>, levels: usize, sigma: f32) -> Result<Self, AttributionError> {
        let last = (levels - 1) as f32;
        let level = |l| to_vec(&blurred_into_zeros(image, sigma * (1.0 - l as f32 / last)).into());
        Ok(Self {
            levels: (0..levels).map(level).collect::<Result<_, _>>()?,
        })
    }

    /// From zero to the image `[1, C, H, W]`; levels in between would add nothing.
    pub fn fade(image: &Tensor<4>) -> Result<Self, AttributionError> {
        let image = to_vec(&image.clone().into())?;
        Ok(Self {
            levels: vec![vec![0.0; image.len()], image],
        })
    }

    /// For a pixel of a mask: the two levels it is between, and how far from the lower.
    fn between(&self, mask: f32) -> (&[f32], &[f32], f32) {
        let at = mask.clamp(0.0, 1.0) * (self.levels.len() - 1) as f32;
        let low = (at as usize).min(self.levels.len() - 2);
        (&self.levels[low], &self.levels[low + 1], at - low as f32)
    }

    /// The image `[C, H, W]` under a mask `[H, W]`.
    pub fn under(&self, mask: &[f32]) -> Vec<f32> {
        let mut image = vec![0.0; self.levels[0].len()];
        for (pixel, &value) in mask.iter().enumerate() {
            let (low, high, part) = self.between(value);
            for at in (pixel..image.len()).step_by(mask.len()) {
                image[at] = low[at] + part * (high[at] - low[at]);
            }
        }
        image
    }

    /// The gradient at the mask `[H, W]`, from that at the image `[C, H, W]`.
    pub fn gradient(&self, mask: &[f32], gradient: &[f32]) -> Vec<f32> {
        let between = (self.levels.len() - 1) as f32;
        let pixels = mask.iter().enumerate();
        pixels
            .map(|(pixel, &value)| {
                let (low, high, _) = self.between(value);
                let channels = (pixel..gradient.len()).step_by(mask.len());
                between
                    * channels
                        .map(|at| gradient[at] * (high[at] - low[at]))
                        .sum::<f32>()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::perturbation::central;

    fn image() -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 5 * 6).map(|i| (i as f32 * 2.3).sin()).collect();
        Tensor::from_data(TensorData::new(values, [1, 2, 5, 6]), &Device::flex())
    }

    #[test]
    fn its_ends_are_the_image_and_what_hides_it() {
        let whole = to_vec(&image().into()).unwrap();
        let fade = Pyramid::fade(&image()).unwrap();
        let blur = Pyramid::blur(&image(), 4, 2.0).unwrap();
        let near = |got: Vec<f32>, want: &[f32]| {
            let mut each = got.iter().zip(want);
            assert!(each.all(|(got, want)| (got - want).abs() < 1e-6));
        };
        near(fade.under(&[1.0; 30]), &whole);
        assert_eq!(fade.under(&[0.0; 30]), [0.0; 60]);
        let half: Vec<f32> = whole.iter().map(|v| v * 0.5).collect();
        assert_eq!(fade.under(&[0.5; 30]), half);
        near(blur.under(&[1.0; 30]), &whole);
        let level = |sigma| to_vec(&blurred_into_zeros(&image(), sigma).into()).unwrap();
        near(blur.under(&[0.0; 30]), &level(2.0));
        near(blur.under(&[1.0 / 3.0; 30]), &level(4.0 / 3.0));
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        for pyramid in [
            Pyramid::fade(&image()).unwrap(),
            Pyramid::blur(&image(), 4, 2.0).unwrap(),
        ] {
            // No mask here is within the difference of a level.
            let mask: Vec<f32> = (0..30).map(|i| 0.015 + i as f32 / 31.0).collect();
            let weights: Vec<f32> = (0..60).map(|i| (i as f32).cos()).collect();
            let value = |mask: &[f32]| -> f32 {
                let seen = pyramid.under(mask);
                seen.iter().zip(&weights).map(|(v, w)| v * w).sum()
            };
            let gradient = pyramid.gradient(&mask, &weights);
            for i in 0..mask.len() {
                let value = |mask: &Vec<f32>| f64::from(value(mask));
                let want = central(&mask, |mask| &mut mask[i], value) as f32;
                assert!(
                    (gradient[i] - want).abs() < 2e-3,
                    "{} for {want}",
                    gradient[i]
                );
            }
        }
    }
}
