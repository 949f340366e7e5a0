use std::ops::Range;

use rayon::prelude::*;

use super::phases::{Phases, Row, gather, nth};
use crate::Planes;
use crate::threads::{TASK, for_each_chunk};
use crate::vectors::vectorised;
use crate::window::{Axis, Geometry};

/// The larger of two, or NaN if either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if (b > a) | b.is_nan() { b } else { a }
}

/// The maximum of each window, NaN where it holds one: planes `[N, C, H, W]` to `[N, C, H', W']`.
pub fn maximum(x: Planes, geometry: &Geometry) -> Vec<f32> {
    let mut y = vec![0.0; x.count() * geometry.output_len()];
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
    y
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

/// As [`maximum`], and the row-major offset of each in its plane.
pub fn maximum_with_positions(x: Planes, geometry: &Geometry) -> (Vec<f32>, Vec<u32>) {
    let len = geometry.output_len();
    let mut y = vec![0.0; x.count() * len];
    let mut positions = vec![0; y.len()];
    let (values, inputs) = (x.values(), geometry.input_len());
    if y.is_empty() {
        return (y, positions);
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
    (y, positions)
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

/// Adds each gradient, of planes `[N, C, H', W']`, to where its maximum was in `[N, C, H, W]`.
pub fn to_positions(g: Planes, positions: &[u32], geometry: &Geometry) -> Vec<f32> {
    let mut d = vec![0.0; g.count() * geometry.input_len()];
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
    d
}
