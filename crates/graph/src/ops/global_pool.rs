//! `GlobalAveragePool` and `GlobalMaxPool`: one number for each channel.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use super::reduce::{How, Reduce};
use crate::long_rows::LongRows;
use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("GlobalAveragePool", 1, |_| {
        Ok(Arc::new(GlobalPool { max: false }))
    }),
    Entry::onnx("GlobalMaxPool", 1, |_| {
        Ok(Arc::new(GlobalPool { max: true }))
    }),
];

#[derive(Debug)]
struct GlobalPool {
    max: bool,
}

impl Operator for GlobalPool {
    facts!(apart: Rows);

    fn kind(&self) -> OpKind {
        match self.max {
            true => OpKind::GlobalMaxPool,
            false => OpKind::GlobalAveragePool,
        }
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        match self.max {
            true => Algebra::Maximum,
            false => Algebra::Linear,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let &[n, c, ref positions @ ..] = x.shape.as_slice() else {
            return Err(format!("input has shape {:?}, expected [N, C, ...]", x.shape).into());
        };
        let shape = [&[n, c][..], &vec![1; positions.len()]].concat();
        if self.max {
            return Ok(Resolved::typed(Largest, shape, x.kind));
        }
        let kernel = Reduce {
            how: How::Mean,
            axes: (2..x.shape.len()).collect(),
        };
        Ok(Resolved::typed(kernel, shape, x.kind))
    }
}

#[derive(Debug)]
struct Largest;

impl Kernel for Largest {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let shape = x.shape();
        let (images, positions) = shape.split_at(2);
        let view = [images[0] * images[1], positions.iter().product()];
        let largest = x.into_view(&view).into_cast::<2>().row_maxima();
        vec![largest.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(shapes.read(0))
    }
}
