//! `DynamicQuantizeLinear`: numbers as 8-bit integers, with the scale and the zero point that their
//! smallest and largest ask for.
//!
//! `scale = (max(x, 0) - min(x, 0)) / 255`, `zero = round(-min(x, 0) / scale)`,
//! `y = round(x / scale) + zero`. Rounding has the derivative of the identity.

use std::sync::Arc;

use super::steps::rounded;
use crate::long_rows::LongRows;
use crate::activation::{Activation, IntoView};
use crate::host::ElementType;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("DynamicQuantizeLinear", 11, |_| {
    Ok(Arc::new(DynamicQuantize))
})];

#[derive(Debug)]
struct DynamicQuantize;

/// The largest of 8 bits.
const MOST: f32 = 255.0;

impl Operator for DynamicQuantize {
    facts!(kind: "DynamicQuantizeLinear", algebra: Other, most_outputs: 3);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let outputs = vec![
            Known::computed(x.shape.clone(), ElementType::U8),
            Known::computed(Vec::new(), ElementType::F32),
            Known::computed(Vec::new(), ElementType::U8),
        ];
        Ok(Resolved::of(Self, outputs))
    }
}

impl Kernel for DynamicQuantize {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let shape = x.shape();
        let flat = x.into_view(&[shape.iter().product()]).into_cast::<1>();
        let row = flat.clone().reshape([1, -1]);
        let largest = row.clone().row_maxima().reshape([1]).clamp_min(0.0);
        let smallest = row.row_minima().reshape([1]).clamp_max(0.0);
        let span = largest - smallest.clone();
        let flatness = span.clone().equal_scalar(0.0);
        let scale = span.mask_fill(flatness, 1.0) / MOST;
        let zero = -(smallest / scale.clone());
        let zero = rounded(zero, None, ElementType::U8);
        let y = rounded(flat / scale.clone(), Some(zero.clone()), ElementType::U8);
        let made = [y.into_view(&shape), scale.into(), zero.into()];
        made.into_iter().take(outputs.len()).collect()
    }
}
