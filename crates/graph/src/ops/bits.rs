//! Operations on the bits of integers. They are exact, on the host.

use std::sync::Arc;

use elucid_rules::{OpKind};

use super::pointwise::Pair;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("BitShift", 11, |a| {
        let how = match a.text_or("direction", "") {
            "LEFT" => How::Left,
            "RIGHT" => How::Right,
            other => return Err(format!("direction is \"{other}\", expected LEFT or RIGHT")),
        };
        read("BitShift", how)
    }),
    Entry::onnx("BitwiseAnd", 18, |_| read("BitwiseAnd", How::And)),
    Entry::onnx("BitwiseOr", 18, |_| read("BitwiseOr", How::Or)),
    Entry::onnx("BitwiseXor", 18, |_| read("BitwiseXor", How::Xor)),
    Entry::onnx("BitwiseNot", 18, |_| Ok(Arc::new(BitwiseNot))),
];

fn read(kind: &'static str, how: How) -> Result<Arc<dyn Operator>, String> {
    let kind = OpKind::new(kind);
    Ok(Arc::new(Bits { kind, how }))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Left,
    Right,
    And,
    Or,
    Xor,
}

impl How {
    /// Of two integers by their bits; shifts are of unsigned ones.
    fn of(self, x: i64, y: i64) -> i64 {
        let by = || u32::try_from(y as u64).unwrap_or(u32::MAX);
        match self {
            Self::Left => (x as u64).checked_shl(by()).unwrap_or(0) as i64,
            Self::Right => (x as u64).checked_shr(by()).unwrap_or(0) as i64,
            Self::And => x & y,
            Self::Or => x | y,
            Self::Xor => x ^ y,
        }
    }
}

#[derive(Debug)]
struct Bits {
    kind: OpKind,
    how: How,
}

impl Operator for Bits {
    facts!(kind: .kind, algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let pair = Pair::of(inputs, None)?;
        let (a, b) = (integers(inputs, 0)?, integers(inputs, 1)?);
        let kind = a.element_type();
        if b.element_type() != kind {
            let other = b.element_type();
            return Err(format!("cannot combine {kind} with {other}").into());
        }
        let shifts = matches!(self.how, How::Left | How::Right);
        if shifts && !is_unsigned(kind) {
            return Err(format!("input 0 holds {kind}, expected unsigned integers").into());
        }
        check_host_size(&pair.shape)?;
        let how = self.how;
        let made = a.zip_ints(b, &pair.shape, |x, y| how.of(x, y))?;
        Ok(Resolved::known(made))
    }
}

fn is_unsigned(kind: ElementType) -> bool {
    use ElementType::{U8, U16, U32, U64};
    matches!(kind, U8 | U16 | U32 | U64)
}

fn integers<'a>(inputs: &Operands<'a>, slot: usize) -> Result<&'a HostTensor, Refused> {
    let kind = inputs.input(slot)?.kind;
    match kind.is_int() {
        true => inputs.value(slot, "integers by their bits"),
        false => Err(format!("input {slot} holds {kind}, expected integers").into()),
    }
}

#[derive(Debug)]
struct BitwiseNot;

impl Operator for BitwiseNot {
    facts!(kind: "BitwiseNot", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = integers(inputs, 0)?;
        Ok(Resolved::known(x.map_ints(|v| !v)?))
    }
}
