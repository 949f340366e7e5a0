//! `CenterCropPad`: the middle of each axis, or the axis in the middle of zeros.

use std::sync::Arc;

use burn::tensor::ops::PadMode;

use super::slice::sliced;
use crate::activation::{Activation, at_rank};
use crate::host::{HostTensor, Range};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axes_or_all, check_host_size,
    facts, sizes,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("CenterCropPad", 18, |a| {
    let axes = a.ints("axes");
    Ok(Arc::new(CenterCropPad { axes }))
})];

#[derive(Debug)]
struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

impl Operator for CenterCropPad {
    facts!(kind: "CenterCropPad", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let stated = sizes(&inputs.list(1, "the shape")?)?;
        let axes = axes_or_all(self.axes.as_deref(), rank)?;
        if stated.len() != axes.len() {
            return Err(format!("{} sizes for {} axes", stated.len(), axes.len()).into());
        }
        let mut out = x.shape.clone();
        let mut ranges: Vec<Range> = x.shape.iter().map(|&d| Range::whole(d)).collect();
        let mut pads = vec![(0, 0); rank];
        for (&axis, &size) in axes.iter().zip(&stated) {
            let dim = x.shape[axis];
            out[axis] = size;
            if size < dim {
                ranges[axis] = Range {
                    start: (dim - size) / 2,
                    step: 1,
                    len: size,
                };
                pads[axis] = (0, 0);
            } else {
                let before = (size - dim) / 2;
                ranges[axis] = Range::whole(dim);
                pads[axis] = (before, size - dim - before);
            }
        }
        if let Some(host) = &x.host {
            check_host_size(&out)?;
            let made = padded(host.slice(&ranges), &pads)?;
            return Ok(Resolved::known(made));
        }
        if x.shape.contains(&0) {
            return Err("an empty tensor has no middle".into());
        }
        Ok(Resolved::typed(Middle { ranges, pads }, out, x.kind))
    }
}

/// With zeros around.
fn padded(mut host: HostTensor, pads: &[(usize, usize)]) -> Result<HostTensor, Refused> {
    let zero = HostTensor::of_numbers(host.element_type(), &[], vec![0.0])?;
    for (axis, &(before, after)) in pads.iter().enumerate() {
        let zeros = |count: usize| {
            let mut shape = host.shape().to_vec();
            shape[axis] = count;
            zero.expand(&shape)
        };
        if (before, after) != (0, 0) {
            let (first, last) = (zeros(before)?, zeros(after)?);
            host = HostTensor::concat(&[&first, &host, &last], axis)?;
        }
    }
    Ok(host)
}

#[derive(Debug)]
struct Middle {
    ranges: Vec<Range>,
    pads: Vec<(usize, usize)>,
}

impl Kernel for Middle {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = sliced(inputs.take(0), &self.ranges);
        match self.pads.iter().all(|&pads| pads == (0, 0)) {
            true => vec![x],
            false => {
                vec![at_rank!(x, x => x.pad(self.pads.as_slice(), PadMode::Constant(0.0)))]
            }
        }
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        if self.ranges.len() != 4 {
            return None;
        }
        reach.mapped(|axis, i| {
            let range = self.ranges[axis + 2];
            let at = range.at(i.checked_sub(self.pads[axis + 2].0)?)?;
            Some((at, at))
        })
    }
}
