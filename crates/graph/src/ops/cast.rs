//! Changes of the element type.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use crate::activation::Activation;
use crate::host::ElementType;
use crate::operator::{facts, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Cast", 1, |a| {
        let to = a.element_type("to")?.ok_or("attribute to is missing")?;
        Ok(Arc::new(Cast { to: Some(to) }))
    }),
    Entry::onnx("CastLike", 15, |_| Ok(Arc::new(Cast { to: None }))),
];

/// To a type that is stated, or to that of the second input.
#[derive(Debug)]
struct Cast {
    to: Option<ElementType>,
}

impl Operator for Cast {
    facts!(apart: Rows);

    fn kind(&self) -> OpKind {
        match self.to {
            Some(_) => OpKind::Cast,
            None => OpKind::new("CastLike"),
        }
    }

    /// From one floating point to another; a decision where numbers become something else.
    fn algebra(&self, _constant: &[bool]) -> Algebra {
        match self.to.is_none_or(ElementType::is_float) {
            true => Algebra::Moves,
            false => Algebra::Decision,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let to = match self.to {
            Some(to) => to,
            None => inputs.input(1)?.kind,
        };
        if let Some(host) = &x.host {
            return Ok(Resolved::known(host.cast(to)));
        }
        // Integers that wrap are left to the host, which holds them exactly.
        let wraps = to.is_int() && to.bytes() < 4;
        if wraps && x.kind != to {
            inputs.value(0, "what is cast to a small integer")?;
        }
        let kernel = CastKernel { from: x.kind, to };
        Ok(Resolved::typed(kernel, x.shape.clone(), to))
    }
}

#[derive(Debug)]
struct CastKernel {
    from: ElementType,
    to: ElementType,
}

impl Kernel for CastKernel {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        if self.to == ElementType::Bool && self.from != ElementType::Bool {
            return vec![x.untyped().not_equal_scalar(0.0).float().into()];
        }
        if self.to.is_int() && self.from.is_float() {
            let x = x.untyped();
            return vec![(x.clone().sign() * x.abs().floor()).into()];
        }
        vec![x]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
