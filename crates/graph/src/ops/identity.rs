//! `Identity`, and `Dropout`, which does nothing at inference.

use std::sync::Arc;

use elucid_rules::OpKind;

use crate::activation::Activation;
use crate::host::{ElementType, HostTensor};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_host_size, facts,
};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Identity", 1, |_| Ok(Arc::new(Identity { dropout: false }))),
    Entry::onnx("Dropout", 1, |_| Ok(Arc::new(Identity { dropout: true }))),
];

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) dropout: bool,
}

impl Operator for Identity {
    facts!(algebra: Moves, apart: Rows);

    fn kind(&self) -> OpKind {
        match self.dropout {
            true => OpKind::Dropout,
            false => OpKind::Identity,
        }
    }

    fn most_outputs(&self) -> usize {
        match self.dropout {
            true => 2,
            false => 1,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        if self.dropout
            && let Some(training) = inputs.optional_value(2, "training_mode")?
            && training.floats().iter().any(|&v| v != 0.0)
            && inputs.optional_value(1, "the ratio")?.is_none_or(drops)
        {
            return Err("training_mode is on; export for inference".into());
        }
        let mut outputs = vec![x.clone()];
        if inputs.outputs() > 1 {
            // The mask: nothing is dropped.
            check_host_size(&x.shape)?;
            let all = HostTensor::of_bools(&[], vec![true])?.expand(&x.shape)?;
            debug_assert_eq!(all.element_type(), ElementType::Bool);
            outputs.push(Known::host(all));
        }
        Ok(match x.host {
            Some(_) => Resolved {
                kernel: None,
                outputs,
            },
            None => Resolved::of(Same, outputs),
        })
    }
}

/// Whether a ratio drops anything.
fn drops(ratio: &HostTensor) -> bool {
    ratio.floats().iter().any(|&v| v != 0.0)
}

/// The first input as it is.
#[derive(Debug)]
pub(super) struct Same;

impl Kernel for Same {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let mask = outputs.get(1).and_then(|mask| mask.host.as_ref());
        let mask = mask.and_then(|mask| Activation::of_host(mask, &x.device()));
        std::iter::once(x).chain(mask).collect()
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
