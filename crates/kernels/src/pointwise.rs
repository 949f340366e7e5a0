//! Functions of each number by itself, and their derivatives, in one sweep of vectors on all threads.
//!
//! Everything is arithmetic that compilers turn into vector instructions: exponentials by a polynomial and the
//! bits of the exponent, the error function and the hyperbolic tangent by polynomials and exponentials, no
//! branches. Results are within 1e-6 of those in double precision, in proportion to the result, or for
//! derivatives that are sums to their larger term; where an exponential is taken of a product that is rounded
//! (of `alpha` and a number, of the powers in GELU's approximation), of those at the rounded product. What
//! bounds them is a division and an exponential for each number, or, for those without, memory.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::threads::TASK;
use crate::vectors::vectorised;
use crate::written::written;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Pointwise {
    /// `e^x`.
    Exp,
    /// `2 / √π` times the integral of `e^(-t²)` from 0 to `x`.
    Erf,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `(e^x - e^-x) / (e^x + e^-x)`.
    Tanh,
    /// `x / (1 + e^(-alpha x))`: SiLU where `alpha` is 1.
    Swish {
        /// The factor within.
        alpha: f32,
    },
    /// `x Φ(x)`, where `Φ(x) = (1 + erf(x / √2)) / 2`.
    Gelu,
    /// `x / 2 (1 + tanh(√(2 / π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `alpha x + beta` between 0 and 1. Where it is 0 or 1 the derivative is 0.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// `x (x / 6 + 1 / 2)`, 0 up to -3 and `x` from 3 on.
    HardSwish,
    /// `max(x, 0)`. At 0 the derivative is 0.
    Relu,
    /// `min(max(x, min), max)`. At the bounds the derivative is 1.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// `x`, below 0 `alpha x`.
    LeakyRelu {
        /// The slope below 0.
        alpha: f32,
    },
}

/// What is done with a function and its derivative. They are copied into the loops: what they hold lies in registers then,
/// where a reference to it might be to a number that a loop writes.
trait Sweep {
    fn with(
        self,
        value: impl Fn(f32) -> f32 + Copy + Send + Sync,
        slope: impl Fn(f32) -> f32 + Copy + Send + Sync,
    );
}

/// A function as a closure that becomes part of the loop that calls it. Handed over by name it would be called through a shim, which
/// is not inlined where the function is long, and no loop around a call becomes vector instructions.
macro_rules! inlined {
    ($function:path) => {
        #[inline(always)]
        |x| $function(x)
    };
}

impl Pointwise {
    /// Puts each number's value in its place.
    pub fn apply(self, values: &mut [f32]) {
        self.with(Apply(values));
    }

    /// The same on the thread that calls.
    pub(crate) fn apply_here(self, values: &mut [f32]) {
        self.with(Here(values));
    }

    /// The value of each number.
    pub fn map(self, x: &[f32]) -> Vec<f32> {
        // Every number has one of `x` beside it.
        written(x.len(), |y| self.with(Map { x, y }))
    }

    /// Multiplies each gradient `g` by the derivative at `x`.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    pub fn backward(self, x: &[f32], g: &mut [f32]) {
        assert_eq!(x.len(), g.len(), "a gradient for each number");
        self.with(Backward { x, g });
    }

    /// The gradient at `x`, given the one at the values.
    ///
    /// # Panics
    ///
    /// As [`Pointwise::backward`].
    pub fn gradient(self, x: &[f32], g: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), g.len(), "a gradient for each number");
        // Every number has one of `x` and one of `g` beside it.
        written(x.len(), |d| self.with(Gradient { x, g, d }))
    }

    /// Each function is compiled into each sweep.
    fn with(self, sweep: impl Sweep) {
        match self {
            Self::Exp => sweep.with(inlined!(exp), inlined!(exp)),
            Self::Erf => sweep.with(inlined!(erf), inlined!(erf_slope)),
            Self::Sigmoid => sweep.with(inlined!(sigmoid), inlined!(sigmoid_slope)),
            Self::Tanh => sweep.with(inlined!(tanh), inlined!(tanh_slope)),
            Self::Swish { alpha } => sweep.with(
                #[inline(always)]
                move |x| x * sigmoid(alpha * x),
                #[inline(always)]
                move |x| swish_slope(x, alpha),
            ),
            Self::Gelu => sweep.with(
                #[inline(always)]
                |x| x * normal(x),
                inlined!(gelu_slope),
            ),
            Self::GeluTanh => sweep.with(inlined!(gelu_tanh), inlined!(gelu_tanh_slope)),
            Self::HardSigmoid { alpha, beta } => sweep.with(
                #[inline(always)]
                move |x| (alpha * x + beta).clamp(0.0, 1.0),
                #[inline(always)]
                move |x| {
                    let line = alpha * x + beta;
                    let inside = (line > 0.0) & (line < 1.0);
                    if inside { alpha } else { 0.0 }
                },
            ),
            Self::HardSwish => sweep.with(inlined!(hard_swish), inlined!(hard_swish_slope)),
            Self::Relu => sweep.with(
                // So compared, NaN stays.
                #[inline(always)]
                |x| if x <= 0.0 { 0.0 } else { x },
                #[inline(always)]
                |x| if x > 0.0 { 1.0 } else { 0.0 },
            ),
            Self::Clip { min, max } => sweep.with(
                #[inline(always)]
                move |x| {
                    let x = if x < min { min } else { x };
                    if x > max { max } else { x }
                },
                #[inline(always)]
                move |x| if (x < min) | (x > max) { 0.0 } else { 1.0 },
            ),
            Self::LeakyRelu { alpha } => sweep.with(
                #[inline(always)]
                move |x| if x < 0.0 { alpha * x } else { x },
                #[inline(always)]
                move |x| if x < 0.0 { alpha } else { 1.0 },
            ),
        }
    }
}

struct Apply<'a>(&'a mut [f32]);

impl Sweep for Apply<'_> {
    fn with(
        self,
        value: impl Fn(f32) -> f32 + Copy + Send + Sync,
        _: impl Fn(f32) -> f32 + Copy + Send + Sync,
    ) {
        self.0.par_chunks_mut(TASK).for_each(|x| {
            vectorised(
                #[inline(always)]
                move || {
                    for x in x.iter_mut() {
                        *x = value(*x);
                    }
                },
            );
        });
    }
}

struct Here<'a>(&'a mut [f32]);

impl Sweep for Here<'_> {
    fn with(
        self,
        value: impl Fn(f32) -> f32 + Copy + Send + Sync,
        _: impl Fn(f32) -> f32 + Copy + Send + Sync,
    ) {
        vectorised(
            #[inline(always)]
            move || {
                for x in self.0.iter_mut() {
                    *x = value(*x);
                }
            },
        );
    }
}

struct Map<'a> {
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
}

impl Sweep for Map<'_> {
    fn with(
        self,
        value: impl Fn(f32) -> f32 + Copy + Send + Sync,
        _: impl Fn(f32) -> f32 + Copy + Send + Sync,
    ) {
        let chunks = self.y.par_chunks_mut(TASK).zip(self.x.par_chunks(TASK));
        chunks.for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                move || {
                    for (y, x) in y.iter_mut().zip(x) {
                        y.write(value(*x));
                    }
                },
            );
        });
    }
}

struct Backward<'a> {
    x: &'a [f32],
    g: &'a mut [f32],
}

impl Sweep for Backward<'_> {
    fn with(
        self,
        _: impl Fn(f32) -> f32 + Copy + Send + Sync,
        slope: impl Fn(f32) -> f32 + Copy + Send + Sync,
    ) {
        let chunks = self.g.par_chunks_mut(TASK).zip(self.x.par_chunks(TASK));
        chunks.for_each(|(g, x)| {
            vectorised(
                #[inline(always)]
                move || {
                    for (g, x) in g.iter_mut().zip(x) {
                        *g *= slope(*x);
                    }
                },
            );
        });
    }
}

struct Gradient<'a> {
    x: &'a [f32],
    g: &'a [f32],
    d: &'a mut [MaybeUninit<f32>],
}

impl Sweep for Gradient<'_> {
    fn with(
        self,
        _: impl Fn(f32) -> f32 + Copy + Send + Sync,
        slope: impl Fn(f32) -> f32 + Copy + Send + Sync,
    ) {
        let inputs = self.x.par_chunks(TASK).zip(self.g.par_chunks(TASK));
        let chunks = self.d.par_chunks_mut(TASK).zip(inputs);
        chunks.for_each(|(d, (x, g))| {
            vectorised(
                #[inline(always)]
                move || {
                    for ((d, x), g) in d.iter_mut().zip(x).zip(g) {
                        d.write(*g * slope(*x));
                    }
                },
            );
        });
    }
}

#[inline(always)]
fn hard_swish(x: f32) -> f32 {
    let between = x * (x / 6.0 + 0.5);
    let above_low = if x <= -3.0 { 0.0 } else { between };
    if x >= 3.0 { x } else { above_low }
}

#[inline(always)]
fn hard_swish_slope(x: f32) -> f32 {
    let above_low = if x <= -3.0 { 0.0 } else { x / 3.0 + 0.5 };
    if x >= 3.0 { 1.0 } else { above_low }
}

/// A polynomial by its coefficients, that of the highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    coefficients
        .into_iter()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Of `ln 2`, so few bits that products with the exponents of numbers are exact, and the rest.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// What is added to a number to have its nearest integer in the lowest bits: `3 * 2^22`.
const ROUND: f32 = 12_582_912.0;

/// `e^x = 2^n e^r`, where `n` is an integer and `r` at most `ln 2 / 2`, by the polynomial of Cephes (Moshier,
/// *Methods and Programs for Mathematical Functions*, 1989).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond, the result is 0 or infinite.
    let x = x.clamp(-104.0, 89.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let rest = [
        1.987_569_3e-4,
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_66,
        0.5,
    ];
    let y = polynomial(r, rest) * (r * r) + r + 1.0;
    // In two factors: one of all of `n` could be infinite, or none that has full precision.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    let half = n >> 1;
    y * power(half) * power(n - half)
}

/// `e = e^-|x|`, from which everything about the logistic function follows without cancellation: its value
/// and what is left to 1.
#[inline(always)]
fn logistic(x: f32) -> (f32, f32) {
    let e = exp(-x.abs());
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    if x < 0.0 {
        (small, large)
    } else {
        (large, small)
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    logistic(x).0
}

#[inline(always)]
fn sigmoid_slope(x: f32) -> f32 {
    let (value, rest) = logistic(x);
    value * rest
}

#[inline(always)]
fn swish_slope(x: f32, alpha: f32) -> f32 {
    let (value, rest) = logistic(alpha * x);
    // Where the product would be infinite, what it is multiplied by is 0.
    let x = x.clamp(-1e30, 1e30);
    value + alpha * x * value * rest
}

/// Small numbers by the polynomial of Cephes, others by the exponential.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let square = x * x;
    let rest = [
        -5.704_988_7e-3,
        2.063_909e-2,
        -5.373_971_5e-2,
        0.133_314_42,
        -0.333_332_8,
    ];
    let small = polynomial(square, rest) * square * x + x;
    let large = (1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0)).copysign(x);
    if magnitude < 0.625 { small } else { large }
}

#[inline(always)]
fn tanh_slope(x: f32) -> f32 {
    4.0 * sigmoid_slope(2.0 * x)
}

/// `1 - erf(z)` for `z >= 0`, given `e^(-z²)`, with the same relative error everywhere: Press et al., *Numerical Recipes*,
/// 2nd ed. 1992, section 6.2, whose error is 1.2e-7.
#[inline(always)]
fn erfc(z: f32, exp_of_square: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * z);
    let powers = [
        0.170_872_76,
        -0.822_152_2,
        1.488_515_9,
        -1.135_204,
        0.278_868_08,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_95,
        1.000_023_7,
        -1.265_512_2,
    ];
    t * exp(polynomial(t, powers)) * exp_of_square
}

/// `e^(-factor x²)`, where `factor` is a power of 2. The square is that of a number with few bits, and a small rest:
/// rounding it would cost `x²` times the precision.
#[inline(always)]
fn exp_of_square(x: f32, factor: f32) -> f32 {
    // Beyond, the result is 0.
    let x = x.clamp(-20.0, 20.0);
    let high = f32::from_bits(x.to_bits() & 0xffff_f000);
    exp(-factor * high * high) * exp(-factor * (x - high) * (x + high))
}

#[inline(always)]
fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let rest = [
        7.853_861e-5,
        -8.010_194e-4,
        5.188_327_7e-3,
        -2.685_381_3e-2,
        0.112_835_85,
        -0.376_126_26,
        std::f32::consts::FRAC_2_SQRT_PI,
    ];
    let small = x * polynomial(x * x, rest);
    let large = (1.0 - erfc(magnitude, exp_of_square(x, 1.0))).copysign(x);
    if magnitude < 1.0 { small } else { large }
}

#[inline(always)]
fn erf_slope(x: f32) -> f32 {
    std::f32::consts::FRAC_2_SQRT_PI * exp_of_square(x, 1.0)
}

/// `Φ(x)`: the probability that a normal number is smaller.
#[inline(always)]
fn normal(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let tail = 0.5 * erfc(z, exp_of_square(x, 0.5));
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    // 1 / √(2 π)
    const FACTOR: f32 = 0.398_942_3;
    let bounded = x.clamp(-20.0, 20.0);
    let density = FACTOR * exp_of_square(x, 0.5);
    normal(x) + bounded * density
}

/// Twice the argument of the hyperbolic tangent, of which GELU's approximation is the logistic function, and
/// its derivative.
#[inline(always)]
fn gelu_argument(x: f32) -> (f32, f32) {
    // 2 √(2 / π)
    const FACTOR: f32 = 1.595_769;
    // Beyond, the logistic function is 0 or 1.
    let x = x.clamp(-20.0, 20.0);
    let square = 0.044_715 * x * x;
    (FACTOR * x * (1.0 + square), FACTOR * (1.0 + 3.0 * square))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    x * sigmoid(gelu_argument(x).0)
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let (argument, slope) = gelu_argument(x);
    let (value, rest) = logistic(argument);
    value + x.clamp(-20.0, 20.0) * value * rest * slope
}
