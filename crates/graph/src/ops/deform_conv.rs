//! `DeformConv`: a convolution whose windows read where offsets lead them.
//!
//! `y[o, i] = bias[o] + sum over c, a of weight[o, c, a] mask[a, i] x[c, p]`, where `p` is
//! `i * stride + a * dilation - before` and `offset[a, i]` together, `x` between its positions by linear interpolation and 0 outside. Differentiable in
//! all inputs.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::conv::{check_bias, check_kernel, groups, weight_sizes};
use super::convolution::Convolution;
use super::sampling::{Interpolation, Outside, sampled};
use super::window::{Window, spatial};
use crate::activation::{Activation, IntoView};
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_size, facts, numbers};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("DeformConv", 19, |a| {
    let stated = a.int_or("offset_group", 1);
    let parts = usize::try_from(stated).ok().filter(|&g| g > 0);
    let parts = parts.ok_or_else(|| format!("attribute offset_group is {stated}"))?;
    Ok(Arc::new(DeformConv {
        window: Window::read(a)?,
        groups: groups(a)?,
        parts,
    }))
})];

#[derive(Debug)]
struct DeformConv {
    window: Window,
    groups: usize,
    /// Into how many parts the channels fall that have offsets of their own.
    parts: usize,
}

impl Operator for DeformConv {
    facts!(kind: "DeformConv", algebra: Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = &inputs.floats(0)?.shape;
        let ([n, c], size) = spatial(inputs.input(0)?)?;
        let weight = inputs.floats(1)?.shape.as_slice();
        let (out, per_group, kernel) = weight_sizes(weight)?;
        let (groups, parts) = (self.groups, self.parts);
        let fits = weight.len() == x.len()
            && !weight.contains(&0)
            && per_group.checked_mul(groups) == Some(c)
            && out % groups == 0
            && c % parts == 0;
        if !fits {
            return Err(format!(
                "weights {} in {groups} groups and offsets in {parts} do not fit an input of shape {}",
                few(weight),
                few(x)
            )
            .into());
        }
        check_kernel(&self.window, kernel)?;
        check_bias(inputs, 3, out)?;
        let conv = Convolution::new(self.window.axes(kernel, size)?, groups)?;
        let positions = conv
            .positions(size)
            .ok_or_else(|| format!("a kernel of {kernel:?} does not fit an input of {size:?}"))?;
        check_size(kernel)?;
        let taps: usize = kernel.iter().product();
        let shape = [&[n, out][..], &positions].concat();
        check_size(&shape)?;
        check_size(&[&[n, c, taps][..], &positions].concat())?;
        check_size(&[&[n, parts, taps, size.len()][..], &positions].concat())?;
        let slots = [(2, parts * taps * size.len()), (4, parts * taps)];
        for (slot, channels) in slots {
            let expected = [&[n, channels][..], &positions].concat();
            let is_needed = slot == 2 || inputs.optional(slot).is_some();
            if is_needed && inputs.floats(slot)?.shape != expected {
                return Err(format!(
                    "input {slot} has shape {}, expected {expected:?}",
                    few(&inputs.input(slot)?.shape)
                )
                .into());
            }
        }
        let kernel = Deformed {
            conv,
            parts,
            size: size.to_vec(),
            positions,
        };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct Deformed {
    conv: Convolution,
    parts: usize,
    size: Vec<usize>,
    positions: Vec<usize>,
}

impl Deformed {
    /// Where each tap of each window is along an axis without an offset, `[1, taps * positions]`.
    fn grid(&self, axis: usize) -> TensorData {
        // The coordinate along the axis of what is at `i` in row-major order.
        let along = |mut i: usize, sizes: &[usize]| {
            for &size in sizes[axis + 1..].iter().rev() {
                i /= size;
            }
            i % sizes[axis]
        };
        let kernel: Vec<usize> = self.conv.axes.iter().map(|axis| axis.kernel).collect();
        let (taps, places): (usize, usize) =
            (kernel.iter().product(), self.positions.iter().product());
        let windows = self.conv.axes[axis];
        let mut grid = Vec::with_capacity(taps * places);
        for tap in 0..taps {
            let tap = along(tap, &kernel) * windows.dilation;
            for place in 0..places {
                let start = along(place, &self.positions) * windows.stride;
                grid.push((start + tap) as f32 - windows.before as f32);
            }
        }
        TensorData::new(grid, [1, taps * places])
    }
}

impl Kernel for Deformed {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let (n, out) = (outputs[0].shape[0], outputs[0].shape[1]);
        let x = inputs.take(0);
        let (channels, device) = (x.shape()[1], x.device());
        let rank = self.size.len();
        let taps: usize = self.conv.axes.iter().map(|axis| axis.kernel).product();
        let places: usize = self.positions.iter().product();
        let inside: usize = self.size.iter().product();
        let (parts, groups) = (self.parts, self.conv.groups);
        let weight = inputs.take(1);
        let offset = inputs
            .take(2)
            .into_view(&[n * parts, taps, rank, places])
            .into_cast::<4>();
        let coordinates = (0..rank).map(|axis| {
            let offset = offset.clone().narrow(2, axis, 1);
            let grid = Tensor::<2>::from_data(self.grid(axis), &device);
            offset.reshape([n * parts, taps * places]) + grid
        });
        let read = sampled(
            x.into_view(&[n * parts, channels / parts, inside])
                .into_cast(),
            &self.size,
            coordinates.collect(),
            Interpolation::Linear,
            Outside::Zeros,
        );
        let read = match inputs.maybe(4) {
            None => read,
            Some(mask) => {
                read * mask
                    .into_view(&[n * parts, 1, taps * places])
                    .into_cast::<3>()
            }
        };
        let per_group = channels / groups;
        let read = read.reshape([n, groups, per_group * taps, places]);
        let weight = weight.into_view(&[1, groups, out / groups, per_group * taps]);
        let y = weight
            .into_cast::<4>()
            .matmul(read)
            .reshape([n, out, places]);
        let y = match inputs.maybe(3) {
            None => y,
            Some(bias) => y + bias.into_view(&[1, out, 1]).into_cast::<3>(),
        };
        vec![y.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let taps: usize = self.conv.axes.iter().map(|axis| axis.kernel).product();
        let rows = numbers(shapes.input(0)?.get(..2)?);
        let gathered = rows * taps as u64 * numbers(&self.positions);
        let neighbours = 1 << self.size.len();
        let masked = shapes.input(4).map_or(0, |_| gathered);
        let bias = shapes.input(3).map_or(0, |_| shapes.made());
        let product = self.conv.products(shapes.made(), shapes);
        Some(product + bias + gathered * 2 * neighbours + masked)
    }
}
