//! Logic on booleans. On a device they are 0 and 1.

use std::sync::Arc;

use super::pointwise::{Pairwise, decides};
use crate::activation::Activation;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("And", 1, |a| {
        Pairwise::new(
            a,
            "And",
            decides,
            |a, b, shape| a.zip_bools(b, shape, |x, y| x && y),
            |a, b| a * b,
        )
        .read()
    }),
    Entry::onnx("Or", 1, |a| {
        Pairwise::new(
            a,
            "Or",
            decides,
            |a, b, shape| a.zip_bools(b, shape, |x, y| x || y),
            |a, b| a.max_pair(b),
        )
        .read()
    }),
    Entry::onnx("Xor", 1, |a| {
        Pairwise::new(
            a,
            "Xor",
            decides,
            |a, b, shape| a.zip_bools(b, shape, |x, y| x != y),
            |a, b| (a - b).abs(),
        )
        .read()
    }),
    Entry::onnx("Not", 1, |_| Ok(Arc::new(Not))),
];

#[derive(Debug)]
struct Not;

impl Operator for Not {
    facts!(kind: "Not", algebra: Decision, apart: Rows);

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
