//! `If`: one of two bodies, by a condition.
//!
//! A body that a constant chooses is put in the node's place when the graph is made. A condition that the
//! network computes is read back, and only the body that it names is run.

use std::sync::Arc;


use super::body::Tracer;
use crate::graph::Graph;
use crate::host::HostTensor;
use crate::operator::{facts, Operands, Operator, Refused, Resolved};
use crate::place::Branch;
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("If", 1, |a| {
    Ok(Arc::new(If {
        yes: a.graph("then_branch")?,
        no: a.graph("else_branch")?,
        own: a.inputs(),
    }))
})];

#[derive(Debug)]
struct If {
    yes: Arc<Graph>,
    no: Arc<Graph>,
    /// Inputs before those that the bodies take from around them.
    own: usize,
}

impl Operator for If {
    facts!(kind: "If", algebra: Other);

    fn most_outputs(&self) -> usize {
        self.yes.outputs.len().max(self.no.outputs.len())
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let condition = inputs.value(0, "the condition")?.floats();
        let &[condition] = condition.as_slice() else {
            let count = condition.len();
            return Err(format!("a condition of {count} elements, expected one").into());
        };
        let Branch { body, slots } = self.chosen(condition != 0.0);
        let mut tracer = Tracer::new(inputs);
        let given = tracer.inputs(slots)?;
        let outputs = tracer.call(&body, given)?;
        tracer.finish(outputs)
    }

    fn branch(&self, constants: &[Option<&HostTensor>]) -> Option<Branch> {
        let condition = constants.first().copied().flatten()?;
        // More than one element is an error of whoever runs it.
        let condition = condition.scalar_float().ok()?;
        Some(self.chosen(condition != 0.0))
    }
}

impl If {
    /// The body for a condition, with the inputs that it takes from around it.
    fn chosen(&self, condition: bool) -> Branch {
        // Of the bodies, `else_branch` comes first in the alphabet.
        let middle = self.own + self.no.captures.len();
        let (body, slots) = match condition {
            true => (&self.yes, middle..middle + self.yes.captures.len()),
            false => (&self.no, self.own..middle),
        };
        Branch {
            body: Arc::clone(body),
            slots,
        }
    }
}
