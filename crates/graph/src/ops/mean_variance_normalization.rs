//! `MeanVarianceNormalization`: `(x - mean) / (deviation + 1e-9)` over some axes, those of everything
//! but the channels unless stated.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::activation::{Activation, at_rank};
use crate::long_rows::LongAxes;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, axes_of, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("MeanVarianceNormalization", 9, |a| {
    let axes = a.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
    Ok(Arc::new(MeanVarianceNormalization { axes }))
})];

#[derive(Debug)]
struct MeanVarianceNormalization {
    axes: Vec<i64>,
}

impl Operator for MeanVarianceNormalization {
    facts!(kind: "MeanVarianceNormalization", algebra: Normalization);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let axes = inputs.input(0).map(|x| axes_of(&self.axes, x.shape.len()));
        match axes {
            Ok(Ok(axes)) if axes.first().is_some_and(|&first| first > 0) => Apart::Rows,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let mut axes = axes_of(&self.axes, x.shape.len())?;
        if axes.is_empty() {
            axes = (0..x.shape.len()).collect();
        }
        Ok(Resolved::typed(OverAxes(axes), x.shape.clone(), x.kind))
    }
}

#[derive(Debug)]
struct OverAxes(Vec<usize>);

impl Kernel for OverAxes {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![at_rank!(inputs.take(0), x => standardised(x, &self.0))]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(5 * shapes.made())
    }
}

fn standardised<const D: usize>(x: Tensor<D>, axes: &[usize]) -> Tensor<D> {
    if axes.is_empty() {
        // A single number is its own mean.
        return x.clone() - x;
    }
    let mean = |x: Tensor<D>| axes.iter().fold(x, |x, &axis| x.means_along(axis));
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone() * centred.clone());
    // The root has no derivative at 0; where nothing varies, the numbers are 0 all the same.
    centred / (variance.clamp_min(1e-36).sqrt() + 1e-9)
}
