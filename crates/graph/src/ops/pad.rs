//! `Pad`: numbers around a tensor; the number that is put there may be computed by the network.

use std::sync::Arc;

use burn::tensor::ops::PadMode;
use elucid_rules::OpKind;

use crate::activation::{Activation, IntoView, at_rank};
use crate::host::{HostTensor, Range};
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_host_size,
    facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Pad", 1, |a| {
    let mode = match a.text_or("mode", "constant") {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => {
            return Err(format!(
                "mode is \"{other}\", expected constant, reflect, edge or wrap"
            ));
        }
    };
    let old = if a.opset() < 2 { "paddings" } else { "pads" };
    Ok(Arc::new(Pad {
        mode,
        pads: (a.opset() < 11).then(|| a.ints(old).unwrap_or_default()),
        value: a.float_or("value", 0.0),
    }))
})];

/// How the numbers around a tensor are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

#[derive(Debug)]
struct Pad {
    mode: Mode,
    /// `None` where they are an input.
    pads: Option<Vec<i64>>,
    value: f32,
}

impl Operator for Pad {
    facts!(kind: OpKind::Pad, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let x = inputs.input(0).map(|x| x.shape.len());
        let pads = match &self.pads {
            Some(pads) => Ok(pads.clone()),
            None => inputs.list(1, "the pads"),
        };
        let axes = inputs.optional_list(3, "the axes");
        let (Ok(rank), Ok(pads), Ok(axes)) = (x, pads, axes) else {
            return Apart::No;
        };
        let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
        let is_first = |axis: &i64| axis_of(*axis, rank) == Ok(0);
        let at = axes.iter().position(is_first);
        match at.is_none_or(|i| pads.get(i) == Some(&0) && pads.get(i + axes.len()) == Some(&0)) {
            true => Apart::Rows,
            false => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let shape = &x.shape;
        let pads = match &self.pads {
            Some(pads) => pads.clone(),
            None => inputs.list(1, "the pads")?,
        };
        let fill = self.fill(inputs, x)?;
        let axes: Vec<usize> = match inputs.optional_list(3, "the axes")? {
            None => (0..shape.len()).collect(),
            Some(axes) => axes
                .iter()
                .map(|&a| axis_of(a, shape.len()))
                .collect::<Result<_, _>>()?,
        };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
        }
        // Negative pads cut off, before anything is put around what is left.
        let mut ranges: Vec<Range> = shape.iter().map(|&d| Range::whole(d)).collect();
        let mut pairs = vec![(0, 0); shape.len()];
        for (i, &axis) in axes.iter().enumerate() {
            let (before, after) = (pads[i], pads[i + axes.len()]);
            let cut = |pad: i64| usize::try_from(pad.saturating_neg().max(0)).unwrap_or(usize::MAX);
            let add = |pad: i64| usize::try_from(pad.max(0)).unwrap_or(usize::MAX);
            let left = shape[axis]
                .checked_sub(cut(before))
                .and_then(|left| left.checked_sub(cut(after)))
                .ok_or_else(|| format!("pads of {before} and {after} cut off all of {shape:?}"))?;
            ranges[axis] = Range {
                start: cut(before),
                step: 1,
                len: left,
            };
            pairs[axis] = (add(before), add(after));
        }
        let mut out = Vec::new();
        for (range, &(before, after)) in ranges.iter().zip(&pairs) {
            let (d, widest) = (range.len, before.max(after));
            let too_wide = match self.mode {
                Mode::Constant => false,
                Mode::Reflect => widest > 0 && widest >= d,
                Mode::Edge => widest > 0 && d == 0,
                Mode::Wrap => widest > d,
            };
            if too_wide {
                let mode = self.mode;
                return Err(format!("{mode:?} padding by {widest} of a dimension of {d}").into());
            }
            let sum = d.checked_add(before).and_then(|s| s.checked_add(after));
            out.push(sum.ok_or("the padded size overflows")?);
        }
        if let (Some(host), Some(fill)) = (&x.host, &fill) {
            check_host_size(&out)?;
            let cut = host.slice(&ranges);
            return Ok(Resolved::known(self.on_host(&cut, &pairs, fill, &out)?));
        }
        if ranges.iter().any(|range| range.len == 0) {
            // Nothing is left to put something around.
            let fill = fill.ok_or("pads cut off all of the input")?;
            check_host_size(&out)?;
            return Ok(Resolved::known(fill.expand(&out)?));
        }
        let kernel = Around {
            ranges,
            pads: pairs,
            mode: self.mode,
            value: fill.map(|fill| fill.scalar_float()).transpose()?,
        };
        Ok(Resolved::typed(kernel, out, x.kind))
    }
}

impl Pad {
    /// What is put around, as a scalar of the type of `x`; `None` when the network computes it.
    fn fill(&self, inputs: &Operands<'_>, x: &Known) -> Result<Option<HostTensor>, Refused> {
        let stated = inputs.optional(2).filter(|_| self.pads.is_none());
        let Some(known) = stated.filter(|_| self.mode == Mode::Constant) else {
            let value = vec![self.value];
            return Ok(Some(HostTensor::of_numbers(x.kind, &[], value)?));
        };
        if known.kind != x.kind || known.shape.iter().any(|&size| size != 1) {
            return Err(format!(
                "the padding's value holds {} in shape {:?}, expected one {}",
                known.kind, known.shape, x.kind
            )
            .into());
        }
        if !x.kind.is_float() {
            inputs.value(2, "the padding's value")?;
        }
        let host = known.host.as_ref();
        Ok(host.map(|host| host.reshape(&[])).transpose()?)
    }

    fn on_host(
        &self,
        host: &HostTensor,
        pads: &[(usize, usize)],
        fill: &HostTensor,
        out: &[usize],
    ) -> Result<HostTensor, Refused> {
        let mut made = host.clone();
        for (axis, &(before, after)) in pads.iter().enumerate() {
            if (before, after) == (0, 0) {
                continue;
            }
            let len = made.shape()[axis];
            if self.mode == Mode::Constant {
                let around = |count: usize| {
                    let mut shape = made.shape().to_vec();
                    shape[axis] = count;
                    fill.expand(&shape)
                };
                let (first, last) = (around(before)?, around(after)?);
                made = HostTensor::concat(&[&first, &made, &last], axis)?;
                continue;
            }
            let indices: Vec<usize> = (0..len + before + after)
                .map(|i| self.mode.source(i, before, len))
                .collect();
            let count = indices.len();
            made = made.gather(axis, &indices, &[count])?;
        }
        debug_assert_eq!(made.shape(), out);
        Ok(made)
    }
}

impl Mode {
    /// Which of `len` numbers stands at place `i` when `before` are put in front.
    fn source(self, i: usize, before: usize, len: usize) -> usize {
        let place = i as i64 - before as i64;
        let last = len as i64 - 1;
        let at = match self {
            Self::Constant | Self::Edge => place.clamp(0, last.max(0)),
            Self::Wrap => place.rem_euclid(len.max(1) as i64),
            Self::Reflect if place < 0 => -place,
            Self::Reflect if place > last => 2 * last - place,
            Self::Reflect => place,
        };
        at as usize
    }
}

#[derive(Debug)]
struct Around {
    /// What is left of each axis where pads are negative.
    ranges: Vec<Range>,
    pads: Vec<(usize, usize)>,
    mode: Mode,
    /// `None` where the network computes it.
    value: Option<f32>,
}

impl Kernel for Around {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let mode = match self.mode {
            Mode::Constant if self.value.is_none() => {
                let x = super::slice::sliced(x, &self.ranges);
                let value = inputs.take(2);
                return vec![self.filled(x, value, &outputs[0].shape)];
            }
            Mode::Constant => PadMode::Constant(self.value.unwrap_or(0.0)),
            Mode::Reflect => PadMode::Reflect,
            Mode::Edge => PadMode::Edge,
            Mode::Wrap => return vec![self.wrapped(super::slice::sliced(x, &self.ranges))],
        };
        let x = super::slice::sliced(x, &self.ranges);
        vec![at_rank!(x, x => x.pad(self.pads.as_slice(), mode))]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        let (ranges, pads) = (&self.ranges, &self.pads);
        if self.mode != Mode::Constant || ranges.len() != 4 {
            return None;
        }
        reach.mapped(|axis, i| {
            let range = ranges[axis + 2];
            let at = i.checked_sub(pads[axis + 2].0)?;
            (at < range.len).then(|| (range.start + at, range.start + at))
        })
    }
}

impl Around {
    /// With a tensor of one number around it.
    fn filled(&self, x: Activation, value: Activation, shape: &[usize]) -> Activation {
        let pads = self.pads.as_slice();
        let inside = Activation::from(x.clone().untyped().without_autodiff().ones_like());
        let inside = at_rank!(inside, x => x.pad(pads, PadMode::Constant(0.0)));
        let outside = inside.untyped().lower_scalar(0.5);
        let x = at_rank!(x, x => x.pad(pads, PadMode::Constant(0.0)));
        let value = value.into_view(&vec![1; shape.len()]);
        let value = super::where_::expanded(value, shape).untyped();
        x.untyped().mask_where(outside, value).into()
    }

    fn wrapped(&self, mut x: Activation) -> Activation {
        for (axis, &(before, after)) in self.pads.iter().enumerate() {
            if (before, after) == (0, 0) {
                continue;
            }
            let len = x.shape()[axis];
            let indices: Vec<usize> = (0..len + before + after)
                .map(|i| self.mode.source(i, before, len))
                .collect();
            x = super::gather::selected(x, axis, &indices);
        }
        x
    }
}
