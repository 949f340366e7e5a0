//! `TopK`: the largest or smallest numbers along an axis, in order, and where they are.
//!
//! Of equal numbers that with the lower index comes first. The order is found on the host; the numbers
//! are taken from the tensor, and so are differentiable.

use std::sync::Arc;

use super::pick::{self, keys};
use crate::host::{ElementType, HostTensor};
use crate::operator::{
    Known, Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts, sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("TopK", 1, |a| {
    let stated = match a.opset() < 10 {
        true => Some(a.int("k").ok_or("attribute k is missing")?),
        false => None,
    };
    Ok(Arc::new(TopK {
        axis: a.int_or("axis", -1),
        stated,
        largest: a.int_or("largest", 1) != 0,
    }))
})];

#[derive(Debug)]
struct TopK {
    axis: i64,
    /// How many; `None` where it is an input.
    stated: Option<i64>,
    largest: bool,
}

impl TopK {
    /// Along which axis, and how many.
    fn asked(&self, inputs: &Operands<'_>) -> Result<(usize, usize), Refused> {
        let x = inputs.input(0)?;
        let axis = axis_of(self.axis, x.shape.len())?;
        let count = match self.stated {
            Some(count) => count,
            None => inputs.value(1, "how many are asked for")?.scalar_int()?,
        };
        let (count, size) = (sizes(&[count])?[0], x.shape[axis]);
        match count > size {
            true => Err(format!("{count} of {size} numbers are asked for").into()),
            false => Ok((axis, count)),
        }
    }
}

impl Operator for TopK {
    facts!(kind: "TopK", algebra: Moves, most_outputs: 2);

    fn number(&self, attribute: &str) -> Option<f64> {
        (attribute == "largest").then(|| f64::from(u8::from(self.largest)))
    }

    fn outline(&self, inputs: &Operands<'_>) -> Option<Vec<Known>> {
        let x = inputs.input(0).ok()?;
        let (axis, count) = self.asked(inputs).ok()?;
        let mut shape = x.shape.clone();
        shape[axis] = count;
        Some(vec![
            Known::computed(shape.clone(), x.kind),
            Known::computed(shape, ElementType::I64),
        ])
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let (axis, count) = self.asked(inputs)?;
        let size = x.shape[axis];
        let keys = keys(inputs.value(0, "the numbers to sort")?);
        let inner: usize = x.shape[axis + 1..].iter().product();
        let outer: usize = x.shape[..axis].iter().product();
        let mut shape = x.shape.clone();
        shape[axis] = count;
        check_host_size(&shape)?;
        let made = outer * count * inner;
        let (mut places, mut indices) = (vec![0; made], vec![0; made]);
        let mut order: Vec<usize> = Vec::with_capacity(size);
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| (o * size + k) * inner + i;
                order.clear();
                order.extend(0..size);
                order.sort_by_key(|&k| match self.largest {
                    true => -keys[at(k)],
                    false => keys[at(k)],
                });
                for (j, &k) in order[..count].iter().enumerate() {
                    let to = (o * count + j) * inner + i;
                    places[to] = at(k);
                    indices[to] = k as i64;
                }
            }
        }
        let indices = HostTensor::of_ints(ElementType::I64, &shape, indices)?;
        let (kernel, values) = pick::picked(x, places, 1, shape)?;
        Ok(pick::with_known(kernel, vec![values, Known::host(indices)]))
    }
}
