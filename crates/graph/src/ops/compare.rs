//! Comparisons of two tensors, which make booleans.

use std::cmp::Ordering;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::pointwise::{Pairwise, decides};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::operator::Operator;
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Equal", 1, |a| {
        read(
            a,
            "Equal",
            |a, b, shape| a.compare(b, shape, |o| o == Some(Ordering::Equal)),
            |a, b| a.equal(b).float(),
        )
    }),
    Entry::onnx("Greater", 1, |a| {
        read(
            a,
            "Greater",
            |a, b, shape| a.compare(b, shape, |o| o == Some(Ordering::Greater)),
            |a, b| a.greater(b).float(),
        )
    }),
    Entry::onnx("Less", 1, |a| {
        read(
            a,
            "Less",
            |a, b, shape| a.compare(b, shape, |o| o == Some(Ordering::Less)),
            |a, b| a.lower(b).float(),
        )
    }),
    Entry::onnx("GreaterOrEqual", 12, |a| {
        read(
            a,
            "GreaterOrEqual",
            |a, b, shape| a.compare(b, shape, |o| o.is_some_and(Ordering::is_ge)),
            |a, b| a.greater_equal(b).float(),
        )
    }),
    Entry::onnx("LessOrEqual", 12, |a| {
        read(
            a,
            "LessOrEqual",
            |a, b, shape| a.compare(b, shape, |o| o.is_some_and(Ordering::is_le)),
            |a, b| a.lower_equal(b).float(),
        )
    }),
];

fn read(
    a: &Attributes,
    kind: &'static str,
    host: fn(&HostTensor, &HostTensor, &[usize]) -> Result<HostTensor, String>,
    tensor: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Result<Arc<dyn Operator>, String> {
    let comparison = Pairwise::new(a, kind, decides, host, tensor);
    comparison.giving(ElementType::Bool).read()
}
