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
use crate::random::Random;

/// A way to make pictures from numbers.
pub trait Parametrisation: Debug + Send + Sync {
    /// A name for reports.
    fn name(&self) -> String;

    /// Prepares for pictures of `[height, width]` pixels in as many channels as the network takes: what
    /// every step needs and no step changes is made here. Three channels are red, green and blue.
    ///
    /// # Errors
    ///
    /// [`VisError::Parameter`] for its own parameters.
    fn canvas(
        &self,
        size: [usize; 2],
        channels: usize,
        device: &Device,
    ) -> Result<Box<dyn Canvas>, VisError>;
}

/// A [`Parametrisation`] at one size, on one device.
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
