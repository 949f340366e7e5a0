//! `Conv`: convolution with constant or computed weights, in one to three dimensions.
//!
//! `y[o, i] = bias[o] + sum over c, a of weight[o, c, a] x[c, i * stride + a * dilation - before]`, with
//! zeros outside and `c` counted within the group of `o`.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind, Pointwise, Pool2d};

use super::convolution::{
    Convolution, convolution_or_product, has_constant_weights, scaled, weight_and_bias,
};
use super::window::{Axis, Window, spatial};
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, Weighted, Weights, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Conv", 1, |a| Ok(Arc::new(Conv::read(a)?)))];

#[derive(Debug)]
pub(super) struct Conv {
    window: Window,
    groups: usize,
}

/// The attribute `group`.
pub(super) fn groups(a: &Attributes) -> Result<usize, String> {
    let group = a.int_or("group", 1);
    let groups = usize::try_from(group).ok().filter(|&g| g > 0);
    groups.ok_or_else(|| format!("attribute group is {group}, expected 1 or more"))
}

impl Conv {
    pub fn read(a: &Attributes) -> Result<Self, String> {
        Ok(Self {
            window: Window::read(a)?,
            groups: groups(a)?,
        })
    }

    /// The convolution and the shape of its output.
    pub fn resolved(&self, inputs: &Operands<'_>) -> Result<(Convolution, Vec<usize>), Refused> {
        let x = &inputs.floats(0)?.shape;
        let ([n, c], size) = spatial(inputs.input(0)?)?;
        let weight = inputs.floats(1)?.shape.as_slice();
        let (out, per_group, kernel) = weight_sizes(weight)?;
        if weight.len() != x.len() || weight.contains(&0) {
            return Err(format!(
                "weights have shape {}, an input of shape {} needs [O, C/groups, ...] of the same \
                 rank",
                few(weight),
                few(x)
            )
            .into());
        }
        let groups = self.groups;
        if per_group.checked_mul(groups) != Some(c) || out % groups != 0 {
            return Err(format!(
                "weights {weight:?} in {groups} groups do not fit an input of {c} channels"
            )
            .into());
        }
        check_kernel(&self.window, kernel)?;
        check_bias(inputs, 2, out)?;
        let conv = Convolution::new(self.window.axes(kernel, size)?, groups)?;
        let positions = conv.positions(size).ok_or_else(|| {
            let reach: Vec<usize> = conv.axes.iter().flat_map(|axis| axis.extent()).collect();
            let borders = conv.axes.iter().map(|axis| (axis.before, axis.after));
            format!(
                "a kernel of {kernel:?} that reaches over {reach:?} does not fit an input of \
                 {size:?} padded by {:?}",
                borders.collect::<Vec<_>>()
            )
        })?;
        conv.check(x, per_group, &positions)?;
        let shape = [&[n, out][..], &positions].concat();
        Ok((conv, shape))
    }
}

/// Outputs, channels of a group and the kernel's size of weights.
pub(super) fn weight_sizes(weight: &[usize]) -> Result<(usize, usize, &[usize]), String> {
    match weight {
        [out, per_group, kernel @ ..] => Ok((*out, *per_group, kernel)),
        _ => Err(format!(
            "weights have shape {weight:?}, expected [O, C/groups, ...]"
        )),
    }
}

/// Refuses a stated size that is not the weights'.
pub(super) fn check_kernel(window: &Window, kernel: &[usize]) -> Result<(), Refused> {
    match &window.kernel {
        Some(stated) if stated != kernel => {
            Err(format!("kernel_shape {stated:?} differs from the weights', {kernel:?}").into())
        }
        _ => Ok(()),
    }
}

/// Refuses a bias that is not `[outputs]`.
pub(super) fn check_bias(
    inputs: &Operands<'_>,
    slot: usize,
    outputs: usize,
) -> Result<(), Refused> {
    match inputs.optional(slot) {
        Some(bias) if bias.shape != [outputs] || !bias.kind.is_float() => Err(format!(
            "bias has shape {} of {}, expected [{outputs}] of floats",
            few(&bias.shape),
            bias.kind
        )
        .into()),
        _ => Ok(()),
    }
}

impl Operator for Conv {
    facts!(kind: OpKind::Conv, apart: Rows);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        convolution_or_product(constant)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (conv, shape) = self.resolved(inputs)?;
        Ok(Resolved::typed(conv, shape, inputs.input(0)?.kind))
    }
}

impl Kernel for Convolution {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let weight = inputs.take(1);
        let bias = inputs.maybe(2).map(Activation::into_cast::<1>);
        vec![Convolution::run(self, inputs.take(0), weight, bias)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let bias = shapes.input(2).map_or(0, |_| shapes.made());
        Some(self.products(shapes.made(), shapes) + bias)
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        let &[rows, columns] = self.axes.as_slice() else {
            return None;
        };
        let both = |of: fn(Axis) -> usize| [of(rows), of(columns)];
        let pool = Pool2d {
            kernel: both(|axis| axis.kernel),
            stride: both(|axis| axis.stride),
            pads: [rows.before, columns.before, rows.after, columns.after],
            dilation: both(|axis| axis.dilation),
            ceil_mode: false,
        };
        reach.slide_without_rule(&pool)
    }

    fn then(&self, function: Pointwise) -> Option<Arc<dyn Kernel>> {
        let fused = Then {
            conv: self.clone(),
            function,
        };
        (self.axes.len() < 3).then(|| Arc::new(fused) as Arc<dyn Kernel>)
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        Some(self)
    }
}

/// A convolution with a function of each number behind it.
#[derive(Debug)]
struct Then {
    conv: Convolution,
    function: Pointwise,
}

impl Kernel for Then {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let weight = inputs.take(1);
        let bias = inputs.maybe(2).map(Activation::into_cast::<1>);
        let x = inputs.take(0);
        vec![self.conv.run_then(x, weight, bias, self.function)]
    }
}

impl Weighted for Convolution {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        has_constant_weights(constant)
    }

    fn weights(&self, inputs: Slots) -> Option<Weights> {
        weight_and_bias(inputs)
    }

    fn linear(&self, x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation {
        let bias = bias.map(|bias| bias.clone().into_cast::<1>());
        Convolution::run(self, x, weight.clone(), bias)
    }

    fn transpose(&self, g: Activation, weight: &Activation, input: &[usize]) -> Activation {
        Convolution::transpose(self, g, weight.clone(), &input[2..])
    }

    fn scale_outputs(&self, weight: Activation, factor: Activation) -> Activation {
        scaled(weight, factor, 0, self.groups)
    }
}
