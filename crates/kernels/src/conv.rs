//! Convolution by matrix products: the windows of some rows of the output are gathered into the
//! columns of a matrix (*im2col*), which the weights multiply; the transpose multiplies first and adds
//! the columns back to where they came from (*col2im*).

use std::ops::Range;

use rayon::prelude::*;

use crate::Planes;
use crate::depthwise;
use crate::gemm::{Matrix, multiply};
use crate::threads::{vectorised, with_scratch};
use crate::window::{Axis, Geometry, window_setters};

/// The parameters of a two-dimensional convolution, with ONNX's defaults. Pairs are height first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Steps between windows: 1 by default.
    pub stride: [usize; 2],
    /// Zeros around the image: top, left, bottom, right, in ONNX's order; none by default.
    pub pads: [usize; 4],
    /// Steps between the elements of a window: 1 by default.
    pub dilation: [usize; 2],
    /// Into how many parts the channels of input and output fall, each part of the output seeing
    /// its part of the input only: 1 by default.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            pads: [0; 4],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

impl Conv2d {
    window_setters!();

    /// Sets into how many parts the channels fall.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Where windows of a weight `[O, I / groups, height, width]` lie in an image `[height, width]`.
    ///
    /// # Panics
    ///
    /// When a stride, dilation or side of the window is zero, or the window does not fit into the padded
    /// image.
    pub fn windows(&self, image: [usize; 2], weight: [usize; 4]) -> Windows {
        let [top, left, bottom, right] = self.pads;
        let axis = |i: usize, before: usize, after: usize| {
            let (size, kernel, stride) = (image[i], weight[i + 2], self.stride[i]);
            let dilation = self.dilation[i];
            assert!(
                kernel > 0 && stride > 0 && dilation > 0,
                "the kernel, stride and dilation of a convolution must be 1 or more"
            );
            let extent = (kernel - 1) * dilation + 1;
            let padded = size + before + after;
            assert!(
                extent <= padded,
                "windows of {extent} do not fit into {padded}, an axis of {size} with its padding"
            );
            Axis {
                kernel,
                stride,
                before,
                after,
                dilation,
                size,
                out: (padded - extent) / stride + 1,
            }
        };
        Windows {
            geometry: Geometry {
                rows: axis(0, top, bottom),
                cols: axis(1, left, right),
            },
            groups: self.groups,
        }
    }

    /// Whether a weight `[O, I / groups, height, width]` fits the channels of an image.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check(&self, channels: usize, weight: [usize; 4]) {
        let [outputs, per_group, ..] = weight;
        let groups = self.groups;
        assert!(
            groups > 0 && outputs.is_multiple_of(groups) && channels == per_group * groups,
            "a weight [{outputs}, {per_group}, ..] does not fit {channels} channels in {groups} groups"
        );
    }
}

/// Numbers in the columns that one thread works on, so that they stay in its second-level cache.
pub(crate) const THREAD: usize = 1 << 18;

/// Numbers in the columns that all threads work on together.
const TOGETHER: usize = 1 << 21;

/// From so many tasks for each thread on, none of them is shared.
const MANY: usize = 8;

/// Where the windows of a convolution lie, and how many parts the channels fall into.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Where they lie.
    pub geometry: Geometry,
    /// Into how many parts the channels fall.
    pub groups: usize,
}

/// The sizes of one group of channels.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    geometry: Geometry,
    groups: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn new(windows: &Windows, weight: Planes) -> Self {
        let [outputs, inputs, ..] = weight.dims();
        Self {
            geometry: windows.geometry,
            groups: windows.groups,
            inputs,
            outputs: outputs / windows.groups,
        }
    }

    /// Elements of a window in one channel.
    fn taps(&self) -> usize {
        self.geometry.rows.kernel * self.geometry.cols.kernel
    }

    /// Whether the columns of the whole plane are the image itself.
    fn is_pointwise(&self) -> bool {
        [self.geometry.rows, self.geometry.cols]
            .iter()
            .all(|axis| axis.kernel == 1 && axis.stride == 1 && axis.size == axis.out)
    }

    /// Whether windows of several groups see one channel each.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.inputs == 1
    }

    /// The weights of a group, `[outputs, inputs * taps]`.
    fn weights<'a>(&self, weight: Planes<'a>, group: usize) -> Matrix<'a> {
        let columns = self.inputs * self.taps();
        let len = self.outputs * columns;
        let values = &weight.values()[group * len..(group + 1) * len];
        Matrix::packed(values, self.outputs, columns)
    }
}

/// `y = weight * x + bias`: planes `[N, I, H, W]` by a weight `[O, I / groups, height, width]` and a bias
/// `[O]` to `[N, O, H', W']`.
///
/// # Panics
///
/// When sizes are not those that [`Conv2d::check`] and [`Conv2d::windows`] accepted.
pub fn forward(x: Planes, weight: Planes, bias: Option<&[f32]>, windows: &Windows) -> Vec<f32> {
    let sizes = Sizes::new(windows, weight);
    if sizes.is_depthwise()
        && let Some(y) = depthwise::forward(x, weight, bias, windows)
    {
        return y;
    }
    let Geometry { rows, cols } = sizes.geometry;
    let [n, channels, height, width] = x.dims();
    let (plane, out_plane) = (height * width, rows.out * cols.out);
    let outputs = sizes.outputs * sizes.groups;
    let mut y = vec![0.0; n * outputs * out_plane];
    let task = |image: usize, group: usize, y: &mut [f32], together: bool| {
        let first = image * channels + group * sizes.inputs;
        let x = &x.values()[first * plane..(first + sizes.inputs) * plane];
        forward_group(x, sizes.weights(weight, group), y, &sizes, together);
        let bias = bias.map(|bias| &bias[group * sizes.outputs..]);
        for (y, bias) in y.chunks_exact_mut(out_plane).zip(bias.unwrap_or_default()) {
            vectorised(
                #[inline(always)]
                || y.iter_mut().for_each(|y| *y += bias),
            );
        }
    };
    for_each_group(&mut y, n, sizes.groups, sizes.outputs * out_plane, task);
    y
}

fn forward_group(x: &[f32], weights: Matrix, y: &mut [f32], sizes: &Sizes, together: bool) {
    let Geometry { rows, cols } = sizes.geometry;
    let out_plane = rows.out * cols.out;
    if sizes.is_pointwise() {
        let x = Matrix::packed(x, sizes.inputs, out_plane);
        return multiply(y, out_plane, weights, x, together);
    }
    let depth = sizes.inputs * sizes.taps();
    let limit = if together { TOGETHER } else { THREAD };
    let tile = (limit / (depth * cols.out).max(1)).clamp(1, rows.out);
    with_scratch(depth * tile * cols.out, |columns| {
        for tile in tiles(rows.out, tile) {
            let positions = tile.len() * cols.out;
            let columns = &mut columns[..depth * positions];
            let channel = sizes.taps() * positions;
            let gather = |(x, columns): (&[f32], &mut [f32])| {
                vectorised(
                    #[inline(always)]
                    || im2col(columns, x, &sizes.geometry, tile.clone()),
                );
            };
            let plane = rows.size * cols.size;
            if together {
                x.par_chunks_exact(plane)
                    .zip(columns.par_chunks_exact_mut(channel))
                    .for_each(gather);
            } else {
                x.chunks_exact(plane)
                    .zip(columns.chunks_exact_mut(channel))
                    .for_each(gather);
            }
            multiply(
                &mut y[tile.start * cols.out..],
                out_plane,
                weights,
                Matrix::packed(columns, depth, positions),
                together,
            );
        }
    });
}

/// The gradient at the input `[N, I, H, W]`, given the one at the output, `[N, O, H', W']`.
///
/// # Panics
///
/// As [`forward`].
pub fn transpose(g: Planes, weight: Planes, windows: &Windows) -> Vec<f32> {
    let sizes = Sizes::new(windows, weight);
    if sizes.is_depthwise()
        && let Some(x) = depthwise::transpose(g, weight, windows)
    {
        return x;
    }
    let Geometry { rows, cols } = sizes.geometry;
    let [n, outputs, ..] = g.dims();
    let (plane, out_plane) = (rows.size * cols.size, rows.out * cols.out);
    let channels = sizes.inputs * sizes.groups;
    let mut x = vec![0.0; n * channels * plane];
    let task = |image: usize, group: usize, x: &mut [f32], together: bool| {
        let first = image * outputs + group * sizes.outputs;
        let g = &g.values()[first * out_plane..(first + sizes.outputs) * out_plane];
        let g = Matrix::packed(g, sizes.outputs, out_plane);
        transpose_group(g, sizes.weights(weight, group), x, &sizes, together);
    };
    for_each_group(&mut x, n, sizes.groups, sizes.inputs * plane, task);
    x
}

fn transpose_group(g: Matrix, weights: Matrix, x: &mut [f32], sizes: &Sizes, together: bool) {
    let Geometry { rows, cols } = sizes.geometry;
    let (plane, out_plane) = (rows.size * cols.size, rows.out * cols.out);
    if sizes.is_pointwise() {
        return multiply(x, plane, weights.transposed(), g, together);
    }
    let taps = sizes.taps();
    let share = if together {
        sizes.inputs.div_ceil(rayon::current_num_threads())
    } else {
        sizes.inputs
    };
    let block = (THREAD / (taps * out_plane).max(1)).clamp(1, share.max(1));
    let tile = (THREAD / (block * taps * cols.out).max(1)).clamp(1, rows.out);
    // Channels `first ..` of the group.
    let scatter = |first: usize, x: &mut [f32]| {
        let depth = x.len() / plane * taps;
        let weights = Matrix {
            values: &weights.values[first * taps..],
            columns: depth,
            ..weights
        };
        with_scratch(depth * tile * cols.out, |columns| {
            for tile in tiles(rows.out, tile) {
                let positions = tile.len() * cols.out;
                let columns = &mut columns[..depth * positions];
                let g = Matrix {
                    values: &g.values[tile.start * cols.out..],
                    columns: positions,
                    ..g
                };
                multiply(columns, positions, weights.transposed(), g, false);
                vectorised(
                    #[inline(always)]
                    || {
                        let columns = columns.chunks_exact(taps * positions);
                        for (x, columns) in x.chunks_exact_mut(plane).zip(columns) {
                            col2im(x, columns, &sizes.geometry, tile.clone());
                        }
                    },
                );
            }
        });
    };
    if together {
        x.par_chunks_mut(block * plane)
            .enumerate()
            .for_each(|(i, x)| scatter(i * block, x));
    } else {
        for (i, x) in x.chunks_mut(block * plane).enumerate() {
            scatter(i * block, x);
        }
    }
}

fn tiles(rows: usize, tile: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows)
        .step_by(tile)
        .map(move |first| first..(first + tile).min(rows))
}

/// Calls `f(image, group, values, together)` for each group, of `len` values, of `n` images. As many as share out
/// evenly have a thread each; all threads work together on what is left over.
fn for_each_group(
    values: &mut [f32],
    n: usize,
    groups: usize,
    len: usize,
    f: impl Fn(usize, usize, &mut [f32], bool) + Send + Sync,
) {
    if values.is_empty() {
        return;
    }
    let threads = rayon::current_num_threads();
    let count = n * groups;
    // Of many, the last may as well be late by one.
    let apart = match count >= MANY * threads {
        true => count,
        false => count - count % threads,
    };
    let (first, rest) = values.split_at_mut(apart * len);
    first
        .par_chunks_exact_mut(len)
        .enumerate()
        .for_each(|(i, values)| f(i / groups, i % groups, values, false));
    for (i, values) in rest.chunks_exact_mut(len).enumerate() {
        let i = apart + i;
        f(i / groups, i % groups, values, true);
    }
}

/// Gathers what the windows of output rows `tile` see of the plane `x`, one row of `columns` for each
/// of their elements.
#[inline(always)]
fn im2col(columns: &mut [f32], x: &[f32], geometry: &Geometry, tile: Range<usize>) {
    let Geometry { rows, cols } = geometry;
    let positions = tile.len() * cols.out;
    let taps = (0..rows.kernel).flat_map(|row| (0..cols.kernel).map(move |col| (row, col)));
    for ((row, col), columns) in taps.zip(columns.chunks_exact_mut(positions)) {
        let (inside_rows, inside) = (rows.outputs(row), cols.outputs(col));
        for (o, line) in tile.clone().zip(columns.chunks_exact_mut(cols.out)) {
            if !inside_rows.contains(&o) || inside.is_empty() {
                line.fill(0.0);
                continue;
            }
            let start = rows.position(o, row) * cols.size + cols.position(inside.start, col);
            line[..inside.start].fill(0.0);
            line[inside.end..].fill(0.0);
            let line = &mut line[inside.clone()];
            match cols.stride {
                1 => line.copy_from_slice(&x[start..start + line.len()]),
                stride => {
                    for (y, x) in line.iter_mut().zip(x[start..].iter().step_by(stride)) {
                        *y = *x;
                    }
                }
            }
        }
    }
}

/// Adds `columns`, of the output rows `tile`, to the places of the plane `x` that windows saw.
#[inline(always)]
fn col2im(x: &mut [f32], columns: &[f32], geometry: &Geometry, tile: Range<usize>) {
    let Geometry { rows, cols } = geometry;
    let positions = tile.len() * cols.out;
    let taps = (0..rows.kernel).flat_map(|row| (0..cols.kernel).map(move |col| (row, col)));
    for ((row, col), columns) in taps.zip(columns.chunks_exact(positions)) {
        let (inside_rows, inside) = (rows.outputs(row), cols.outputs(col));
        if inside.is_empty() {
            continue;
        }
        for (o, line) in tile.clone().zip(columns.chunks_exact(cols.out)) {
            if !inside_rows.contains(&o) {
                continue;
            }
            let start = rows.position(o, row) * cols.size + cols.position(inside.start, col);
            let line = &line[inside.clone()];
            match cols.stride {
                1 => {
                    for (x, g) in x[start..start + line.len()].iter_mut().zip(line) {
                        *x += g;
                    }
                }
                stride => {
                    for (x, g) in x[start..].iter_mut().step_by(stride).zip(line) {
                        *x += g;
                    }
                }
            }
        }
    }
}
