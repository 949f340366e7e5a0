//! Masks of an image from a coarse grid, by repetition and a blur.

use ndarray::{Array2, ArrayView2};

use crate::blur::weights;
use crate::error::AttributionError;

/// Makes masks `[H, W]` of grids of parameters, one for every `scale` pixels of each axis: each is
/// repeated over its pixels, and the result is blurred by a Gaussian, edges replicated.
///
/// Both are linear along each axis, so that the mask is `R p C^T`.
#[derive(Debug)]
pub(crate) struct MaskGrid {
    /// `[H, rows]`.
    down: Array2<f32>,
    /// `[W, columns]`.
    across: Array2<f32>,
}

impl MaskGrid {
    pub fn new(size: [usize; 2], scale: usize, blur: f32) -> Result<Self, AttributionError> {
        let axis = |size: usize| -> Result<Array2<f32>, AttributionError> {
            let repeat = Array2::from_shape_fn((size, size.div_ceil(scale)), |(pixel, cell)| {
                f32::from(u8::from(pixel / scale == cell))
            });
            if blur <= 0.0 {
                return Ok(repeat);
            }
            let blur = weights(size, blur);
            let got = vec![blur.len()];
            let blur = Array2::from_shape_vec((size, size), blur).map_err(|_| {
                AttributionError::ReadBack {
                    expected: vec![size, size],
                    got,
                }
            })?;
            Ok(blur.dot(&repeat))
        };
        Ok(Self {
            down: axis(size[0])?,
            across: axis(size[1])?,
        })
    }

    /// Rows and columns of the grid.
    pub fn cells(&self) -> (usize, usize) {
        (self.down.ncols(), self.across.ncols())
    }

    /// The mask `[H, W]` of some parameters.
    pub fn mask(&self, parameters: &Array2<f32>) -> Array2<f32> {
        self.down.dot(parameters).dot(&self.across.t())
    }

    /// The gradient at the parameters, from that at the mask `[H, W]`.
    pub fn gradient(&self, at_mask: &Array2<f32>) -> Array2<f32> {
        self.down.t().dot(at_mask).dot(&self.across)
    }
}

/// `sum_u |d(u)|^beta` and its gradient, where `d` are the differences to the next row and column,
/// 0 beyond the last. Where a gradient does not exist it is 0.
pub(crate) fn total_variation(x: ArrayView2<'_, f32>, beta: f32) -> (f32, Array2<f32>) {
    let (height, width) = x.dim();
    let mut sum = 0.0;
    let mut gradient = Array2::zeros(x.dim());
    for row in 0..height {
        for column in 0..width {
            let here = x[[row, column]];
            let down = x.get((row + 1, column)).map_or(0.0, |next| next - here);
            let across = x.get((row, column + 1)).map_or(0.0, |next| next - here);
            let square = down * down + across * across;
            if square == 0.0 {
                continue;
            }
            sum += square.powf(beta / 2.0);
            let slope = beta * square.powf(beta / 2.0 - 1.0);
            gradient[[row, column]] -= slope * (down + across);
            // Differences beyond the edge are 0.
            if let Some(next) = gradient.get_mut((row + 1, column)) {
                *next += slope * down;
            }
            if let Some(next) = gradient.get_mut((row, column + 1)) {
                *next += slope * across;
            }
        }
    }
    (sum, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturbation::central;

    fn grid(rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(y, x)| {
            0.5 + 0.5 * ((7 * y + 3 * x) as f32 * 1.7).sin()
        })
    }

    #[test]
    fn cells_are_repeated_and_blurred() {
        let parameters = grid(3, 4);
        let sharp = MaskGrid::new([7, 11], 3, 0.0).unwrap();
        assert_eq!(sharp.cells(), (3, 4));
        let mask = sharp.mask(&parameters);
        for ((y, x), &value) in mask.indexed_iter() {
            assert_eq!(value, parameters[[y / 3, x / 3]]);
        }
        let soft = MaskGrid::new([7, 11], 3, 1.5).unwrap().mask(&parameters);
        let want = crate::saliency::gaussian_blur(mask.view(), 1.5, 4.0);
        let worst = soft.iter().zip(&want).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-5);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let parameters = grid(3, 4);
        let masks = MaskGrid::new([7, 11], 3, 1.5).unwrap();
        let weights = grid(7, 11) * 3.0;
        let value = |p: &Array2<f32>| -> f32 { (&masks.mask(p) * &weights).sum() };
        check(&parameters, &masks.gradient(&weights), &value);
        for beta in [1.0, 2.0, 3.0] {
            let (_, gradient) = total_variation(parameters.view(), beta);
            check(&parameters, &gradient, &|p| {
                total_variation(p.view(), beta).0
            });
        }
    }

    fn check(at: &Array2<f32>, gradient: &Array2<f32>, value: &dyn Fn(&Array2<f32>) -> f32) {
        for (index, got) in gradient.indexed_iter() {
            let value = |at: &Array2<f32>| f64::from(value(at));
            let want = central(at, |at| &mut at[index], value) as f32;
            assert!(
                (got - want).abs() < 5e-3 * want.abs().max(1.0),
                "{got} for {want}"
            );
        }
    }

    /// The sum over all pairs, one by one, in double precision.
    #[test]
    fn total_variation_as_a_loop() {
        let x = grid(5, 6);
        for beta in [1.0_f32, 2.0, 3.0] {
            let mut want = 0.0_f64;
            for y in 0..5 {
                for z in 0..6 {
                    let mut square = 0.0_f64;
                    if y < 4 {
                        square += f64::from(x[[y + 1, z]] - x[[y, z]]).powi(2);
                    }
                    if z < 5 {
                        square += f64::from(x[[y, z + 1]] - x[[y, z]]).powi(2);
                    }
                    want += square.sqrt().powf(f64::from(beta));
                }
            }
            let (got, _) = total_variation(x.view(), beta);
            assert!((f64::from(got) - want).abs() < 1e-4 * want);
        }
        let (flat, gradient) = total_variation(Array2::ones((3, 3)).view(), 1.0);
        assert_eq!(flat, 0.0);
        assert!(gradient.iter().all(|&g| g == 0.0));
    }
}
