//! Functions of each number by what they are, without an operator.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use elucid_rules::{Pointwise, pointwise};

use crate::activation::Activation;
use crate::operator::{Kernel, Known, Slots};

/// A function of each number.
pub(super) fn bent(x: Tensor<1>, function: Pointwise) -> Tensor<1> {
    pointwise(x, function, |x| match function {
        Pointwise::Relu => activation::relu(x),
        Pointwise::Sigmoid => activation::sigmoid(x),
        Pointwise::Tanh => x.tanh(),
        Pointwise::Exp => x.exp(),
        Pointwise::Erf => x.erf(),
        Pointwise::Swish { alpha } => x.clone() * activation::sigmoid(x * alpha),
        Pointwise::Gelu => activation::gelu(x),
        Pointwise::GeluTanh => activation::gelu_approximate(x),
        Pointwise::HardSigmoid { alpha, beta } => (x * alpha + beta).clamp(0.0, 1.0),
        Pointwise::HardSwish => x.clone() * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Pointwise::Clip { min, max } => x.clamp_min(min).clamp_max(max),
        Pointwise::LeakyRelu { alpha } => activation::leaky_relu(x, f64::from(alpha)),
        other => unreachable!("{other:?} has no form in tensors"),
    })
}

/// A kernel for a function of each number of its first input.
pub(crate) fn of_each_number(function: Pointwise) -> Arc<dyn Kernel> {
    Arc::new(Bent(function))
}

#[derive(Debug)]
struct Bent(Pointwise);

impl Kernel for Bent {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![bent(inputs.take(0).untyped(), self.0).into()]
    }
}
