//! `Where`: of two tensors, element by element, the one that a condition names.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use crate::activation::{Activation, IntoView, at_rank};
use crate::host::{ElementType, broadcast};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, aligned, check_host_size, facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Where", 9, |_| Ok(Arc::new(Where)))];

#[derive(Debug)]
struct Where;

impl Operator for Where {
    facts!(kind: OpKind::Where, apart: Stacks);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            // Which numbers stay and which are replaced is decided beforehand.
            [true, ..] => Algebra::Moves,
            _ => Algebra::Other,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (condition, yes, no) = (inputs.input(0)?, inputs.input(1)?, inputs.input(2)?);
        if condition.kind != ElementType::Bool {
            let kind = condition.kind;
            return Err(format!("the condition of Where holds {kind}, expected booleans").into());
        }
        if yes.kind != no.kind {
            return Err(format!("its branches hold {} and {}", yes.kind, no.kind).into());
        }
        let shape = broadcast(&condition.shape, &yes.shape)
            .and_then(|s| broadcast(&s, &no.shape))
            .ok_or("its inputs do not broadcast")?;
        if let (Some(c), Some(y), Some(n)) = (&condition.host, &yes.host, &no.host) {
            check_host_size(&shape)?;
            return Ok(Resolved::known(c.choose(y, n, &shape)?));
        }
        Ok(Resolved::typed(Self, shape, yes.kind))
    }
}

impl Kernel for Where {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let mut whole = |slot: usize| expanded(inputs.take(slot), shape);
        let condition = whole(0).untyped().without_autodiff().greater_scalar(0.5);
        let (yes, no) = (whole(1).untyped(), whole(2).untyped());
        vec![Activation::from(no.mask_where(condition, yes)).into_view(shape)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.broadcast()
    }
}

/// Broadcast to `shape`.
pub(super) fn expanded(x: Activation, shape: &[usize]) -> Activation {
    if x.shape() == shape {
        return x;
    }
    let view = aligned(&x.shape(), shape.len());
    let x = x.into_view(&view);
    if x.shape() == shape {
        return x;
    }
    at_rank!(x, x => {
        fn to<const D: usize>(x: burn::tensor::Tensor<D>, shape: &[usize]) -> burn::tensor::Tensor<D> {
            let mut sizes = [1; D];
            sizes[D - shape.len()..].copy_from_slice(shape);
            x.expand(sizes)
        }
        to(x, shape)
    })
}
