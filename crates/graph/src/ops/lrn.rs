//! `LRN`: each number divided by what its channel's neighbours are.

use std::sync::Arc;

use elucid_rules::{OpKind, local_response_norm};

use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("LRN", 1, |a| {
    let size = a.int_or("size", 0);
    let in_range = usize::try_from(size)
        .ok()
        .filter(|s| (1..=1 << 16).contains(s));
    let size = in_range.ok_or_else(|| format!("attribute size is {size}, expected 1 to 65536"))?;
    Ok(Arc::new(Lrn(elucid_rules::Lrn {
        size,
        alpha: a.float_or("alpha", 1e-4),
        beta: a.float_or("beta", 0.75),
        bias: a.float_or("bias", 1.0),
    })))
})];

#[derive(Debug, Clone, Copy)]
struct Lrn(elucid_rules::Lrn);

impl Operator for Lrn {
    facts!(kind: OpKind::Lrn, algebra: LocalNormalization, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let view = match *x.shape.as_slice() {
            [n, c, h, w] => [n, c, h, w],
            [n, c, ref positions @ ..] => [n, c, positions.iter().product(), 1],
            _ => {
                let shape = &x.shape;
                return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
            }
        };
        let kernel = AcrossChannels { lrn: self.0, view };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

/// On the input viewed as `[N, C, H, W]`.
#[derive(Debug)]
struct AcrossChannels {
    lrn: elucid_rules::Lrn,
    view: [usize; 4],
}

impl Kernel for AcrossChannels {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).into_view(&self.view).into_cast();
        let y = local_response_norm(x, &self.lrn);
        vec![y.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // Squares and their sums over the window; scale, bias, power, product.
        Some((2 * self.lrn.size as u64 + 4) * shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
