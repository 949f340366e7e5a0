//! `AveragePool`: the mean of each window, in any number of dimensions.

use std::sync::Arc;

use elucid_rules::{OpKind, avg_pool2d};

use super::window::{Pooling, Window};
use crate::activation::Activation;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("AveragePool", 1, |a| {
    Ok(Arc::new(AveragePool {
        window: Window::read_pool(a)?,
        count_include_pad: a.flag("count_include_pad"),
    }))
})];

#[derive(Debug)]
struct AveragePool {
    window: Window,
    count_include_pad: bool,
}

impl Operator for AveragePool {
    facts!(kind: OpKind::AveragePool, algebra: Linear, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let kind = inputs.floats(0)?.kind;
        let pooling = self.window.pool(inputs)?;
        let shape = pooling.shape.clone();
        let kernel = Means {
            pooling,
            count_include_pad: self.count_include_pad,
        };
        Ok(Resolved::typed(kernel, shape, kind))
    }
}

#[derive(Debug)]
struct Means {
    pooling: Pooling,
    count_include_pad: bool,
}

impl Kernel for Means {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        // The number of elements of a box is the product of those along its axes, so that the mean of
        // means is the mean.
        let pooled = self.pooling.run(inputs.take(0), |x, pool| {
            avg_pool2d(x, pool, self.count_include_pad)
        });
        vec![pooled]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(self.pooling.read() + shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.slide(self.pooling.plane()?)
    }
}
