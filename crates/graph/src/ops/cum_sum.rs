//! `CumSum`: at each place the sum of all numbers up to it along an axis.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::activation::{Activation, at_rank};
use crate::host::HostTensor;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, axis_of, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("CumSum", 11, |a| {
    Ok(Arc::new(CumSum {
        exclusive: a.flag("exclusive"),
        reverse: a.flag("reverse"),
    }))
})];

#[derive(Debug, Clone, Copy)]
struct CumSum {
    /// Whether a place's own number is left out.
    exclusive: bool,
    /// Whether the sums start at the end.
    reverse: bool,
}

impl Operator for CumSum {
    facts!(kind: "CumSum", algebra: Linear);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let axis = inputs.value(1, "the axis")?.scalar_int()?;
        let axis = axis_of(axis, x.shape.len())?;
        if x.kind.is_float() && !x.shape.contains(&0) {
            let kernel = Sums { axis, how: *self };
            return Ok(Resolved::typed(kernel, x.shape.clone(), x.kind));
        }
        let host = inputs.value(0, "what is summed")?;
        if host.is_empty() {
            return Ok(Resolved::known(host.clone()));
        }
        let mut values = host.ints()?;
        let (size, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
        for first in 0..values.len() / size {
            let start = first / inner * size * inner + first % inner;
            let mut sum = 0_i64;
            for k in 0..size {
                let k = if self.reverse { size - 1 - k } else { k };
                let value = &mut values[start + k * inner];
                let next = sum.wrapping_add(*value);
                *value = if self.exclusive { sum } else { next };
                sum = next;
            }
        }
        let made = HostTensor::of_ints(x.kind, &x.shape, values)?;
        Ok(Resolved::known(made))
    }
}

#[derive(Debug)]
struct Sums {
    axis: usize,
    how: CumSum,
}

impl Kernel for Sums {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![at_rank!(inputs.take(0), x => self.of(x))]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(shapes.made())
    }
}

impl Sums {
    fn of<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let turned = |x: Tensor<D>| match self.how.reverse {
            true => x.flip([self.axis]),
            false => x,
        };
        let mut sums = turned(x).cumsum(self.axis);
        if self.how.exclusive {
            let (axis, size) = (self.axis, sums.dims()[self.axis]);
            let nothing = sums
                .clone()
                .without_autodiff()
                .narrow(axis, 0, 1)
                .zeros_like();
            sums = match size {
                1 => nothing,
                _ => Tensor::cat(vec![nothing, sums.narrow(axis, 0, size - 1)], axis),
            };
        }
        turned(sums)
    }
}
