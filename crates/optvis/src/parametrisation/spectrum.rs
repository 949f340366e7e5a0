//! The inverse Fourier transform of real images, as two products with matrices of cosines and
//! sines.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor};

use crate::matrix::{along_rows, matrix};

/// Frequencies `[0, 1/n, ..., -1/n]` of `n` samples, in cycles per sample.
fn frequency(i: usize, n: usize) -> f64 {
    match i < n.div_ceil(2) {
        true => i as f64 / n as f64,
        false => i as f64 / n as f64 - 1.0,
    }
}

/// Inverse transform of spectra of `[height, width]` images, orthonormal and exact for even and
/// odd sides.
#[derive(Debug)]
pub(crate) struct InverseFourier {
    /// Along the columns, complex: `[2 H, 2 H]`.
    vertical: Tensor<2>,
    /// Along the rows, to real numbers: `[W / 2 + 1, 2, W]` as `[W + 2, W]`.
    horizontal: Tensor<2>,
}

impl InverseFourier {
    pub fn new(size: [usize; 2], device: &Device) -> Self {
        let [h, w] = size;
        let angle = |i: usize, j: usize, n: usize| TAU * ((i * j) % n) as f64 / n as f64;
        let norm = 1.0 / ((h * w) as f64).sqrt();
        let vertical = matrix([2 * h, 2 * h], device, |from, to| {
            let (sin, cos) = angle(from % h, to % h, h).sin_cos();
            norm * match (from < h, to < h) {
                (true, true) | (false, false) => cos,
                (true, false) => sin,
                (false, true) => -sin,
            }
        });
        let horizontal = matrix([2 * (w / 2 + 1), w], device, |from, to| {
            let (frequency, part) = (from / 2, from % 2);
            let (sin, cos) = angle(frequency, to, w).sin_cos();
            // All but the mean and the highest frequency of an even width stand for two.
            let once = frequency == 0 || 2 * frequency == w;
            let count = if once { 1.0 } else { 2.0 };
            count * if part == 0 { cos } else { -sin }
        });
        Self {
            vertical,
            horizontal,
        }
    }

    /// Shape of one image's spectrum: channels, horizontal frequencies 0 to W / 2, and the real
    /// parts of all vertical frequencies followed by the imaginary ones.
    pub fn shape([h, w]: [usize; 2], channels: usize) -> [usize; 3] {
        [channels, w / 2 + 1, 2 * h]
    }

    /// `value` of each frequency's distance from 0 in cycles per pixel, shaped like a spectrum:
    /// `[1, 1, W / 2 + 1, 2 H]`.
    pub fn radial([h, w]: [usize; 2], device: &Device, value: impl Fn(f64) -> f64) -> Tensor<4> {
        let shape = [w / 2 + 1, 2 * h];
        let of = |x: usize, y: usize| value((x as f64 / w as f64).hypot(frequency(y % h, h)));
        matrix(shape, device, of).reshape([1, 1, shape[0], shape[1]])
    }

    /// Spectra `[N, C, W / 2 + 1, 2 H]` to images `[N, C, H, W]`.
    pub fn apply(&self, spectrum: Tensor<4>) -> Tensor<4> {
        let [n, c, frequencies, parts] = spectrum.dims();
        let h = parts / 2;
        let rows = along_rows(spectrum, &self.vertical)
            .reshape([n, c, frequencies, 2, h])
            .permute([0, 1, 4, 2, 3])
            .reshape([n, c, h, 2 * frequencies]);
        along_rows(rows, &self.horizontal)
    }
}
