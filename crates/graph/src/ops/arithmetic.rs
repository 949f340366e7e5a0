//! The four basic operations, the larger and the smaller of two, and the remainder.

use burn::tensor::Tensor;
use elucid_rules::{Algebra, pairwise};

use super::pointwise::Pairwise;
use crate::host::{ElementType, HostTensor};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Add", 1, |a| {
        Pairwise::new(a, "Add", |_| Algebra::Sum, add, plus).read()
    }),
    Entry::onnx("Sub", 1, |a| {
        Pairwise::new(a, "Sub", |_| Algebra::Sum, subtract, minus).read()
    }),
    Entry::onnx("Mul", 1, |a| {
        Pairwise::new(a, "Mul", product, multiply, times).read()
    }),
    Entry::onnx("Div", 1, |a| {
        Pairwise::new(a, "Div", quotient, divide, |a, b| a / b).read()
    }),
    Entry::onnx("Mod", 10, |a| {
        let fmod = a.flag("fmod");
        let pairwise = match fmod {
            true => Pairwise::new(a, "Mod", rest, remainder, truncated_remainder),
            false => Pairwise::new(a, "Mod", rest, modulo, |a, b| {
                a.clone() - (a / b.clone()).floor() * b
            }),
        };
        pairwise.read()
    }),
];

fn product(constant: &[bool]) -> Algebra {
    match constant {
        [false, false] => Algebra::Product,
        _ => Algebra::Affine,
    }
}

fn quotient(constant: &[bool]) -> Algebra {
    match constant {
        [_, false] => Algebra::Quotient,
        _ => Algebra::Affine,
    }
}

/// What a division leaves over grows with the dividend, but for jumps.
fn rest(constant: &[bool]) -> Algebra {
    match constant {
        [_, false] => Algebra::Other,
        _ => Algebra::Function,
    }
}

fn plus(a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    pairwise(a, b, elucid_rules::Pairwise::Add, |a, b| a + b)
}

fn minus(a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    pairwise(a, b, elucid_rules::Pairwise::Sub, |a, b| a - b)
}

fn times(a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    pairwise(a, b, elucid_rules::Pairwise::Mul, |a, b| a * b)
}

fn is_int(a: &HostTensor) -> bool {
    a.element_type().is_int()
}

fn add(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    match is_int(a) {
        true => a.zip_ints(b, shape, i64::wrapping_add),
        false => a.zip_floats(b, shape, |x, y| x + y),
    }
}

fn subtract(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    match is_int(a) {
        true => a.zip_ints(b, shape, i64::wrapping_sub),
        false => a.zip_floats(b, shape, |x, y| x - y),
    }
}

fn multiply(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    match is_int(a) {
        true => a.zip_ints(b, shape, i64::wrapping_mul),
        false => a.zip_floats(b, shape, |x, y| x * y),
    }
}

/// Whether the integers are held by their bits.
fn is_huge(a: &HostTensor) -> bool {
    a.element_type() == ElementType::U64
}

fn no_zero(divisor: &HostTensor) -> Result<(), String> {
    match is_int(divisor) && divisor.ints()?.contains(&0) {
        true => Err("integer division by zero".to_owned()),
        false => Ok(()),
    }
}

fn divide(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    no_zero(b)?;
    match is_int(a) {
        true if is_huge(a) => a.zip_ints(b, shape, |x, y| (x as u64 / y as u64) as i64),
        true => a.zip_ints(b, shape, i64::wrapping_div),
        false => a.zip_floats(b, shape, |x, y| x / y),
    }
}

fn truncated(x: Tensor<1>) -> Tensor<1> {
    x.clone().sign() * x.abs().floor()
}

fn truncated_remainder(a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    a.clone() - truncated(a / b.clone()) * b
}

/// With the sign of the divisor.
fn modulo(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    no_zero(b)?;
    match is_int(a) {
        true if is_huge(a) => a.zip_ints(b, shape, |x, y| (x as u64 % y as u64) as i64),
        true => a.zip_ints(b, shape, |x, y| {
            x.wrapping_rem(y).wrapping_add(y).wrapping_rem(y)
        }),
        false => a.zip_floats(b, shape, |x, y| x - (x / y).floor() * y),
    }
}

/// With the sign of the dividend.
fn remainder(a: &HostTensor, b: &HostTensor, shape: &[usize]) -> Result<HostTensor, String> {
    no_zero(b)?;
    match is_int(a) {
        true if is_huge(a) => a.zip_ints(b, shape, |x, y| (x as u64 % y as u64) as i64),
        true => a.zip_ints(b, shape, i64::wrapping_rem),
        false => a.zip_floats(b, shape, |x, y| x % y),
    }
}
