//! `Compress`: the slices of a tensor along an axis, or the numbers of all of it, that a condition
//! keeps.

use std::sync::Arc;

use super::pick;
use crate::operator::{Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Compress", 9, |a| {
    let axis = a.int("axis");
    Ok(Arc::new(Compress { axis }))
})];

#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
}

impl Operator for Compress {
    facts!(kind: "Compress", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let condition = inputs.value(1, "the condition")?.bools()?;
        let rank = x.shape.len();
        let axis = self.axis.map(|axis| axis_of(axis, rank)).transpose()?;
        let size = match axis {
            Some(axis) => x.shape[axis],
            None => x.shape.iter().product(),
        };
        // A condition that is shorter keeps nothing behind its end.
        if condition.len() > size {
            let count = condition.len();
            return Err(format!("a condition of {count} elements for a size of {size}").into());
        }
        let kept = condition.iter().enumerate().filter(|(_, kept)| **kept);
        let kept: Vec<usize> = kept.map(|(i, _)| i).collect();
        let Some(axis) = axis else {
            let count = kept.len();
            return pick::resolved(x, kept, 1, vec![count]);
        };
        let mut shape = x.shape.clone();
        shape[axis] = kept.len();
        let outer: usize = x.shape[..axis].iter().product();
        check_host_size(&[outer, kept.len()])?;
        let places = (0..outer).flat_map(|o| kept.iter().map(move |k| o * size + k));
        let places: Vec<usize> = places.collect();
        let width = x.shape[axis + 1..].iter().product();
        pick::resolved(x, places, width, shape)
    }
}
