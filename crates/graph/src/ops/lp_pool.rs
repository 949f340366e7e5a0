//! `LpPool` and `GlobalLpPool`: the p-norm of each window, `(sum of |x|^p)^(1/p)`, with zeros in the
//! border.
//!
//! The gradient of the norm of nothing but zeros counts as 0.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use elucid_rules::{avg_pool2d, powf};

use super::window::{Axis, Pooling, Window, spatial};
use crate::long_rows::LongRows;
use crate::activation::{Activation, IntoView, at_rank};
use crate::attributes::Attributes;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_size, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("LpPool", 1, |a| {
        Ok(Arc::new(LpPool {
            window: Window::read_pool(a)?,
            p: exponent(a)?,
        }))
    }),
    Entry::onnx("GlobalLpPool", 1, |a| {
        Ok(Arc::new(GlobalLpPool { p: exponent(a)? }))
    }),
];

/// The attribute `p`: a number at first, an integer since.
fn exponent(a: &Attributes) -> Result<f32, String> {
    let p = a.int("p").map(|p| p as f32).or(a.float("p")).unwrap_or(2.0);
    match p.is_finite() && p > 0.0 {
        true => Ok(p),
        false => Err(format!("attribute p is {p}, expected a number above 0")),
    }
}

#[derive(Debug)]
struct LpPool {
    window: Window,
    p: f32,
}

impl Operator for LpPool {
    facts!(kind: "LpPool", algebra: Other, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let kind = inputs.floats(0)?.kind;
        let stated = self.window.pool(inputs)?;
        // With the border made explicit, all windows have the same size.
        let mut pads = vec![(0, 0); 2];
        let mut size = stated.input[2..].to_vec();
        let mut axes = Vec::new();
        for (i, axis) in stated.axes.iter().enumerate() {
            let covered = (stated.shape[i + 2] - 1)
                .checked_mul(axis.stride)
                .and_then(|reached| reached.checked_add(axis.extent()?))
                .ok_or("the window overflows")?;
            let after = covered.saturating_sub(size[i] + axis.before);
            size[i] += axis.before + after;
            pads.push((axis.before, after));
            axes.push(Axis {
                before: 0,
                after: 0,
                ..*axis
            });
        }
        let outer = [stated.input[0], stated.input[1]];
        check_size(&[&outer[..], &size].concat())?;
        let count = axes.iter().map(|axis| axis.kernel as f64).product();
        let pooling = Pooling::new(outer, &size, axes, false)?;
        if pooling.shape != stated.shape {
            return Err(format!("windows over {size:?} do not fit").into());
        }
        let kernel = Norms {
            p: self.p,
            pads,
            pooling,
            count,
            stated,
        };
        let shape = kernel.stated.shape.clone();
        Ok(Resolved::typed(kernel, shape, kind))
    }
}

#[derive(Debug)]
struct Norms {
    p: f32,
    pads: Vec<(usize, usize)>,
    /// Over the padded input.
    pooling: Pooling,
    /// How many numbers a window has.
    count: f64,
    stated: Pooling,
}

impl Kernel for Norms {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let mut x: Activation = power(inputs.take(0).untyped(), self.p).into();
        if self.pads.iter().any(|&pads| pads != (0, 0)) {
            x = at_rank!(x, x => x.pad(self.pads.as_slice(), PadMode::Constant(0.0)));
        }
        let means = self.pooling.run(x, |x, pool| avg_pool2d(x, pool, true));
        vec![root(means.untyped() * self.count, self.p).into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // Powers, sums and roots.
        Some(shapes.read(0) + self.pooling.read() + shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.slide(self.stated.plane()?)
    }
}

#[derive(Debug)]
struct GlobalLpPool {
    p: f32,
}

impl Operator for GlobalLpPool {
    facts!(kind: "GlobalLpPool", algebra: Other, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let ([n, c], positions) = spatial(x)?;
        let shape = [&[n, c][..], &vec![1; positions.len()]].concat();
        Ok(Resolved::typed(Norm { p: self.p }, shape, x.kind))
    }
}

#[derive(Debug)]
struct Norm {
    p: f32,
}

impl Kernel for Norm {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let shape = x.shape();
        let (images, positions) = shape.split_at(2);
        let view = [images.iter().product(), positions.iter().product::<usize>()];
        let x: Activation = power(x.into_view(&view).untyped(), self.p).into();
        let sums = x.into_cast::<2>().row_sums().into_view(&outputs[0].shape);
        vec![root(sums.untyped(), self.p).into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(2 * shapes.read(0) + shapes.made())
    }
}

/// `|x|^p`.
fn power(x: Tensor<1>, p: f32) -> Tensor<1> {
    if p == 1.0 {
        x.abs()
    } else if p == 2.0 {
        x.clone() * x
    } else {
        powf(x.abs(), p)
    }
}

/// The p-th root of numbers that are not negative.
fn root(x: Tensor<1>, p: f32) -> Tensor<1> {
    if p == 1.0 {
        return x;
    }
    let nothing = x.clone().without_autodiff().lower_equal_scalar(0.0);
    let x = x.mask_fill(nothing.clone(), 1.0);
    let y = if p == 2.0 { x.sqrt() } else { powf(x, 1.0 / p) };
    y.mask_fill(nothing, 0.0)
}
