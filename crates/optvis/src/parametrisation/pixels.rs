//! The pixels themselves.

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

use super::colour::{Colour, Paint};
use super::{Canvas, Parametrisation, Sheet, builders, called, only};
use crate::error::{VisError, positive};
use elucid_attribution::Random;

/// One number for each pixel and colour component, normal with standard deviation .01 at first.
/// The parameter is `[N, C, H, W]`.
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

    builders!(sd, colour);
}

impl Parametrisation for Pixels {
    called!("pixels");

    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError> {
        positive("standard deviation", self.sd)?;
        Ok(Box::new(PixelCanvas {
            sd: self.sd,
            shape: [sheet.channels, sheet.size[0], sheet.size[1]],
            paint: Paint::new(self.colour, sheet),
            device: sheet.device.clone(),
        }))
    }
}

#[derive(Debug)]
struct PixelCanvas {
    sd: f32,
    shape: [usize; 3],
    paint: Paint,
    device: Device,
}

impl Canvas for PixelCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let [c, h, w] = self.shape;
        vec![random.normals(self.sd, [1, c, h, w], &self.device).into()]
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        Ok(self.paint.apply(only(parameters, self.shape)?))
    }
}
