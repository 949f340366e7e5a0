//! `Scan`: a body that runs once for each slice of its inputs along an axis and carries a state.
//!
//! It is unrolled. Before opset 9 each image of a batch was scanned by itself.

use std::sync::Arc;


use super::body::{Traced, Tracer};
use crate::attributes::Attributes;
use crate::graph::Graph;
use crate::operator::{facts, Operands, Operator, Refused, Resolved, axis_of};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Scan", 8, |a| read(a, true)),
    Entry::onnx("Scan", 9, |a| read(a, false)),
];

fn read(a: &Attributes, is_batched: bool) -> Result<Arc<dyn Operator>, String> {
    let body = a.graph("body")?;
    let scanned = usize::try_from(a.int_or("num_scan_inputs", 0)).unwrap_or(0);
    let skipped = usize::from(is_batched);
    let states = a.inputs().checked_sub(skipped + scanned);
    let (inputs, outputs) = (body.inputs.len() - body.captures.len(), body.outputs.len());
    let states = states.filter(|&n| scanned > 0 && inputs == n + scanned && outputs >= n);
    let states = states.ok_or_else(|| {
        format!(
            "its body has {inputs} inputs and {outputs} outputs, \
             which does not fit {} inputs, {scanned} of them scanned",
            a.inputs()
        )
    })?;
    let list = |name: &str, count: usize| {
        let values = a.ints(name).unwrap_or_else(|| vec![0; count]);
        match values.len() == count {
            true => Ok(values),
            false => Err(format!("attribute {name} has {} numbers", values.len())),
        }
    };
    let directions = if is_batched {
        "directions"
    } else {
        "scan_input_directions"
    };
    Ok(Arc::new(Scan {
        is_batched,
        own: a.inputs(),
        states,
        axes: list("scan_input_axes", scanned)?,
        reversed: list(directions, scanned)?,
        output_axes: list("scan_output_axes", outputs - states)?,
        output_reversed: list("scan_output_directions", outputs - states)?,
        body,
    }))
}

#[derive(Debug)]
struct Scan {
    body: Arc<Graph>,
    is_batched: bool,
    /// Inputs before those that the body takes from around it.
    own: usize,
    states: usize,
    axes: Vec<i64>,
    reversed: Vec<i64>,
    output_axes: Vec<i64>,
    output_reversed: Vec<i64>,
}

impl Operator for Scan {
    facts!(kind: "Scan", algebra: Other);

    fn most_outputs(&self) -> usize {
        self.body.outputs.len()
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let mut tracer = Tracer::new(inputs);
        let captured = tracer.inputs(self.own..self.own + self.body.captures.len())?;
        let skipped = usize::from(self.is_batched);
        let given = tracer.inputs(skipped..self.own)?;
        if !self.is_batched {
            let outputs = self.scan(&mut tracer, given, &captured)?;
            return tracer.finish(outputs);
        }
        let batch = given
            .first()
            .and_then(|x| x.known.shape.first())
            .copied()
            .unwrap_or(0);
        if batch == 0 || given.iter().any(|x| x.known.shape.first() != Some(&batch)) {
            return Err("its inputs have no batch, or not the same".into());
        }
        if inputs.optional(0).is_some() {
            let lengths = inputs.ints(0, "the lengths of the sequences")?;
            let steps = given.last().and_then(|x| x.known.shape.get(1)).copied();
            if lengths.iter().any(|&n| usize::try_from(n).ok() != steps) {
                let reason = "sequences shorter than the others are not supported";
                return Err(Refused::Unsupported(reason.to_owned()));
            }
        }
        let mut images = Vec::new();
        for image in 0..batch {
            let mut own = Vec::new();
            for x in &given {
                own.push(tracer.piece(x, 0, image)?);
            }
            images.push(self.scan(&mut tracer, own, &captured)?);
        }
        let mut outputs = Vec::new();
        for i in 0..images[0].len() {
            let parts: Vec<Traced> = images.iter().map(|made| made[i].clone()).collect();
            outputs.push(tracer.stack(&parts, 0)?);
        }
        tracer.finish(outputs)
    }
}

impl Scan {
    fn scan(
        &self,
        tracer: &mut Tracer<'_>,
        mut states: Vec<Traced>,
        captured: &[Traced],
    ) -> Result<Vec<Traced>, Refused> {
        let scanned = states.split_off(self.states);
        let mut axes = Vec::new();
        for (x, &axis) in scanned.iter().zip(&self.axes) {
            axes.push(axis_of(axis, x.known.shape.len())?);
        }
        let steps = scanned[0].known.shape[axes[0]];
        if scanned
            .iter()
            .zip(&axes)
            .any(|(x, &axis)| x.known.shape[axis] != steps)
        {
            return Err("its inputs do not have the same number of slices".into());
        }
        if steps == 0 {
            return Err("there is nothing to scan".into());
        }
        let mut stacks = vec![Vec::new(); self.body.outputs.len() - self.states];
        for step in 0..steps {
            let mut given = states;
            for (i, x) in scanned.iter().enumerate() {
                let at = if self.reversed[i] != 0 {
                    steps - 1 - step
                } else {
                    step
                };
                given.push(tracer.piece(x, axes[i], at)?);
            }
            given.extend_from_slice(captured);
            states = tracer.call(&self.body, given)?;
            let rows = states.split_off(self.states);
            for (stack, row) in stacks.iter_mut().zip(rows) {
                stack.push(row);
            }
        }
        let mut outputs = states;
        for (i, mut stack) in stacks.into_iter().enumerate() {
            if self.output_reversed[i] != 0 {
                stack.reverse();
            }
            let axis = axis_of(self.output_axes[i], stack[0].known.shape.len() + 1)?;
            outputs.push(tracer.stack(&stack, axis)?);
        }
        Ok(outputs)
    }
}
