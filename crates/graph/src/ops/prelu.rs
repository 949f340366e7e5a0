//! `PRelu`: a rectifier with a learned slope for negative numbers.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use crate::activation::{Activation, IntoView};
use crate::host::broadcast;
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, aligned, facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("PRelu", 1, |a| {
    let per_channel = a.opset() < 7;
    Ok(Arc::new(PRelu { per_channel }))
})];

#[derive(Debug)]
struct PRelu {
    /// Whether a list of slopes is one for each channel, before opset 7.
    per_channel: bool,
}

impl Operator for PRelu {
    facts!(kind: OpKind::PRelu, apart: Rows);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [_, false] => Algebra::Other,
            _ => Algebra::Activation,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let shape = x.shape.clone();
        let stated = &inputs.floats(1)?.shape;
        let slope = if self.per_channel && stated.len() == 1 && shape.len() > 1 {
            let mut view = stated.clone();
            view.extend(vec![1; shape.len() - 2]);
            view
        } else {
            stated.clone()
        };
        if broadcast(&shape, &slope).as_deref() != Some(&shape) {
            return Err(format!("slope {stated:?} does not broadcast to {shape:?}").into());
        }
        let view = aligned(&slope, shape.len());
        Ok(Resolved::typed(Sloped { view }, shape, x.kind))
    }
}

#[derive(Debug)]
struct Sloped {
    /// The slope's shape, at the rank of the input.
    view: Vec<usize>,
}

impl Kernel for Sloped {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let slope = inputs.take(1).into_view(&self.view).untyped();
        let x = inputs.take(0).untyped();
        let negative = x.clone().clamp_max(0.0);
        vec![(x.clamp_min(0.0) + negative * slope).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
