//! `IsNaN` and `IsInf`: which numbers are none, and which are infinite.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::OpKind;

use crate::activation::Activation;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("IsNaN", 9, |_| Ok(Arc::new(Test::Nan))),
    Entry::onnx("IsInf", 10, |a| {
        Ok(Arc::new(Test::Infinite {
            negative: a.int_or("detect_negative", 1) != 0,
            positive: a.int_or("detect_positive", 1) != 0,
        }))
    }),
];

#[derive(Debug, Clone, Copy)]
enum Test {
    Nan,
    Infinite { negative: bool, positive: bool },
}

impl Test {
    fn holds(self, v: f32) -> bool {
        match self {
            Self::Nan => v.is_nan(),
            Self::Infinite { negative, positive } => {
                (negative && v == f32::NEG_INFINITY) || (positive && v == f32::INFINITY)
            }
        }
    }

    /// 1 where it holds, else 0.
    fn tensor(self, x: Tensor<1>) -> Tensor<1> {
        let (negative, positive) = match self {
            Self::Nan => return x.is_nan().float(),
            Self::Infinite { negative, positive } => (negative, positive),
        };
        let infinite = x.clone().is_inf();
        let signed = match (negative, positive) {
            (true, true) => return infinite.float(),
            (true, false) => x.lower_scalar(0.0),
            (false, true) => x.greater_scalar(0.0),
            (false, false) => return x.zeros_like(),
        };
        infinite.bool_and(signed).float()
    }
}

impl Operator for Test {
    facts!(algebra: Decision, apart: Rows);

    fn kind(&self) -> OpKind {
        match self {
            Self::Nan => OpKind::new("IsNaN"),
            Self::Infinite { .. } => OpKind::new("IsInf"),
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        match &x.host {
            Some(host) => {
                let found = host.floats().into_iter().map(|v| self.holds(v));
                let found = HostTensor::of_bools(&x.shape, found.collect())?;
                Ok(Resolved::known(found))
            }
            None => Ok(Resolved::typed(*self, x.shape.clone(), ElementType::Bool)),
        }
    }
}

impl Kernel for Test {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped().without_autodiff();
        vec![self.tensor(x).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
