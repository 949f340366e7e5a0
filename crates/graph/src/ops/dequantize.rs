//! `DequantizeLinear`: numbers from small integers, `(x - zero point) scale`.
//!
//! One scale serves a whole tensor, a place along an axis, or a block.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use super::steps::{Layout, Scaled, zero_point, zeros};
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::host::HostTensor;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("DequantizeLinear", 10, |a| read(a, "DequantizeLinear")),
    Entry::of("com.microsoft", "DequantizeLinear", |a| {
        read(a, "com.microsoft.DequantizeLinear")
    }),
];

fn read(a: &Attributes, kind: &'static str) -> Result<Arc<dyn Operator>, String> {
    let scaled = Scaled::read(a, kind)?;
    if let Some(to) = scaled.to.filter(|to| !to.is_float()) {
        return Err(format!("output_dtype is {to}, expected floats"));
    }
    Ok(Arc::new(Dequantize(scaled)))
}

#[derive(Debug)]
struct Dequantize(Scaled);

impl Operator for Dequantize {
    fn kind(&self) -> OpKind {
        self.0.kind
    }

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [false, false, ..] => Algebra::Product,
            _ => Algebra::Affine,
        }
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        self.0.apart()
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        if !x.kind.is_int() {
            return Err(format!("input 0 holds {}, expected integers", x.kind).into());
        }
        let scale = inputs.floats(1)?;
        let zero = zero_point(inputs, 2, scale)?;
        if let Some(zero) = zero
            && zero.kind != x.kind
        {
            let (kind, stated) = (x.kind, zero.kind);
            return Err(format!("the zero point holds {stated}, expected {kind}").into());
        }
        let layout = self.0.layout(x, scale)?;
        let kind = self.0.to.unwrap_or(scale.kind);
        if let (Some(x), Some(scale), Some(zeros)) = (&x.host, &scale.host, zeros(zero)?) {
            let number = |v: i64, scale, zero| v.wrapping_sub(zero) as f32 * scale;
            let made = layout.each(x.shape(), x.ints()?, &scale.floats(), &zeros, number);
            return Ok(Resolved::known(HostTensor::of_floats(
                kind,
                x.shape(),
                made,
            )?));
        }
        let kernel = Numbers { layout };
        Ok(Resolved::typed(kernel, x.shape.clone(), kind))
    }
}

#[derive(Debug)]
struct Numbers {
    layout: Layout,
}

impl Kernel for Numbers {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let scale = self.layout.spread(inputs.take(1));
        let zero = inputs.maybe(2).map(|zero| self.layout.spread(zero));
        let x = inputs.take(0).untyped();
        let steps = match zero {
            Some(zero) => x - zero,
            None => x,
        };
        vec![(steps * scale).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
