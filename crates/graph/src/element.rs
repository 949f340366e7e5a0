//! The element types of tensors.

use std::fmt;

use half::{bf16, f16};

/// What the elements of a tensor are.
///
/// Floating point is computed in single precision whatever the file states, integers on the host in
/// 64 bits, wrapped to the width that the type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ElementType {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl ElementType {
    /// Every type with ONNX's number and name for it.
    const ALL: [(Self, i32, &'static str); 13] = [
        (Self::F32, 1, "float32"),
        (Self::U8, 2, "uint8"),
        (Self::I8, 3, "int8"),
        (Self::U16, 4, "uint16"),
        (Self::I16, 5, "int16"),
        (Self::I32, 6, "int32"),
        (Self::I64, 7, "int64"),
        (Self::Bool, 9, "bool"),
        (Self::F16, 10, "float16"),
        (Self::F64, 11, "float64"),
        (Self::U32, 12, "uint32"),
        (Self::U64, 13, "uint64"),
        (Self::BF16, 16, "bfloat16"),
    ];

    /// The type with this number in ONNX's `TensorProto.DataType`.
    pub fn from_onnx(number: i32) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, n, _)| *n == number);
        known.map(|(kind, ..)| *kind)
    }

    /// The type of this name: `float32`, or as early opsets spelt it, `FLOAT`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "FLOAT" => return Some(Self::F32),
            "DOUBLE" => return Some(Self::F64),
            _ => {}
        }
        let lower = name.to_ascii_lowercase();
        let known = Self::ALL.iter().find(|(_, _, known)| *known == lower);
        known.map(|(kind, ..)| *kind)
    }

    /// Whether it is floating point.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Whether it is an integer; booleans are none.
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, Self::Bool)
    }

    /// Bytes of one element in a file.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// An integer as this type holds it: the bits that it has no room for are lost.
    pub(crate) const fn wrap(self, value: i64) -> i64 {
        match self {
            Self::I8 => value as i8 as i64,
            Self::I16 => value as i16 as i64,
            Self::I32 => value as i32 as i64,
            Self::U8 => value as u8 as i64,
            Self::U16 => value as u16 as i64,
            Self::U32 => value as u32 as i64,
            _ => value,
        }
    }

    /// A number as this type holds it.
    pub(crate) fn round(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
            _ => value,
        }
    }

    /// The smallest and the largest integer of this type, as far as 64 bits hold them.
    pub(crate) const fn range(self) -> (i64, i64) {
        match self {
            Self::I8 => (i8::MIN as i64, i8::MAX as i64),
            Self::I16 => (i16::MIN as i64, i16::MAX as i64),
            Self::I32 => (i32::MIN as i64, i32::MAX as i64),
            Self::U8 => (0, u8::MAX as i64),
            Self::U16 => (0, u16::MAX as i64),
            Self::U32 => (0, u32::MAX as i64),
            Self::U64 => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(kind, ..)| kind == self);
        f.pad(known.map_or("", |(_, _, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (kind, number, name) in ElementType::ALL {
            assert_eq!(ElementType::from_onnx(number), Some(kind));
            assert_eq!(ElementType::from_name(name), Some(kind));
            assert_eq!(kind.to_string(), name);
        }
        assert_eq!(ElementType::from_name("FLOAT16"), Some(ElementType::F16));
        assert_eq!(ElementType::from_name("FLOAT"), Some(ElementType::F32));
        assert_eq!(ElementType::from_onnx(8), None);
    }

    #[test]
    fn integers_wrap_at_their_width() {
        assert_eq!(ElementType::U8.wrap(257), 1);
        assert_eq!(ElementType::I8.wrap(200), -56);
        assert_eq!(ElementType::U32.wrap(-1), i64::from(u32::MAX));
        assert_eq!(ElementType::I64.wrap(i64::MIN), i64::MIN);
    }
}
