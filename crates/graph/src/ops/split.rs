//! `Split`: a tensor cut along an axis.

use std::sync::Arc;

use elucid_rules::OpKind;

use super::slice::narrow;
use crate::activation::{Activation, IntoView, MAX_RANK};
use crate::host::Range;
use crate::message::few;
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, facts, sizes,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;
use crate::together::with_images_first;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Split", 1, |a| {
    let sizes = match a.opset() < 13 {
        true => a.ints("split"),
        false => None,
    };
    Ok(Arc::new(Split {
        axis: a.int_or("axis", 0),
        sizes,
    }))
})];

#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<i64>>,
}

impl Operator for Split {
    facts!(kind: OpKind::Split, algebra: Moves);

    fn most_outputs(&self) -> usize {
        usize::MAX
    }

    fn counts_outputs(&self) -> bool {
        true
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match inputs.input(0).map(|x| axis_of(self.axis, x.shape.len())) {
            Ok(Ok(1..)) => Apart::Rows,
            Ok(Ok(0)) => self.each(inputs).unwrap_or(Apart::No),
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let total = x.shape[axis];
        let count = inputs.outputs();
        let from_input = match inputs.optional(1) {
            Some(_) => Some(inputs.ints(1, "the split")?),
            None => None,
        };
        let parts = match self.sizes.clone().or(from_input) {
            Some(parts) => sizes(&parts)?,
            None => {
                let part = total.div_ceil(count);
                (0..count)
                    .map(|i| part.min(total.saturating_sub(i * part)))
                    .collect()
            }
        };
        let sum = parts.iter().try_fold(0_usize, |s, &p| s.checked_add(p));
        if sum != Some(total) || parts.len() != count {
            return Err(format!(
                "{} does not split {total} into {count} outputs",
                few(&parts)
            )
            .into());
        }
        let mut start = 0;
        let mut known = Vec::new();
        for &len in &parts {
            let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
            ranges[axis] = Range {
                start,
                step: 1,
                len,
            };
            let mut shape = x.shape.clone();
            shape[axis] = len;
            known.push(match &x.host {
                Some(host) => Known::host(host.slice(&ranges)),
                None => match Known::empty(&shape, x.kind) {
                    Some(empty) => empty,
                    None => Known::computed(shape, x.kind),
                },
            });
            start += len;
        }
        if known.iter().all(|part| part.host.is_some()) {
            return Ok(Resolved {
                kernel: None,
                outputs: known,
            });
        }
        Ok(Resolved::of(Cut { axis, sizes: parts }, known))
    }
}

impl Split {
    /// The rows of each image cut, where an axis for the images has room.
    fn each(&self, inputs: &Operands<'_>) -> Option<Apart> {
        let shape = inputs.optional(0)?.shape.clone();
        let parts = self.resolve(inputs).ok()?.outputs;
        let sizes = parts.iter().map(|part| part.shape.first().copied());
        let sizes = sizes.collect::<Option<Vec<usize>>>()?;
        let fits = shape.len() < MAX_RANK && !sizes.contains(&0);
        fits.then(|| Apart::By(Arc::new(CutEach { shape, sizes })))
    }
}

/// Cuts the first axis of each of several images.
#[derive(Debug)]
struct CutEach {
    /// Of one image.
    shape: Vec<usize>,
    sizes: Vec<usize>,
}

impl Kernel for CutEach {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = with_images_first(inputs.take(0), &self.shape);
        let cut = Cut {
            axis: 1,
            sizes: self.sizes.clone(),
        };
        cut.run(Slots::new(vec![Some(x)]), outputs)
    }
}

#[derive(Debug)]
struct Cut {
    axis: usize,
    sizes: Vec<usize>,
}

impl Kernel for Cut {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let axis = self.axis;
        let mut start = 0;
        let mut parts = Vec::new();
        for (&len, output) in self.sizes.iter().zip(outputs) {
            parts.push(match len {
                // What is empty is known.
                0 => x.clone(),
                _ => narrow(x.clone(), axis, [start, len]).into_view(&output.shape),
            });
            start += len;
        }
        parts
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        (self.axis == 1).then(|| reach.same()).flatten()
    }
}
