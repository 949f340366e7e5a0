//! Maps `[H, W]` from attributions, their size and their smoothness.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, Axis, Zip};

use crate::error::AttributionError;

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
            Self::MaxAbs => fold(|acc, v| acc.max(v.abs())),
            Self::L2 => fold(|acc, v| acc + v * v),
        };
        Zip::from(&mut map).for_each(|v| match self {
            Self::Positive => *v = v.max(0.0),
            Self::L2 => *v = v.sqrt(),
            _ => {}
        });
        map
    }
}

impl fmt::Display for Reduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, reduce)| reduce == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Reduce {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::NAMES
            .iter()
            .find(|(name, _)| *name == text.trim())
            .map(|(_, reduce)| *reduce)
            .ok_or_else(|| AttributionError::Parameter {
                parameter: "reduction",
                value: format!("\"{text}\""),
                expected: "sum, abs-sum, max-abs, l2 or positive",
            })
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
        self.map_each(|map| map.mapv(|v| v.max(0.0)))
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
        self.map_each(|map| resize(map, height, width))
    }

    /// The maps smoothed by a Gaussian whose standard deviation is `fraction` of the longer side:
    /// TorchRay's `smooth`, half width `ceil(4 sigma)`, edges replicated. Zero and less change
    /// nothing. TorchRay smooths gradients by 0.02, after resizing.
    #[must_use]
    pub fn smoothed(&self, fraction: f32) -> Self {
        let (_, h, w) = self.maps.dim();
        let sigma = fraction * h.max(w) as f32;
        if sigma.is_nan() || sigma <= 0.0 {
            return self.clone();
        }
        self.map_each(|map| gaussian_blur(map, sigma, 4.0))
    }

    /// As TorchRay shows gradients: at the size of the images, then smoothed by `fraction` of the
    /// longer side (0.02 in its benchmark, 0 for Grad-CAM and excitation backprop).
    #[must_use]
    pub fn torchray(&self, fraction: f32) -> Self {
        self.upsampled().smoothed(fraction)
    }

    fn map_each(&self, f: impl Fn(ArrayView2<'_, f32>) -> Array2<f32>) -> Self {
        let maps: Vec<Array2<f32>> = self.maps.outer_iter().map(f).collect();
        let views: Vec<_> = maps.iter().map(Array2::view).collect();
        let maps = ndarray::stack(Axis(0), &views).unwrap_or_else(|_| self.maps.clone());
        Self {
            maps,
            image_size: self.image_size,
        }
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

/// Convolution with a Gaussian, edges replicated.
pub(crate) fn gaussian_blur(map: ArrayView2<'_, f32>, sigma: f32, cut: f32) -> Array2<f32> {
    let kernel = gaussian_kernel(sigma, cut);
    let half = (kernel.len() / 2) as isize;
    let along = |line: ndarray::ArrayView1<'_, f32>| -> Array1<f32> {
        let last = line.len() as isize - 1;
        (0..=last)
            .map(|i| {
                let taps = kernel.iter().enumerate();
                taps.map(|(k, &weight)| {
                    let at = (i + k as isize - half).clamp(0, last);
                    weight * line[at as usize]
                })
                .sum()
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
