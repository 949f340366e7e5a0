//! Microsoft's `SkipLayerNormalization` and `SkipSimplifiedLayerNormalization`: a sum of the input, what
//! skipped a block, and perhaps a bias, normalised along the last axis as layer normalisations do.

use std::sync::Arc;

use elucid_rules::{OpKind};

use super::layer_normalization::{scaled, standardised};
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::broadcast;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::of("com.microsoft", "SkipLayerNormalization", |a| {
        read(a, "com.microsoft.SkipLayerNormalization", true)
    }),
    Entry::of("com.microsoft", "SkipSimplifiedLayerNormalization", |a| {
        read(a, "com.microsoft.SkipSimplifiedLayerNormalization", false)
    }),
];

fn read(a: &Attributes, kind: &'static str, centred: bool) -> Result<Arc<dyn Operator>, String> {
    Ok(Arc::new(SkipNormalization {
        kind: OpKind::new(kind),
        centred,
        epsilon: a.float_or("epsilon", 1e-12),
    }))
}

#[derive(Debug, Clone, Copy)]
struct SkipNormalization {
    kind: OpKind,
    /// Whether the mean is subtracted; then there may be an offset, too.
    centred: bool,
    epsilon: f32,
}

impl SkipNormalization {
    /// The slot of what is added before normalising.
    fn bias(&self) -> usize {
        if self.centred { 4 } else { 3 }
    }
}

impl Operator for SkipNormalization {
    facts!(kind: .kind, algebra: Other, most_outputs: 4);

    fn number(&self, attribute: &str) -> Option<f64> {
        (attribute == "epsilon").then(|| self.epsilon.into())
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let shape = x.shape.clone();
        let Some((&size, rows)) = shape.split_last().filter(|(_, rows)| !rows.is_empty()) else {
            return Err(format!("input has shape {shape:?}, expected rows").into());
        };
        let skip = &inputs.operand(1)?.shape;
        if broadcast(&shape, skip).as_deref() != Some(&shape[..]) {
            return Err(format!("{skip:?} does not broadcast to {shape:?}").into());
        }
        for slot in 2..=self.bias() {
            if slot == 2 || inputs.optional(slot).is_some() {
                let parameter = &inputs.operand(slot)?.shape;
                if *parameter != [size] {
                    return Err(
                        format!("input {slot} has shape {parameter:?}, expected [{size}]").into(),
                    );
                }
            }
        }
        let mut statistics = shape.clone();
        statistics[rows.len()] = 1;
        let outputs = vec![
            Known::computed(shape.clone(), x.kind),
            Known::activation(statistics.clone()),
            Known::activation(statistics),
            Known::computed(shape, x.kind),
        ];
        Ok(Resolved::of(*self, outputs))
    }
}

impl Kernel for SkipNormalization {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let skip = inputs.take(1);
        let view = aligned(&skip.shape(), shape.len());
        let sum = inputs.take(0).untyped() + skip.into_view(&view).untyped();
        let sum = scaled(sum.into(), None, inputs.maybe(self.bias()));
        let size = shape.last().copied().unwrap_or(1);
        let rows = [shape.iter().product::<usize>() / size.max(1), size];
        let x = sum.clone().into_view(&rows).into_cast::<2>();
        let (normal, mean, inverse) = standardised(x, self.epsilon, self.centred);
        let offset = if self.centred { inputs.maybe(3) } else { None };
        let y = scaled(normal.into_view(shape), inputs.maybe(2), offset);
        let mean = mean.unwrap_or_else(|| inverse.zeros_like());
        let made = [y, mean.into(), inverse.into(), sum];
        let made = made.into_iter().zip(outputs);
        made.map(|(made, known)| made.into_view(&known.shape))
            .collect()
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let centred = if self.centred { 2 } else { 0 };
        // What is added, and scale and offset.
        let given = shapes.given() as u64 - 1;
        Some((centred + 3 + given) * shapes.made())
    }
}
