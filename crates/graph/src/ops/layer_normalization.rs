//! `LayerNormalization`, `RMSNormalization` and Microsoft's names for them: the last axes with mean 0
//! and deviation 1, or with mean square 1, then scaled.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`, without the mean for the root mean
//! square. Statistics are computed in single precision, whatever `stash_type` says of their type.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Affine, AnyRank, OpKind, Statistics, standardise};

use crate::long_rows::LongRows;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, broadcast};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, axis_of, facts};
use crate::registry::Entry;

/// ONNX Runtime's optimizer writes its own operators into ONNX's domain, too.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("LayerNormalization", 1, |a| {
        read(a, "LayerNormalization", true)
    }),
    Entry::onnx("RMSNormalization", 23, |a| {
        read(a, "RMSNormalization", false)
    }),
    Entry::onnx("SimplifiedLayerNormalization", 1, |a| {
        read(a, "SimplifiedLayerNormalization", false)
    }),
    Entry::of("com.microsoft", "LayerNormalization", |a| {
        read(a, "com.microsoft.LayerNormalization", true)
    }),
    Entry::of("com.microsoft", "SimplifiedLayerNormalization", |a| {
        read(a, "com.microsoft.SimplifiedLayerNormalization", false)
    }),
];

fn read(a: &Attributes, kind: &'static str, centred: bool) -> Result<Arc<dyn Operator>, String> {
    let stash = a.element_type("stash_type")?.unwrap_or(ElementType::F32);
    if !stash.is_float() {
        return Err(format!(
            "attribute stash_type is {stash}, expected floating point"
        ));
    }
    Ok(Arc::new(LayerNormalization {
        kind: OpKind::new(kind),
        axis: a.int_or("axis", -1),
        epsilon: a.float_or("epsilon", 1e-5),
        centred,
        stash,
    }))
}

#[derive(Debug)]
struct LayerNormalization {
    kind: OpKind,
    axis: i64,
    epsilon: f32,
    /// Whether the mean is subtracted.
    centred: bool,
    /// What the statistics are stated in.
    stash: ElementType,
}

impl Operator for LayerNormalization {
    facts!(kind: .kind, algebra: Normalization);

    fn most_outputs(&self) -> usize {
        if self.centred { 3 } else { 2 }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match inputs.input(0).map(|x| axis_of(self.axis, x.shape.len())) {
            Ok(Ok(1..)) => Apart::Rows,
            _ => Apart::No,
        }
    }

    fn number(&self, attribute: &str) -> Option<f64> {
        match attribute {
            "axis" => Some(self.axis as f64),
            "epsilon" => Some(self.epsilon.into()),
            _ => None,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let shape = x.shape.clone();
        let first = axis_of(self.axis, shape.len())?;
        fits_behind(inputs, 1..3, &shape)?;
        let scale = inputs.input(1)?;
        let (outer, inner) = shape.split_at(first);
        let kernel = OverRows {
            rows: [outer.iter().product(), inner.iter().product()],
            epsilon: self.epsilon,
            centred: self.centred,
        };
        let mut statistics = shape.clone();
        statistics[first..].fill(1);
        let statistics = Known::computed(statistics, self.stash);
        let kind = if self.centred { x.kind } else { scale.kind };
        let mut outputs = vec![Known::computed(shape, kind), statistics.clone()];
        if self.centred {
            outputs.push(statistics);
        }
        Ok(Resolved::of(kernel, outputs))
    }
}

/// Refuses parameters that do not broadcast to `shape`; they may be left out.
pub(super) fn fits_behind(
    inputs: &Operands<'_>,
    slots: std::ops::Range<usize>,
    shape: &[usize],
) -> Result<(), Refused> {
    for slot in slots {
        if inputs.optional(slot).is_some() {
            let parameter = &inputs.operand(slot)?.shape;
            if broadcast(shape, parameter).as_deref() != Some(shape) {
                return Err(format!("{parameter:?} does not broadcast to {shape:?}").into());
            }
        }
    }
    Ok(())
}

/// The input viewed as rows, each normalised by itself.
#[derive(Debug)]
struct OverRows {
    rows: [usize; 2],
    epsilon: f32,
    centred: bool,
}

impl Kernel for OverRows {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).into_view(&self.rows).into_cast::<2>();
        if let Some(y) = self.in_one_sweep(&x, &inputs, outputs) {
            return vec![y];
        }
        let (normal, mean, inverse) = standardised(x, self.epsilon, self.centred);
        let shape = &outputs[0].shape;
        let mut made = vec![scaled(
            normal.into_view(shape),
            inputs.maybe(1),
            inputs.maybe(2),
        )];
        let statistics = mean.into_iter().chain([inverse]);
        for (statistic, known) in statistics.zip(&outputs[1..]) {
            made.push(statistic.into_view(&known.shape));
        }
        made
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // The mean and what is left without it; squares, their mean, the quotient; scale and bias.
        let centred = if self.centred { 2 } else { 0 };
        let given = shapes.given() as u64 - 1;
        Some((centred + 3 + given) * shapes.made())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(Statistics {
            row: self.rows[1],
            centred: self.centred,
            epsilon: self.epsilon,
        })
    }
}

impl OverRows {
    /// Where nobody asks for the statistics, and each number of a row has its factor and its shift.
    fn in_one_sweep(
        &self,
        x: &Tensor<2>,
        inputs: &Slots,
        outputs: &[Known],
    ) -> Option<Activation> {
        let ([output], [_, row]) = (outputs, self.rows) else {
            return None;
        };
        let parameters = [1, 2].map(|slot| inputs.get(slot));
        for shape in parameters.iter().flatten().map(|p| p.shape()) {
            let before = shape.iter().take_while(|size| **size == 1).count();
            if shape.iter().product::<usize>() != row || !output.shape.ends_with(&shape[before..]) {
                return None;
            }
        }
        let [scale, bias] = parameters.map(|p| p.cloned().map(AnyRank::from));
        let affine = Affine::of(x, scale, bias, row, 1)?;
        let y = standardise(x, affine, self.centred, self.epsilon)?;
        Some(y.into_view(&output.shape))
    }
}

/// Each row of `x` with mean 0, if it is `centred`, and mean square 1; the mean, and the inverse of the
/// root of the mean square.
pub(super) fn standardised(
    x: Tensor<2>,
    epsilon: f32,
    centred: bool,
) -> (Tensor<2>, Option<Tensor<2>>, Tensor<2>) {
    let (x, mean) = match centred {
        true => {
            let mean = x.clone().row_means();
            (x - mean.clone(), Some(mean))
        }
        false => (x, None),
    };
    let square = (x.clone() * x.clone()).row_means();
    let deviation = (square + epsilon).sqrt();
    (x / deviation.clone(), mean, deviation.recip())
}

/// Times `scale` and plus `bias`, which broadcast to `x`.
pub(super) fn scaled(
    x: Activation,
    scale: Option<Activation>,
    bias: Option<Activation>,
) -> Activation {
    let rank = x.shape().len();
    let view = |parameter: Activation| {
        let view = aligned(&parameter.shape(), rank);
        parameter.into_view(&view).untyped()
    };
    let mut y = x.untyped();
    if let Some(scale) = scale {
        y = y * view(scale);
    }
    if let Some(bias) = bias {
        y = y + view(bias);
    }
    y.into()
}
