//! One resolved node on tensors.

use std::sync::Arc;

use elucid_rules::{GradRule, apply};

use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Slots};

/// Runs one node, or the rule that stands in for it, on its inputs.
///
/// `outputs` states the shapes to make. Everything was checked when the node was resolved; what is left
/// is a device that does not hand numbers over.
pub(crate) fn execute(
    kernel: &dyn Kernel,
    rule: Option<Arc<dyn GradRule>>,
    mut inputs: Slots,
    outputs: &[Known],
) -> Result<Vec<Activation>, String> {
    match rule {
        Some(rule) => {
            let x = inputs.take(0);
            // Rules are written for images; vectors become images of one pixel.
            let view = image_view(&x.shape());
            let x = x.into_view(&view).into_cast::<4>();
            Ok(vec![apply(x, rule).into_view(&outputs[0].shape)])
        }
        None => kernel.try_run(inputs, outputs),
    }
}

/// `[N, C, H, W]` for any shape of rank 1 to 6.
pub(crate) fn image_view(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [] => vec![1; 4],
        [n] => vec![n, 1, 1, 1],
        [n, c] => vec![n, c, 1, 1],
        [n, c, l] => vec![n, c, l, 1],
        [n, c, h, ref rest @ ..] => vec![n, c, h, rest.iter().product()],
    }
}
