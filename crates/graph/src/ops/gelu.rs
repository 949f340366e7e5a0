//! `Gelu`: each number times the probability that a normal one is smaller, `x Φ(x)`.
//!
//! `approximate = "none"` is `x / 2 (1 + erf(x / √2))`; `"tanh"` is
//! `x / 2 (1 + tanh(√(2 / π) (x + 0.044715 x³)))`. ONNX Runtime's `Gelu`, `BiasGelu` and `FastGelu` are
//! the same with an optional second input that is added first.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind, Pointwise, pointwise};

use crate::activation::{Activation, IntoView};
use crate::host::broadcast;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, do_not_broadcast, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Gelu", 20, |a| {
        let how = match a.text_or("approximate", "none") {
            "none" => How::Exact,
            "tanh" => How::Tanh,
            other => {
                return Err(format!("approximate is \"{other}\", expected none or tanh"));
            }
        };
        read("Gelu", how)
    }),
    Entry::of("com.microsoft", "Gelu", |_| {
        read("com.microsoft.Gelu", How::Exact)
    }),
    Entry::of("com.microsoft", "BiasGelu", |_| {
        read("com.microsoft.BiasGelu", How::Exact)
    }),
    Entry::of("com.microsoft", "FastGelu", |_| {
        read("com.microsoft.FastGelu", How::Tanh)
    }),
];

fn read(kind: &'static str, how: How) -> Result<Arc<dyn Operator>, String> {
    let kind = OpKind::new(kind);
    Ok(Arc::new(Gelu { kind, how }))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Exact,
    Tanh,
}

#[derive(Debug, Clone, Copy)]
struct Gelu {
    kind: OpKind,
    how: How,
}

impl Operator for Gelu {
    facts!(kind: .kind, apart: Rows);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [] | [_] | [_, true] => Algebra::Gate,
            _ => Algebra::Other,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        if inputs.optional(1).is_some() {
            let bias = &inputs.floats(1)?.shape;
            if broadcast(&x.shape, bias).as_deref() != Some(&x.shape) {
                return Err(do_not_broadcast(&x.shape, bias).into());
            }
        }
        Ok(Resolved::typed(*self, x.shape.clone(), x.kind))
    }
}

impl Kernel for Gelu {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let bias = inputs.maybe(1);
        let x = inputs.take(0).untyped();
        let x = match bias {
            Some(bias) => {
                let view = aligned(&bias.shape(), outputs[0].shape.len());
                x + bias.into_view(&view).untyped()
            }
            None => x,
        };
        let function = match self.how {
            How::Exact => Pointwise::Gelu,
            How::Tanh => Pointwise::GeluTanh,
        };
        let y = pointwise(x, function, |x| {
            x.clone() * 0.5 * (factor(x, self.how) + 1.0)
        });
        vec![y.into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // The function and the product, and the bias.
        Some((1 + shapes.given() as u64) * shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}

/// From -1 to 1.
fn factor(x: Tensor<1>, how: How) -> Tensor<1> {
    match how {
        How::Exact => (x * FRAC_1_SQRT_2).erf(),
        How::Tanh => {
            let cube = x.clone() * x.clone() * x.clone();
            ((x + cube * 0.044_715) * FRAC_2_PI.sqrt()).tanh()
        }
    }
}
