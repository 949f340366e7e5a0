//! `Loop`: a body that runs a number of times, or while a condition holds.
//!
//! It is unrolled: each run is planned by itself, as sizes may change from one to the next. A condition
//! that follows from tensors is computed ahead.

use std::sync::Arc;


use super::body::{Traced, Tracer};
use crate::graph::Graph;
use crate::host::{ElementType, HostTensor};
use crate::operator::{facts, Known, Operands, Operator, Refused, Resolved};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Loop", 1, |a| {
    let body = a.graph("body")?;
    let carried = a.inputs().saturating_sub(2);
    let (inputs, outputs) = (body.inputs.len() - body.captures.len(), body.outputs.len());
    if inputs != 2 + carried || outputs < 1 + carried {
        return Err(format!(
            "its body has {inputs} inputs and {outputs} outputs, \
             which does not fit {carried} values that are carried along"
        ));
    }
    Ok(Arc::new(Loop {
        body,
        own: a.inputs(),
        carried,
    }))
})];

#[derive(Debug)]
struct Loop {
    body: Arc<Graph>,
    /// Inputs before those that the body takes from around it.
    own: usize,
    carried: usize,
}

impl Operator for Loop {
    facts!(kind: "Loop", algebra: Other);

    fn most_outputs(&self) -> usize {
        self.body.outputs.len().saturating_sub(1)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let most = inputs.optional_value(0, "the number of iterations")?;
        let most = most.map(HostTensor::scalar_int).transpose()?;
        let mut tracer = Tracer::new(inputs);
        let is_conditional = self.own > 1 && inputs.optional(1).is_some();
        let mut condition = match is_conditional {
            true => tracer.input(1)?,
            false => Traced::host(HostTensor::of_bools(&[], vec![true])?),
        };
        let mut carried = match self.carried {
            0 => Vec::new(),
            count => tracer.inputs(2..2 + count)?,
        };
        let captured = tracer.inputs(self.own..self.own + self.body.captures.len())?;
        let mut stacks: Vec<Vec<Traced>> = vec![Vec::new(); self.most_outputs() - self.carried];
        let mut step = 0;
        let given = |step: i64, condition: &Traced, carried: &[Traced]| {
            let mut given = vec![Traced::host(HostTensor::int(step)), condition.clone()];
            given.extend_from_slice(carried);
            given.extend_from_slice(&captured);
            given
        };
        while most.is_none_or(|most| step < most) && holds(&mut tracer, &condition)? {
            let made = tracer.call(&self.body, given(step, &condition, &carried))?;
            let (first, made) = made.split_at(1);
            if is_conditional {
                condition = first[0].clone();
            }
            let (next, rows) = made.split_at(self.carried);
            carried = next.to_vec();
            for (stack, row) in stacks.iter_mut().zip(rows) {
                stack.push(row.clone());
            }
            step += 1;
        }
        let mut outputs = carried;
        for (i, stack) in stacks.iter().enumerate() {
            if !stack.is_empty() {
                outputs.push(tracer.stack(stack, 0)?);
                continue;
            }
            // What a step would make says what there is nothing of.
            let made = tracer.call(&self.body, given(0, &condition, &outputs[..self.carried]))?;
            let known = &made[1 + self.carried + i].known;
            outputs.push(nothing(
                &[&[0], known.shape.as_slice()].concat(),
                known.kind,
            )?);
        }
        tracer.finish(outputs)
    }
}

fn holds(tracer: &mut Tracer<'_>, condition: &Traced) -> Result<bool, Refused> {
    let values = tracer.read(condition)?.floats();
    match values.as_slice() {
        [value] => Ok(*value != 0.0),
        many => Err(format!("a condition of {} elements, expected one", many.len()).into()),
    }
}

/// A tensor without elements.
pub(super) fn nothing(shape: &[usize], kind: ElementType) -> Result<Traced, Refused> {
    let empty = Known::empty(shape, kind).and_then(|known| known.host);
    Ok(Traced::host(empty.ok_or("a tensor that is not empty")?))
}
