//! What is refused before any tensor exists.

use super::{Operands, Operator, Refused, Resolved};
use crate::activation::MAX_RANK;
use crate::host::element_count;
use crate::limits;
use crate::message::few;

/// A node that is resolved and checked.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub resolved: Resolved,
    /// Bytes of the tensors that its operator asked for room for: those between its inputs and outputs,
    /// as the scores of an attention.
    pub working: u64,
}

/// Resolves an operator and checks what comes out: nothing unchecked may reach burn.
pub(crate) fn resolve(operator: &dyn Operator, inputs: &Operands<'_>) -> Result<Ready, Refused> {
    if inputs.outputs() == 0 {
        return Err("it names no output".into());
    }
    if inputs.outputs() > operator.most_outputs() {
        let most = operator.most_outputs();
        return Err(Refused::Unsupported(format!(
            "{} of its outputs are used, only the first {most} can be",
            inputs.outputs()
        )));
    }
    let (resolved, working) = limits::asked(|| operator.resolve(inputs));
    let mut resolved = resolved?;
    if resolved.outputs.len() < inputs.outputs() {
        let made = resolved.outputs.len();
        return Err(format!("it makes {made} outputs, {} are named", inputs.outputs()).into());
    }
    resolved.outputs.truncate(inputs.outputs());
    if let Some(kernel) = &resolved.kernel {
        if let Some(first) = inputs.optional(0)
            && first.kind.is_float()
            && !kernel.takes_empty()
        {
            check_computable(&first.shape)?;
        }
        for value in inputs.iter().chain(&resolved.outputs) {
            // Lists of axes and the like are no operands of arithmetic, and what is empty never
            // reaches a kernel.
            let is_operand = value.kind.is_float() && !value.shape.contains(&0);
            if value.host.is_none() || is_operand {
                check_computable(&value.shape)?;
            }
        }
    }
    Ok(Ready { resolved, working })
}

/// What burn computes with: a few dimensions, none of them empty.
pub(crate) fn check_computable(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > MAX_RANK {
        return Err(format!(
            "a tensor of shape {} has more than {MAX_RANK} dimensions",
            few(shape)
        )
        .into());
    }
    limits::allow_device(shape)?;
    if shape.contains(&0) {
        return Err(format!("a tensor of shape {shape:?} holds no numbers").into());
    }
    Ok(())
}

/// Refuses a tensor on a device that takes more memory than is allowed.
pub(crate) fn check_size(shape: &[usize]) -> Result<(), Refused> {
    limits::check_device(shape)
}

/// The same for a value that is about to be computed on the host.
pub(crate) fn check_host_size(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > LONGEST_LIST {
        return Err(format!("{} dimensions are too many", shape.len()).into());
    }
    limits::check_host(shape)
}

/// Refuses a computation on the host of more steps than can be waited for.
pub(crate) fn check_work(bounds: &[usize]) -> Result<(), Refused> {
    const MOST: usize = 1 << 28;
    match element_count(bounds) {
        Some(count) if count <= MOST => Ok(()),
        _ => Err(format!("more than {MOST} products of integers").into()),
    }
}

/// Far more dimensions than any tensor has.
pub(crate) const LONGEST_LIST: usize = 64;
