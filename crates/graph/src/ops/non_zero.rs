//! `NonZero`: where a tensor is not 0, one column of indices for each place.

use std::sync::Arc;

use super::pick::each_index;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("NonZero", 9, |_| Ok(Arc::new(NonZero)))];

#[derive(Debug)]
struct NonZero;

impl Operator for NonZero {
    facts!(kind: "NonZero", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.value(0, "what is not 0")?.cast(ElementType::Bool);
        // A single number counts as a list of one.
        let shape = match x.shape() {
            [] => vec![1],
            shape => shape.to_vec(),
        };
        let values = x.bools()?;
        let count = values.iter().filter(|v| **v).count();
        check_host_size(&[shape.len(), count])?;
        let mut found = vec![Vec::with_capacity(count); shape.len()];
        let mut values = values.into_iter();
        each_index(&shape, |index| {
            if values.next() == Some(true) {
                for (list, &i) in found.iter_mut().zip(index) {
                    list.push(i as i64);
                }
            }
            Ok(())
        })?;
        let made = HostTensor::of_ints(ElementType::I64, &[shape.len(), count], found.concat())?;
        Ok(Resolved::known(made))
    }
}
