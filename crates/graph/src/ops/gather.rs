//! `Gather`: slices of a tensor along an axis, by their indices.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use elucid_rules::OpKind;

use crate::activation::{Activation, IntoView, MAX_RANK, at_rank};
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_host_size,
    facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;
use crate::together::with_images_first;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Gather", 1, |a| {
    let axis = a.int_or("axis", 0);
    Ok(Arc::new(Gather { axis }))
})];

#[derive(Debug)]
struct Gather {
    axis: i64,
}

impl Operator for Gather {
    facts!(kind: OpKind::Gather, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let Ok(x) = inputs.input(0) else {
            return Apart::No;
        };
        let axis = axis_of(self.axis, x.shape.len());
        match (axis, inputs.ints(1, "the indices")) {
            (Ok(1..), _) => Apart::Rows,
            (Ok(0), Ok(stated)) if x.shape.len() < MAX_RANK => {
                let shape = x.shape.clone();
                match indices_of(&stated, shape[0]) {
                    Ok(indices) => Apart::By(Arc::new(SelectRows { shape, indices })),
                    Err(_) => Apart::No,
                }
            }
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let shape = inputs.input(1)?.shape.clone();
        let stated = inputs.ints(1, "the indices")?;
        let indices = indices_of(&stated, x.shape[axis])?;
        let mut out = x.shape.clone();
        out.splice(axis..=axis, shape.iter().copied());
        match &x.host {
            Some(host) => {
                check_host_size(&out)?;
                Ok(Resolved::known(host.gather(axis, &indices, &shape)?))
            }
            None => Ok(match Known::empty(&out, x.kind) {
                Some(empty) => Resolved {
                    kernel: None,
                    outputs: vec![empty],
                },
                None => Resolved::typed(Select { axis, indices }, out, x.kind),
            }),
        }
    }
}

/// Indices into a dimension of `size`, counted from the front.
pub(super) fn indices_of(stated: &[i64], size: usize) -> Result<Vec<usize>, Refused> {
    let index = |&i: &i64| {
        let wrapped = if i < 0 {
            i.saturating_add(size as i64)
        } else {
            i
        };
        let index = usize::try_from(wrapped).ok().filter(|&i| i < size);
        index.ok_or_else(|| Refused::from(format!("index {i} is outside a dimension of {size}")))
    };
    stated.iter().map(index).collect()
}

#[derive(Debug)]
struct Select {
    axis: usize,
    indices: Vec<usize>,
}

impl Kernel for Select {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let picked = selected(inputs.take(0), self.axis, &self.indices);
        vec![picked.into_view(&outputs[0].shape)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        (self.axis == 1).then(|| reach.same()).flatten()
    }
}

/// Along axis 0 of each of several images of a shape.
#[derive(Debug)]
struct SelectRows {
    shape: Vec<usize>,
    indices: Vec<usize>,
}

impl Kernel for SelectRows {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = with_images_first(inputs.take(0), &self.shape);
        vec![selected(x, 1, &self.indices).into_view(&outputs[0].shape)]
    }
}

/// The slices at `indices` along `axis`.
pub(super) fn selected(x: Activation, axis: usize, indices: &[usize]) -> Activation {
    let picked = index_tensor(indices, &x);
    at_rank!(x, x => x.select(axis, picked))
}

/// Indices on the device of a tensor.
pub(super) fn index_tensor(indices: &[usize], like: &Activation) -> Tensor<1, Int> {
    let values: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &like.device())
}
