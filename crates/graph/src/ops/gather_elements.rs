//! `GatherElements`: for each element of the indices one number, from the same place along all axes
//! but one.

use std::sync::Arc;

use super::gather::indices_of;
use super::pick::{self, each_index, strides};
use crate::message::few;
use crate::operator::{
    Known, Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("GatherElements", 11, |a| {
    let axis = a.int_or("axis", 0);
    Ok(Arc::new(GatherElements { axis }))
})];

#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

impl Operator for GatherElements {
    facts!(kind: "GatherElements", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let places = places(inputs, x, self.axis)?;
        pick::resolved(x, places, 1, inputs.input(1)?.shape.clone())
    }
}

/// For each element of the second input, indices along `axis`, its flat place in `x`.
pub(super) fn places(inputs: &Operands<'_>, x: &Known, axis: i64) -> Result<Vec<usize>, Refused> {
    let shape = &inputs.input(1)?.shape;
    let axis = axis_of(axis, x.shape.len())?;
    let fits = shape.len() == x.shape.len()
        && (0..shape.len()).all(|i| i == axis || shape[i] <= x.shape[i]);
    if !fits {
        let (x, shape) = (few(&x.shape), few(shape));
        return Err(format!("indices {shape} do not fit {x} along axis {axis}").into());
    }
    check_host_size(shape)?;
    let indices = indices_of(&inputs.ints(1, "the indices")?, x.shape[axis])?;
    let strides = strides(&x.shape);
    let mut places = Vec::with_capacity(indices.len());
    each_index(shape, |index| {
        let along = indices[places.len()];
        let at = |i: usize| if i == axis { along } else { index[i] };
        places.push((0..index.len()).map(|i| at(i) * strides[i]).sum());
        Ok(())
    })?;
    Ok(places)
}
