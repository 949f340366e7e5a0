//! Values that stand in the graph: `Constant`, `ConstantOfShape`.

use std::sync::Arc;

use elucid_rules::OpKind;

use crate::attributes::{Attribute, Attributes};
use crate::host::{ElementType, HostTensor};
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts, sizes};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Constant", 1, |a| {
        let value = stated(a)?;
        Ok(Arc::new(Constant(value)))
    }),
    Entry::onnx("ConstantOfShape", 9, |a| {
        let value = match a.tensor("value")? {
            None => HostTensor::float(0.0),
            Some(value) if value.len() == 1 => value.reshape(&[])?,
            Some(value) => return Err(format!("value must be one number, got {}", value.len())),
        };
        Ok(Arc::new(Filled(value)))
    }),
];

fn stated(a: &Attributes) -> Result<HostTensor, String> {
    if let Some(value) = a.tensor("value")? {
        return Ok(value.clone());
    }
    if let Some(value) = a.float("value_float") {
        return Ok(HostTensor::float(value));
    }
    if let Some(value) = a.int("value_int") {
        return Ok(HostTensor::int(value));
    }
    if let Some(values) = a.ints("value_ints") {
        return Ok(HostTensor::from_ints(values));
    }
    if let Some(values) = a.floats("value_floats") {
        return HostTensor::of_floats(ElementType::F32, &[values.len()], values);
    }
    match a.get("sparse_value") {
        Some(Attribute::Tensor(value)) => Ok(value.clone()),
        Some(Attribute::Unreadable(reason)) => Err(reason.clone()),
        _ => Err("a constant must be a tensor or numbers".to_owned()),
    }
}

#[derive(Debug)]
struct Constant(HostTensor);

impl Operator for Constant {
    facts!(kind: OpKind::Constant, algebra: Decision);

    fn resolve(&self, _inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        Ok(Resolved::known(self.0.clone()))
    }
}

/// One number, as often as the shape says.
#[derive(Debug)]
struct Filled(HostTensor);

impl Operator for Filled {
    facts!(kind: OpKind::ConstantOfShape, algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let shape = sizes(&inputs.list(0, "the shape")?)?;
        check_host_size(&shape)?;
        Ok(Resolved::known(self.0.expand(&shape)?))
    }
}
