//! `Slice`: every so many numbers from one place to another, along any axes.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{OpKind, narrowed, stepped};

use super::gather::selected;
use crate::activation::{Activation, IntoView, MAX_RANK, at_rank};
use crate::host::Range;
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;
use crate::together::with_images_first;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Slice", 1, |a| {
    let stated = (a.opset() < 10).then(|| Stated {
        starts: a.ints("starts").unwrap_or_default(),
        ends: a.ints("ends").unwrap_or_default(),
        axes: a.ints("axes"),
        steps: None,
    });
    Ok(Arc::new(Slice { stated }))
})];

#[derive(Debug)]
struct Slice {
    /// `None` where the ranges are inputs.
    stated: Option<Stated>,
}

#[derive(Debug, Clone)]
struct Stated {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

impl Operator for Slice {
    facts!(kind: OpKind::Slice, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match (inputs.input(0), self.ranges(inputs)) {
            (Ok(x), Ok(ranges)) if (1..MAX_RANK).contains(&x.shape.len()) => {
                let shape = x.shape.clone();
                Apart::By(Arc::new(RangesOfEach { shape, ranges }))
            }
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let ranges = self.ranges(inputs)?;
        if let Some(host) = &x.host {
            return Ok(Resolved::known(host.slice(&ranges)));
        }
        let shape: Vec<usize> = ranges.iter().map(|r| r.len).collect();
        if let Some(empty) = Known::empty(&shape, x.kind) {
            return Ok(Resolved {
                kernel: None,
                outputs: vec![empty],
            });
        }
        Ok(Resolved::typed(Ranges(ranges), shape, x.kind))
    }
}

impl Slice {
    /// What is taken along each axis.
    fn ranges(&self, inputs: &Operands<'_>) -> Result<Vec<Range>, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let stated = match &self.stated {
            Some(stated) => stated.clone(),
            None => Stated {
                starts: inputs.list(1, "the starts")?,
                ends: inputs.list(2, "the ends")?,
                axes: inputs.optional_list(3, "the axes")?,
                steps: inputs.optional_list(4, "the steps")?,
            },
        };
        let Stated {
            starts,
            ends,
            axes,
            steps,
        } = stated;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
        for i in 0..starts.len() {
            let axis = axis_of(axes[i], rank)?;
            ranges[axis] = Range::resolve(x.shape[axis], starts[i], ends[i], steps[i])?;
        }
        Ok(ranges)
    }
}

#[derive(Debug)]
struct Ranges(Vec<Range>);

impl Kernel for Ranges {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![sliced(inputs.take(0), &self.0)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        let ranges = &self.0;
        if ranges.len() != 4 {
            return None;
        }
        reach.mapped(|axis, i| {
            let at = ranges[axis + 2].at(i)?;
            Some((at, at))
        })
    }
}

/// Of each of several images of a shape.
#[derive(Debug)]
struct RangesOfEach {
    shape: Vec<usize>,
    ranges: Vec<Range>,
}

impl Kernel for RangesOfEach {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = with_images_first(inputs.take(0), &self.shape);
        let all = Range::whole(x.shape()[0]);
        let ranges: Vec<Range> = std::iter::once(all)
            .chain(self.ranges.iter().copied())
            .collect();
        vec![sliced(x, &ranges).into_view(&outputs[0].shape)]
    }
}

/// The numbers in a range of each axis.
pub(super) fn sliced(mut x: Activation, ranges: &[Range]) -> Activation {
    for (axis, range) in ranges.iter().enumerate() {
        if range.is_whole(x.shape()[axis]) {
            continue;
        }
        let taken = [range.start, range.len];
        x = if range.step == 1 {
            narrow(x, axis, taken)
        } else {
            let otherwise = |x: Tensor<1>| {
                let indices: Vec<usize> = range.indices().collect();
                selected(x.into(), axis, &indices).untyped()
            };
            stepped(x.untyped(), axis, taken, range.step, otherwise).into()
        };
    }
    x
}

/// So many slices along an axis, from one on.
pub(super) fn narrow(x: Activation, axis: usize, [start, count]: [usize; 2]) -> Activation {
    let otherwise = |x: Tensor<1>| {
        let x = Activation::from(x);
        at_rank!(x, x => x.narrow(axis, start, count)).untyped()
    };
    narrowed(x.untyped(), axis, [start, count], otherwise).into()
}
