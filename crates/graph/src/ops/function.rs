//! Functions of each number that are no activations between layers.

use elucid_rules::{Algebra, Pointwise};

use super::pointwise::Function;
use crate::registry::Entry;

use Algebra::{Affine, Decision, Function as Bends};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Sqrt", 1, |_| {
        Function::new("Sqrt", Bends, |v, _| v.sqrt(), |x, _| x.sqrt()).read()
    }),
    Entry::onnx("Exp", 1, |_| {
        Function::new("Exp", Bends, |v, _| v.exp(), |x, _| x.exp())
            .sweep(|_| Pointwise::Exp)
            .read()
    }),
    Entry::onnx("Log", 1, |_| {
        Function::new("Log", Bends, |v, _| v.ln(), |x, _| x.log()).read()
    }),
    Entry::onnx("Neg", 1, |_| {
        Function::new("Neg", Affine, |v, _| -v, |x, _| -x)
            .integer(i64::wrapping_neg)
            .read()
    }),
    Entry::onnx("Abs", 1, |_| {
        Function::new("Abs", Bends, |v, _| v.abs(), |x, _| x.abs())
            .integer(i64::wrapping_abs)
            .read()
    }),
    Entry::onnx("Reciprocal", 1, |_| {
        Function::new("Reciprocal", Bends, |v, _| v.recip(), |x, _| x.recip()).read()
    }),
    Entry::onnx("Erf", 1, |_| {
        Function::new("Erf", Bends, |v, _| libm::erff(v), |x, _| x.erf())
            .sweep(|_| Pointwise::Erf)
            .read()
    }),
    Entry::onnx("Sin", 7, |_| {
        Function::new("Sin", Bends, |v, _| v.sin(), |x, _| x.sin()).read()
    }),
    Entry::onnx("Cos", 7, |_| {
        Function::new("Cos", Bends, |v, _| v.cos(), |x, _| x.cos()).read()
    }),
    Entry::onnx("Tan", 7, |_| {
        Function::new("Tan", Bends, |v, _| v.tan(), |x, _| x.tan()).read()
    }),
    Entry::onnx("Asin", 7, |_| {
        Function::new("Asin", Bends, |v, _| v.asin(), |x, _| x.asin()).read()
    }),
    Entry::onnx("Acos", 7, |_| {
        Function::new("Acos", Bends, |v, _| v.acos(), |x, _| x.acos()).read()
    }),
    Entry::onnx("Atan", 7, |_| {
        Function::new("Atan", Bends, |v, _| v.atan(), |x, _| x.atan()).read()
    }),
    Entry::onnx("Sinh", 9, |_| {
        Function::new("Sinh", Bends, |v, _| v.sinh(), |x, _| x.sinh()).read()
    }),
    Entry::onnx("Cosh", 9, |_| {
        Function::new("Cosh", Bends, |v, _| v.cosh(), |x, _| x.cosh()).read()
    }),
    Entry::onnx("Asinh", 9, |_| {
        Function::new("Asinh", Bends, |v, _| v.asinh(), |x, _| x.asinh()).read()
    }),
    Entry::onnx("Acosh", 9, |_| {
        Function::new("Acosh", Bends, |v, _| v.acosh(), |x, _| x.acosh()).read()
    }),
    Entry::onnx("Atanh", 9, |_| {
        Function::new("Atanh", Bends, |v, _| v.atanh(), |x, _| x.atanh()).read()
    }),
    // To the nearest, of two equally near ones to the even.
    Entry::onnx("Round", 11, |_| {
        let even = |v: f32, _| v.round_ties_even();
        Function::new("Round", Decision, even, |x, _| x.round()).read()
    }),
    Entry::onnx("Sign", 9, |_| {
        Function::new("Sign", Decision, sign, |x, _| x.sign())
            .integer(i64::signum)
            .read()
    }),
    Entry::onnx("Floor", 1, |_| {
        Function::new("Floor", Decision, |v, _| v.floor(), |x, _| x.floor()).read()
    }),
    Entry::onnx("Ceil", 1, |_| {
        Function::new("Ceil", Decision, |v, _| v.ceil(), |x, _| x.ceil()).read()
    }),
];

/// 0 of 0, where the standard library's is 1.
fn sign(v: f32, _: [f32; 2]) -> f32 {
    match v {
        0.0 => 0.0,
        v => v.signum(),
    }
}
