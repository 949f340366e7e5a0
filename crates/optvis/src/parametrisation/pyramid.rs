//! A sum of images of halved sizes.

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

use super::colour::{Colour, Paint};
use super::{Canvas, Parametrisation, Sheet, builders, called, only};
use crate::error::{VisError, positive, refuse_unless};
use crate::matrix::{along_columns, along_rows, bilinear};
use elucid_attribution::Random;

/// A Laplacian pyramid: the image is the sum of its levels, level `l` having
/// `max(1, side / 2^l)` pixels along each side and being enlarged by bilinear interpolation. Four
/// levels by default, normal with standard deviation .01 at first.
///
/// Parameter `l` is `[N, C, H / 2^l, W / 2^l]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pyramid {
    levels: usize,
    sd: f32,
    colour: Colour,
}

impl Default for Pyramid {
    fn default() -> Self {
        Self {
            levels: 4,
            sd: 0.01,
            colour: Colour::default(),
        }
    }
}

impl Pyramid {
    /// With Lucid's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of levels, 1 to 16, default 4.
    #[must_use]
    pub fn levels(mut self, levels: usize) -> Self {
        self.levels = levels;
        self
    }

    builders!(sd, colour);
}

impl Parametrisation for Pyramid {
    called!("pyramid");

    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError> {
        positive("standard deviation", self.sd)?;
        let fits = (1..=16).contains(&self.levels);
        refuse_unless(fits, "number of levels", self.levels, "1 to 16")?;
        let (size, device) = (sheet.size, &sheet.device);
        let level = |l: usize| {
            let small = size.map(|side| (side >> l).max(1));
            Level {
                size: small,
                vertical: bilinear(small[0], size[0], device),
                horizontal: bilinear(small[1], size[1], device),
            }
        };
        Ok(Box::new(PyramidCanvas {
            sd: self.sd,
            channels: sheet.channels,
            levels: (0..self.levels).map(level).collect(),
            paint: Paint::new(self.colour, sheet),
            device: device.clone(),
        }))
    }
}

#[derive(Debug)]
struct Level {
    size: [usize; 2],
    vertical: Tensor<2>,
    horizontal: Tensor<2>,
}

#[derive(Debug)]
struct PyramidCanvas {
    sd: f32,
    channels: usize,
    levels: Vec<Level>,
    paint: Paint,
    device: Device,
}

impl Canvas for PyramidCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let mut one = |level: &Level| {
            let [h, w] = level.size;
            random
                .normals(self.sd, [1, self.channels, h, w], &self.device)
                .into()
        };
        self.levels.iter().map(&mut one).collect()
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        if parameters.len() != self.levels.len() {
            return Err(VisError::Shape {
                what: "the levels of a pyramid",
                expected: vec![self.levels.len()],
                got: vec![parameters.len()],
            });
        }
        let mut sum: Option<Tensor<4>> = None;
        for (i, (level, parameter)) in self.levels.iter().zip(parameters).enumerate() {
            let [h, w] = level.size;
            let mut image = only(std::slice::from_ref(parameter), [self.channels, h, w])?;
            if i > 0 {
                image = along_rows(along_columns(image, &level.vertical), &level.horizontal);
            }
            sum = Some(match sum {
                Some(sum) => sum + image,
                None => image,
            });
        }
        // There is a level or more.
        let sum = sum.unwrap_or_else(|| Tensor::zeros([1, self.channels, 1, 1], &self.device));
        Ok(self.paint.apply(sum))
    }
}
