//! `Softmax`, `LogSoftmax` and `Hardmax`, which is 1 at the first of the largest numbers and 0
//! elsewhere.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, activation};
use elucid_rules::{Algebra, OpKind, softmax_of_rows};

use super::lp_normalization::around;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::long_rows::{AT_ONCE, LongAxes};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, axis_of, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Softmax", 1, |a| read(a, How::Soft)),
    Entry::onnx("LogSoftmax", 1, |a| read(a, How::Log)),
    Entry::onnx("Hardmax", 1, |a| read(a, How::Hard)),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Soft,
    Log,
    Hard,
}

fn read(a: &Attributes, how: How) -> Result<Arc<dyn Operator>, String> {
    let flatten = a.opset() < 13;
    let axis = a.int_or("axis", if flatten { 1 } else { -1 });
    Ok(Arc::new(Softmax { axis, flatten, how }))
}

#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// Before opset 13, everything from `axis` on is one dimension.
    flatten: bool,
    how: How,
}

impl Operator for Softmax {
    facts!(axis: .axis);

    fn kind(&self) -> OpKind {
        match self.how {
            How::Soft => OpKind::Softmax,
            How::Log => OpKind::LogSoftmax,
            How::Hard => OpKind::new("Hardmax"),
        }
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        match self.how {
            How::Hard => Algebra::Decision,
            _ => Algebra::Softmax,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        Apart::along(self.axis, inputs)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let view = if self.flatten {
            let (outer, inner) = x.shape.split_at(axis);
            [outer.iter().product(), inner.iter().product(), 1]
        } else {
            around(&x.shape, axis)
        };
        let kernel = AlongAxis {
            view,
            over_channels: axis == 1 && !self.flatten,
            how: self.how,
        };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

/// Along the second axis of the input viewed as `view`.
#[derive(Debug)]
struct AlongAxis {
    view: [usize; 3],
    over_channels: bool,
    how: How,
}

impl Kernel for AlongAxis {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        if let (How::Soft, [outer, row, 1]) = (self.how, self.view) {
            let x = x.into_view(&[outer, row]).into_cast::<2>();
            let y = softmax_of_rows(x, |x| softmax(x.unsqueeze_dim::<3>(2)).squeeze_dim(2));
            return vec![y.into_view(&outputs[0].shape)];
        }
        let x = x.into_view(&self.view).into_cast::<3>();
        let y = match self.how {
            How::Soft => softmax(x),
            How::Log if x.dims()[1] <= AT_ONCE => activation::log_softmax(x, 1),
            How::Log => {
                let (below, _, sum) = powers(x);
                below - sum.log()
            }
            How::Hard => hardmax(x),
        };
        vec![y.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // The largest, its difference, the exponential, the sum, the quotient.
        let each = match self.how {
            How::Soft | How::Log => 5,
            How::Hard => 2,
        };
        Some(each * shapes.made())
    }

    fn softmax_view(&self) -> Option<[usize; 3]> {
        Some(self.view).filter(|_| self.how == How::Soft)
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        self.over_channels.then(|| reach.element_wise()).flatten()
    }
}

/// Along the second axis.
fn softmax(x: Tensor<3>) -> Tensor<3> {
    if x.dims()[1] <= AT_ONCE {
        return activation::softmax(x, 1);
    }
    let (_, powers, sum) = powers(x);
    powers / sum
}

/// Along the second axis the differences to the largest number, their exponentials and the sum of those.
fn powers(x: Tensor<3>) -> (Tensor<3>, Tensor<3>, Tensor<3>) {
    let below = x.clone() - x.without_autodiff().maxima_along(1);
    let powers = below.clone().exp();
    let sum = powers.clone().sums_along(1);
    (below, powers, sum)
}

fn hardmax(x: Tensor<3>) -> Tensor<3> {
    let x = x.without_autodiff();
    let count = x.dims()[1];
    let places = Tensor::<1, Int>::arange(0..count as i64, &x.device()).float();
    let places = places.reshape([1, count, 1]);
    let is_largest = x.clone().equal(x.clone().maxima_along(1).expand(x.dims()));
    // Behind the last place where there is none.
    let elsewhere = x.zeros_like() + count as f32;
    let first = elsewhere.mask_where(is_largest, x.zeros_like() + places.clone());
    (x.zeros_like() + places)
        .equal(first.minima_along(1).expand(x.dims()))
        .float()
}
