//! The spectrum of an image, scaled so that natural images have numbers of one size.

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

use super::colour::{Colour, Paint};
use super::spectrum::InverseFourier;
use super::{Canvas, Parametrisation, Sheet, builders, called, only};
use crate::error::{VisError, positive, refuse_unless};
use elucid_attribution::Random;

/// The spectrum of each colour component, with the scales of Lucid: the image is
/// `colours(irfft2(scale * z) / 4)` with the orthonormal transform, normal `z` of standard
/// deviation .01, and `scale = 1 / max(f, 1 / max(H, W))^decay` for a frequency `f` in cycles per
/// pixel.
///
/// The parameter is `[N, C, W / 2 + 1, 2 H]`: horizontal frequencies 0 to W / 2, and the real
/// parts of all vertical frequencies followed by the imaginary ones. The transform is exact for
/// odd widths too; Lucid makes an image one pixel wider and crops it.
///
/// Source: Olah, Mordvintsev and Schubert, *Feature Visualization*, Distill 2017,
/// <https://distill.pub/2017/feature-visualization>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fourier {
    sd: f32,
    decay: f32,
    colour: Colour,
}

impl Default for Fourier {
    fn default() -> Self {
        Self {
            sd: 0.01,
            decay: 1.0,
            colour: Colour::default(),
        }
    }
}

impl Fourier {
    /// With Lucid's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    builders!(sd, decay, colour);
}

impl Parametrisation for Fourier {
    called!("fourier");

    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError> {
        positive("standard deviation", self.sd)?;
        let decay = f64::from(self.decay);
        refuse_unless(decay.is_finite(), "decay", decay, "a number")?;
        let (size, device) = (sheet.size, &sheet.device);
        let least = 1.0 / size[0].max(size[1]) as f64;
        // Lucid's divisor, from the days before decorrelated colours.
        let scale = |f: f64| f.max(least).powf(-decay) / 4.0;
        Ok(Box::new(FourierCanvas {
            sd: self.sd,
            shape: InverseFourier::shape(size, sheet.channels),
            scale: InverseFourier::radial(size, device, scale),
            inverse: InverseFourier::new(size, device),
            paint: Paint::new(self.colour, sheet),
            device: device.clone(),
        }))
    }
}

#[derive(Debug)]
struct FourierCanvas {
    sd: f32,
    shape: [usize; 3],
    scale: Tensor<4>,
    inverse: InverseFourier,
    paint: Paint,
    device: Device,
}

impl Canvas for FourierCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let [c, w, h] = self.shape;
        vec![random.normals(self.sd, [1, c, w, h], &self.device).into()]
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        let spectrum = only(parameters, self.shape)? * self.scale.clone();
        Ok(self.paint.apply(self.inverse.apply(spectrum)))
    }
}
