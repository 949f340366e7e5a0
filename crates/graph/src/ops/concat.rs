//! `Concat`: tensors one after the other along an axis.

use std::sync::Arc;

use elucid_rules::{OpKind, cat};

use crate::activation::{Activation, at_rank};
use crate::host::HostTensor;
use crate::message::few;
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_host_size,
    facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Concat", 1, |a| {
    let axis = a.int("axis").or((a.opset() < 4).then_some(1));
    let axis = axis.ok_or("attribute axis is missing")?;
    Ok(Arc::new(Concat { axis }))
})];

#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Operator for Concat {
    facts!(kind: OpKind::Concat, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match inputs.input(0).map(|x| axis_of(self.axis, x.shape.len())) {
            Ok(Ok(1..)) => Apart::Joined,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let first = inputs.input(0)?;
        let axis = axis_of(self.axis, first.shape.len())?;
        let mut shape = first.shape.clone();
        for i in 1..inputs.len() {
            let known = inputs.input(i)?;
            let other = &known.shape;
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|d| d == axis || other[d] == shape[d]);
            if !fits {
                let (first, other) = (few(&first.shape), few(other));
                return Err(format!("{other} cannot follow {first} along axis {axis}").into());
            }
            if known.kind != first.kind {
                let (first, other) = (first.kind, known.kind);
                return Err(format!("{other} cannot follow {first}").into());
            }
            shape[axis] = shape[axis]
                .checked_add(other[axis])
                .ok_or("the sizes overflow")?;
        }
        if let Some(parts) = inputs.all_host() {
            check_host_size(&shape)?;
            return Ok(Resolved::known(HostTensor::concat(&parts, axis)?));
        }
        Ok(Resolved::typed(Join { axis }, shape, first.kind))
    }
}

#[derive(Debug)]
struct Join {
    axis: usize,
}

impl Kernel for Join {
    fn run(&self, inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let axis = self.axis;
        // What is empty has no tensor.
        let mut parts = inputs.all();
        let first = parts.next().expect("a result that is not empty has a part");
        vec![at_rank!(first, first => {
            let rest = parts.map(|p| p.into_cast());
            cat(std::iter::once(first).chain(rest).collect(), axis)
        })]
    }

    fn takes_empty(&self) -> bool {
        true
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        (self.axis == 1).then(|| reach.broadcast()).flatten()
    }
}
