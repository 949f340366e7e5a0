//! `EyeLike`: ones on a diagonal of a matrix of zeros.

use std::sync::Arc;

use crate::host::{ElementType, HostTensor};
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("EyeLike", 9, |a| {
    Ok(Arc::new(EyeLike {
        kind: a.element_type("dtype")?,
        offset: a.int_or("k", 0),
    }))
})];

#[derive(Debug)]
struct EyeLike {
    /// `None` for the type of the input.
    kind: Option<ElementType>,
    /// How far the diagonal lies above the main one.
    offset: i64,
}

impl Operator for EyeLike {
    facts!(kind: "EyeLike", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let like = inputs.input(0)?;
        let &[rows, columns] = like.shape.as_slice() else {
            return Err(format!("input has shape {:?}, expected a matrix", like.shape).into());
        };
        check_host_size(&like.shape)?;
        let offset = self.offset;
        let values = (0..rows).flat_map(|row| {
            let one = offset.saturating_add(row as i64);
            (0..columns as i64).map(move |column| f32::from(u8::from(column == one)))
        });
        let kind = self.kind.unwrap_or(like.kind);
        let made = HostTensor::of_numbers(kind, &like.shape, values.collect())?;
        Ok(Resolved::known(made))
    }
}
