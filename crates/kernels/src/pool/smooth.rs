use super::phases::{Row, nth};
use super::sum::{sum_transpose_of_plane, weighted_sum_of_plane};
use crate::Planes;
use crate::threads::for_each_chunk;
use crate::window::Geometry;

/// Keeps the smooth surrogate of a maximum finite where a window is all zero.
pub const EPSILON: f32 = 1e-2;

/// The blur's weight of its centre. The three weights sum to one.
pub const CENTRE: f32 = 0.25;
/// The blur's weight of the mean of the four neighbours.
pub const EDGE: f32 = 0.5;
/// The blur's weight of the mean of the four diagonals.
pub const CORNER: f32 = 0.25;

/// The gradient of `avg(x^2) / (EPSILON + avg(|x|))` over each window, padding left out, from that of its
/// output; blurred by the 3x3 kernel of [`CENTRE`], [`EDGE`] and [`CORNER`] where asked.
pub fn smooth_gradient(x: Planes, g: Planes, geometry: &Geometry, blur: bool) -> Vec<f32> {
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
    d
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
