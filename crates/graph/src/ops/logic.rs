//! Logic on booleans. On a device they are 0 and 1.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use super::arithmetic::legacy_axis;
use super::pointwise::{Pairwise, decides};
use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("And", 1, |a| {
        read(
            a,
            "And",
            |a, b, shape| a.zip_bools(b, shape, |x, y| x && y),
            |a, b| a * b,
        )
    }),
    Entry::onnx("Or", 1, |a| {
        read(
            a,
            "Or",
            |a, b, shape| a.zip_bools(b, shape, |x, y| x || y),
            |a, b| a.max_pair(b),
        )
    }),
    Entry::onnx("Xor", 1, |a| {
        read(
            a,
            "Xor",
            |a, b, shape| a.zip_bools(b, shape, |x, y| x != y),
            |a, b| (a - b).abs(),
        )
    }),
    Entry::onnx("Not", 1, |_| Ok(Arc::new(Not))),
];

fn read(
    a: &Attributes,
    kind: &'static str,
    host: fn(&HostTensor, &HostTensor, &[usize]) -> Result<HostTensor, String>,
    tensor: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Result<Arc<dyn Operator>, String> {
    Ok(Arc::new(Pairwise {
        kind: OpKind::new(kind),
        axis: legacy_axis(a),
        algebra: decides,
        host,
        tensor,
        result: None,
    }))
}

#[derive(Debug)]
struct Not;

impl Operator for Not {
    fn kind(&self) -> OpKind {
        OpKind::new("Not")
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        Algebra::Decision
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        Apart::Rows
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        if x.kind != ElementType::Bool {
            return Err(format!("input 0 holds {}, expected booleans", x.kind).into());
        }
        match &x.host {
            Some(host) => {
                let turned = host.bools()?.into_iter().map(|v| !v).collect();
                Ok(Resolved::known(HostTensor::of_bools(&x.shape, turned)?))
            }
            None => Ok(Resolved::typed(Self, x.shape.clone(), x.kind)),
        }
    }
}

impl Kernel for Not {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped();
        vec![(x * -1.0 + 1.0).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
