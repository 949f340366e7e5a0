//! `Trilu`: the upper or the lower triangle of matrices, the rest 0.

use std::sync::Arc;

use super::where_::expanded;
use crate::activation::{Activation, IntoView};
use crate::host::HostTensor;
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_host_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Trilu", 14, |a| {
    let upper = a.int_or("upper", 1) != 0;
    Ok(Arc::new(Trilu { upper }))
})];

#[derive(Debug)]
struct Trilu {
    upper: bool,
}

impl Operator for Trilu {
    facts!(kind: "Trilu", algebra: Linear);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let &[.., rows, columns] = x.shape.as_slice() else {
            return Err(format!("input has shape {:?}, expected matrices", x.shape).into());
        };
        let offset = inputs.optional_value(1, "the diagonal")?;
        let offset = offset.map_or(Ok(0), HostTensor::scalar_int)?;
        check_host_size(&[rows, columns])?;
        let kept = (0..rows).flat_map(|row| {
            let diagonal = offset.saturating_add(row as i64);
            (0..columns as i64).map(move |column| match self.upper {
                true => column >= diagonal,
                false => column <= diagonal,
            })
        });
        let kept: Vec<bool> = kept.collect();
        if x.host.is_none() && x.kind.is_float() {
            let kept = HostTensor::of_bools(&[rows, columns], kept)?;
            return Ok(Resolved::typed(Kept(kept), x.shape.clone(), x.kind));
        }
        let host = inputs.value(0, "the matrices")?;
        let kept = HostTensor::of_bools(&[rows, columns], kept)?;
        let nothing = HostTensor::of_numbers(x.kind, &[], vec![0.0])?;
        Ok(Resolved::known(kept.choose(host, &nothing, &x.shape)?))
    }
}

/// What stays of each matrix.
#[derive(Debug)]
struct Kept(HostTensor);

impl Kernel for Kept {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let kept = Activation::from_host(self.0.floats(), self.0.shape(), &x.device());
        let dropped = expanded(kept, &x.shape()).untyped().lower_scalar(0.5);
        let made = Activation::from(x.untyped().mask_fill(dropped, 0.0));
        vec![made.into_view(&outputs[0].shape)]
    }
}
