//! Penalties on the picture itself, before any transform, and likeness to a given one.
//!
//! Lucid measures these on what the transforms make of the picture, padding included.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::ArrayView3;

use super::{Objective, Seen, Term};
use crate::error::VisError;

/// Keeps the square root of 0 differentiable.
const EPSILON: f32 = 1e-6;

impl Objective {
    /// Total variation of the pictures, values in 0 to 1: the sum of the absolute differences of
    /// neighbouring pixels, down and across. Subtract it.
    pub fn total_variation() -> Self {
        Self::new(Penalty::TotalVariation)
    }

    /// `sum |pixel - constant|` over the pictures, values in 0 to 1. Subtract it.
    pub fn l1(constant: f32) -> Self {
        Self::new(Penalty::L1(constant))
    }

    /// `sqrt(1e-6 + sum (pixel - constant)^2)` for each picture, summed, values in 0 to 1.
    /// Subtract it.
    pub fn l2(constant: f32) -> Self {
        Self::new(Penalty::L2(constant))
    }

    /// Half the squared distance of the pictures from their own blur, which counts as a constant.
    /// Subtracted, it pulls each pixel towards its neighbourhood. The blur weighs a pixel 1 and its
    /// eight neighbours 1/2.
    pub fn blur() -> Self {
        Self::new(Penalty::Blur)
    }

    /// What lies at the border: `-sum(mask ((blurred - x)^2 + .8 (x - constant)^2))` over the
    /// pictures, with a mask of 1 within `width` pixels of the border and 0 elsewhere. Negative:
    /// add it. The blur has a window of 5 x 5, whose rim counts half.
    ///
    /// Lucid's defaults are a width of 20 and a constant of .5.
    pub fn boundary_complexity(width: usize, constant: f32) -> Self {
        Self::new(Penalty::Boundary { width, constant })
    }

    /// The root mean square difference from a picture `[C, H, W]`, channels in 0 to 1,
    /// of the size that is rendered. Subtract it to stay near, add it to get away.
    pub fn input_difference<'a>(picture: impl Into<ArrayView3<'a, f32>>) -> Self {
        let picture = picture.into();
        let (c, h, w) = picture.dim();
        Self::new(Difference {
            values: picture.iter().copied().collect(),
            shape: [c, h, w],
        })
    }
}

#[derive(Debug)]
enum Penalty {
    TotalVariation,
    L1(f32),
    L2(f32),
    Blur,
    Boundary { width: usize, constant: f32 },
}

impl Term for Penalty {
    fn name(&self) -> String {
        match self {
            Self::TotalVariation => "total variation".to_owned(),
            Self::L1(constant) => format!("L1 from {constant}"),
            Self::L2(constant) => format!("L2 from {constant}"),
            Self::Blur => "distance from the blur".to_owned(),
            Self::Boundary { width, .. } => format!("boundary complexity within {width} pixels"),
        }
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let x = seen.pictures();
        let [n, c, h, w] = x.dims();
        Ok(match *self {
            Self::TotalVariation => {
                let step = |dim: usize, side: usize| {
                    let next = x.clone().narrow(dim, 1, side - 1);
                    (next - x.clone().narrow(dim, 0, side - 1)).abs().sum()
                };
                match (h > 1, w > 1) {
                    (true, true) => step(2, h) + step(3, w),
                    (true, false) => step(2, h),
                    (false, true) => step(3, w),
                    (false, false) => x.sum() * 0.0,
                }
            }
            Self::L1(constant) => (x - constant).abs().sum(),
            Self::L2(constant) => {
                let squares = (x - constant).square().reshape([n, c * h * w]);
                (squares.sum_dim(1) + EPSILON).sqrt().sum()
            }
            Self::Blur => {
                let blurred = blurred(x.clone().without_autodiff(), 3);
                (x - blurred).square().sum() * 0.5
            }
            Self::Boundary { width, constant } => {
                let mask = border([h, w], width, seen.subject().device());
                let rough = (blurred(x.clone(), 5) - x.clone()).square();
                let far = (x - constant).square() * 0.8;
                -((rough + far) * mask).sum()
            }
        })
    }
}

/// Mean over a window of `width` x `width` pixels, those at its rim weighing half, those beyond
/// the picture nothing.
fn blurred(x: Tensor<4>, width: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let inner = 1..width - 1;
    let weight = |i: usize| {
        let inside = inner.contains(&(i / width)) && inner.contains(&(i % width));
        if inside { 1.0 } else { 0.5 }
    };
    let device = x.device().inner();
    let weights: Vec<f32> = (0..width * width).map(weight).collect();
    let kernel = Tensor::<4>::from_data(TensorData::new(weights, [1, 1, width, width]), &device);
    let sum = |x: Tensor<4>| {
        let margin = width / 2;
        let options = ConvOptions::new([1, 1], [margin, margin], [1, 1], 1);
        conv2d(x, kernel.clone(), None, options)
    };
    let total = sum(Tensor::ones([1, 1, h, w], &device));
    (sum(x.reshape([n * c, 1, h, w])) / total).reshape([n, c, h, w])
}

/// Ones within `width` pixels of the border, `[1, 1, H, W]`.
fn border([h, w]: [usize; 2], width: usize, device: &Device) -> Tensor<4> {
    let outer = |i: usize, side: usize| i < width || side - i <= width;
    let values: Vec<f32> = (0..h * w)
        .map(|i| {
            let at_border = outer(i / w, h) || outer(i % w, w);
            if at_border { 1.0 } else { 0.0 }
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 1, h, w]), device)
}

#[derive(Debug)]
struct Difference {
    values: Vec<f32>,
    shape: [usize; 3],
}

impl Term for Difference {
    fn name(&self) -> String {
        "difference from a picture".to_owned()
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let x = seen.pictures();
        let [n, c, h, w] = x.dims();
        if self.shape != [c, h, w] {
            return Err(VisError::Shape {
                what: "the picture to differ from",
                expected: vec![c, h, w],
                got: self.shape.to_vec(),
            });
        }
        let data = TensorData::new(self.values.clone(), [1, c, h, w]);
        let other = Tensor::<4>::from_data(data, seen.subject().device());
        let squares = (x - other).square().reshape([n, c * h * w]);
        // Far below what a picture of 8 bits can show.
        Ok((squares.mean_dim(1) + 1e-10).sqrt().mean())
    }
}
