//! From unbounded, uncorrelated numbers to colours.

use burn::tensor::{Tensor, TensorData, activation};

use super::Sheet;

/// Square root of the covariance of the colours of ImageNet's photographs, as Lucid has it: rows
/// are red, green and blue.
const CORRELATION: [[f32; 3]; 3] = [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]];

/// Mean colour of ImageNet's photographs.
const MEAN: [f32; 3] = [0.48, 0.46, 0.41];

/// How three planes of numbers become red, green and blue in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colour {
    /// Whether the planes are uncorrelated components of colour.
    pub decorrelated: bool,
    /// Whether values are clipped, instead of squeezed by a sigmoid.
    pub clipped: bool,
}

impl Default for Colour {
    fn default() -> Self {
        Self {
            decorrelated: true,
            clipped: false,
        }
    }
}

/// A [`Colour`] on a device.
#[derive(Debug)]
pub(crate) struct Paint {
    colour: Colour,
    /// `[1, C, C]`
    matrix: Tensor<3>,
    /// `[1, C, 1, 1]`
    mean: Tensor<4>,
}

impl Paint {
    /// For the channels of a sheet. What is no picture of three colours has no known correlation: each
    /// channel is one plane, as strong as the lightness of colours.
    pub fn new(colour: Colour, sheet: &Sheet) -> Self {
        let (channels, device) = (sheet.channels, &sheet.device);
        let column = |j: usize| {
            let squares = CORRELATION.iter().map(|row| row[j] * row[j]);
            squares.sum::<f32>().sqrt()
        };
        let norm = (0..3).map(column).fold(0.0, f32::max);
        let values: Vec<f32> = match channels {
            3 => CORRELATION.concat().iter().map(|v| v / norm).collect(),
            _ => {
                let lightness = 1.0 / 3_f32.sqrt();
                let place = |i: usize| {
                    if i.is_multiple_of(channels + 1) {
                        lightness
                    } else {
                        0.0
                    }
                };
                (0..channels * channels).map(place).collect()
            }
        };
        let mean = match colour.decorrelated && channels == 3 {
            true => MEAN.to_vec(),
            false => vec![0.5; channels],
        };
        let shape = [1, channels, channels];
        Self {
            colour,
            matrix: Tensor::from_data(TensorData::new(values, shape), device),
            mean: Tensor::from_data(TensorData::new(mean, [1, channels, 1, 1]), device),
        }
    }

    /// `[N, C, H, W]` of any numbers to colours; zeros become grey, or ImageNet's mean colour
    /// where decorrelated colours are clipped.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let mixed = match self.colour.decorrelated {
            true => {
                let planes = x.reshape([n, c, h * w]);
                let matrix = self.matrix.clone().repeat_dim(0, n);
                matrix.matmul(planes).reshape([n, c, h, w])
            }
            false => x,
        };
        match self.colour.clipped {
            true => (mixed + self.mean.clone()).clamp(0.0, 1.0),
            false => activation::sigmoid(mixed),
        }
    }
}
