//! The phases of an image whose spectrum has the magnitudes of a photograph.

use std::f32::consts::PI;

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

use super::colour::{Colour, Paint};
use super::spectrum::InverseFourier;
use super::{Canvas, Parametrisation, Sheet, builders, called, only};
use crate::error::{VisError, refuse_unless};
use elucid_attribution::Random;

/// Magnitude-constrained optimisation: the spectrum's magnitudes are those of natural images and
/// stay, only its phases are optimised.
///
/// The image is `colours(standardised(irfft2(m e^(i phase))))`: mean 0 and standard deviation 1
/// over each image, the three components being uncorrelated colours. The magnitude is
/// `m = 1 / f^decay` for a frequency `f` in cycles per pixel and 0 for the mean: the law that
/// photographs follow on average (Field 1987), from the formula and for any size, where the
/// paper takes the mean magnitude over ImageNet at one size. Phases are uniform at first, where the
/// paper's authors take normal ones, which begin with a bright corner. The paper's transparency,
/// the accumulated gradient, is not computed.
///
/// The parameter is `[N, C, W / 2 + 1, H]`, in radians.
///
/// Source: Fel, Boissin, Boutin, Picard, Novello, Colin, Linsley, Rousseau, Cadène, Goetschalckx,
/// Gardes and Serre, *Unlocking Feature Visualization for Deeper Networks with MAgnitude
/// Constrained Optimization*, NeurIPS 2023, <https://arxiv.org/abs/2306.06805>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Maco {
    decay: f32,
    colour: Colour,
}

impl Default for Maco {
    fn default() -> Self {
        Self {
            decay: 1.0,
            colour: Colour::default(),
        }
    }
}

impl Maco {
    /// With magnitudes of 1 / f.
    pub fn new() -> Self {
        Self::default()
    }

    builders!(decay, colour);
}

impl Parametrisation for Maco {
    called!("maco");

    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError> {
        let decay = f64::from(self.decay);
        refuse_unless(decay.is_finite(), "decay", decay, "a number")?;
        let (size, device) = (sheet.size, &sheet.device);
        let magnitude = |f: f64| if f > 0.0 { f.powf(-decay) } else { 0.0 };
        Ok(Box::new(MacoCanvas {
            shape: [sheet.channels, size[1] / 2 + 1, size[0]],
            // The second half is that of the imaginary parts.
            magnitude: InverseFourier::radial(size, device, magnitude).narrow(3, 0, size[0]),
            inverse: InverseFourier::new(size, device),
            paint: Paint::new(self.colour, sheet),
            device: device.clone(),
        }))
    }
}

#[derive(Debug)]
struct MacoCanvas {
    shape: [usize; 3],
    magnitude: Tensor<4>,
    inverse: InverseFourier,
    paint: Paint,
    device: Device,
}

impl Canvas for MacoCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let [c, w, h] = self.shape;
        vec![random.uniforms(PI, [1, c, w, h], &self.device).into()]
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        let phase = only(parameters, self.shape)?;
        let real = phase.clone().cos() * self.magnitude.clone();
        let imaginary = phase.sin() * self.magnitude.clone();
        let image = self.inverse.apply(Tensor::cat(vec![real, imaginary], 3));
        // Its mean is 0 already.
        let variance = image.clone().square().mean_dims(&[1, 2, 3]);
        Ok(self.paint.apply(image / (variance + 1e-8).sqrt()))
    }
}
