//! What is optimised: numbers, and how they make a picture.
//!
//! Which pictures an optimiser finds hangs on the numbers it turns: pixels give noise, the
//! spectrum of an image with decorrelated colours gives structure at all scales (Mordvintsev,
//! Pezzotti, Schubert and Olah, *Differentiable Image Parameterizations*, Distill 2018).

mod colour;
mod cppn;
mod fourier;
mod maco;
mod pixels;
mod pyramid;
mod spectrum;

use std::fmt::Debug;

use burn::tensor::{Device, Tensor};
use elucid_graph::Activation;

pub use cppn::Cppn;
pub use fourier::Fourier;
pub use maco::Maco;
pub use pixels::Pixels;
pub use pyramid::Pyramid;

use crate::error::VisError;
use elucid_attribution::Random;

/// A way to make pictures from numbers.
pub trait Parametrisation: Debug + Send + Sync {
    /// A name for reports.
    fn name(&self) -> String;

    /// Prepares for pictures on this sheet: what every step needs and no step changes is made here.
    ///
    /// # Errors
    ///
    /// [`VisError::Parameter`] for its own parameters.
    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError>;
}

/// What pictures are painted on: their size, and where.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// `[height, width]` in pixels.
    pub size: [usize; 2],
    /// As many as the network takes. Three are red, green and blue.
    pub channels: usize,
    /// Where the numbers are.
    pub device: Device,
}

impl Sheet {
    /// `[height, width]` pixels in so many channels.
    pub fn new(size: [usize; 2], channels: usize, device: &Device) -> Self {
        Self {
            size,
            channels,
            device: device.clone(),
        }
    }
}

/// A [`Parametrisation`] on one [`Sheet`].
pub trait Canvas: Debug + Send + Sync {
    /// The parameters at which one image begins, each a tensor `[1, ...]`, untracked. The same
    /// generator gives the same parameters.
    fn start(&self, random: &mut Random) -> Vec<Activation>;

    /// The pictures `[N, C, H, W]`, channels in 0 to 1, three of them red, green and blue, that the
    /// parameters of `N` images make, each tensor `[N, ...]`. Differentiable; image `i` depends on row `i` of the
    /// parameters only.
    ///
    /// # Errors
    ///
    /// [`VisError`] when the parameters are not those of this canvas.
    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError>;
}

/// The only parameter of a canvas, shaped `[N, like...]`.
fn only(parameters: &[Activation], like: [usize; 3]) -> Result<Tensor<4>, VisError> {
    let refused = |got| VisError::Shape {
        what: "the parameter of a picture",
        expected: like.to_vec(),
        got,
    };
    let [parameter] = parameters else {
        return Err(refused(vec![parameters.len()]));
    };
    let shape = parameter.shape();
    match shape.get(1..) {
        Some(rest) if rest == like => Ok(parameter.tensor::<4>()?),
        _ => Err(refused(shape)),
    }
}

/// Builder methods that several parametrisations have, by the fields that they set.
macro_rules! builders {
    ($($field:ident),* $(,)?) => {
        $(crate::parametrisation::builders!(@$field);)*
    };
    (@sd) => {
        /// Standard deviation of the numbers that an image begins with, default .01.
        #[must_use]
        pub fn sd(mut self, sd: f32) -> Self {
            self.sd = sd;
            self
        }
    };
    (@decay) => {
        /// Power of the frequency by which magnitudes fall, default 1: more is smoother.
        #[must_use]
        pub fn decay(mut self, decay: f32) -> Self {
            self.decay = decay;
            self
        }
    };
    (@colour) => {
        /// Takes the three planes for red, green and blue, instead of for uncorrelated components
        /// of colour.
        #[must_use]
        pub fn correlated(mut self) -> Self {
            self.colour.decorrelated = false;
            self
        }

        /// Clips values to 0 to 1, instead of squeezing them by a sigmoid. Zero is then
        /// ImageNet's mean colour (.48, .46, .41), or grey where the planes are red, green and
        /// blue. A pixel beyond the range gets no gradient.
        #[must_use]
        pub fn clipped(mut self) -> Self {
            self.colour.clipped = true;
            self
        }
    };
}
use builders;

/// The name of a parametrisation.
macro_rules! called {
    ($name:literal) => {
        fn name(&self) -> String {
            $name.to_owned()
        }
    };
}
use called;
