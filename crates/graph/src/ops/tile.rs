//! `Tile`: a tensor repeated along its axes.

use std::sync::Arc;

use super::gather::selected;
use crate::activation::Activation;
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_host_size,
    check_size, facts, sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Tile", 1, |_| Ok(Arc::new(Tile { one_axis: true }))),
    Entry::onnx("Tile", 6, |_| Ok(Arc::new(Tile { one_axis: false }))),
];

#[derive(Debug)]
struct Tile {
    /// Whether the inputs are a number of copies and an axis, as before opset 6.
    one_axis: bool,
}

impl Tile {
    fn repeats(&self, inputs: &Operands<'_>, rank: usize) -> Result<Vec<usize>, Refused> {
        if !self.one_axis {
            return Ok(sizes(&inputs.list(1, "the repeats")?)?);
        }
        // Of the type of the tensor, whatever that is.
        let copies = inputs.value(1, "the number of copies")?.scalar_float()?;
        let axis = inputs.value(2, "the axis")?.scalar_float()?;
        let mut repeats = vec![1; rank];
        repeats[axis_of(axis as i64, rank)?] = sizes(&[copies as i64])?[0];
        Ok(repeats)
    }
}

impl Operator for Tile {
    facts!(kind: "Tile", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let repeats = self.repeats(inputs, rank)?;
        if repeats.len() != rank {
            let count = repeats.len();
            return Err(format!("{count} repeats for a tensor of rank {rank}").into());
        }
        let shape = x
            .shape
            .iter()
            .zip(&repeats)
            .map(|(&size, &n)| size.checked_mul(n));
        let shape: Option<Vec<usize>> = shape.collect();
        let shape = shape.ok_or("the sizes overflow")?;
        check_size(&shape)?;
        if let Some(empty) = Known::empty(&shape, x.kind) {
            return Ok(Resolved {
                kernel: None,
                outputs: vec![empty],
            });
        }
        match &x.host {
            None => Ok(Resolved::typed(Repeat, shape, x.kind)),
            Some(host) => {
                check_host_size(&shape)?;
                let mut made = host.clone();
                for (axis, indices) in repeated(&x.shape, &shape) {
                    made = made.gather(axis, &indices, &[indices.len()])?;
                }
                Ok(Resolved::known(made))
            }
        }
    }
}

/// The axes that are repeated, with the index from which each place along them is taken.
fn repeated<'a>(
    from: &'a [usize],
    to: &'a [usize],
) -> impl Iterator<Item = (usize, Vec<usize>)> + 'a {
    let changed = (0..to.len()).filter(|&axis| from[axis] != to[axis]);
    changed.map(|axis| (axis, (0..to[axis]).map(|i| i % from[axis]).collect()))
}

/// Up to the output's shape.
#[derive(Debug)]
struct Repeat;

impl Kernel for Repeat {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let axes = repeated(&x.shape(), &outputs[0].shape).collect::<Vec<_>>();
        let made = axes
            .into_iter()
            .fold(x, |x, (axis, indices)| selected(x, axis, &indices));
        vec![made]
    }
}
