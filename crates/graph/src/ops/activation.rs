//! Nonlinearities between layers that are a function of each number.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use elucid_rules::{Algebra, OpKind, Pointwise};

use super::bent::bent;
use super::pointwise::Function;
use crate::activation::Activation;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Relu", 1, |_| Ok(Arc::new(Relu))),
    Entry::onnx("LeakyRelu", 1, |a| {
        function(
            "LeakyRelu",
            |v, [alpha, _]| if v < 0.0 { alpha * v } else { v },
            |x, [alpha, _]| activation::leaky_relu(x, f64::from(alpha)),
        )
        .sweep(|[alpha, _]| Pointwise::LeakyRelu { alpha })
        .parameters(a.float_or("alpha", 0.01), 0.0)
        .read()
    }),
    Entry::onnx("Sigmoid", 1, |_| {
        function(
            "Sigmoid",
            |v, _| 1.0 / (1.0 + (-v).exp()),
            |x, _| activation::sigmoid(x),
        )
        .sweep(|_| Pointwise::Sigmoid)
        .read()
    }),
    // Where these two become constant, they have the derivative of the constant.
    Entry::onnx("HardSigmoid", 1, |a| {
        function(
            "HardSigmoid",
            |v, [alpha, beta]| (alpha * v + beta).clamp(0.0, 1.0),
            |x, [alpha, beta]| {
                let line = x * alpha + beta;
                let low = line.clone().lower_equal_scalar(0.0);
                let high = line.clone().greater_equal_scalar(1.0);
                line.mask_fill(low, 0.0).mask_fill(high, 1.0)
            },
        )
        .sweep(|[alpha, beta]| Pointwise::HardSigmoid { alpha, beta })
        .parameters(a.float_or("alpha", 0.2), a.float_or("beta", 0.5))
        .read()
    }),
    Entry::onnx("HardSwish", 14, |_| {
        gate(
            "HardSwish",
            |v, _| v * (v / 6.0 + 0.5).clamp(0.0, 1.0),
            |x, _| {
                let low = x.clone().lower_equal_scalar(-3.0);
                let high = x.clone().greater_equal_scalar(3.0);
                let between = x.clone() * (x.clone() / 6.0 + 0.5);
                between.mask_where(high, x).mask_fill(low, 0.0)
            },
        )
        .sweep(|_| Pointwise::HardSwish)
        .read()
    }),
    Entry::onnx("Tanh", 1, |_| {
        function("Tanh", |v, _| v.tanh(), |x, _| x.tanh())
            .sweep(|_| Pointwise::Tanh)
            .read()
    }),
    Entry::onnx("Elu", 1, |a| {
        function(
            "Elu",
            |v, [alpha, _]| if v < 0.0 { alpha * v.exp_m1() } else { v },
            |x, [alpha, _]| {
                let negative = (x.clone().clamp_max(0.0).exp() - 1.0) * alpha;
                x.clamp_min(0.0) + negative
            },
        )
        .parameters(a.float_or("alpha", 1.0), 0.0)
        .read()
    }),
    Entry::onnx("Celu", 12, |a| {
        function(
            "Celu",
            |v, [alpha, _]| v.max(0.0) + (alpha * (v / alpha).exp_m1()).min(0.0),
            |x, [alpha, _]| {
                // For a negative alpha the exponential bends the positive numbers.
                let bent = ((x.clone() / alpha).exp() - 1.0) * alpha;
                x.clamp_min(0.0) + bent.clamp_max(0.0)
            },
        )
        .parameters(not_zero(a.float_or("alpha", 1.0))?, 0.0)
        .read()
    }),
    Entry::onnx("Selu", 1, |a| {
        let old = a.opset() < 6;
        let alpha = if old { 1.6732 } else { 1.673_263_2 };
        let gamma = if old { 1.0507 } else { 1.050_701 };
        function(
            "Selu",
            |v, [alpha, gamma]| gamma * if v > 0.0 { v } else { alpha * v.exp_m1() },
            |x, [alpha, gamma]| {
                let negative = (x.clone().clamp_max(0.0).exp() - 1.0) * alpha;
                (x.clamp_min(0.0) + negative) * gamma
            },
        )
        .parameters(a.float_or("alpha", alpha), a.float_or("gamma", gamma))
        .read()
    }),
    Entry::onnx("Softplus", 1, |_| {
        function(
            "Softplus",
            |v, _| v.max(0.0) + (-v.abs()).exp().ln_1p(),
            |x, _| softplus(x),
        )
        .read()
    }),
    Entry::onnx("Softsign", 1, |_| {
        function(
            "Softsign",
            |v, _| v / (1.0 + v.abs()),
            |x, _| x.clone() / (x.abs() + 1.0),
        )
        .read()
    }),
    Entry::onnx("ThresholdedRelu", 1, |a| {
        function(
            "ThresholdedRelu",
            |v, [alpha, _]| if v <= alpha { 0.0 } else { v },
            |x, [alpha, _]| {
                let below = x.clone().lower_equal_scalar(alpha);
                x.mask_fill(below, 0.0)
            },
        )
        .parameters(a.float_or("alpha", 1.0), 0.0)
        .read()
    }),
    Entry::onnx("Shrink", 9, |a| {
        function(
            "Shrink",
            |v, [bias, lambda]| {
                if v < -lambda {
                    v + bias
                } else if v > lambda {
                    v - bias
                } else {
                    0.0
                }
            },
            |x, [bias, lambda]| {
                let low = x.clone().lower_scalar(-lambda);
                let high = x.clone().greater_scalar(lambda);
                let high = high.bool_and(low.clone().bool_not());
                let between = low.clone().bool_or(high.clone()).bool_not();
                let shift = (low.float() - high.float()) * bias;
                x.mask_fill(between, 0.0) + shift
            },
        )
        .parameters(a.float_or("bias", 0.0), a.float_or("lambd", 0.5))
        .read()
    }),
    Entry::onnx("Mish", 18, |_| {
        gate(
            "Mish",
            |v, _| v * (v.max(0.0) + (-v.abs()).exp().ln_1p()).tanh(),
            |x, _| x.clone() * softplus(x).tanh(),
        )
        .read()
    }),
    Entry::onnx("Swish", 24, |a| {
        swish(OpKind::new("Swish"), a.float_or("alpha", 1.0))
    }),
    Entry::of("com.microsoft", "QuickGelu", |a| {
        let kind = OpKind::new("com.microsoft.QuickGelu");
        swish(kind, a.float_or("alpha", 1.702))
    }),
];

fn not_zero(alpha: f32) -> Result<f32, String> {
    match alpha {
        0.0 => Err("attribute alpha is 0, expected a number that can divide".to_owned()),
        alpha => Ok(alpha),
    }
}

/// `x sigmoid(alpha x)`.
fn swish(kind: OpKind, alpha: f32) -> Result<Arc<dyn Operator>, String> {
    let swish = Function {
        kind,
        ..gate(
            "Swish",
            |v, [alpha, _]| v / (1.0 + (-alpha * v).exp()),
            |x, [alpha, _]| x.clone() * activation::sigmoid(x * alpha),
        )
    };
    swish
        .sweep(|[alpha, _]| Pointwise::Swish { alpha })
        .parameters(alpha, 0.0)
        .read()
}

/// `ln(1 + e^x)`, without overflow. The larger of `x` and 0 is taken out as a constant, so that the
/// derivative is the logistic function everywhere, also at 0.
fn softplus(x: Tensor<1>) -> Tensor<1> {
    let largest = x.clone().without_autodiff().clamp_min(0.0);
    let rest = (x - largest.clone()).exp() + ((-largest.clone()).exp() - 1.0);
    rest.log1p() + largest
}

fn function(
    kind: &'static str,
    number: fn(f32, [f32; 2]) -> f32,
    tensor: fn(Tensor<1>, [f32; 2]) -> Tensor<1>,
) -> Function {
    Function::new(kind, Algebra::Activation, number, tensor)
}

/// For activations that are their input times a factor.
fn gate(
    kind: &'static str,
    number: fn(f32, [f32; 2]) -> f32,
    tensor: fn(Tensor<1>, [f32; 2]) -> Tensor<1>,
) -> Function {
    Function::new(kind, Algebra::Gate, number, tensor)
}

/// `max(x, 0)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

impl Operator for Relu {
    facts!(kind: OpKind::Relu, algebra: Activation, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        match &x.host {
            Some(host) if x.kind.is_int() => Ok(Resolved::known(host.map_ints(|v| v.max(0))?)),
            Some(host) => Ok(Resolved::known(host.map_floats(|v| v.max(0.0))?)),
            None => Ok(Resolved::typed(Self, x.shape.clone(), x.kind)),
        }
    }
}

impl Kernel for Relu {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped();
        vec![bent(x, Pointwise::Relu).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }

    fn bends(&self) -> Option<Pointwise> {
        Some(Pointwise::Relu)
    }

    fn form(&self) -> Option<elucid_rules::Operator<'_>> {
        Some(elucid_rules::Operator::Relu)
    }
}
