//! Stretching maps and pictures to another size.

use ndarray::{Array2, ArrayView2};

use crate::RenderError;
use crate::normalise::check_map;
use crate::picture::check_size;

/// How values between the cells of a coarse map are found.
///
/// Both variants align *edges*, not centres of corner cells: output position `i` of `n` looks at
/// input position `(i + 1/2) * m / n - 1/2` of `m`, clamped to the map. This is PyTorch's
/// `align_corners=False` for `bilinear`, and its `nearest-exact`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// Every output takes the cell it lies in, so cells stay crisp.
    Nearest,
    /// Weighted mean of the four cells around it. Nothing is averaged when shrinking.
    #[default]
    Bilinear,
}

/// The map `[h, w]` stretched to `[height, width]`.
///
/// # Errors
///
/// [`RenderError::Empty`] when either size has a zero, [`RenderError::NotFinite`] for a NaN or an
/// infinity, [`RenderError::PictureTooLarge`] for more than [`Picture::MAX_PIXELS`] values.
///
/// [`Picture::MAX_PIXELS`]: crate::Picture::MAX_PIXELS
pub fn resample(
    map: ArrayView2<f32>,
    height: usize,
    width: usize,
    interpolation: Interpolation,
) -> Result<Array2<f32>, RenderError> {
    check_map("the map", map)?;
    check_size("the resampled map", height, width)?;
    let rows = taps(map.nrows(), height, interpolation);
    let columns = taps(map.ncols(), width, interpolation);
    Ok(Array2::from_shape_fn((height, width), |(y, x)| {
        let (row, column) = (rows[y], columns[x]);
        let across = |y: usize| column.mix(map[[y, column.first]], map[[y, column.second]]);
        row.mix(across(row.first), across(row.second))
    }))
}

/// The two input positions an output position lies between, and how far towards the second.
#[derive(Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) first: usize,
    pub(crate) second: usize,
    weight: f32,
}

impl Tap {
    pub(crate) fn mix(self, first: f32, second: f32) -> f32 {
        // Not `first + weight * (second - first)`, whose difference can overflow.
        first * (1.0 - self.weight) + second * self.weight
    }
}

pub(crate) fn taps(input: usize, output: usize, interpolation: Interpolation) -> Vec<Tap> {
    (0..output)
        .map(|i| match interpolation {
            Interpolation::Nearest => {
                let cell = ((2 * i as u128 + 1) * input as u128 / (2 * output as u128)) as usize;
                Tap {
                    first: cell,
                    second: cell,
                    weight: 0.0,
                }
            }
            Interpolation::Bilinear => {
                let position = (i as f64 + 0.5) * input as f64 / output as f64 - 0.5;
                let position = position.clamp(0.0, (input - 1) as f64);
                let first = position as usize;
                Tap {
                    first,
                    second: (first + 1).min(input - 1),
                    weight: (position - first as f64) as f32,
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn bilinear_by_hand() {
        // Centres of four outputs over two cells: -1/4, 1/4, 3/4, 5/4, clamped to 0..1.
        let out = resample(array![[0.0, 4.0]].view(), 1, 4, Interpolation::Bilinear).unwrap();
        assert_eq!(out, array![[0.0, 1.0, 3.0, 4.0]]);
        let square = array![[0.0, 4.0], [8.0, 12.0]];
        let out = resample(square.view(), 4, 4, Interpolation::Bilinear).unwrap();
        assert_eq!(out.row(1), array![2.0, 3.0, 5.0, 6.0]);
    }

    #[test]
    fn nearest_by_hand() {
        let map = array![[1.0, 2.0, 3.0]];
        let out = resample(map.view(), 2, 6, Interpolation::Nearest).unwrap();
        assert_eq!(
            out,
            array![
                [1.0, 1.0, 2.0, 2.0, 3.0, 3.0],
                [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
            ]
        );
        let out = resample(map.view(), 1, 2, Interpolation::Nearest).unwrap();
        assert_eq!(out, array![[1.0, 3.0]]);
    }

    #[test]
    fn bad_sizes_are_errors() {
        let map = array![[1.0]];
        let nothing = resample(map.view(), 0, 4, Interpolation::Nearest);
        assert!(matches!(nothing, Err(RenderError::Empty { .. })));
        let huge = resample(map.view(), usize::MAX, 4, Interpolation::Nearest);
        assert!(matches!(huge, Err(RenderError::PictureTooLarge { .. })));
    }

    proptest! {
        #[test]
        fn same_size_is_the_identity_and_flips_commute(
            h in 1usize..6, w in 1usize..6, height in 1usize..20, width in 1usize..20, seed in 0u32..1000,
        ) {
            let map = Array2::from_shape_fn((h, w), |(y, x)| {
                ((seed as usize + 31 * y + 17 * x) % 23) as f32 - 11.0
            });
            for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                prop_assert_eq!(&resample(map.view(), h, w, interpolation).unwrap(), &map);
            }
            let there = resample(map.view(), height, width, Interpolation::Bilinear).unwrap();
            let flipped = map.slice(ndarray::s![..;-1, ..;-1]).to_owned();
            let back = resample(flipped.view(), height, width, Interpolation::Bilinear).unwrap();
            for (a, b) in there.iter().zip(back.slice(ndarray::s![..;-1, ..;-1])) {
                prop_assert!((a - b).abs() < 1e-4);
            }
        }

        #[test]
        fn every_nearest_pixel_lies_inside_its_cell(input in 1usize..40, output in 1usize..90) {
            for (i, tap) in taps(input, output, Interpolation::Nearest).iter().enumerate() {
                let centre = (i as f64 + 0.5) / output as f64;
                prop_assert!(tap.first as f64 / input as f64 <= centre + 1e-9);
                prop_assert!(centre <= (tap.first + 1) as f64 / input as f64 + 1e-9);
            }
        }
    }
}
