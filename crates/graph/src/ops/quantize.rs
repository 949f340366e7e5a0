//! `QuantizeLinear`: numbers as small integers, `round(x / scale) + zero point`, kept in the range of
//! their type.
//!
//! One scale serves a whole tensor, a place along an axis, or a block. Halves are rounded to the even
//! number. The derivative is the straight-through estimate: that of `x / scale + zero point` inside of
//! the range and 0 outside, so that a quantised network has the gradients of the network that it stands
//! for. The division is in single precision, whatever `precision` asks for.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use super::steps::{Layout, Scaled, rounded, small, zero_point, zeros};
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("QuantizeLinear", 10, |a| read(a, "QuantizeLinear")),
    Entry::of("com.microsoft", "QuantizeLinear", |a| {
        read(a, "com.microsoft.QuantizeLinear")
    }),
];

fn read(a: &Attributes, kind: &'static str) -> Result<Arc<dyn Operator>, String> {
    Ok(Arc::new(Quantize(Scaled::read(a, kind)?)))
}

#[derive(Debug)]
struct Quantize(Scaled);

impl Operator for Quantize {
    fn kind(&self) -> OpKind {
        self.0.kind
    }

    /// Up to rounding, a constant times the input plus another.
    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [_, false, ..] => Algebra::Quotient,
            _ => Algebra::Affine,
        }
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        self.0.apart()
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        if !x.kind.is_float() && x.kind != ElementType::I32 {
            return Err(format!("input 0 holds {}, expected floats", x.kind).into());
        }
        let scale = inputs.floats(1)?;
        let zero = zero_point(inputs, 2, scale)?;
        let kind = match (zero.map(|zero| zero.kind), self.0.to) {
            (Some(kind), Some(stated)) if kind != stated => {
                return Err(
                    format!("output_dtype is {stated}, the zero point holds {kind}").into(),
                );
            }
            (Some(kind), _) | (None, Some(kind)) => small(kind)?,
            (None, None) => ElementType::U8,
        };
        let layout = self.0.layout(x, scale)?;
        if let (Some(x), Some(scale), Some(zeros)) = (&x.host, &scale.host, zeros(zero)?) {
            let (low, high) = kind.range();
            let steps = |v: f32, scale: f32, zero: i64| {
                let steps = (v / scale).round_ties_even() as i64;
                steps.saturating_add(zero).clamp(low, high)
            };
            let made = layout.each(x.shape(), x.floats(), &scale.floats(), &zeros, steps);
            return Ok(Resolved::known(HostTensor::of_ints(kind, x.shape(), made)?));
        }
        let kernel = Steps { layout, kind };
        Ok(Resolved::typed(kernel, x.shape.clone(), kind))
    }
}

#[derive(Debug)]
struct Steps {
    layout: Layout,
    kind: ElementType,
}

impl Kernel for Steps {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let scale = self.layout.spread(inputs.take(1));
        let zero = inputs.maybe(2).map(|zero| self.layout.spread(zero));
        let x = inputs.take(0).untyped();
        vec![rounded(x / scale, zero, self.kind).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }

    fn rounds(&self) -> bool {
        true
    }
}
