//! `Shape` and `Size`: what is known of a tensor without its numbers.

use std::sync::Arc;

use elucid_rules::OpKind;

use crate::host::{HostTensor, Range};
use crate::operator::{Operands, Operator, Refused, Resolved, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Shape", 1, |a| {
        Ok(Arc::new(Shape {
            start: a.int_or("start", 0),
            end: a.int("end"),
        }))
    }),
    Entry::onnx("Size", 1, |_| Ok(Arc::new(Size))),
];

#[derive(Debug)]
struct Shape {
    start: i64,
    end: Option<i64>,
}

impl Operator for Shape {
    facts!(kind: OpKind::Shape, algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let shape: Vec<_> = inputs.input(0)?.shape.iter().map(|&d| d as i64).collect();
        let end = self.end.unwrap_or(i64::MAX);
        let range = Range::resolve(shape.len(), self.start, end, 1)?;
        let picked = range.indices().map(|i| shape[i]).collect();
        Ok(Resolved::known(HostTensor::from_ints(picked)))
    }
}

#[derive(Debug)]
struct Size;

impl Operator for Size {
    facts!(kind: "Size", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let count: usize = inputs.input(0)?.shape.iter().product();
        Ok(Resolved::known(HostTensor::int(count as i64)))
    }
}
