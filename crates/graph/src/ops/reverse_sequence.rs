//! `ReverseSequence`: the first numbers of each sequence of a batch in reverse, as many as its length.

use std::sync::Arc;

use super::pick;
use crate::operator::{Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("ReverseSequence", 10, |a| {
    Ok(Arc::new(ReverseSequence {
        batch: a.int_or("batch_axis", 1),
        time: a.int_or("time_axis", 0),
    }))
})];

#[derive(Debug)]
struct ReverseSequence {
    batch: i64,
    time: i64,
}

impl Operator for ReverseSequence {
    facts!(kind: "ReverseSequence", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let (batch, time) = (axis_of(self.batch, rank)?, axis_of(self.time, rank)?);
        if batch + time != 1 {
            return Err(format!("axes {batch} and {time}, expected 0 and 1").into());
        }
        let lengths = inputs.ints(1, "the lengths")?;
        let (batches, steps) = (x.shape[batch], x.shape[time]);
        let fits = lengths
            .iter()
            .all(|&n| usize::try_from(n).is_ok_and(|n| n <= steps));
        if !fits || lengths.len() != batches {
            return Err(format!("lengths do not fit {batches} sequences of {steps}").into());
        }
        check_host_size(&[batches, steps])?;
        let mut places = Vec::new();
        for row in 0..x.shape[0] {
            for column in 0..x.shape[1] {
                let (b, t) = if batch == 0 {
                    (row, column)
                } else {
                    (column, row)
                };
                let length = lengths[b] as usize;
                let t = if t < length { length - 1 - t } else { t };
                let (row, column) = if batch == 0 { (b, t) } else { (t, b) };
                places.push(row * x.shape[1] + column);
            }
        }
        let width = x.shape[2..].iter().product();
        pick::resolved(x, places, width, x.shape.clone())
    }
}
