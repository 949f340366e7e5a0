//! `DequantizeLinear`: numbers from small integers, `(x - zero point) scale`.
//!
//! One scale serves a whole tensor, a place along an axis, or a block.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use super::steps::{Layout, block_size, zero_point};
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
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
    let to = match a.int_or("output_dtype", 0) {
        0 => None,
        _ => a.element_type("output_dtype")?,
    };
    if let Some(to) = to.filter(|to| !to.is_float()) {
        return Err(format!("output_dtype is {to}, expected floats"));
    }
    Ok(Arc::new(Dequantize {
        kind: OpKind::new(kind),
        axis: a.int_or("axis", 1),
        block: block_size(a)?,
        to,
    }))
}

#[derive(Debug)]
struct Dequantize {
    kind: OpKind,
    axis: i64,
    /// Numbers that share a scale, or 0.
    block: usize,
    /// The type that is stated, if any.
    to: Option<ElementType>,
}

impl Operator for Dequantize {
    fn kind(&self) -> OpKind {
        self.kind
    }

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [false, false, ..] => Algebra::Product,
            _ => Algebra::Affine,
        }
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        match self.block {
            0 => Apart::Rows,
            _ => Apart::No,
        }
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
        let layout = Layout::of(&x.shape, &scale.shape, self.axis, self.block)?;
        let kind = self.to.unwrap_or(scale.kind);
        let zeros = match zero {
            None => Some(vec![0]),
            Some(zero) => zero.host.as_ref().map(HostTensor::ints).transpose()?,
        };
        if let (Some(x), Some(scale), Some(zeros)) = (&x.host, &scale.host, zeros) {
            let made = on_host(x, &scale.floats(), &zeros, &layout, kind)?;
            return Ok(Resolved::known(made));
        }
        let kernel = Numbers { layout };
        Ok(Resolved::typed(kernel, x.shape.clone(), kind))
    }
}

fn on_host(
    x: &HostTensor,
    scales: &[f32],
    zeros: &[i64],
    layout: &Layout,
    kind: ElementType,
) -> Result<HostTensor, String> {
    let number = |(v, entry): (i64, usize)| {
        let zero = zeros[entry.min(zeros.len() - 1)];
        v.wrapping_sub(zero) as f32 * scales[entry]
    };
    let entries = layout.entries(x.shape());
    let values = x.ints()?.into_iter().zip(entries).map(number);
    HostTensor::of_floats(kind, x.shape(), values.collect())
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
