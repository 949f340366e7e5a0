//! Kernels with weights, as relevance rules and recordings see them.

use super::Slots;
use crate::activation::Activation;

/// The weights of an operator that is linear in one input.
#[derive(Debug, Clone)]
pub struct Weights {
    /// `[O, I / groups, height, width]` for `Conv`, `[I, O / groups, height, width]` for
    /// `ConvTranspose`, `[inputs, outputs]` for `Gemm` and `MatMul`.
    pub weight: Activation,
    /// `[O]` for convolutions; for others anything that broadcasts to the output.
    pub bias: Option<Activation>,
}

/// A kernel that is linear in its first input when the others are constants.
pub trait Weighted {
    /// Whether it is, given which inputs are constants.
    fn is_weighted(&self, constant: &[bool]) -> bool;

    /// The weights, read from the inputs.
    fn weights(&self, inputs: Slots) -> Option<Weights>;

    /// The operator with other weights, on `x` of the shape resolved but for the batch.
    fn linear(&self, x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation;

    /// The transpose of [`Weighted::linear`] without a bias: from the output's shape to `input`, the
    /// shape of `x`.
    fn transpose(&self, g: Activation, weight: &Activation, input: &[usize]) -> Activation;

    /// The weights with a factor `[O]` multiplied into those of each output channel.
    fn scale_outputs(&self, weight: Activation, factor: Activation) -> Activation;
}

/// A kernel that multiplies each channel by a factor and adds an offset, both constant: it can become
/// part of the weights before it.
pub trait BatchNorm {
    /// Factor and offset, `[C]` each, read from the inputs behind the first.
    fn scale(&self, inputs: &mut Slots) -> (Activation, Activation);
}
