//! `Range`: numbers from a start to a limit, in equal steps.

use std::sync::Arc;

use super::pick::same_kind;
use crate::host::HostTensor;
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Range", 11, |_| Ok(Arc::new(Range)))];

#[derive(Debug)]
struct Range;

impl Operator for Range {
    facts!(kind: "Range", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let start = inputs.value(0, "the start")?;
        let limit = inputs.value(1, "the limit")?;
        let delta = inputs.value(2, "the step")?;
        let kind = start.element_type();
        same_kind(kind, limit.element_type())?;
        same_kind(kind, delta.element_type())?;
        if kind.is_float() {
            let number = |t: &HostTensor| t.scalar_float().map(f64::from);
            let (start, limit, delta) = (number(start)?, number(limit)?, number(delta)?);
            let count = ((limit - start) / delta).ceil();
            if delta == 0.0 || !count.is_finite() {
                return Err(format!("a range from {start} to {limit} in steps of {delta}").into());
            }
            let count = count.max(0.0) as usize;
            check_host_size(&[count])?;
            let values = (0..count).map(|i| (start + i as f64 * delta) as f32);
            let made = HostTensor::of_floats(kind, &[count], values.collect())?;
            return Ok(Resolved::known(made));
        }
        let (start, limit, delta) = (
            start.scalar_int()?,
            limit.scalar_int()?,
            delta.scalar_int()?,
        );
        if delta == 0 {
            return Err(format!("a range from {start} to {limit} in steps of 0").into());
        }
        let (wide_start, wide_delta) = (i128::from(start), i128::from(delta));
        let span = i128::from(limit) - wide_start;
        let whole = span / wide_delta;
        let rest = i128::from(span % wide_delta != 0 && (span > 0) == (delta > 0));
        let count = usize::try_from((whole + rest).max(0)).unwrap_or(usize::MAX);
        check_host_size(&[count])?;
        let values = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta)));
        let made = HostTensor::of_ints(kind, &[count], values.collect())?;
        Ok(Resolved::known(made))
    }
}
