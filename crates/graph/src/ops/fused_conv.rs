//! `FusedConv` of ONNX Runtime: a convolution, plus a residual, behind an activation.
//!
//! `y = activation(conv(x, weight, bias) + residual)`.

use std::sync::Arc;

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
        then: activation(a)?,
    }))
})];

/// The activation behind it, if there is one.
fn activation(a: &Attributes) -> Result<Option<Pointwise>, String> {
    let parameters = a.floats("activation_params").unwrap_or_default();
    let parameter = |i: usize, default: f32| parameters.get(i).copied().unwrap_or(default);
    Ok(Some(match a.text_or("activation", "") {
        "" => return Ok(None),
        "Relu" => Pointwise::Relu,
        "Sigmoid" => Pointwise::Sigmoid,
        "Tanh" => Pointwise::Tanh,
        "LeakyRelu" => Pointwise::LeakyRelu {
            alpha: parameter(0, 0.01),
        },
        "Clip" => Pointwise::Clip {
            min: parameter(0, f32::MIN),
            max: parameter(1, f32::MAX),
        },
        "HardSigmoid" => Pointwise::HardSigmoid {
            alpha: parameter(0, 0.2),
            beta: parameter(1, 0.5),
        },
        other => return Err(format!("the activation \"{other}\" is not supported")),
    }))
}

#[derive(Debug)]
struct FusedConv {
    conv: Conv,
    then: Option<Pointwise>,
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
            then: self.then,
        };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct Fused {
    conv: Convolution,
    then: Option<Pointwise>,
}

impl Kernel for Fused {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let weight = inputs.take(1);
        let bias = inputs.maybe(2).map(Activation::into_cast::<1>);
        let residual = inputs.maybe(3);
        let x = inputs.take(0);
        if let (None, Some(then), 1 | 2) = (&residual, self.then, self.conv.axes.len()) {
            return vec![self.conv.run_then(x, weight, bias, then)];
        }
        let mut y = self.conv.run(x, weight, bias).untyped();
        if let Some(residual) = residual {
            y = y + residual.untyped();
        }
        vec![match self.then {
            Some(then) => bent(y, then).into(),
            None => y.into(),
        }]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let made = shapes.made();
        // A bias, what is added, and the function.
        let given = shapes.given() as u64 - 2;
        let bent = u64::from(self.then.is_some());
        Some(self.conv.products(made, shapes) + made * (given + bent))
    }
}
