//! `ArgMax` and `ArgMin`: where along an axis the largest or smallest number is.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use elucid_rules::{OpKind};

use super::pick::keys;
use crate::activation::{Activation, IntoView, at_rank};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::long_rows::LongAxes;
use crate::operator::{facts, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("ArgMax", 1, |a| Ok(read(a, true))),
    Entry::onnx("ArgMin", 1, |a| Ok(read(a, false))),
];

fn read(a: &Attributes, largest: bool) -> Arc<dyn Operator> {
    Arc::new(ArgExtreme {
        axis: a.int_or("axis", 0),
        keep: a.int_or("keepdims", 1) != 0,
        last: a.flag("select_last_index"),
        largest,
    })
}

#[derive(Debug)]
struct ArgExtreme {
    axis: i64,
    keep: bool,
    /// Whether the last of equal numbers counts, not the first.
    last: bool,
    largest: bool,
}

impl Operator for ArgExtreme {
    facts!(algebra: Decision, axis: .axis);

    fn kind(&self) -> OpKind {
        OpKind::new(match self.largest {
            true => "ArgMax",
            false => "ArgMin",
        })
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let size = x.shape[axis];
        let mut shape = x.shape.clone();
        match self.keep {
            true => shape[axis] = 1,
            false => {
                shape.remove(axis);
            }
        }
        if size == 0 {
            return Err("an axis of size 0 has no largest and no smallest number".into());
        }
        if x.host.is_none() && x.kind.is_float() {
            let kernel = Position {
                axis,
                last: self.last,
                largest: self.largest,
            };
            return Ok(Resolved::typed(kernel, shape, ElementType::I64));
        }
        let keys = keys(inputs.value(0, "the numbers")?);
        let inner: usize = x.shape[axis + 1..].iter().product();
        let outer: usize = x.shape[..axis].iter().product();
        let mut found = Vec::with_capacity(outer * inner);
        for o in 0..outer {
            for i in 0..inner {
                let key = |k: usize| match self.largest {
                    true => -keys[(o * size + k) * inner + i],
                    false => keys[(o * size + k) * inner + i],
                };
                let best = match self.last {
                    true => (0..size).rev().min_by_key(|&k| key(k)),
                    false => (0..size).min_by_key(|&k| key(k)),
                };
                found.push(best.unwrap_or(0) as i64);
            }
        }
        let found = HostTensor::of_ints(ElementType::I64, &shape, found)?;
        Ok(Resolved::known(found))
    }
}

#[derive(Debug)]
struct Position {
    axis: usize,
    last: bool,
    largest: bool,
}

impl Kernel for Position {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let found = at_rank!(inputs.take(0), x => self.of(x.without_autodiff()));
        vec![found.into_view(&outputs[0].shape)]
    }
}

impl Position {
    /// Of all places that hold the extreme the first or last, by a number that says how early or late
    /// a place is: backends differ in which of equal numbers they find.
    fn of<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (axis, size) = (self.axis, x.dims()[self.axis]);
        let x = if self.largest { x } else { x.neg() };
        let holds = x.clone().equal(x.maxima_along(axis)).float();
        let mut line = [1; D];
        line[axis] = size;
        let places = Tensor::<1, Int>::arange(0..size as i64, &holds.device());
        let places = places.float().reshape(line);
        let last = size as f32 - 1.0;
        let found = match self.last {
            true => (holds * (places + 1.0)).maxima_along(axis) - 1.0,
            false => -(holds * (-places + (last + 1.0))).maxima_along(axis) + (last + 1.0),
        };
        // Where all numbers are none.
        found.clamp(0.0, last)
    }
}
