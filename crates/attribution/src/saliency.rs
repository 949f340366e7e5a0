//! Maps `[H, W]` from attributions, their size and their smoothness.

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, Axis, Zip, s};

use crate::error::AttributionError;
use crate::options::named;

/// How an attribution `[C, H, W]` becomes a map `[H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Sum over channels, signed.
    Sum,
    /// Sum of absolute values.
    AbsSum,
    /// Largest absolute value: TorchRay's default for gradients.
    MaxAbs,
    /// Euclidean norm.
    L2,
    /// Positive part of the sum.
    Positive,
}

impl Reduce {
    /// Every reduction with its name.
    pub const NAMES: &'static [(&'static str, Reduce)] = &[
        ("sum", Reduce::Sum),
        ("abs-sum", Reduce::AbsSum),
        ("max-abs", Reduce::MaxAbs),
        ("l2", Reduce::L2),
        ("positive", Reduce::Positive),
    ];

    pub(crate) fn apply(self, image: ArrayView3<'_, f32>) -> Array2<f32> {
        let fold = |f: fn(f32, f32) -> f32| image.fold_axis(Axis(0), 0.0, |&acc, &v| f(acc, v));
        let mut map = match self {
            Self::Sum | Self::Positive => fold(|acc, v| acc + v),
            Self::AbsSum => fold(|acc, v| acc + v.abs()),
            // A maximum ignores what is no number.
            Self::MaxAbs => fold(|acc, v| match v.abs() > acc || v.is_nan() {
                true => v.abs(),
                false => acc,
            }),
            Self::L2 => fold(|acc, v| acc + v * v),
        };
        Zip::from(&mut map).for_each(|v| match self {
            Self::Positive => *v = positive(*v),
            Self::L2 => *v = v.sqrt(),
            _ => {}
        });
        map
    }
}

named!(Reduce: "reduction", "sum, abs-sum, max-abs, l2 or positive");

/// The number where it is above zero; what is no number stays so.
fn positive(v: f32) -> f32 {
    match v < 0.0 {
        true => 0.0,
        false => v,
    }
}

/// One map per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    maps: Array3<f32>,
    image_size: [usize; 2],
}

impl Saliency {
    /// Maps `[N, H, W]` of images of `image_size` (height, width).
    pub fn new(maps: Array3<f32>, image_size: [usize; 2]) -> Self {
        Self { maps, image_size }
    }

    /// The maps, `[N, H, W]`.
    pub fn maps(&self) -> &Array3<f32> {
        &self.maps
    }

    /// `[height, width]` of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.image_size
    }

    /// Whether the map of image `i` has nothing to show: no number above zero, as a map of
    /// positive evidence has where there is none.
    pub fn is_blank(&self, i: usize) -> bool {
        match i < self.maps.shape()[0] {
            true => self.maps.index_axis(Axis(0), i).iter().all(|&v| v <= 0.0),
            false => true,
        }
    }

    /// The positive part: what Grad-CAM's ReLU leaves.
    #[must_use]
    pub fn positive(&self) -> Self {
        self.map_each(self.size(), |map| map.mapv(positive))
    }

    /// The maps at the size of the images: [`Saliency::resized`].
    #[must_use]
    pub fn upsampled(&self) -> Self {
        self.resized(self.image_size)
    }

    /// The maps at another size (height, width), bilinear, with edges aligned: PyTorch's
    /// `interpolate(mode="bilinear", align_corners=False)`, and TorchRay's `resize_saliency`.
    #[must_use]
    pub fn resized(&self, [height, width]: [usize; 2]) -> Self {
        self.map_each([height, width], |map| resize(map, height, width))
    }

    /// What the maps hold within each cell of a grid of so many rows and columns, such as the patches of a
    /// transformer: their sums, so that what adds up to a score still does. Where sides are not multiples of the
    /// grid's, a pixel belongs to the cell that its upper left corner lies in.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`] for a grid without cells, and for one with more cells than pixels.
    pub fn summed(&self, [rows, columns]: [usize; 2]) -> Result<Self, AttributionError> {
        let [height, width] = self.size();
        if rows == 0 || columns == 0 || rows > height || columns > width {
            return Err(AttributionError::Parameter {
                parameter: "grid",
                value: format!("{rows} x {columns} of a map of {height} x {width}"),
                expected: "rows and columns, one at least, and no more than the map has",
            });
        }
        Ok(self.map_each([rows, columns], |map| {
            let mut sums = Array2::<f64>::zeros((rows, columns));
            for ((y, x), value) in map.indexed_iter() {
                sums[[y * rows / height, x * columns / width]] += f64::from(*value);
            }
            sums.mapv(|sum| sum as f32)
        }))
    }

    /// The maps smoothed by a Gaussian whose standard deviation is `fraction` of the longer side:
    /// TorchRay's `smooth`, half width `ceil(4 sigma)`, edges replicated. Zero and less change
    /// nothing. TorchRay smooths gradients by 0.02, after resizing.
    #[must_use]
    pub fn smoothed(&self, fraction: f32) -> Self {
        let [h, w] = self.size();
        let sigma = fraction * h.max(w) as f32;
        if sigma.is_nan() || sigma <= 0.0 {
            return self.clone();
        }
        self.map_each([h, w], |map| gaussian_blur(map, sigma, 4.0))
    }

    /// As TorchRay shows gradients: at the size of the images, then smoothed by `fraction` of the
    /// longer side (0.02 in its benchmark, 0 for Grad-CAM and excitation backprop).
    #[must_use]
    pub fn torchray(&self, fraction: f32) -> Self {
        self.upsampled().smoothed(fraction)
    }

    /// Each map as `f` makes one of `[height, width]` of it.
    fn map_each(
        &self,
        [height, width]: [usize; 2],
        f: impl Fn(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Self {
        let mut maps = Array3::zeros((self.maps.dim().0, height, width));
        for (map, mut to) in self.maps.outer_iter().zip(maps.outer_iter_mut()) {
            to.assign(&f(map));
        }
        Self {
            maps,
            image_size: self.image_size,
        }
    }

    /// `[height, width]` of the maps.
    fn size(&self) -> [usize; 2] {
        let (_, height, width) = self.maps.dim();
        [height, width]
    }
}

/// Bilinear, edges aligned.
pub(crate) fn resize(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    let (h, w) = map.dim();
    if h == 0 || w == 0 {
        return Array2::zeros((height, width));
    }
    let taps = |size: usize, to: usize| -> Vec<(usize, usize, f32)> {
        (0..to)
            .map(|i| {
                let at = ((i as f64 + 0.5) * size as f64 / to as f64 - 0.5).max(0.0);
                let low = (at.floor() as usize).min(size - 1);
                (low, (low + 1).min(size - 1), (at - low as f64) as f32)
            })
            .collect()
    };
    let (rows, columns) = (taps(h, height), taps(w, width));
    Array2::from_shape_fn((height, width), |(y, x)| {
        let (y0, y1, fy) = rows[y];
        let (x0, x1, fx) = columns[x];
        let across = |y: usize| map[[y, x0]] * (1.0 - fx) + map[[y, x1]] * fx;
        across(y0) * (1.0 - fy) + across(y1) * fy
    })
}

/// The Gaussian of standard deviation `sigma`, out to `ceil(cut * sigma)`, adding up to 1.
pub(crate) fn gaussian_kernel(sigma: f32, cut: f32) -> Array1<f32> {
    let half = (cut * sigma).ceil().max(0.0) as usize;
    let weights: Array1<f64> = (0..=2 * half)
        .map(|i| {
            let z = (i as f64 - half as f64) / f64::from(sigma.max(f32::MIN_POSITIVE));
            (-0.5 * z * z).exp()
        })
        .collect();
    let sum = weights.sum();
    weights.mapv(|v| (v / sum) as f32)
}

/// Convolution with a Gaussian, edges replicated. A Gaussian that is far wider than the map is no wider
/// than 64 of it.
pub(crate) fn gaussian_blur(map: ArrayView2<'_, f32>, sigma: f32, cut: f32) -> Array2<f32> {
    let (height, width) = map.dim();
    let sigma = sigma.min(64.0 * height.max(width) as f32);
    let kernel = gaussian_kernel(sigma, cut);
    let half = kernel.len() / 2;
    // What the taps in front of each add up to.
    let before: Vec<f64> = std::iter::once(0.0)
        .chain(kernel.iter().scan(0.0, |sum, &weight| {
            *sum += f64::from(weight);
            Some(*sum)
        }))
        .collect();
    let all = before[kernel.len()];
    let along = |line: ndarray::ArrayView1<'_, f32>| -> Array1<f32> {
        let length = line.len();
        (0..length)
            .map(|i| {
                // Taps from the first number of the line to the last; those beyond see its ends.
                let first = half.saturating_sub(i);
                let end = (half + length - i).min(kernel.len());
                let inside = kernel.slice(s![first..end]);
                let seen = line.slice(s![i + first - half..i + end - half]);
                let ends = before[first] * f64::from(line[0])
                    + (all - before[end]) * f64::from(line[length - 1]);
                inside.dot(&seen) + ends as f32
            })
            .collect()
    };
    let mut rows = Array2::zeros(map.dim());
    for (from, mut to) in map.rows().into_iter().zip(rows.rows_mut()) {
        to.assign(&along(from));
    }
    let mut both = Array2::zeros(map.dim());
    for (from, mut to) in rows.columns().into_iter().zip(both.columns_mut()) {
        to.assign(&along(from));
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_add_up_what_they_hold() {
        let maps = Array3::from_shape_fn((2, 4, 6), |(n, y, x)| (100 * n + 10 * y + x) as f32);
        let found = Saliency::new(maps.clone(), [4, 6]);
        let summed = found.summed([2, 3]).unwrap();
        // 0 + 1 + 10 + 11, and 24 + 25 + 34 + 35.
        assert_eq!(
            (summed.maps[[0, 0, 0]], summed.maps[[0, 1, 2]]),
            (22.0, 118.0)
        );
        assert_eq!(summed.maps[[1, 1, 2]], 518.0);
        assert_eq!(summed.maps.sum(), maps.sum());
        assert_eq!(found.summed([4, 6]).unwrap(), found);
        // Of 4 rows and 3 cells the first has two: corners lie at 0 and 0.75, at 1.5, and at 2.25.
        let uneven = found.summed([3, 1]).unwrap();
        assert_eq!(uneven.maps[[0, 0, 0]], 90.0);
        assert_eq!(uneven.maps.sum(), maps.sum());
        for grid in [[0, 1], [1, 0], [5, 1], [1, 7]] {
            assert!(found.summed(grid).is_err());
        }
    }

    /// The blur as its formula says, and a Gaussian of any width.
    #[test]
    fn blurs_see_the_ends_beyond_the_map() {
        let map = Array2::from_shape_fn((5, 7), |(y, x)| ((y * 7 + x) as f32 * 1.7).sin());
        for sigma in [0.3_f32, 1.0, 2.5, 40.0] {
            let got = gaussian_blur(map.view(), sigma, 4.0);
            let half = (4.0 * sigma).ceil() as isize;
            let weight = |i: isize| (-0.5 * (i as f64 / f64::from(sigma)).powi(2)).exp();
            let whole: f64 = (-half..=half).map(weight).sum();
            let at = |i: usize, k: isize, size: usize| {
                (i as isize + k).clamp(0, size as isize - 1) as usize
            };
            for ((y, x), &value) in got.indexed_iter() {
                let mut want = 0.0;
                for (j, k) in (-half..=half).flat_map(|j| (-half..=half).map(move |k| (j, k))) {
                    let number = map[[at(y, j, 5), at(x, k, 7)]];
                    want += weight(j) * weight(k) / whole / whole * f64::from(number);
                }
                assert!(
                    (f64::from(value) - want).abs() < 1e-5,
                    "{sigma}: {value} {want}"
                );
            }
        }
        let maps = Saliency::new(map.insert_axis(Axis(0)), [5, 7]);
        for fraction in [1e9, f32::MAX, f32::INFINITY] {
            let flat = maps.smoothed(fraction);
            assert!(
                flat.maps()
                    .iter()
                    .all(|v| (v - flat.maps()[[0, 0, 0]]).abs() < 0.05)
            );
        }
    }

    /// What is no number is not drawn as one.
    #[test]
    fn reductions_hide_nothing() {
        for at in 0..3 {
            let mut image = Array3::<f32>::ones((3, 1, 1));
            image[[at, 0, 0]] = f32::NAN;
            for (name, reduce) in Reduce::NAMES {
                assert!(reduce.apply(image.view())[[0, 0]].is_nan(), "{name}, {at}");
            }
        }
        let maps = Saliency::new(Array3::from_elem((1, 1, 1), f32::NAN), [1, 1]);
        assert!(maps.positive().maps()[[0, 0, 0]].is_nan());
        let minus = Array3::from_elem((2, 1, 1), -3.0);
        assert_eq!(Reduce::MaxAbs.apply(minus.view())[[0, 0]], 3.0);
        assert_eq!(Reduce::Positive.apply(minus.view())[[0, 0]], 0.0);
    }

    #[test]
    fn no_maps_have_the_size_asked_for() {
        let none = Saliency::new(Array3::zeros((0, 2, 3)), [8, 9]);
        assert_eq!(none.upsampled().maps().dim(), (0, 8, 9));
        let one = Saliency::new(Array3::ones((1, 2, 3)), [8, 9]);
        assert_eq!(one.upsampled().positive().maps().dim(), (1, 8, 9));
    }
}
