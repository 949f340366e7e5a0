use std::ops::Range;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::{Host, TASK, for_each_chunk, vectorised};
use crate::smooth::{CENTRE, CORNER, EDGE, EPSILON};
use crate::window::{Axis, Geometry};

/// The plane that chunk `i` is computed from.
fn nth(values: &[f32], i: usize, len: usize) -> &[f32] {
    &values[i * len..(i + 1) * len]
}

fn output_dims(x: &Host, Geometry { rows, cols }: &Geometry) -> [usize; 4] {
    let [n, c, _, _] = x.dims();
    [n, c, rows.out, cols.out]
}

fn input_dims(g: &Host, Geometry { rows, cols }: &Geometry) -> [usize; 4] {
    let [n, c, _, _] = g.dims();
    [n, c, rows.size, cols.size]
}

/// One row of inputs in an order in which the inputs that element `t` of successive windows looks
/// at lie side by side, whatever the stride: first the columns 0, `stride`, `2 stride` .., then 1,
/// `1 + stride` .. . Contiguous loops are what the compiler vectorises.
#[derive(Clone)]
struct Phases<T> {
    values: Vec<T>,
    stride: usize,
    /// The length of one phase, the last columns padded to it.
    len: usize,
}

impl<T: Copy + Default> Phases<T> {
    fn new(cols: &Axis) -> Self {
        let len = cols.size.div_ceil(cols.stride);
        Self {
            // Past the row's length there are no further phases.
            values: vec![T::default(); len * cols.stride.min(cols.size)],
            stride: cols.stride,
            len,
        }
    }

    #[inline(always)]
    fn fill_from(&mut self, row: &[T]) {
        if self.stride == 1 {
            self.values.copy_from_slice(row);
            return;
        }
        for (phase, values) in self.values.chunks_exact_mut(self.len).enumerate() {
            for (value, v) in values
                .iter_mut()
                .zip(row.iter().skip(phase).step_by(self.stride))
            {
                *value = *v;
            }
        }
    }

    /// The inputs from column `first` on, a stride apart.
    #[inline(always)]
    fn from(&self, first: usize) -> &[T] {
        let (phase, skipped) = (first % self.stride, first / self.stride);
        &self.values[phase * self.len + skipped..(phase + 1) * self.len]
    }
}

/// Calls `f(output, input)` for element `t` of every window of one row.
#[inline(always)]
fn gather(output: &mut [f32], row: &Phases<f32>, cols: &Axis, t: usize, f: impl Fn(&mut f32, f32)) {
    let outputs = cols.outputs(t);
    if outputs.is_empty() {
        return;
    }
    let inputs = row.from(cols.position(outputs.start, t));
    for (o, v) in output[outputs].iter_mut().zip(inputs) {
        f(o, *v);
    }
}

/// The larger of two, or NaN if either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if (b > a) | b.is_nan() { b } else { a }
}

/// Scratch for one row of a plane.
#[derive(Clone)]
struct Row {
    values: Vec<f32>,
    phases: Phases<f32>,
}

impl Row {
    fn new(cols: &Axis) -> Self {
        Self {
            values: vec![0.0; cols.size],
            phases: Phases::new(cols),
        }
    }
}

pub(crate) fn maximum(x: &Host, geometry: &Geometry) -> Tensor<4> {
    let dims = output_dims(x, geometry);
    let mut y = vec![0.0; dims.iter().product()];
    let (values, inputs, outputs) = (x.values(), geometry.input_len(), geometry.output_len());
    if Padded::suits(geometry) {
        for_each_chunk(
            &mut y,
            outputs,
            || Padded::new(geometry),
            #[inline(always)]
            |padded, i, y| padded.maximum(nth(values, i, inputs), y, geometry),
        );
    } else {
        for_each_chunk(
            &mut y,
            outputs,
            || Row::new(&geometry.cols),
            #[inline(always)]
            |row, i, y| maximum_of_plane(nth(values, i, inputs), y, geometry, row),
        );
    }
    x.tensor(y, dims)
}

/// The maximum over a window's rows first, then over its columns.
#[inline(always)]
fn maximum_of_plane(x: &[f32], y: &mut [f32], geometry: &Geometry, row: &mut Row) {
    let Geometry { rows, cols } = geometry;
    let Row {
        values: row,
        phases,
    } = row;
    for (i, y) in y.chunks_exact_mut(cols.out).enumerate() {
        row.fill(f32::NEG_INFINITY);
        for t in rows.elements(i) {
            let x = nth(x, rows.position(i, t), cols.size);
            for (m, v) in row.iter_mut().zip(x) {
                *m = larger(*m, *v);
            }
        }
        phases.fill_from(row);
        y.fill(f32::NEG_INFINITY);
        for t in 0..cols.kernel {
            gather(y, phases, cols, t, |m, v| *m = larger(*m, v));
        }
    }
}

/// The maxima, and the row-major offset of each in its plane.
pub(crate) fn maximum_with_positions(x: &Host, geometry: &Geometry) -> (Tensor<4>, Vec<u32>) {
    let dims = output_dims(x, geometry);
    let len = geometry.output_len();
    let mut y = vec![0.0; dims.iter().product()];
    let mut positions = vec![0; y.len()];
    let (values, inputs) = (x.values(), geometry.input_len());
    if y.is_empty() {
        return (x.tensor(y, dims), positions);
    }
    let planes = y
        .par_chunks_exact_mut(len)
        .zip(positions.par_chunks_exact_mut(len))
        .enumerate()
        .with_min_len(TASK.div_ceil(len));
    if Padded::suits(geometry) {
        planes.for_each_init(
            || Padded::new(geometry).with_positions(geometry),
            |padded, (i, (y, positions))| {
                let x = nth(values, i, inputs);
                vectorised(
                    #[inline(always)]
                    || padded.maximum_with_positions(x, y, positions, geometry),
                );
            },
        );
    } else {
        planes.for_each_init(
            || RowWithPositions::new(&geometry.cols),
            |row, (i, (y, positions))| {
                let x = nth(values, i, inputs);
                vectorised(
                    #[inline(always)]
                    || maximum_of_plane_with_positions(x, y, positions, geometry, row),
                );
            },
        );
    }
    (x.tensor(y, dims), positions)
}

/// Scratch for one row of a plane: the maxima of its columns, and where in the plane they lie.
struct RowWithPositions {
    values: Vec<f32>,
    positions: Vec<u32>,
    value_phases: Phases<f32>,
    position_phases: Phases<u32>,
}

impl RowWithPositions {
    fn new(cols: &Axis) -> Self {
        Self {
            values: vec![0.0; cols.size],
            positions: vec![0; cols.size],
            value_phases: Phases::new(cols),
            position_phases: Phases::new(cols),
        }
    }
}

#[inline(always)]
fn maximum_of_plane_with_positions(
    x: &[f32],
    y: &mut [f32],
    positions: &mut [u32],
    geometry: &Geometry,
    row: &mut RowWithPositions,
) {
    let Geometry { rows, cols } = geometry;
    let outputs = y
        .chunks_exact_mut(cols.out)
        .zip(positions.chunks_exact_mut(cols.out));
    for (i, (y, positions)) in outputs.enumerate() {
        let mut elements = rows.elements(i);
        let first = rows.position(i, elements.start) * cols.size;
        row.values.copy_from_slice(&x[first..first + cols.size]);
        row.positions.fill(first as u32);
        elements.start += 1;
        for t in elements {
            let start = rows.position(i, t) * cols.size;
            let maxima = row.values.iter_mut().zip(row.positions.iter_mut());
            for ((m, at), v) in maxima.zip(&x[start..start + cols.size]) {
                let take = (*v > *m) | v.is_nan();
                *m = if take { *v } else { *m };
                *at = if take { start as u32 } else { *at };
            }
        }
        for (column, at) in row.positions.iter_mut().enumerate() {
            *at += column as u32;
        }

        row.value_phases.fill_from(&row.values);
        row.position_phases.fill_from(&row.positions);
        y.fill(f32::NEG_INFINITY);
        positions.fill(u32::MAX);
        for t in 0..cols.kernel {
            let outputs = cols.outputs(t);
            if outputs.is_empty() {
                continue;
            }
            let first = cols.position(outputs.start, t);
            let maxima = y[outputs.clone()].iter_mut().zip(&mut positions[outputs]);
            let inputs = row.value_phases.from(first).iter();
            let inputs = inputs.zip(row.position_phases.from(first));
            for ((m, at), (v, position)) in maxima.zip(inputs) {
                take_larger(m, at, *v, *position);
            }
        }
    }
}

/// Scratch for one plane whose windows move by one: padded at both sides, what an element of every
/// window looks at is one stretch of numbers, as long as the plane, whatever the length of a row.
struct Padded {
    /// The length of a padded row.
    width: usize,
    plane: Vec<f32>,
    /// The maxima of the windows' columns.
    columns: Vec<f32>,
    maxima: Vec<f32>,
    /// The row-major offset of each number of `plane`; of padding, the largest there is.
    offsets: Vec<u32>,
    column_positions: Vec<u32>,
    positions: Vec<u32>,
}

impl Padded {
    fn suits(geometry: &Geometry) -> bool {
        geometry.rows.stride == 1 && geometry.cols.stride == 1
    }

    fn new(Geometry { rows, cols }: &Geometry) -> Self {
        let width = cols.covered().max(cols.before + cols.size);
        Self {
            width,
            plane: vec![f32::NEG_INFINITY; rows.size * width],
            columns: vec![0.0; rows.out * width],
            maxima: vec![0.0; rows.out * width],
            offsets: Vec::new(),
            column_positions: Vec::new(),
            positions: Vec::new(),
        }
    }

    fn with_positions(mut self, Geometry { rows, cols }: &Geometry) -> Self {
        self.offsets = vec![u32::MAX; self.plane.len()];
        let lines = self.offsets.chunks_exact_mut(self.width).enumerate();
        for (row, line) in lines.take(rows.size) {
            let line = &mut line[cols.before..cols.before + cols.size];
            for (col, offset) in line.iter_mut().enumerate() {
                *offset = (row * cols.size + col) as u32;
            }
        }
        self.column_positions = vec![0; self.columns.len()];
        self.positions = vec![0; self.maxima.len()];
        self
    }

    #[inline(always)]
    fn fill_from(&mut self, x: &[f32], cols: &Axis) {
        let inside = cols.before..cols.before + cols.size;
        let lines = self.plane.chunks_exact_mut(self.width);
        for (line, x) in lines.zip(x.chunks_exact(cols.size)) {
            line[inside.clone()].copy_from_slice(x);
        }
    }

    /// Where in `columns`, and from where on in `plane`, element `t` of the windows' columns lies.
    #[inline(always)]
    fn stretch(&self, rows: &Axis, t: usize) -> (Range<usize>, usize) {
        let outputs = rows.outputs(t);
        if outputs.is_empty() {
            return (0..0, 0);
        }
        let from = rows.position(outputs.start, t) * self.width;
        (outputs.start * self.width..outputs.end * self.width, from)
    }

    /// How many maxima there are, those across the end of a row with them.
    fn len(&self, cols: &Axis) -> usize {
        self.maxima.len() - (cols.kernel - 1) * cols.dilation
    }

    #[inline(always)]
    fn maximum(&mut self, x: &[f32], y: &mut [f32], Geometry { rows, cols }: &Geometry) {
        self.fill_from(x, cols);
        self.columns.fill(f32::NEG_INFINITY);
        for t in 0..rows.kernel {
            let (outputs, from) = self.stretch(rows, t);
            for (m, v) in self.columns[outputs].iter_mut().zip(&self.plane[from..]) {
                *m = larger(*m, *v);
            }
        }
        let len = self.len(cols);
        self.maxima[..len].copy_from_slice(&self.columns[..len]);
        for t in 1..cols.kernel {
            let columns = &self.columns[t * cols.dilation..];
            for (m, v) in self.maxima[..len].iter_mut().zip(columns) {
                *m = larger(*m, *v);
            }
        }
        let maxima = self.maxima.chunks(self.width);
        for (y, maxima) in y.chunks_exact_mut(cols.out).zip(maxima) {
            y.copy_from_slice(&maxima[..cols.out]);
        }
    }

    #[inline(always)]
    fn maximum_with_positions(
        &mut self,
        x: &[f32],
        y: &mut [f32],
        positions: &mut [u32],
        Geometry { rows, cols }: &Geometry,
    ) {
        self.fill_from(x, cols);
        self.columns.fill(f32::NEG_INFINITY);
        self.column_positions.fill(u32::MAX);
        for t in 0..rows.kernel {
            let (outputs, from) = self.stretch(rows, t);
            let maxima = self.columns[outputs.clone()].iter_mut();
            let maxima = maxima.zip(&mut self.column_positions[outputs]);
            let inputs = self.plane[from..].iter().zip(&self.offsets[from..]);
            for ((m, at), (v, offset)) in maxima.zip(inputs) {
                take_larger(m, at, *v, *offset);
            }
        }
        let len = self.len(cols);
        self.maxima[..len].copy_from_slice(&self.columns[..len]);
        self.positions[..len].copy_from_slice(&self.column_positions[..len]);
        for t in 1..cols.kernel {
            let from = t * cols.dilation;
            let maxima = self.maxima[..len].iter_mut();
            let maxima = maxima.zip(&mut self.positions[..len]);
            let inputs = self.columns[from..].iter();
            let inputs = inputs.zip(&self.column_positions[from..]);
            for ((m, at), (v, position)) in maxima.zip(inputs) {
                take_larger(m, at, *v, *position);
            }
        }
        let maxima = self.maxima.chunks(self.width);
        let maxima = maxima.zip(self.positions.chunks(self.width));
        let outputs = y.chunks_exact_mut(cols.out);
        let outputs = outputs.zip(positions.chunks_exact_mut(cols.out));
        for ((y, positions), (maxima, at)) in outputs.zip(maxima) {
            y.copy_from_slice(&maxima[..cols.out]);
            positions.copy_from_slice(&at[..cols.out]);
        }
    }
}

/// Of equal maxima the first in row-major order wins, even if it comes from a later column.
#[inline(always)]
fn take_larger(m: &mut f32, at: &mut u32, v: f32, position: u32) {
    let take = (v > *m) | v.is_nan() | ((v == *m) & (position < *at));
    *m = if take { v } else { *m };
    *at = if take { position } else { *at };
}

/// Adds each gradient to where its maximum was.
pub(crate) fn to_positions(g: &Host, positions: &[u32], geometry: &Geometry) -> Tensor<4> {
    let dims = input_dims(g, geometry);
    let mut d = vec![0.0; dims.iter().product()];
    let values = g.values();
    let len = geometry.output_len();
    for_each_chunk(
        &mut d,
        geometry.input_len(),
        || (),
        #[inline(always)]
        |(), i, d| {
            let positions = &positions[i * len..(i + 1) * len];
            for (g, at) in nth(values, i, len).iter().zip(positions) {
                d[*at as usize] += *g;
            }
        },
    );
    g.tensor(d, dims)
}

pub(crate) fn weighted_sum(x: &Host, geometry: &Geometry, weights: &[f32]) -> Tensor<4> {
    let dims = output_dims(x, geometry);
    let mut y = vec![0.0; dims.iter().product()];
    let values = x.values();
    for_each_chunk(
        &mut y,
        geometry.output_len(),
        || Row::new(&geometry.cols),
        #[inline(always)]
        |row, i, y| {
            let x = nth(values, i, geometry.input_len());
            weighted_sum_of_plane(x, |v| v, y, geometry, weights, row);
        },
    );
    x.tensor(y, dims)
}

/// `y[o] = weights[o] * sum of f(x)` over window `o`.
#[inline(always)]
fn weighted_sum_of_plane(
    x: &[f32],
    f: impl Fn(f32) -> f32,
    y: &mut [f32],
    geometry: &Geometry,
    weights: &[f32],
    row: &mut Row,
) {
    let Geometry { rows, cols } = geometry;
    let Row {
        values: row,
        phases,
    } = row;
    let outputs = y
        .chunks_exact_mut(cols.out)
        .zip(weights.chunks_exact(cols.out));
    for (i, (y, weights)) in outputs.enumerate() {
        row.fill(0.0);
        for t in rows.elements(i) {
            let x = nth(x, rows.position(i, t), cols.size);
            for (sum, v) in row.iter_mut().zip(x) {
                *sum += f(*v);
            }
        }
        phases.fill_from(row);
        y.fill(0.0);
        for t in 0..cols.kernel {
            gather(y, phases, cols, t, |sum, v| *sum += v);
        }
        for (y, weight) in y.iter_mut().zip(weights) {
            *y *= weight;
        }
    }
}

pub(crate) fn weighted_sum_transpose(g: &Host, geometry: &Geometry, weights: &[f32]) -> Tensor<4> {
    let dims = input_dims(g, geometry);
    let mut d = vec![0.0; dims.iter().product()];
    let values = g.values();
    for_each_chunk(
        &mut d,
        geometry.input_len(),
        || {
            (
                vec![0.0; geometry.output_len()],
                vec![0.0; geometry.cols.size],
            )
        },
        #[inline(always)]
        |(weighted, row), i, d| {
            let g = nth(values, i, geometry.output_len());
            for ((o, g), weight) in weighted.iter_mut().zip(g).zip(weights) {
                *o = g * weight;
            }
            sum_transpose_of_plane(weighted, d, geometry, row);
        },
    );
    g.tensor(d, dims)
}

/// Adds each gradient to every position of its window.
#[inline(always)]
fn sum_transpose_of_plane(g: &[f32], d: &mut [f32], geometry: &Geometry, row: &mut [f32]) {
    let Geometry { rows, cols } = geometry;
    for (i, g) in g.chunks_exact(cols.out).enumerate() {
        row.fill(0.0);
        for t in 0..cols.kernel {
            let outputs = cols.outputs(t);
            if outputs.is_empty() {
                continue;
            }
            let row = row[cols.position(outputs.start, t)..].iter_mut();
            let g = &g[outputs];
            if cols.stride == 1 {
                row.zip(g).for_each(|(d, g)| *d += g);
            } else {
                row.step_by(cols.stride).zip(g).for_each(|(d, g)| *d += g);
            }
        }
        for t in rows.elements(i) {
            let start = rows.position(i, t) * cols.size;
            for (d, sum) in d[start..start + cols.size].iter_mut().zip(&*row) {
                *d += sum;
            }
        }
    }
}

/// The gradient of `crate::smooth`, plane by plane.
pub(crate) fn smooth_gradient(x: &Host, g: &Host, geometry: &Geometry, blur: bool) -> Tensor<4> {
    struct Scratch {
        row: Row,
        numerator: Vec<f32>,
        denominator: Vec<f32>,
        through_numerator: Vec<f32>,
        through_denominator: Vec<f32>,
    }

    let (inputs, outputs) = (geometry.input_len(), geometry.output_len());
    let means = geometry.means(false);
    let mut d = vec![0.0; x.values().len()];
    let (xs, gs) = (x.values(), g.values());
    for_each_chunk(
        &mut d,
        inputs,
        || Scratch {
            row: Row::new(&geometry.cols),
            numerator: vec![0.0; outputs],
            denominator: vec![0.0; outputs],
            through_numerator: vec![0.0; inputs],
            through_denominator: vec![0.0; inputs],
        },
        #[inline(always)]
        |scratch, i, d| {
            let (x, g) = (nth(xs, i, inputs), nth(gs, i, outputs));
            let Scratch {
                row,
                numerator: a,
                denominator: b,
                through_numerator,
                through_denominator,
            } = scratch;
            weighted_sum_of_plane(x, |v| v * v, a, geometry, &means, row);
            weighted_sum_of_plane(x, f32::abs, b, geometry, &means, row);
            for (((a, b), g), mean) in a.iter_mut().zip(b.iter_mut()).zip(g).zip(&means) {
                let denominator = *b + EPSILON;
                let by_numerator = g * mean / denominator;
                *b = by_numerator * *a / denominator;
                *a = by_numerator;
            }
            through_numerator.fill(0.0);
            through_denominator.fill(0.0);
            sum_transpose_of_plane(a, through_numerator, geometry, &mut row.values);
            sum_transpose_of_plane(b, through_denominator, geometry, &mut row.values);
            let through = through_numerator.iter_mut().zip(&*through_denominator);
            for ((n, d), x) in through.zip(x) {
                let sign = if *x > 0.0 {
                    1.0
                } else if *x < 0.0 {
                    -1.0
                } else {
                    0.0
                };
                *n = 2.0 * x * *n - sign * d;
            }
            if blur {
                blur_plane(through_numerator, d, geometry.cols.size);
            } else {
                d.copy_from_slice(through_numerator);
            }
        },
    );
    x.tensor(d, x.dims())
}

/// Adds the blurred plane `x` to `y`.
#[inline(always)]
fn blur_plane(x: &[f32], y: &mut [f32], width: usize) {
    let height = x.len() / width;
    for (i, y) in y.chunks_exact_mut(width).enumerate() {
        let mut add_row = |row: usize, centre: f32, side: f32| {
            let x = nth(x, row, width);
            for (y, v) in y.iter_mut().zip(x) {
                *y += centre * v;
            }
            for (y, v) in y[1..].iter_mut().zip(x) {
                *y += side * v;
            }
            for (y, v) in y.iter_mut().zip(&x[1..]) {
                *y += side * v;
            }
        };
        if i > 0 {
            add_row(i - 1, EDGE / 4.0, CORNER / 4.0);
        }
        add_row(i, CENTRE, EDGE / 4.0);
        if i + 1 < height {
            add_row(i + 1, EDGE / 4.0, CORNER / 4.0);
        }
    }
}
