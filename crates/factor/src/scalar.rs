//! The two kinds of numbers that are factorised.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use num_traits::{Float, NumCast};
use pulp::Simd;

/// `f32` or `f64`.
///
/// Sealed: the products are written for the vector registers of these two.
pub trait Scalar:
    Lanes
    + Float
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + 'static
{
}

impl Scalar for f32 {}
impl Scalar for f64 {}

/// The nearest value of this kind.
pub(crate) fn cast<T: Scalar>(value: f64) -> T {
    <T as NumCast>::from(value).unwrap_or_else(T::nan)
}

pub(crate) fn widen<T: Scalar>(value: T) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

/// Vector registers of a kind of number.
pub trait Lanes: Sized + Copy {
    #[doc(hidden)]
    type Vector<S: Simd>: Copy;

    /// Whole vectors, and what is left over.
    #[doc(hidden)]
    fn split<S: Simd>(values: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    #[doc(hidden)]
    fn splat<S: Simd>(s: S, value: Self) -> Self::Vector<S>;
    /// The values, then zeros.
    #[doc(hidden)]
    fn load<S: Simd>(s: S, values: &[Self]) -> Self::Vector<S>;
    /// As many lanes as there is room for.
    #[doc(hidden)]
    fn store<S: Simd>(s: S, into: &mut [Self], vector: Self::Vector<S>);
    /// `a * b + c`, rounded once or twice.
    #[doc(hidden)]
    fn fma<S: Simd>(
        s: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    #[doc(hidden)]
    fn plus<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    #[doc(hidden)]
    fn minus<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    #[doc(hidden)]
    fn total<S: Simd>(s: S, a: Self::Vector<S>) -> Self;
    /// One step of coordinate descent, see [`crate::kernel::descend`]: the new value, and the size
    /// of the projected gradient.
    #[doc(hidden)]
    fn step<S: Simd>(
        s: S,
        value: Self::Vector<S>,
        gradient: Self::Vector<S>,
        rate: Self::Vector<S>,
    ) -> (Self::Vector<S>, Self::Vector<S>);
}

macro_rules! lanes {
    ($t:ty, $v:ident, $split:ident, $split_mut:ident, $splat:ident, $load:ident, $store:ident, $fma:ident, $nfma:ident,
     $add:ident, $sub:ident, $sum:ident, $max:ident, $min:ident, $abs:ident, $eq:ident, $select:ident) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$v;

            #[inline(always)]
            fn split<S: Simd>(values: &[Self]) -> (&[S::$v], &[Self]) {
                S::$split(values)
            }
            #[inline(always)]
            fn splat<S: Simd>(s: S, value: Self) -> S::$v {
                s.$splat(value)
            }
            #[inline(always)]
            fn load<S: Simd>(s: S, values: &[Self]) -> S::$v {
                match S::$split(values) {
                    ([vector, ..], _) => *vector,
                    _ => s.$load(values),
                }
            }
            #[inline(always)]
            fn store<S: Simd>(s: S, into: &mut [Self], vector: S::$v) {
                match S::$split_mut(into) {
                    ([whole, ..], _) => *whole = vector,
                    (_, part) => s.$store(part, vector),
                }
            }
            #[inline(always)]
            fn fma<S: Simd>(s: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                s.$fma(a, b, c)
            }
            #[inline(always)]
            fn plus<S: Simd>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$add(a, b)
            }
            #[inline(always)]
            fn minus<S: Simd>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$sub(a, b)
            }
            #[inline(always)]
            fn total<S: Simd>(s: S, a: S::$v) -> Self {
                s.$sum(a)
            }
            #[inline(always)]
            fn step<S: Simd>(s: S, value: S::$v, gradient: S::$v, rate: S::$v) -> (S::$v, S::$v) {
                let zero = s.$splat(0.0);
                let projected = s.$select(s.$eq(value, zero), s.$min(gradient, zero), gradient);
                let next = s.$max(s.$nfma(gradient, rate, value), zero);
                (next, s.$abs(projected))
            }
        }
    };
}

lanes!(
    f32,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    partial_load_f32s,
    partial_store_f32s,
    mul_add_e_f32s,
    negate_mul_add_e_f32s,
    add_f32s,
    sub_f32s,
    reduce_sum_f32s,
    max_f32s,
    min_f32s,
    abs_f32s,
    equal_f32s,
    select_f32s
);
lanes!(
    f64,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    partial_load_f64s,
    partial_store_f64s,
    mul_add_e_f64s,
    negate_mul_add_e_f64s,
    add_f64s,
    sub_f64s,
    reduce_sum_f64s,
    max_f64s,
    min_f64s,
    abs_f64s,
    equal_f64s,
    select_f64s
);
