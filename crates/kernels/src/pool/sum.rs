use super::phases::{Row, gather, nth};
use crate::Planes;
use crate::threads::for_each_chunk;
use crate::window::Geometry;

/// `weights[o] * sum of window o`: planes `[N, C, H, W]` to `[N, C, H', W']`.
pub fn weighted_sum(x: Planes, geometry: &Geometry, weights: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.count() * geometry.output_len()];
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
    y
}

/// `y[o] = weights[o] * sum of f(x)` over window `o`.
#[inline(always)]
pub(super) fn weighted_sum_of_plane(
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

/// The transpose of [`weighted_sum`]: each input receives `weights[o] * g[o]` of every window that
/// holds it.
pub fn weighted_sum_transpose(g: Planes, geometry: &Geometry, weights: &[f32]) -> Vec<f32> {
    let mut d = vec![0.0; g.count() * geometry.input_len()];
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
    d
}

/// Adds each gradient to every position of its window.
#[inline(always)]
pub(super) fn sum_transpose_of_plane(
    g: &[f32],
    d: &mut [f32],
    geometry: &Geometry,
    row: &mut [f32],
) {
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
