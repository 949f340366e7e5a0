//! The pixels themselves.

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

use super::colour::{Colour, Paint, colour_methods};
use super::{Canvas, Parametrisation, only};
use crate::error::{VisError, positive};
use crate::random::Random;

/// One number for each pixel and colour component, normal with standard deviation .01 at first.
/// The parameter is `[N, 3, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixels {
    sd: f32,
    colour: Colour,
}

impl Default for Pixels {
    fn default() -> Self {
        Self {
            sd: 0.01,
            colour: Colour::default(),
        }
    }
}

impl Pixels {
    /// With Lucid's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Standard deviation of the numbers that an image begins with, default .01.
    #[must_use]
    pub fn sd(mut self, sd: f32) -> Self {
        self.sd = sd;
        self
    }

    colour_methods!();
}

impl Parametrisation for Pixels {
    fn name(&self) -> String {
        "pixels".to_owned()
    }

    fn canvas(&self, size: [usize; 2], device: &Device) -> Result<Box<dyn Canvas>, VisError> {
        positive("standard deviation", self.sd)?;
        Ok(Box::new(PixelCanvas {
            sd: self.sd,
            size,
            paint: Paint::new(self.colour, device),
            device: device.clone(),
        }))
    }
}

#[derive(Debug)]
struct PixelCanvas {
    sd: f32,
    size: [usize; 2],
    paint: Paint,
    device: Device,
}

impl Canvas for PixelCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let [h, w] = self.size;
        vec![random.normals(self.sd, [1, 3, h, w], &self.device).into()]
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        let [h, w] = self.size;
        Ok(self.paint.apply(only(parameters, [3, h, w])?))
    }
}
