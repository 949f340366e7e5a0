//! Depthwise convolution: windows that see one channel each, `groups` being the number of channels.
//!
//! There is nothing to multiply matrices of: a number of the output is a sum of a few products, and what bounds
//! it is one load for each of them, so that the numbers have to stay in the first-level cache and rows of 7 must
//! not leave vectors half empty. A tile of a plane is copied into a plane of its own with its padding, for
//! each remainder of the stride one, in which a tap (an element of the window) of all windows is one long
//! stretch: output `p` is the sum over taps of `weight * plane[p + offset]`, computed also at the few places
//! between two rows, which nobody reads. Backwards the same sums run over the gradient with the window turned
//! round, for each remainder of the stride by itself.
//!
//! Layouts are `[N, C, H, W]` for images and `[C * multiplier, 1, height, width]` for weights, of which channel
//! `c` has those from `c * multiplier` on. Planes are shared out to all threads.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Planes;
use crate::conv::{Epilogue, THREAD, Windows};
use crate::padded::{Padded, inside, pairs, reach, write};
use crate::threads::{for_each_part, with_scratch};
use crate::vectors::dispatch;
use crate::window::Axis;

/// Numbers in a tile with its padding, so that it stays in the first-level cache with what it becomes.
const TILE: usize = 1 << 12;

/// A multiple of the numbers in any vector.
const LANES: usize = 16;

/// `y = then(weight * x + bias)`: planes `[N, C, H, W]` by a weight `[C * multiplier, 1, height, width]` and a bias
/// `[C * multiplier]` to `[N, C * multiplier, H', W']`. `None` where elements of a window lie so far apart that a padded
/// plane is too large for a thread.
///
/// # Panics
///
/// When sizes are not those that [`Conv2d::check`](crate::conv::Conv2d::check) and
/// [`Conv2d::windows`](crate::conv::Conv2d::windows) accepted, or a group has several channels.
pub fn forward(
    x: Planes,
    weight: Planes,
    windows: &Windows,
    epilogue: Epilogue,
) -> Option<Vec<f32>> {
    let plan = Plan::forward(weight, windows)?;
    let [n, channels, ..] = x.dims();
    let (plane, out_plane) = (
        windows.geometry.input_len(),
        windows.geometry.output_len() * plan.multiplier,
    );
    let mut y = vec![0.0; n * channels * out_plane];
    for_each_part(&mut y, out_plane, out_plane * plan.taps(), |i, y| {
        let channel = i % channels;
        let outputs = channel * plan.multiplier..(channel + 1) * plan.multiplier;
        let task = Forward {
            plan: &plan,
            x: &x.values()[i * plane..(i + 1) * plane],
            weights: plan.weights(weight, channel),
            bias: epilogue.bias.map(|bias| &bias[outputs]),
            y: &mut *y,
        };
        with_scratch(plan.scratch(), |scratch| {
            dispatch(On { task, scratch });
        });
        if let Some(then) = epilogue.then {
            then.apply_here(y);
        }
    });
    Some(y)
}

/// The gradient at the input `[N, C, H, W]`, given the one at the output, `[N, C * multiplier, H', W']`; `None` as
/// in [`forward`].
///
/// # Panics
///
/// As [`forward`].
pub fn transpose(g: Planes, weight: Planes, windows: &Windows) -> Option<Vec<f32>> {
    let plan = Plan::transpose(weight, windows)?;
    let [n, outputs, ..] = g.dims();
    let channels = outputs / plan.multiplier;
    let (plane, out_plane) = (
        windows.geometry.input_len(),
        windows.geometry.output_len() * plan.multiplier,
    );
    let mut x = vec![0.0; n * channels * plane];
    for_each_part(&mut x, plane, out_plane * plan.taps(), |i, x| {
        let task = Transpose {
            plan: &plan,
            g: &g.values()[i * out_plane..(i + 1) * out_plane],
            weights: plan.weights(weight, i % channels),
            x,
        };
        with_scratch(plan.scratch(), |scratch| {
            dispatch(On { task, scratch });
        });
    });
    Some(x)
}

/// An element of the window, and where what it multiplies lies, from the place of the sum on.
#[derive(Debug, Clone, Copy)]
struct Tap {
    /// Which of a channel's weights.
    weight: usize,
    offset: usize,
}

/// Sums over one plane, at every place whose row and column leave the same remainders.
#[derive(Debug)]
struct Phase {
    rows: usize,
    cols: usize,
    taps: Vec<Tap>,
}

/// How a convolution goes over planes.
#[derive(Debug)]
struct Plan {
    rows: Axis,
    cols: Axis,
    /// Outputs for each channel.
    multiplier: usize,
    /// Rows and columns of sums, of a phase.
    sums: [Range<usize>; 2],
    /// How many rows of sums are computed together.
    tile: usize,
    /// Of a plane in the scratch: the rows of a tile, and those beyond.
    padded: Padded,
    /// How many padded planes there are.
    planes: usize,
    phases: Vec<Phase>,
}

impl Plan {
    /// Without phases; `None` where the padded planes, `each` of them for every one of `padded`, are too large for a thread.
    fn new(
        weight: Planes,
        windows: &Windows,
        sums: [Range<usize>; 2],
        each: usize,
        padded: impl FnOnce([usize; 2]) -> Padded,
    ) -> Option<Self> {
        let [outputs, inputs, ..] = weight.dims();
        assert_eq!(inputs, 1, "windows that see one channel");
        let (rows, cols) = (windows.geometry.rows, windows.geometry.cols);
        let width = sums[1].len() + reach(&cols);
        let tile = (TILE / width.max(1)).clamp(1, sums[0].len().max(1));
        let padded = padded([tile, sums[1].len()]);
        let planes = each * padded.starts.len();
        let numbers = padded.size.into_iter().fold(planes, usize::saturating_mul);
        (numbers <= THREAD).then_some(Self {
            rows,
            cols,
            multiplier: outputs / windows.groups,
            sums,
            tile,
            padded,
            planes,
            phases: Vec::new(),
        })
    }

    /// One phase, which reads a padded plane for each remainder.
    fn forward(weight: Planes, windows: &Windows) -> Option<Self> {
        let (rows, cols) = (windows.geometry.rows, windows.geometry.cols);
        let sums = [0..rows.out, 0..cols.out];
        let padded = |count| Padded::of_windows(&rows, &cols, count);
        let mut plan = Self::new(weight, windows, sums, 1, padded)?;
        let mut taps = Vec::new();
        for row in 0..rows.kernel {
            for col in 0..cols.kernel {
                taps.push(Tap {
                    weight: row * cols.kernel + col,
                    offset: plan.padded.offset(&rows, &cols, [row, col]),
                });
            }
        }
        plan.phases = vec![Phase {
            rows: 0,
            cols: 0,
            taps,
        }];
        Some(plan)
    }

    /// A phase for each remainder, all of which read the gradient at each of a channel's outputs.
    fn transpose(weight: Planes, windows: &Windows) -> Option<Self> {
        let (rows, cols) = (windows.geometry.rows, windows.geometry.cols);
        let sums = |axis: &Axis| {
            axis.before / axis.stride..(axis.before + axis.size).div_ceil(axis.stride)
        };
        let [outputs, ..] = weight.dims();
        let multiplier = outputs / windows.groups;
        let sums = [sums(&rows), sums(&cols)];
        // Rows are counted from the first of a tile.
        let first = [0, sums[1].start];
        let padded = |count| Padded::of_gradient(&rows, &cols, first, count);
        let mut plan = Self::new(weight, windows, sums, multiplier, padded)?;
        let [_, width] = plan.padded.size;
        let leaving = |axis: Axis, remainder: usize| {
            (0..axis.kernel).filter(move |t| t * axis.dilation % axis.stride == remainder)
        };
        // Where a remainder is none of these, nothing arrives.
        for [a, b] in pairs(&rows, &cols) {
            let mut taps = Vec::new();
            for output in 0..plan.multiplier {
                for row in leaving(rows, a) {
                    for col in leaving(cols, b) {
                        let up = reach(&rows) - row * rows.dilation / rows.stride;
                        let left = reach(&cols) - col * cols.dilation / cols.stride;
                        taps.push(Tap {
                            weight: (output * rows.kernel + row) * cols.kernel + col,
                            offset: output * plan.padded.plane() + up * width + left,
                        });
                    }
                }
            }
            plan.phases.push(Phase {
                rows: a,
                cols: b,
                taps,
            });
        }
        Some(plan)
    }

    /// Elements of a window.
    fn taps(&self) -> usize {
        self.rows.kernel * self.cols.kernel
    }

    /// The sums of a tile with what lies between their rows.
    fn stretch(&self, rows: usize) -> usize {
        (rows - 1) * self.padded.size[1] + self.sums[1].len()
    }

    /// The padded planes, vectors beyond them, and the sums.
    fn scratch(&self) -> usize {
        self.planes * self.padded.plane() + LANES + self.stretch(self.tile).next_multiple_of(LANES)
    }

    /// Parts of the scratch for the padded planes and the sums of `rows` rows.
    fn split<'s>(&self, scratch: &'s mut [f32], rows: usize) -> (&'s mut [f32], &'s mut [f32]) {
        let (planes, sums) = scratch.split_at_mut(self.planes * self.padded.plane() + LANES);
        (
            planes,
            &mut sums[..self.stretch(rows).next_multiple_of(LANES)],
        )
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.sums[0];
        (start..end)
            .step_by(self.tile)
            .map(move |first| first..(first + self.tile).min(end))
    }

    /// The weights of a channel's outputs.
    fn weights<'a>(&self, weight: Planes<'a>, channel: usize) -> &'a [f32] {
        let len = self.multiplier * self.taps();
        &weight.values()[channel * len..(channel + 1) * len]
    }
}

/// One channel forwards.
struct Forward<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
}

/// One channel backwards.
struct Transpose<'a> {
    plan: &'a Plan,
    g: &'a [f32],
    weights: &'a [f32],
    x: &'a mut [f32],
}

/// Work on a plane with its scratch.
struct On<'s, T> {
    task: T,
    scratch: &'s mut [f32],
}

impl WithSimd for On<'_, Forward<'_>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward {
            plan,
            x,
            weights,
            bias,
            y,
        } = self.task;
        let (rows, cols) = (&plan.rows, &plan.cols);
        let [_, width] = plan.padded.size;
        let taps = rows.kernel * cols.kernel;
        for tile in plan.tiles() {
            let (planes, sums) = plan.split(self.scratch, tile.len());
            let lines = tile.start..tile.end + reach(rows);
            plan.padded.fill(x, [rows.size, cols.size], lines, planes);
            for output in 0..plan.multiplier {
                let bias = bias.map_or(0.0, |bias| bias[output]);
                let weights = &weights[output * taps..(output + 1) * taps];
                for phase in &plan.phases {
                    sum(simd, sums, planes, weights, &phase.taps, bias);
                }
                let y = &mut y[output * rows.out * cols.out..][tile.start * cols.out..];
                for (y, sums) in y
                    .chunks_exact_mut(cols.out)
                    .zip(sums.chunks(width))
                    .take(tile.len())
                {
                    y.copy_from_slice(&sums[..cols.out]);
                }
            }
        }
    }
}

impl WithSimd for On<'_, Transpose<'_>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Transpose {
            plan,
            g,
            weights,
            x,
        } = self.task;
        let (rows, cols) = (&plan.rows, &plan.cols);
        let [_, width] = plan.padded.size;
        let places = &plan.sums[1];
        let among = |range: Range<usize>, places: &Range<usize>| {
            let first = range.start.clamp(places.start, places.end);
            first..range.end.clamp(first, places.end)
        };
        for tile in plan.tiles() {
            let (planes, sums) = plan.split(self.scratch, tile.len());
            let outputs = g.chunks_exact(rows.out * cols.out);
            let lines = tile.start..tile.end + reach(rows);
            for (plane, g) in planes.chunks_exact_mut(plan.padded.plane()).zip(outputs) {
                let size = [rows.out, cols.out];
                plan.padded.fill(g, size, lines.clone(), plane);
            }
            for phase in &plan.phases {
                sum(simd, sums, planes, weights, &phase.taps, 0.0);
                let lines = among(inside(rows, phase.rows), &tile);
                let columns = among(inside(cols, phase.cols), places);
                if columns.is_empty() {
                    continue;
                }
                for i in lines {
                    let sums = &sums[(i - tile.start) * width..];
                    let sums = &sums[columns.start - places.start..columns.end - places.start];
                    let row = (i * rows.stride + phase.rows - rows.before) * cols.size;
                    let first = columns.start * cols.stride + phase.cols - cols.before;
                    write(&mut x[row + first..row + cols.size], sums, cols.stride);
                }
            }
        }
    }
}

/// `y[p] = start + sum over taps of weights[weight] * x[p + offset]`, for as many `p` as `y` has, a multiple
/// of [`LANES`].
#[inline(always)]
fn sum<S: Simd>(simd: S, y: &mut [f32], x: &[f32], weights: &[f32], taps: &[Tap], start: f32) {
    let done = blocks::<S, 8>(simd, y, x, 0, weights, taps, start);
    let done = blocks::<S, 4>(simd, y, x, done, weights, taps, start);
    blocks::<S, 1>(simd, y, x, done, weights, taps, start);
}

/// From `first` on, as many blocks of `N` vectors as there are; where they end.
#[inline(always)]
fn blocks<S: Simd, const N: usize>(
    simd: S,
    y: &mut [f32],
    x: &[f32],
    first: usize,
    weights: &[f32],
    taps: &[Tap],
    start: f32,
) -> usize {
    let block = N * S::F32_LANES;
    let mut at = first;
    for y in y[first..].chunks_exact_mut(block) {
        let mut sums = [simd.splat_f32s(start); N];
        for tap in taps {
            let weight = simd.splat_f32s(weights[tap.weight]);
            let (x, _) = S::as_simd_f32s(&x[at + tap.offset..][..block]);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(weight, *x, *sum);
            }
        }
        let (y, _) = S::as_mut_simd_f32s(y);
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = sum;
        }
        at += block;
    }
    at
}
