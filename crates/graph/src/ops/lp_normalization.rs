//! `LpNormalization`: divided by the sum of magnitudes along an axis, or by the root of the sum of
//! squares. What is 0 stays 0.

use std::sync::Arc;

use crate::activation::{Activation, IntoView};
use crate::long_rows::LongAxes;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, axis_of, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("LpNormalization", 1, |a| {
    let p = a.int_or("p", 2);
    if !(1..=2).contains(&p) {
        return Err(format!("attribute p is {p}, expected 1 or 2"));
    }
    Ok(Arc::new(LpNormalization {
        axis: a.int_or("axis", -1),
        squares: p == 2,
    }))
})];

#[derive(Debug)]
struct LpNormalization {
    axis: i64,
    squares: bool,
}

impl Operator for LpNormalization {
    facts!(kind: "LpNormalization", algebra: Normalization);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        Apart::along(self.axis, inputs)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let kernel = AlongAxis {
            view: around(&x.shape, axis),
            squares: self.squares,
            over_channels: axis == 1,
        };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

/// The view of a shape in which `axis` is the second of three.
pub(super) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    let (outer, inner) = (&shape[..axis], &shape[axis + 1..]);
    [outer.iter().product(), shape[axis], inner.iter().product()]
}

/// Along the second axis of a view.
#[derive(Debug)]
struct AlongAxis {
    view: [usize; 3],
    squares: bool,
    over_channels: bool,
}

impl Kernel for AlongAxis {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        // Far below the square of any number that counts, and above what underflows.
        const LEAST: f32 = 1e-37;
        let x = inputs.take(0).into_view(&self.view).into_cast::<3>();
        let norm = match self.squares {
            true => (x.clone() * x.clone()).sums_along(1).clamp_min(LEAST).sqrt(),
            false => x.clone().abs().sums_along(1).clamp_min(LEAST),
        };
        vec![(x / norm).into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(3 * shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        self.over_channels.then(|| reach.element_wise()).flatten()
    }
}
