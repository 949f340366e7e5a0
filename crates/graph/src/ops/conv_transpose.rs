//! `ConvTranspose`: the transpose of a convolution, in one to three dimensions.
//!
//! Each input is spread over a window of the output: `y[o, i * stride + a * dilation - before] += x[c, i]
//! weight[c, o, a]`. Behind the last window come zeros where the output is stated to be larger.

use std::sync::Arc;

use burn::tensor::ops::PadMode;
use elucid_rules::Algebra;

use super::conv::{check_bias, check_kernel, groups};
use super::convolution::{
    Convolution, convolution_or_product, has_constant_weights, scaled, weight_and_bias,
};
use super::window::{Axis, Padding, Window, spatial};
use crate::activation::{Activation, IntoView, at_rank};
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, Weighted, Weights, check_size, facts, numbers};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("ConvTranspose", 1, |a| {
    Ok(Arc::new(ConvTranspose {
        window: Window::read(a)?,
        groups: groups(a)?,
        output_padding: a.sizes("output_padding", 0)?.unwrap_or_default(),
        output_shape: a.sizes("output_shape", 1)?.unwrap_or_default(),
    }))
})];

#[derive(Debug)]
struct ConvTranspose {
    window: Window,
    groups: usize,
    /// How much is added at the end; empty for nothing.
    output_padding: Vec<usize>,
    /// The output's size, which borders follow from; empty where it follows from them.
    output_shape: Vec<usize>,
}

impl ConvTranspose {
    /// The windows along an axis, and the size of the output.
    fn axis(&self, mut axis: Axis, i: usize, rank: usize, size: usize) -> Option<(Axis, usize)> {
        let extra = self.output_padding.get(i).copied().unwrap_or(0);
        let covered = (size.checked_sub(1)?)
            .checked_mul(axis.stride)?
            .checked_add(axis.extent()?)?;
        let whole = covered.checked_add(extra)?;
        // Some files state the batch and the channels, too.
        let place = match self.output_shape.len() {
            count if count == rank + 2 => i + 2,
            _ => i,
        };
        let stated = match (self.output_shape.get(place), &self.window.padding) {
            (Some(&stated), _) => stated,
            (None, Padding::Explicit(_)) => {
                let out = whole.checked_sub(axis.before.checked_add(axis.after)?)?;
                return (out > 0).then_some((axis, out));
            }
            (None, _) => size.checked_mul(axis.stride)?,
        };
        let cut = whole.saturating_sub(stated);
        axis.before = match self.window.padding {
            Padding::SameUpper => cut / 2,
            _ => cut - cut / 2,
        };
        Some((axis, stated))
    }
}

impl Operator for ConvTranspose {
    facts!(kind: "ConvTranspose", apart: Rows);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        convolution_or_product(constant)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = &inputs.floats(0)?.shape;
        let ([n, c], size) = spatial(inputs.input(0)?)?;
        let weight = inputs.floats(1)?.shape.as_slice();
        let &[channels, per_group, ref kernel @ ..] = weight else {
            return Err(
                format!("weights have shape {weight:?}, expected [C, O/groups, ...]").into(),
            );
        };
        let groups = self.groups;
        let fits = weight.len() == x.len() && !weight.contains(&0);
        if !fits || channels != c || c % groups != 0 {
            return Err(format!(
                "weights {} in {groups} groups do not fit an input of shape {}, which needs \
                 [C, O/groups, ...] of the same rank",
                few(weight),
                few(x)
            )
            .into());
        }
        let outputs = per_group.checked_mul(groups).ok_or("too many channels")?;
        check_kernel(&self.window, kernel)?;
        check_bias(inputs, 2, outputs)?;
        let rank = size.len();
        let fits = |list: &[usize]| list.is_empty() || list.len() == rank;
        let whole = self.output_shape.len() == rank + 2;
        if !fits(&self.output_padding) || !(fits(&self.output_shape) || whole) {
            return Err(format!(
                "output_padding {} and output_shape {} for {rank} axes",
                few(&self.output_padding),
                few(&self.output_shape)
            )
            .into());
        }
        let mut axes = self.window.unpadded(kernel)?;
        let (mut made, mut base, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (axis, &size)) in axes.iter_mut().zip(size).enumerate() {
            let found = self.axis(*axis, i, rank, size).and_then(|(axis, out)| {
                // Up to where one more window would fit, the output is that of a convolution
                // backwards.
                let covered = (size - 1)
                    .checked_mul(axis.stride)?
                    .checked_add(axis.extent()?)?;
                let end = covered.checked_add(axis.stride - 1)?;
                let base = end.checked_sub(axis.before)?.min(out);
                let after = covered.saturating_sub(base + axis.before);
                Some((Axis { after, ..axis }, out, base))
            });
            let Some((found, out, reached)) = found.filter(|&(_, _, base)| base > 0) else {
                return Err(format!(
                    "windows of {kernel:?} leave nothing of axis {i} of an input of {size}"
                )
                .into());
            };
            *axis = found;
            made.push(out);
            base.push(reached);
            behind.push(out - reached);
        }
        let shape = [&[n, outputs][..], &made].concat();
        check_size(&shape)?;
        let conv = Convolution::new(axes, groups)?;
        if conv.positions(&base).as_deref() != Some(size) {
            return Err(format!("windows of {kernel:?} do not fit an output of {base:?}").into());
        }
        // What the windows write.
        check_size(&[&[per_group][..], kernel, size].concat())?;
        conv.check(&[&[n, outputs][..], &base].concat(), 1, size)?;
        let kernel = Spread { conv, base, behind };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct Spread {
    /// The convolution that leads back.
    conv: Convolution,
    /// The size of the output as far as windows may reach.
    base: Vec<usize>,
    /// How many zeros are behind it.
    behind: Vec<usize>,
}

impl Kernel for Spread {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let (x, weight) = (inputs.take(0), inputs.take(1));
        vec![self.linear(x, &weight, inputs.maybe(2).as_ref())]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // Each number that is read goes to a window of each output of its group.
        let bias = shapes.input(2).map_or(0, |_| shapes.made());
        let weight = shapes.input(1)?;
        Some(2 * shapes.read(0) * numbers(weight.get(1..)?) + bias)
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        let axes = self.conv.axes.as_slice();
        if axes.len() != 2 {
            return None;
        }
        reach.mapped(|axis, i| {
            let windows = axes[axis];
            let last = windows.positions(self.base[axis])? - 1;
            let at = i + windows.before;
            let first = (at + 1).saturating_sub(windows.extent()?);
            let (first, last) = (
                first.div_ceil(windows.stride),
                last.min(at / windows.stride),
            );
            (first <= last).then_some((first, last))
        })
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        Some(self)
    }
}

impl Weighted for Spread {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        has_constant_weights(constant)
    }

    fn weights(&self, inputs: Slots) -> Option<Weights> {
        weight_and_bias(inputs)
    }

    fn linear(&self, x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation {
        let mut y = self.conv.transpose(x, weight.clone(), &self.base);
        if self.behind.iter().any(|&n| n > 0) {
            let mut pads = vec![(0, 0); 2];
            pads.extend(self.behind.iter().map(|&n| (0, n)));
            y = at_rank!(y, y => y.pad(pads.as_slice(), PadMode::Constant(0.0)));
        }
        match bias {
            None => y,
            Some(bias) => {
                let mut view = vec![1; y.shape().len()];
                view[1] = bias.shape().iter().product();
                let bias = bias.clone().into_view(&view).untyped();
                (y.untyped() + bias).into()
            }
        }
    }

    fn transpose(&self, mut g: Activation, weight: &Activation, _input: &[usize]) -> Activation {
        for (i, (&base, &behind)) in self.base.iter().zip(&self.behind).enumerate() {
            if behind > 0 {
                g = at_rank!(g, g => g.narrow(i + 2, 0, base));
            }
        }
        self.conv.run(g, weight.clone(), None)
    }

    fn scale_outputs(&self, weight: Activation, factor: Activation) -> Activation {
        scaled(weight, factor, 1, self.conv.groups)
    }
}
