//! `InstanceNormalization`: each channel of each image with mean 0 and deviation 1, then scaled.

use std::sync::Arc;

use elucid_rules::{OpKind};

use super::group_normalization::Normalize;
use crate::operator::{facts, Operands, Operator, Refused, Resolved};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("InstanceNormalization", 1, |a| {
    Ok(Arc::new(InstanceNormalization {
        epsilon: a.float_or("epsilon", 1e-5),
    }))
})];

#[derive(Debug, Clone, Copy)]
struct InstanceNormalization {
    epsilon: f32,
}

impl Operator for InstanceNormalization {
    facts!(kind: OpKind::InstanceNormalization, algebra: Normalization, apart: Rows);

    fn number(&self, attribute: &str) -> Option<f64> {
        (attribute == "epsilon").then(|| self.epsilon.into())
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[images, channels, ref positions @ ..] = x.shape.as_slice() else {
            let shape = &x.shape;
            return Err(format!("input has shape {shape:?}, expected [N, C, positions]").into());
        };
        if positions.is_empty() {
            let shape = &x.shape;
            return Err(format!("input has shape {shape:?}, expected [N, C, positions]").into());
        }
        inputs.per_channel(&x.shape, 1..3)?;
        let positions = positions.iter().product();
        let kernel = Normalize {
            rows: [images * channels, positions],
            view: [images, channels, positions],
            epsilon: self.epsilon,
        };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}
