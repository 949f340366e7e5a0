//! `Expand`: a tensor repeated along axes of size 1.

use std::sync::Arc;

use elucid_rules::OpKind;

use super::where_::expanded;
use crate::activation::Activation;
use crate::host::broadcast;
use crate::message::few;
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_host_size, facts,
    sizes,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Expand", 8, |_| Ok(Arc::new(Expand)))];

#[derive(Debug)]
struct Expand;

impl Operator for Expand {
    facts!(kind: OpKind::Expand, algebra: Moves);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let shape = |slot| inputs.optional(slot).map(|known| known.shape.clone());
        match (shape(0), self.shape(inputs)) {
            // Repeated within the rows.
            (Some(x), Ok(y)) if x.len() == y.len() && x.first() == y.first() => Apart::Shape,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let shape = self.shape(inputs)?;
        match &x.host {
            Some(host) => {
                check_host_size(&shape)?;
                Ok(Resolved::known(host.expand(&shape)?))
            }
            None => Ok(Resolved::typed(Self, shape, x.kind)),
        }
    }
}

impl Expand {
    fn shape(&self, inputs: &Operands<'_>) -> Result<Vec<usize>, Refused> {
        let x = &inputs.input(0)?.shape;
        let target = sizes(&inputs.list(1, "the shape")?)?;
        broadcast(x, &target)
            .ok_or_else(|| format!("{} does not expand to {}", few(x), few(&target)).into())
    }
}

impl Kernel for Expand {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        vec![expanded(inputs.take(0), &outputs[0].shape)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.broadcast()
    }
}
