//! Tiles of the image: cut out, transformed, and put into panels.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{Job, PLACES, Panel, SEEN, STEP};
use crate::product::LANES;
use crate::shared::Shared;

/// Transforms rows of tiles of a plane.
pub(super) struct Transform<'a> {
    pub job: &'a Job,
    pub x: &'a [f32],
    /// Rows of tiles.
    pub rows: Range<usize>,
    pub flat: &'a mut [f32],
    /// From a place to the next.
    pub stride: usize,
    pub scratch: &'a mut [f32],
}

impl Transform<'_> {
    /// Numbers at even places of a row of tiles, in whole vectors; there are as many at odd ones.
    fn half(job: &Job) -> usize {
        (job.tiles()[1] + 1).next_multiple_of(LANES)
    }

    /// Numbers that it works on.
    pub fn scratch(job: &Job) -> usize {
        let half = Self::half(job);
        2 * SEEN * (2 * half + LANES) + job.size[1]
    }
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { job, x, stride, .. } = self;
        let ([_, across], [height, width], half) = (job.tiles(), job.size, Self::half(job));
        let line = 2 * half;
        let (down, scratch) = self.scratch.split_at_mut(SEEN * line);
        let (halves, zeros) = scratch.split_at_mut(SEEN * (line + 2 * LANES));
        // What is beside the plane stays zero.
        down.fill(0.0);
        let zeros = &mut zeros[..width];
        zeros.fill(0.0);
        let inside = width.min(line - job.before[1]);
        for (i, row) in self.rows.enumerate() {
            let row = |r: usize| {
                let row = (STEP * row + r).wrapping_sub(job.before[0]);
                match row < height {
                    true => &x[row * width..][..inside],
                    false => &zeros[..inside],
                }
            };
            let rows = [row(0), row(1), row(2), row(3)];
            let whole = inside - inside % S::F32_LANES;
            for at in (0..whole).step_by(S::F32_LANES) {
                let mut column = [simd.splat_f32s(0.0); SEEN];
                for (numbers, row) in column.iter_mut().zip(&rows) {
                    *numbers = first(simd, &row[at..]);
                }
                for (r, numbers) in seen_of(simd, column).into_iter().enumerate() {
                    *first_mut(simd, &mut down[r * line + job.before[1] + at..]) = numbers;
                }
            }
            if whole < inside {
                let mut column = [simd.splat_f32s(0.0); SEEN];
                for (numbers, row) in column.iter_mut().zip(&rows) {
                    *numbers = simd.partial_load_f32s(&row[whole..]);
                }
                for (r, numbers) in seen_of(simd, column).into_iter().enumerate() {
                    let to = &mut down[r * line + job.before[1] + whole..];
                    simd.partial_store_f32s(&mut to[..inside - whole], numbers);
                }
            }
            for (pairs, halves) in down
                .chunks_exact(line)
                .zip(halves.chunks_exact_mut(line + 2 * LANES))
            {
                let (even, odd) = halves.split_at_mut(half + LANES);
                let (pairs, _) = pairs.as_chunks::<STEP>();
                for ((even, odd), pair) in even.iter_mut().zip(odd).zip(pairs) {
                    *even = pair[0];
                    *odd = pair[1];
                }
            }
            for col in (0..across).step_by(S::F32_LANES) {
                for (r, halves) in halves.chunks_exact(line + 2 * LANES).enumerate() {
                    let (even, odd) = halves.split_at(half + LANES);
                    let numbers = [
                        first(simd, &even[col..]),
                        first(simd, &odd[col..]),
                        first(simd, &even[col + 1..]),
                        first(simd, &odd[col + 1..]),
                    ];
                    for (c, numbers) in seen_of(simd, numbers).into_iter().enumerate() {
                        let at = (r * SEEN + c) * stride + i * across + col;
                        *first_mut(simd, &mut self.flat[at..]) = numbers;
                    }
                }
            }
        }
    }
}

/// Puts the transformed tiles of a channel into panels.
pub(super) struct Pack<'a> {
    pub flat: &'a [f32],
    /// From a place to the next.
    pub stride: usize,
    pub panels: &'a [Panel],
    pub channel: usize,
    /// How many channels there are.
    pub read: usize,
    pub seen: &'a Shared<'a>,
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for place in 0..PLACES {
            let flat = &self.flat[place * self.stride..];
            for panel in self.panels {
                let len = panel.vectors * S::F32_LANES;
                let start = (PLACES * panel.first + place * len) * self.read + self.channel * len;
                for at in (0..len).step_by(S::F32_LANES) {
                    let vector = first(simd, &flat[panel.first + at..]);
                    self.seen.put_vector(simd, start + at, vector);
                }
            }
        }
    }
}

/// `B' d` along an axis.
#[inline(always)]
fn seen_of<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SEEN]) -> [S::f32s; SEEN] {
    [
        simd.sub_f32s(a, c),
        simd.add_f32s(b, c),
        simd.sub_f32s(c, b),
        simd.sub_f32s(b, d),
    ]
}

/// The vector at the beginning of some numbers.
#[inline(always)]
fn first<S: Simd>(_: S, numbers: &[f32]) -> S::f32s {
    S::as_simd_f32s(&numbers[..S::F32_LANES]).0[0]
}

/// The same, to write to.
#[inline(always)]
pub(super) fn first_mut<S: Simd>(_: S, numbers: &mut [f32]) -> &mut S::f32s {
    &mut S::as_mut_simd_f32s(&mut numbers[..S::F32_LANES]).0[0]
}
