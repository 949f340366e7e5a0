//! `OneHot`: a vector for each index, one value where the index says and another elsewhere.

use std::sync::Arc;

use super::pick::{self, Pick};
use crate::host::{ElementType, HostTensor};
use crate::operator::{
    Known, Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("OneHot", 9, |a| {
    let axis = a.int_or("axis", -1);
    Ok(Arc::new(OneHot { axis }))
})];

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

impl OneHot {
    /// The axis of the vectors, the shape of the result, and how long a vector is.
    fn asked(&self, inputs: &Operands<'_>) -> Result<(usize, Vec<usize>, i64), Refused> {
        let (indices, values) = (inputs.input(0)?, inputs.input(2)?);
        if values.shape != [2] {
            let shape = &values.shape;
            return Err(
                format!("the values have shape {shape:?}, expected [2]: off and on").into(),
            );
        }
        let depth = inputs.value(1, "the depth")?;
        let depth = depth.cast(ElementType::I64).scalar_int()?;
        let size = usize::try_from(depth).map_err(|_| format!("a depth of {depth}"))?;
        let axis = axis_of(self.axis, indices.shape.len() + 1)?;
        let mut shape = indices.shape.clone();
        shape.insert(axis, size);
        Ok((axis, shape, depth))
    }
}

impl Operator for OneHot {
    facts!(kind: "OneHot", algebra: Decision);

    fn outline(&self, inputs: &Operands<'_>) -> Option<Vec<Known>> {
        let (_, shape, _) = self.asked(inputs).ok()?;
        Some(vec![Known::computed(shape, inputs.input(2).ok()?.kind)])
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let values = inputs.input(2)?;
        let (axis, shape, depth) = self.asked(inputs)?;
        check_host_size(&shape)?;
        let indices = inputs.value(0, "the indices")?;
        let indices = numbers(indices)?;
        let inner: usize = shape[axis + 1..].iter().product();
        let mut places = Vec::new();
        for outer in indices.chunks(inner.max(1)) {
            for class in 0..depth {
                let is_on = |&i: &i64| i == class || i.checked_add(depth) == Some(class);
                places.extend(outer.iter().map(|i| usize::from(is_on(i))));
            }
        }
        let (kernel, known) = pick::picked(values, places, 1, shape)?;
        let kernel = kernel.map(|kernel| Pick { slot: 2, ..kernel });
        Ok(pick::with_known(kernel, vec![known]))
    }
}

/// Indices of any type; -1 - 2^62 stands for one that is no whole number.
fn numbers(indices: &HostTensor) -> Result<Vec<i64>, Refused> {
    if indices.element_type().is_int() {
        return Ok(indices.ints()?);
    }
    let whole = |v: f32| match v.fract() == 0.0 {
        true => v as i64,
        false => -1 - (1 << 62),
    };
    Ok(indices.floats().into_iter().map(whole).collect())
}
