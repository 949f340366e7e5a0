//! Normalisations of rows of numbers and the softmax along them, with their gradients: each row is read into the
//! first-level cache once and worked on there, rows are shared out to all threads.
//!
//! A tensor `[N, tokens, features]` has its tokens for rows, `[N, C, H, W]` its images or groups of channels.
//! Sums run in 16 parts, which vectors are made of, over 4096 numbers at a time, and from there on in double
//! precision. What bounds
//! them is memory, and the exponential in a softmax.

use rayon::prelude::*;

use crate::pointwise::exp;
use crate::threads::{TASK, for_each_chunk};
use crate::vectors::vectorised;

/// Rows with mean 0, if they are centred, and mean square 1, then scaled and shifted:
/// `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`.
#[derive(Debug, Clone, Copy)]
pub struct Standardise<'a> {
    /// Numbers in a row.
    pub row: usize,
    /// Whether the mean is subtracted.
    pub centred: bool,
    /// What is added to the mean square.
    pub epsilon: f32,
    /// Factors: number `i` of all has factor `i / segment`, counted round.
    pub scale: &'a [f32],
    /// What is added, in the same order. There are as many as factors.
    pub bias: &'a [f32],
    /// How many numbers in succession share a factor: 1, and as many factors as a row is long, or a part of a
    /// row.
    pub segment: usize,
}

impl Standardise<'_> {
    /// The rows that become of `x`.
    ///
    /// # Panics
    ///
    /// When `x` is not of whole rows, rows not of whole segments, or factors and what is added are not as many.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.check(x);
        let mut y = vec![0.0; x.len()];
        for_each_row(
            &mut y,
            x,
            self.row,
            #[inline(always)]
            |i, y, x| {
                let (mean, inverse) = self.statistics(x);
                self.with_segments(
                    i,
                    y,
                    x,
                    #[inline(always)]
                    |y, x, scale, bias| *y = (x - mean) * inverse * scale + bias,
                );
            },
        );
        y
    }

    /// Puts the gradient at `x` in the place of the one at the output:
    /// `(h - mean(h) - z mean(h z)) / deviation`, where `h` is `g * scale` and `z` the standardised row.
    ///
    /// # Panics
    ///
    /// As [`Standardise::forward`], and when there are not as many gradients.
    pub fn backward(&self, x: &[f32], g: &mut [f32]) {
        self.check(x);
        assert_eq!(x.len(), g.len(), "a gradient for each number");
        for_each_row(
            g,
            x,
            self.row,
            #[inline(always)]
            |i, d, x| {
                let (mean, inverse) = self.statistics(x);
                self.with_segments(
                    i,
                    d,
                    x,
                    #[inline(always)]
                    |d, _, scale, _| *d *= scale,
                );
                let count = self.row as f32;
                let along = inverse
                    * sum_of_pairs(
                        d,
                        x,
                        #[inline(always)]
                        |d, x| d * (x - mean),
                    )
                    / count;
                let level = match self.centred {
                    true => sum(d) / count,
                    false => 0.0,
                };
                for (d, x) in d.iter_mut().zip(x) {
                    *d = (*d - level - (x - mean) * inverse * along) * inverse;
                }
            },
        );
    }

    fn check(&self, x: &[f32]) {
        let whole = self.row > 0 && x.len().is_multiple_of(self.row);
        let fits = match self.segment {
            1 => self.scale.len() == self.row,
            segment => segment > 0 && self.row.is_multiple_of(segment) && !self.scale.is_empty(),
        };
        assert!(
            whole && fits && self.scale.len() == self.bias.len(),
            "whole rows and segments, and as many factors as shifts"
        );
    }

    /// The mean, 0 unless it counts, and one over the deviation.
    #[inline(always)]
    fn statistics(&self, x: &[f32]) -> (f32, f32) {
        let count = self.row as f32;
        let mean = if self.centred { sum(x) / count } else { 0.0 };
        let squares = sum_of_pairs(
            x,
            x,
            #[inline(always)]
            |x, _| (x - mean) * (x - mean),
        );
        (mean, 1.0 / (squares / count + self.epsilon).sqrt())
    }

    /// Calls `f(y, x, scale, bias)` for each number of row `i`.
    #[inline(always)]
    fn with_segments(
        &self,
        i: usize,
        y: &mut [f32],
        x: &[f32],
        f: impl Fn(&mut f32, f32, f32, f32),
    ) {
        if self.segment == 1 {
            let parameters = self.scale.iter().zip(self.bias);
            for ((y, x), (scale, bias)) in y.iter_mut().zip(x).zip(parameters) {
                f(y, *x, *scale, *bias);
            }
            return;
        }
        let first = i * self.row / self.segment;
        let segments = y.chunks_mut(self.segment).zip(x.chunks(self.segment));
        for (k, (y, x)) in segments.enumerate() {
            let at = (first + k) % self.scale.len();
            let (scale, bias) = (self.scale[at], self.bias[at]);
            for (y, x) in y.iter_mut().zip(x) {
                f(y, *x, scale, bias);
            }
        }
    }
}

/// `x * scale + bias` in the place of `x`: a segment of `segment` numbers after the other, each with the next factor
/// and shift, counted round. Without shifts nothing is added.
///
/// # Panics
///
/// When there are not as many factors as shifts, or none, or a segment is empty.
pub fn scale_and_shift(x: &mut [f32], scale: &[f32], bias: Option<&[f32]>, segment: usize) {
    let count = scale.len();
    assert!(
        segment > 0 && count > 0 && bias.is_none_or(|bias| bias.len() == count),
        "segments, and as many factors as shifts"
    );
    for_each_chunk(
        x,
        segment,
        || (),
        #[inline(always)]
        |(), i, x| {
            let at = i % count;
            let (scale, bias) = (scale[at], bias.map_or(0.0, |bias| bias[at]));
            x.iter_mut().for_each(|x| *x = *x * scale + bias);
        },
    );
}

/// Puts `e^(x_i - max) / sum of e^(x_j - max)` in the place of each number, along rows of `row` numbers.
///
/// # Panics
///
/// When `x` is not of whole rows.
pub fn softmax(x: &mut [f32], row: usize) {
    assert!(row > 0 && x.len().is_multiple_of(row), "whole rows");
    for_each_chunk(
        x,
        row,
        || (),
        #[inline(always)]
        |(), _, x| {
            let largest = largest(x);
            x.iter_mut().for_each(|x| *x = exp(*x - largest));
            let factor = 1.0 / sum(x);
            x.iter_mut().for_each(|x| *x *= factor);
        },
    );
}

/// Puts the gradient at the input of a [`softmax`] that made `y` in the place of the one at its output:
/// `y (g - sum of g y)`.
///
/// # Panics
///
/// When `y` is not of whole rows, or there are not as many gradients.
pub fn softmax_backward(y: &[f32], g: &mut [f32], row: usize) {
    assert!(row > 0 && y.len().is_multiple_of(row), "whole rows");
    assert_eq!(y.len(), g.len(), "a gradient for each number");
    for_each_row(
        g,
        y,
        row,
        #[inline(always)]
        |_, d, y| {
            let mean = sum_of_pairs(
                d,
                y,
                #[inline(always)]
                |d, y| d * y,
            );
            for (d, y) in d.iter_mut().zip(y) {
                *d = y * (*d - mean);
            }
        },
    );
}

/// Calls `f(i, row of y, row of x)` for each row, on all threads.
fn for_each_row(
    y: &mut [f32],
    x: &[f32],
    row: usize,
    f: impl Fn(usize, &mut [f32], &[f32]) + Send + Sync,
) {
    let rows = TASK.div_ceil(row);
    y.par_chunks_mut(rows * row)
        .zip(x.par_chunks(rows * row))
        .enumerate()
        .for_each(|(i, (y, x))| {
            let each = y.chunks_exact_mut(row).zip(x.chunks_exact(row));
            vectorised(
                #[inline(always)]
                || {
                    for (k, (y, x)) in each.enumerate() {
                        f(i * rows + k, y, x);
                    }
                },
            );
        });
}

/// How many sums run beside each other.
const PARTS: usize = 16;

/// How many numbers are added up in single precision.
const STRETCH: usize = 1 << 12;

#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    sum_of_pairs(
        x,
        x,
        #[inline(always)]
        |x, _| x,
    )
}

#[inline(always)]
fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut total = 0.0;
    for (x, y) in x.chunks(STRETCH).zip(y.chunks(STRETCH)) {
        let mut parts = [0.0; PARTS];
        let (x_blocks, x_rest) = x.as_chunks::<PARTS>();
        let (y_blocks, y_rest) = y.as_chunks::<PARTS>();
        for (x, y) in x_blocks.iter().zip(y_blocks) {
            for ((part, x), y) in parts.iter_mut().zip(x).zip(y) {
                *part += f(*x, *y);
            }
        }
        for ((part, x), y) in parts.iter_mut().zip(x_rest).zip(y_rest) {
            *part += f(*x, *y);
        }
        let sum: f32 = in_pairs(
            parts,
            #[inline(always)]
            |a, b| a + b,
        );
        total += f64::from(sum);
    }
    total as f32
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut parts = [f32::NEG_INFINITY; PARTS];
    let (blocks, rest) = x.as_chunks::<PARTS>();
    for block in blocks {
        for (part, x) in parts.iter_mut().zip(block) {
            *part = if *x > *part { *x } else { *part };
        }
    }
    for (part, x) in parts.iter_mut().zip(rest) {
        *part = if *x > *part { *x } else { *part };
    }
    in_pairs(
        parts,
        #[inline(always)]
        |a, b| if a > b { a } else { b },
    )
}

/// The first half with the second, and so on down to one.
#[inline(always)]
fn in_pairs(mut parts: [f32; PARTS], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] = f(parts[i], parts[i + half]);
        }
        half /= 2;
    }
    parts[0]
}
