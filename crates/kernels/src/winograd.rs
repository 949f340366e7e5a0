//! Convolutions with windows of 3 x 3 by *minimal filtering*: [Lavin and Gray (2015)], after Winograd.
//!
//! Two by two numbers of the result are made of four by four of the image with 16 products instead of 36. An image `d`, a
//! window's weights `g` and the result `y` are transformed along rows and along columns, `y = A' ((G g G') * (B' d B)) A`,
//! and the products of all channels are summed up between, which is a product of matrices for each of the 16 places.
//! Along an axis,
//!
//! ```text
//! v0 = d0 - d2    u0 = g0                     y0 = m0 + m1 + m2
//! v1 = d1 + d2    u1 = (g0 + g1 + g2) / 2     y1 = m1 - m2 - m3
//! v2 = d2 - d1    u2 = (g0 - g1 + g2) / 2
//! v3 = d1 - d3    u3 = g2                     m = u v
//! ```
//!
//! Of what a number of the result is made, nothing lies outside its window: where an image is zero, so is what is made of it,
//! and a large number beside a window costs it no digit. Larger tiles save more products, and have neither property.
//!
//! [Lavin and Gray (2015)]: https://arxiv.org/abs/1509.09308

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Planes;
use crate::conv::{Epilogue, Windows};
use crate::product::{CHAIN, LANES, Shared};
use crate::threads::{vectorised, with_scratch};
use crate::window::{Axis, Geometry};
use crate::written::written;

/// Elements of a window along an axis.
const KERNEL: usize = 3;

/// Numbers of the result that a tile has along an axis.
const STEP: usize = 2;

/// Numbers of the image that a tile sees along an axis.
const SEEN: usize = KERNEL + STEP - 1;

/// Products of matrices.
const PLACES: usize = SEEN * SEEN;

/// Vectors in a row of a panel of tiles at most.
const VECTORS: usize = 3;

/// Tiles of the widest panel.
const WIDEST: usize = VECTORS * LANES;

/// Rows of a panel of weights: the sums and what they are made of fit into 32 registers, or into 16.
const ROWS: [usize; 2] = [8, 4];

/// What a vector of tiles of a channel costs to transform, what one of a plane that is made, and what a window's weights, in
/// products of vectors: measured.
const COSTS: [usize; 3] = [350, 60, 15];

/// Numbers of transformed tiles that go together.
const TOGETHER: usize = 3 << 17;

/// Multiplications below which a task costs more to hand out than to do.
const TASK: usize = 1 << 19;

/// Tasks for each thread, so that all of them end at about the same time.
const SHARE: usize = 4;

static IS_OFF: AtomicBool = AtomicBool::new(false);

/// Whether convolutions of this process may take fewer products than windows have elements: unless it was turned off.
pub fn is_on() -> bool {
    !IS_OFF.load(Ordering::Relaxed)
}

/// Lets convolutions of this process take fewer products than windows have elements, or not.
///
/// With it, windows of 3 x 3 next to each other are computed by [Winograd's minimal filtering] where that is faster, in up to
/// 2.25 times fewer products. Results differ from those of the definition by rounding, a few times as much as sums in another
/// order do; what a window with an infinite number gives is NaN.
///
/// [Winograd's minimal filtering]: https://arxiv.org/abs/1509.09308
pub fn turn(on: bool) {
    IS_OFF.store(!on, Ordering::Relaxed);
}

/// A convolution, forwards or transposed, as sums over windows of 3 x 3.
#[derive(Debug, Clone, Copy)]
struct Job {
    groups: usize,
    /// How many planes each group reads, and how many it makes.
    read: usize,
    made: usize,
    /// Height and width of the planes read, and of those made.
    size: [usize; 2],
    out: [usize; 2],
    /// Zeros above and to the left.
    before: [usize; 2],
    filters: Order,
}

/// How the weights of a group lie.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// From a plane that is made to the next.
    made: usize,
    /// From a plane that is read to the next.
    read: usize,
    /// Whether the last element of a window comes first.
    is_reversed: bool,
}

/// `y = then(weight * x + bias)` as [`conv::forward`](crate::conv::forward); `None` where another way is faster.
pub(crate) fn forward(
    x: Planes,
    weight: Planes,
    windows: &Windows,
    epilogue: Epilogue,
) -> Option<Vec<f32>> {
    let Geometry { rows, cols } = windows.geometry;
    let [outputs, inputs, ..] = weight.dims();
    let job = Job {
        groups: windows.groups,
        read: inputs,
        made: outputs / windows.groups,
        size: [rows.size, cols.size],
        out: [rows.out, cols.out],
        before: [rows.before, cols.before],
        filters: Order {
            made: inputs * KERNEL * KERNEL,
            read: KERNEL * KERNEL,
            is_reversed: false,
        },
    };
    (are_three(&rows, &cols) && job.pays()).then(|| job.run(x, weight, epilogue))
}

/// The gradient at the input as [`conv::transpose`](crate::conv::transpose); `None` where another way is faster.
pub(crate) fn transpose(g: Planes, weight: Planes, windows: &Windows) -> Option<Vec<f32>> {
    let Geometry { rows, cols } = windows.geometry;
    let [outputs, inputs, ..] = weight.dims();
    // A number of the gradient sees the windows that it is in, the last of which has its first element there.
    let before = |axis: &Axis| (KERNEL - 1).checked_sub(axis.before);
    let job = Job {
        groups: windows.groups,
        read: outputs / windows.groups,
        made: inputs,
        size: [rows.out, cols.out],
        out: [rows.size, cols.size],
        before: [before(&rows)?, before(&cols)?],
        filters: Order {
            made: KERNEL * KERNEL,
            read: inputs * KERNEL * KERNEL,
            is_reversed: true,
        },
    };
    (are_three(&rows, &cols) && job.pays()).then(|| job.run(g, weight, Epilogue::default()))
}

fn are_three(rows: &Axis, cols: &Axis) -> bool {
    [rows, cols]
        .iter()
        .all(|axis| [axis.kernel, axis.stride, axis.dilation] == [KERNEL, 1, 1])
}

impl Job {
    /// Whether this is the faster way. It does not depend on how many images there are, nor do the numbers.
    fn pays(&self) -> bool {
        let ([height, width], [down, across]) = (self.out, self.tiles());
        let windows = self.made * self.read;
        let vectors = (down * across).div_ceil(LANES);
        let [read, made, weights] = COSTS;
        let cost = windows * (PLACES * vectors + weights)
            + read * self.read * down * across.div_ceil(LANES)
            + made * self.made * vectors;
        let direct = windows * KERNEL * KERNEL * (height * width).div_ceil(LANES);
        is_on() && cost + cost / 16 < direct
    }

    /// Tiles of an image, down and across.
    fn tiles(&self) -> [usize; 2] {
        self.out.map(|size| size.div_ceil(STEP))
    }

    fn run(&self, x: Planes, weight: Planes, epilogue: Epilogue) -> Vec<f32> {
        let [n, ..] = x.dims();
        let plane = self.out[0] * self.out[1];
        written(n * self.groups * self.made * plane, |y| {
            let on = On {
                job: self,
                x,
                epilogue,
                y: Shared::new(y, plane),
            };
            on.run(weight);
        })
    }

    /// The transformed weights: for each panel of rows, each place and each plane read, the rows.
    fn weights(&self, weight: Planes, rows: usize) -> Vec<f32> {
        let panels = self.made.div_ceil(rows);
        let len = PLACES * self.read * rows;
        let share = weight.values().len() / self.groups;
        written(self.groups * panels * len, |u| {
            u.par_chunks_exact_mut(len).enumerate().for_each(|(i, u)| {
                let values = &weight.values()[i / panels * share..][..share];
                let first = i % panels * rows;
                let made = first..self.made.min(first + rows);
                match rows {
                    8 => self.panel::<8>(values, made, u),
                    _ => self.panel::<4>(values, made, u),
                }
            });
        })
    }

    /// A panel of them, with zeros for rows that there are not.
    fn panel<const M: usize>(
        &self,
        weight: &[f32],
        made: Range<usize>,
        u: &mut [MaybeUninit<f32>],
    ) {
        vectorised(
            #[inline(always)]
            || {
                let mut g = [[0.0; M]; KERNEL * KERNEL];
                for read in 0..self.read {
                    for (m, made) in made.clone().enumerate() {
                        let first = made * self.filters.made + read * self.filters.read;
                        let window = &weight[first..first + KERNEL * KERNEL];
                        if self.filters.is_reversed {
                            (g.iter_mut().zip(window.iter().rev())).for_each(|(g, w)| g[m] = *w);
                        } else {
                            g.iter_mut().zip(window).for_each(|(g, w)| g[m] = *w);
                        }
                    }
                    let a = weights_of(g[0], g[1], g[2]);
                    let b = weights_of(g[3], g[4], g[5]);
                    let c = weights_of(g[6], g[7], g[8]);
                    for col in 0..SEEN {
                        let places = weights_of(a[col], b[col], c[col]);
                        for (row, numbers) in places.iter().enumerate() {
                            let at = ((row * SEEN + col) * self.read + read) * M;
                            for (u, number) in u[at..at + M].iter_mut().zip(numbers) {
                                u.write(*number);
                            }
                        }
                    }
                }
            },
        );
    }
}

/// `G g` along an axis, for several windows.
#[inline(always)]
fn weights_of<const M: usize>(a: [f32; M], b: [f32; M], c: [f32; M]) -> [[f32; M]; SEEN] {
    let (mut sum, mut difference) = ([0.0; M], [0.0; M]);
    for i in 0..M {
        let ends = a[i] + c[i];
        sum[i] = 0.5 * (ends + b[i]);
        difference[i] = 0.5 * (ends - b[i]);
    }
    [a, sum, difference, c]
}

/// The vectors of this processor.
#[derive(Debug, Clone, Copy)]
struct Vectors {
    /// Numbers in one.
    lanes: usize,
    /// Rows of a panel of weights.
    rows: usize,
}

struct Ask;

impl WithSimd for Ask {
    type Output = Vectors;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vectors {
        Vectors {
            lanes: S::F32_LANES,
            rows: match S::REGISTER_COUNT {
                32.. => ROWS[0],
                _ => ROWS[1],
            },
        }
    }
}

/// A job, with its numbers.
struct On<'a> {
    job: &'a Job,
    x: Planes<'a>,
    epilogue: Epilogue<'a>,
    y: Shared<'a>,
}

impl On<'_> {
    fn run(&self, weight: Planes) {
        let (job, vectors) = (self.job, Arch::new().dispatch(Ask));
        let weights = job.weights(weight, vectors.rows);
        let share = weights.len() / job.groups;
        let [down, across] = job.tiles();
        // Rows of tiles, of all images one after the other.
        let lines = self.x.dims()[0] * down;
        let at_once = (TOGETHER / (PLACES * job.read * across)).clamp(1, lines.max(1));
        let blocks = lines.div_ceil(at_once);
        let work = |i: usize, together: bool| {
            let (group, block) = (i / blocks, i % blocks);
            let block = Block {
                on: self,
                group,
                weights: &weights[group * share..(group + 1) * share],
                vectors,
                lines: block * lines / blocks..(block + 1) * lines / blocks,
            };
            block.run(together);
        };
        let (count, threads) = (job.groups * blocks, rayon::current_num_threads());
        let apart = count - count % threads;
        (0..apart).into_par_iter().for_each(|i| work(i, false));
        (apart..count).for_each(|i| work(i, true));
    }
}

/// Some rows of tiles of one group.
struct Block<'a> {
    on: &'a On<'a>,
    group: usize,
    weights: &'a [f32],
    vectors: Vectors,
    lines: Range<usize>,
}

/// Some tiles of a block, whose number is one of whole vectors.
#[derive(Debug, Clone, Copy)]
struct Panel {
    first: usize,
    vectors: usize,
}

impl Block<'_> {
    fn across(&self) -> usize {
        self.on.job.tiles()[1]
    }

    fn tiles(&self) -> usize {
        self.lines.len() * self.across()
    }

    /// Panels as even as can be.
    fn panels(&self) -> Vec<Panel> {
        let vectors = self.tiles().div_ceil(self.vectors.lanes);
        let count = vectors.div_ceil(VECTORS);
        (0..count)
            .map(|i| {
                let [first, end] = [i, i + 1].map(|i| i * vectors / count);
                Panel {
                    first: first * self.vectors.lanes,
                    vectors: end - first,
                }
            })
            .collect()
    }

    fn run(&self, together: bool) {
        let job = self.on.job;
        let panels = self.panels();
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let len = PLACES * job.read * vectors * self.vectors.lanes;
        with_scratch(len, |tiles| {
            let seen = Shared::over(tiles);
            let transform = |channel: usize| self.transform(channel, &panels, &seen);
            if together {
                (0..job.read).into_par_iter().for_each(transform);
            } else {
                (0..job.read).for_each(transform);
            }
            let heights = job.made.div_ceil(self.vectors.rows);
            let work = PLACES * job.read * job.made * vectors * self.vectors.lanes;
            let parts = match (together, rayon::current_num_threads()) {
                (false, _) | (true, 1) => 1,
                (true, threads) => (SHARE * threads)
                    .min(work.div_ceil(TASK))
                    .div_ceil(panels.len())
                    .clamp(1, heights),
            };
            let tiles = &*tiles;
            let multiply = |i: usize| {
                let (panel, part) = (i / parts, i % parts);
                let heights = part * heights / parts..(part + 1) * heights / parts;
                Arch::new().dispatch(Multiply {
                    block: self,
                    panel: panels[panel],
                    heights,
                    tiles,
                });
            };
            match together {
                true => (0..panels.len() * parts).into_par_iter().for_each(multiply),
                false => (0..panels.len() * parts).for_each(multiply),
            }
        });
    }

    /// Puts the transformed tiles of a channel in their places.
    fn transform(&self, channel: usize, panels: &[Panel], seen: &Shared) {
        let job = self.on.job;
        let [down, across] = job.tiles();
        // Vectors run over the end of a row of tiles.
        let stride = self.tiles() + LANES;
        let rest = PLACES * stride;
        with_scratch(rest + Transform::scratch(job), |scratch| {
            let (flat, scratch) = scratch.split_at_mut(rest);
            let mut line = self.lines.start;
            while line < self.lines.end {
                let (image, row) = (line / down, line % down);
                let count = (down - row).min(self.lines.end - line);
                let plane = job.size[0] * job.size[1];
                let at = (image * job.groups + self.group) * job.read + channel;
                Arch::new().dispatch(Transform {
                    job,
                    x: &self.on.x.values()[at * plane..(at + 1) * plane],
                    rows: row..row + count,
                    flat: &mut flat[(line - self.lines.start) * across..],
                    stride,
                    scratch,
                });
                line += count;
            }
            Arch::new().dispatch(Pack {
                flat,
                stride,
                panels,
                channel,
                read: job.read,
                seen,
            });
        });
    }
}

/// Transforms rows of tiles of a plane.
struct Transform<'a> {
    job: &'a Job,
    x: &'a [f32],
    /// Rows of tiles.
    rows: Range<usize>,
    flat: &'a mut [f32],
    /// From a place to the next.
    stride: usize,
    scratch: &'a mut [f32],
}

impl Transform<'_> {
    /// Numbers at even places of a row of tiles, in whole vectors; there are as many at odd ones.
    fn half(job: &Job) -> usize {
        (job.tiles()[1] + 1).next_multiple_of(LANES)
    }

    /// Numbers that it works on.
    fn scratch(job: &Job) -> usize {
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
struct Pack<'a> {
    flat: &'a [f32],
    /// From a place to the next.
    stride: usize,
    panels: &'a [Panel],
    channel: usize,
    /// How many channels there are.
    read: usize,
    seen: &'a Shared<'a>,
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

/// `m A` along an axis.
#[inline(always)]
fn made_of<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SEEN]) -> [S::f32s; STEP] {
    [
        simd.add_f32s(simd.add_f32s(a, b), c),
        simd.sub_f32s(simd.sub_f32s(b, c), d),
    ]
}

/// The vector at the beginning of some numbers.
#[inline(always)]
fn first<S: Simd>(_: S, numbers: &[f32]) -> S::f32s {
    S::as_simd_f32s(&numbers[..S::F32_LANES]).0[0]
}

/// The same, to write to.
#[inline(always)]
fn first_mut<S: Simd>(_: S, numbers: &mut [f32]) -> &mut S::f32s {
    &mut S::as_mut_simd_f32s(&mut numbers[..S::F32_LANES]).0[0]
}

/// Writes the numbers of two vectors in turns.
#[inline(always)]
fn alternate<S: Simd>(simd: S, left: S::f32s, right: S::f32s, to: &mut [f32]) {
    let mut numbers = [[0.0; LANES]; STEP];
    *first_mut(simd, &mut numbers[0]) = left;
    *first_mut(simd, &mut numbers[1]) = right;
    let (pairs, _) = to.as_chunks_mut::<STEP>();
    // Of constant lengths, this becomes shuffles of vectors.
    match S::F32_LANES {
        16 => pairs_of::<16>(&numbers, pairs),
        8 => pairs_of::<8>(&numbers, pairs),
        4 => pairs_of::<4>(&numbers, pairs),
        _ => pairs_of::<1>(&numbers, pairs),
    }
}

#[inline(always)]
fn pairs_of<const L: usize>([left, right]: &[[f32; LANES]; STEP], pairs: &mut [[f32; STEP]]) {
    let pairs: &mut [[f32; STEP]; L] = pairs.first_chunk_mut().expect("room for two vectors");
    for i in 0..L {
        pairs[i] = [left[i], right[i]];
    }
}

/// Panels of weights by one of tiles.
struct Multiply<'a> {
    block: &'a Block<'a>,
    panel: Panel,
    heights: Range<usize>,
    tiles: &'a [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::REGISTER_COUNT, self.panel.vectors) {
            (32.., 1) => self.rows::<S, 8, 1>(simd),
            (32.., 2) => self.rows::<S, 8, 2>(simd),
            (32.., _) => self.rows::<S, 8, 3>(simd),
            (_, 1) => self.rows::<S, 4, 1>(simd),
            (_, 2) => self.rows::<S, 4, 2>(simd),
            (_, _) => self.rows::<S, 4, 3>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let job = self.block.on.job;
        let (zero, width) = (simd.splat_f32s(0.0), N * S::F32_LANES);
        let tiles = &self.tiles[PLACES * job.read * self.panel.first..];
        let mut lines = [[[0.0; STEP * WIDEST]; STEP]; ROWS[0]];
        let mut sums = [[[zero; N]; M]; PLACES];
        for height in self.heights.clone() {
            for (place, sums) in sums.iter_mut().enumerate() {
                let weights = &self.block.weights[(height * PLACES + place) * job.read * M..];
                let tiles = &tiles[place * job.read * width..];
                let read = job.read;
                *sums = multiply::<S, M, N>(simd, &weights[..read * M], &tiles[..read * width]);
            }
            let first = height * M;
            let made = M.min(job.made - first);
            for m in 0..made {
                let channel = self.block.group * job.made + first + m;
                let bias = self
                    .block
                    .on
                    .epilogue
                    .bias
                    .map_or(0.0, |bias| bias[channel]);
                let bias = simd.splat_f32s(bias);
                for n in 0..N {
                    let mut across = [[zero; SEEN]; STEP];
                    for r in 0..SEEN {
                        let line = &sums[r * SEEN..];
                        let line = [line[0][m][n], line[1][m][n], line[2][m][n], line[3][m][n]];
                        [across[0][r], across[1][r]] = made_of(simd, line);
                    }
                    let (left, right) = (made_of(simd, across[0]), made_of(simd, across[1]));
                    for (i, line) in lines[m].iter_mut().enumerate() {
                        let [left, right] = [left[i], right[i]];
                        let line = &mut line[STEP * n * S::F32_LANES..];
                        alternate(
                            simd,
                            simd.add_f32s(left, bias),
                            simd.add_f32s(right, bias),
                            line,
                        );
                    }
                }
            }
            if let Some(then) = self.block.on.epilogue.then {
                then.apply_here(lines[..made].as_flattened_mut().as_flattened_mut());
            }
            self.put(first, &lines[..made]);
        }
    }

    /// Puts rows of tiles where they belong.
    #[inline(always)]
    fn put(&self, first: usize, lines: &[[[f32; STEP * WIDEST]; STEP]]) {
        let (block, job) = (self.block, self.block.on.job);
        let [down, across] = job.tiles();
        let [height, width] = job.out;
        let end = block
            .tiles()
            .min(self.panel.first + self.panel.vectors * block.vectors.lanes);
        let mut at = self.panel.first;
        while at < end {
            let (line, col) = (block.lines.start + at / across, at % across);
            let count = (across - col).min(end - at);
            let (image, row) = (line / down, STEP * (line % down));
            let plane = (image * job.groups + block.group) * job.made + first;
            let (from, col) = (STEP * (at - self.panel.first), STEP * col);
            let numbers = (STEP * count).min(width - col);
            for (m, lines) in lines.iter().enumerate() {
                for (i, line) in lines.iter().enumerate().take(height - row) {
                    let place = (row + i) * width + col;
                    block
                        .on
                        .y
                        .put(plane + m, place, &line[from..from + numbers]);
                }
            }
            at += count;
        }
    }
}

/// Rows of weights by columns of tiles, both packed: for each plane read, `M` numbers and `N` vectors.
#[inline(always)]
fn multiply<S: Simd, const M: usize, const N: usize>(
    simd: S,
    weights: &[f32],
    tiles: &[f32],
) -> [[S::f32s; N]; M] {
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    let width = N * S::F32_LANES;
    let chains = weights.chunks(CHAIN * M).zip(tiles.chunks(CHAIN * width));
    for (weights, tiles) in chains {
        let mut parts = [[simd.splat_f32s(0.0); N]; M];
        let (weights, _) = weights.as_chunks::<M>();
        for (weights, tiles) in weights.iter().zip(tiles.chunks_exact(width)) {
            let (vectors, _) = S::as_simd_f32s(tiles);
            let vectors: &[S::f32s; N] = vectors
                .first_chunk()
                .expect("as many vectors as a panel has");
            for (weight, parts) in weights.iter().zip(&mut parts) {
                let weight = simd.splat_f32s(*weight);
                for (part, vector) in parts.iter_mut().zip(vectors) {
                    *part = simd.mul_add_e_f32s(weight, *vector, *part);
                }
            }
        }
        for (sums, parts) in sums.iter_mut().zip(&parts) {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = simd.add_f32s(*sum, *part);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{self, Conv2d};

    /// Where no other test convolves meanwhile.
    #[test]
    fn can_be_turned_off() {
        assert!(is_on());
        let conv = Conv2d::default().pads([1; 4]);
        let numbers = |len: usize| (0..len).map(|i| (i * i % 31) as f32 - 15.2).collect();
        let ([x, weight], values): ([[usize; 4]; 2], [Vec<f32>; 2]) = (
            [[1, 64, 28, 28], [64, 64, 3, 3]],
            [64 * 28 * 28, 64 * 64 * 9].map(numbers),
        );
        let windows = conv.windows([28, 28], weight);
        let run = || {
            let (x, weight) = (Planes::new(&values[0], x), Planes::new(&values[1], weight));
            conv::forward(x, weight, &windows, Epilogue::default())
        };
        let with = run();
        turn(false);
        let without = run();
        turn(true);
        assert_ne!(with, without, "another way, which rounds otherwise");
        let largest = without.iter().fold(0.0f32, |m, y| m.max(y.abs()));
        for (with, without) in with.iter().zip(&without) {
            assert!((with - without).abs() <= 5e-6 * largest);
        }
    }
}
