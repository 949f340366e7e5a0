//! `Transpose`: the axes in another order.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::OpKind;

use super::identity::Same;
use crate::activation::{Activation, IntoView, MAX_RANK, at_rank};
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, facts,
};
use crate::registry::Entry;
use crate::together::with_images_first;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Transpose", 1, |a| {
    let permutation = a.ints("perm");
    Ok(Arc::new(Transpose { permutation }))
})];

#[derive(Debug)]
struct Transpose {
    /// Reversed, where it is not stated.
    permutation: Option<Vec<i64>>,
}

impl Operator for Transpose {
    facts!(kind: OpKind::Transpose, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let Ok(x) = inputs.input(0) else {
            return Apart::No;
        };
        match self.axes(x.shape.len()) {
            Ok(axes) if axes.first() == Some(&0) => Apart::Rows,
            Ok(axes) if (2..MAX_RANK).contains(&axes.len()) => {
                let shape = x.shape.clone();
                Apart::By(Arc::new(PermuteEach { shape, axes }))
            }
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let axes = self.axes(rank)?;
        let shape = axes.iter().map(|&a| x.shape[a]).collect();
        match &x.host {
            Some(host) => Ok(Resolved::known(host.permute(&axes))),
            // burn's tensors of rank 0 and 1 are the same.
            None if rank < 2 => Ok(Resolved::typed(Same, shape, x.kind)),
            None => Ok(Resolved::typed(Permute(axes), shape, x.kind)),
        }
    }
}

impl Transpose {
    /// The order of the axes.
    fn axes(&self, rank: usize) -> Result<Vec<usize>, Refused> {
        let Some(stated) = &self.permutation else {
            return Ok((0..rank).rev().collect());
        };
        let axes: Vec<usize> = stated
            .iter()
            .map(|&a| axis_of(a, rank))
            .collect::<Result<_, _>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        if sorted != (0..rank).collect::<Vec<_>>() {
            return Err(format!("{stated:?} does not permute {rank} axes").into());
        }
        Ok(axes)
    }
}

/// Of each of several images of a shape.
#[derive(Debug)]
struct PermuteEach {
    shape: Vec<usize>,
    axes: Vec<usize>,
}

impl Kernel for PermuteEach {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = with_images_first(inputs.take(0), &self.shape);
        let within = self.axes.iter().map(|axis| axis + 1);
        let order: Vec<usize> = std::iter::once(0).chain(within).collect();
        let moved = permuted(x, &order);
        vec![moved.into_view(&outputs[0].shape)]
    }
}

#[derive(Debug)]
struct Permute(Vec<usize>);

impl Kernel for Permute {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![permuted(inputs.take(0), &self.0)]
    }
}

/// With its axes in another order; the rank is 2 or more.
pub(super) fn permuted(x: Activation, axes: &[usize]) -> Activation {
    fn permute<const D: usize>(x: Tensor<D>, axes: &[usize]) -> Tensor<D> {
        let mut order = [0_isize; D];
        for (order, &axis) in order.iter_mut().zip(axes) {
            *order = axis as isize;
        }
        x.permute(order)
    }
    at_rank!(x, x => permute(x, axes))
}
