//! `FusedConv` of ONNX Runtime: a convolution, plus a residual, behind an activation.
//!
//! `y = activation(conv(x, weight, bias) + residual)`.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::Pointwise;

use super::bent::bent;
use super::conv::Conv;
use super::convolution::Convolution;
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::of("com.microsoft", "FusedConv", |a| {
    Ok(Arc::new(FusedConv {
        conv: Conv::read(a)?,
        bend: Bend::read(a)?,
    }))
})];

/// The activation behind it.
#[derive(Debug, Clone, Copy)]
enum Bend {
    None,
    Relu,
    Sigmoid,
    Tanh,
    LeakyRelu(f32),
    Clip(f32, f32),
    HardSigmoid(f32, f32),
}

impl Bend {
    fn read(a: &Attributes) -> Result<Self, String> {
        let parameters = a.floats("activation_params").unwrap_or_default();
        let parameter = |i: usize, default: f32| parameters.get(i).copied().unwrap_or(default);
        Ok(match a.text_or("activation", "") {
            "" => Self::None,
            "Relu" => Self::Relu,
            "Sigmoid" => Self::Sigmoid,
            "Tanh" => Self::Tanh,
            "LeakyRelu" => Self::LeakyRelu(parameter(0, 0.01)),
            "Clip" => Self::Clip(parameter(0, f32::MIN), parameter(1, f32::MAX)),
            "HardSigmoid" => Self::HardSigmoid(parameter(0, 0.2), parameter(1, 0.5)),
            other => return Err(format!("the activation \"{other}\" is not supported")),
        })
    }

    fn of(self, x: Tensor<1>) -> Tensor<1> {
        match self {
            Self::None => x,
            Self::Relu => bent(x, Pointwise::Relu),
            Self::Sigmoid => bent(x, Pointwise::Sigmoid),
            Self::Tanh => bent(x, Pointwise::Tanh),
            Self::LeakyRelu(alpha) => bent(x, Pointwise::LeakyRelu { alpha }),
            Self::Clip(min, max) => bent(x, Pointwise::Clip { min, max }),
            Self::HardSigmoid(alpha, beta) => bent(x, Pointwise::HardSigmoid { alpha, beta }),
        }
    }
}

#[derive(Debug)]
struct FusedConv {
    conv: Conv,
    bend: Bend,
}

impl Operator for FusedConv {
    facts!(kind: "com.microsoft.FusedConv", algebra: Other, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (conv, shape) = self.conv.resolved(inputs)?;
        if inputs.optional(3).is_some() && inputs.floats(3)?.shape != shape {
            let residual = &inputs.floats(3)?.shape;
            return Err(format!("the residual has shape {residual:?}, expected {shape:?}").into());
        }
        let kernel = Fused {
            conv,
            bend: self.bend,
        };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct Fused {
    conv: Convolution,
    bend: Bend,
}

impl Kernel for Fused {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let weight = inputs.take(1);
        let bias = inputs.maybe(2).map(Activation::into_cast::<1>);
        let residual = inputs.maybe(3);
        let mut y = self.conv.run(inputs.take(0), weight, bias).untyped();
        if let Some(residual) = residual {
            y = y + residual.untyped();
        }
        vec![self.bend.of(y).into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let made = shapes.made();
        // A bias, what is added, and the function.
        let given = shapes.given() as u64 - 2;
        let bent = u64::from(!matches!(self.bend, Bend::None));
        Some(self.conv.products(made, shapes) + made * (given + bent))
    }
}
