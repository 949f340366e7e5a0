//! Smooth masks of an image from a coarse grid of parameters.

use std::f32::consts::{LN_2, LOG2_E, SQRT_2};

use elucid_kernels::vectorised;
use rayon::prelude::*;

use crate::error::AttributionError;

/// Most numbers that a mask, and the weights that it is made with, may have.
const MAX_NUMBERS: usize = 1 << 25;

/// Makes masks that cannot hold detail smaller than `sigma`.
///
/// Pixel `u` of the mask is the soft-max pool of `w_ui p_i` over the parameters `p_i` around it,
/// `sum_i(x_i exp(c x_i)) / sum_i(exp(c x_i))` with `x_i = w_ui p_i`, coldness `c`, and the weight
/// `w = exp(-2 max(0, d / sigma - 1/2)^2)` of a parameter at distance `d`: one near 1 makes a disc.
/// Parameters are `step` pixels apart; outside the image they are 0.
///
/// The mask reaches `margin` pixels beyond the image on every side, so that what lies at the edge
/// has as much area as what lies in the middle.
#[derive(Debug)]
pub(crate) struct SmoothMask {
    size: [usize; 2],
    step: usize,
    coldness: f32,
    margin: usize,
    /// Parameters along each axis.
    cells: [usize; 2],
    /// Zeros in front of the parameters.
    padding: usize,
    /// Parameters along each axis that a pixel is made of.
    taps: usize,
    /// Weights by row of the mask within its cell, tap row, tap column, column of the mask.
    weights: Vec<f32>,
}

/// A mask with its margin, and what its gradient needs.
#[derive(Debug, Clone)]
pub(crate) struct FullMask {
    /// `[H + 2 margin, W + 2 margin]`.
    pub values: Vec<f32>,
    /// Sums of `exp(c x_i)`.
    sums: Vec<f32>,
}

impl SmoothMask {
    /// Refuses a step and a sigma whose weights would fill the memory.
    pub fn new(
        size: [usize; 2],
        step: usize,
        sigma: f32,
        coldness: f32,
    ) -> Result<Self, AttributionError> {
        let cells_in = |pixels: f32| (pixels / step as f32).ceil() as usize;
        let margin = sigma.ceil() as usize;
        let padding = 1 + cells_in(margin as f32 + sigma);
        let taps = 2 * (1 + cells_in(sigma)) + 1;
        let mut mask = Self {
            size,
            step,
            coldness,
            margin,
            cells: size.map(|side| side.div_ceil(step)),
            padding,
            taps,
            weights: Vec::new(),
        };
        let [height, width] = mask.full();
        let count = [step, taps, taps, width]
            .into_iter()
            .fold(1, usize::saturating_mul);
        if count.max(height.saturating_mul(width)) > MAX_NUMBERS {
            return Err(AttributionError::Parameter {
                parameter: "step",
                value: format!("{step} for a sigma of {sigma}"),
                expected: "a step of no more pixels than the image, and a sigma of fewer steps",
            });
        }
        // From a pixel to the parameter of a tap.
        let away = |pixel: usize, tap: usize| {
            let at = (pixel / step + tap) as f32 - padding as f32;
            pixel as f32 - (margin as f32 + step as f32 * at)
        };
        let mut weights = Vec::with_capacity(count);
        for row in 0..step {
            for (tap_row, tap_column) in mask.each_tap() {
                let down = away(row, tap_row);
                weights.extend((0..width).map(|column| {
                    let z = down.hypot(away(column, tap_column)) / sigma;
                    (-2.0 * (z - 0.5).max(0.0).powi(2)).exp()
                }));
            }
        }
        mask.weights = weights;
        Ok(mask)
    }

    /// How many parameters there are.
    pub fn parameters(&self) -> usize {
        self.cells[0] * self.cells[1]
    }

    fn full(&self) -> [usize; 2] {
        self.size.map(|side| side.saturating_add(2 * self.margin))
    }

    fn each_tap(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let taps = self.taps;
        (0..taps * taps).map(move |i| (i / taps, i % taps))
    }

    /// Parameters of row `row`, which counts from the padding, as the tap `tap_column` of each column
    /// of the mask sees them; `None` for rows of zeros.
    fn spread(&self, parameters: &[f32], row: usize, tap_column: usize) -> Option<Vec<f32>> {
        let row = row.checked_sub(self.padding)?;
        let columns = self.cells[1];
        let line = parameters.get(row * columns..(row + 1) * columns)?;
        if line.iter().all(|&p| p == 0.0) {
            return None;
        }
        let at = |column: usize| (column / self.step + tap_column).checked_sub(self.padding);
        let value = |column| at(column).and_then(|i| line.get(i)).copied();
        Some(
            (0..self.full()[1])
                .map(|column| value(column).unwrap_or(0.0))
                .collect(),
        )
    }

    fn weights_of(&self, row: usize, tap_row: usize, tap_column: usize) -> &[f32] {
        let width = self.full()[1];
        let start = (((row % self.step) * self.taps + tap_row) * self.taps + tap_column) * width;
        &self.weights[start..start + width]
    }

    /// The mask of some parameters, with its margin.
    pub fn full_mask(&self, parameters: &[f32]) -> FullMask {
        let [height, width] = self.full();
        let mut values = vec![0.0; height * width];
        let mut sums = vec![0.0; height * width];
        // Rows of the mask within one cell see the same parameters.
        let rows = self.step * width;
        values
            .par_chunks_mut(rows)
            .zip(sums.par_chunks_mut(rows))
            .enumerate()
            .for_each(|(cell, (values, sums))| {
                vectorised(
                    #[inline(always)]
                    || self.fill_cell(parameters, cell, values, sums),
                );
            });
        FullMask { values, sums }
    }

    /// The rows of the mask within one cell.
    #[inline(always)]
    fn fill_cell(&self, parameters: &[f32], cell: usize, values: &mut [f32], sums: &mut [f32]) {
        let [_, width] = self.full();
        for (tap_row, tap_column) in self.each_tap() {
            let spread = self.spread(parameters, cell + tap_row, tap_column);
            let rows = values.chunks_mut(width).zip(sums.chunks_mut(width));
            for (row, (value, sum)) in rows.enumerate() {
                let Some(spread) = &spread else {
                    sum.iter_mut().for_each(|sum| *sum += 1.0);
                    continue;
                };
                let weights = self.weights_of(row, tap_row, tap_column);
                for (((value, sum), weight), p) in
                    value.iter_mut().zip(sum).zip(weights).zip(spread)
                {
                    let x = weight * p;
                    let e = exp(self.coldness * x);
                    *value += x * e;
                    *sum += e;
                }
            }
        }
        for (value, sum) in values.iter_mut().zip(sums) {
            *value /= *sum;
        }
    }

    /// The gradient at the parameters, from that at the mask with its margin.
    pub fn gradient(&self, parameters: &[f32], mask: &FullMask, gradient: &[f32]) -> Vec<f32> {
        let [height, _] = self.full();
        let parts: Vec<Vec<f32>> = (0..height.div_ceil(self.step))
            .into_par_iter()
            .map(|cell| {
                let mut found = vec![0.0; self.taps * self.cells[1]];
                vectorised(
                    #[inline(always)]
                    || self.gradient_of_cell(parameters, cell, mask, gradient, &mut found),
                );
                found
            })
            .collect();
        let mut found = vec![0.0; self.parameters()];
        for (cell, part) in parts.iter().enumerate() {
            for (tap_row, part) in part.chunks(self.cells[1]).enumerate() {
                let to = (cell + tap_row).checked_sub(self.padding);
                if let Some(to) = to.filter(|&row| row < self.cells[0]) {
                    let to = &mut found[to * self.cells[1]..(to + 1) * self.cells[1]];
                    to.iter_mut().zip(part).for_each(|(to, g)| *to += g);
                }
            }
        }
        found
    }

    /// Adds to `found` what the rows of the mask within one cell add to the rows of parameters that
    /// they see, one for each row of taps.
    #[inline(always)]
    fn gradient_of_cell(
        &self,
        parameters: &[f32],
        cell: usize,
        mask: &FullMask,
        gradient: &[f32],
        found: &mut [f32],
    ) {
        let [height, width] = self.full();
        let rows = cell * self.step..height.min((cell + 1) * self.step);
        let inside = rows.start * width..rows.end * width;
        let (values, sums) = (&mask.values[inside.clone()], &mask.sums[inside.clone()]);
        let shares = gradient[inside].iter().zip(sums).map(|(g, sum)| g / sum);
        let shares: Vec<f32> = shares.collect();
        let mut line = vec![0.0; width];
        let zeros = vec![0.0; width];
        for (tap_row, tap_column) in self.each_tap() {
            let to = (cell + tap_row).checked_sub(self.padding);
            if to.is_none_or(|row| row >= self.cells[0]) {
                continue;
            }
            let spread = self.spread(parameters, cell + tap_row, tap_column);
            let spread = spread.as_ref().unwrap_or(&zeros);
            line.fill(0.0);
            for row in 0..rows.len() {
                let weights = self.weights_of(row, tap_row, tap_column);
                let share = &shares[row * width..(row + 1) * width];
                let value = &values[row * width..(row + 1) * width];
                for ((((line, weight), p), share), value) in line
                    .iter_mut()
                    .zip(weights)
                    .zip(spread)
                    .zip(share)
                    .zip(value)
                {
                    let x = weight * p;
                    let e = exp(self.coldness * x);
                    *line += share * e * (1.0 + self.coldness * (x - value)) * weight;
                }
            }
            let found = &mut found[tap_row * self.cells[1]..(tap_row + 1) * self.cells[1]];
            for (cell, line) in line.chunks(self.step).enumerate() {
                let at = (cell + tap_column).checked_sub(self.padding);
                if let Some(at) = at.filter(|&at| at < self.cells[1]) {
                    found[at] += line.iter().sum::<f32>();
                }
            }
        }
    }

    /// The mask without its margin, `[H, W]`.
    pub fn cropped(&self, full: &[f32]) -> Vec<f32> {
        let [_, width] = self.full();
        let rows = full.chunks(width).skip(self.margin).take(self.size[0]);
        rows.flat_map(|row| &row[self.margin..self.margin + self.size[1]])
            .copied()
            .collect()
    }

    /// Adds what is `[H, W]` to the inside of what has a margin.
    pub fn add_inside(&self, full: &mut [f32], inside: &[f32]) {
        let [_, width] = self.full();
        let rows = full.chunks_mut(width).skip(self.margin);
        for (row, inside) in rows.zip(inside.chunks(self.size[1])) {
            for (to, value) in row[self.margin..].iter_mut().zip(inside) {
                *to += value;
            }
        }
    }
}

/// `exp(x)` of `0 <= x < 80` to about 2e-7 of itself, in operations that compilers vectorise; a mask
/// takes millions.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let power = x * LOG2_E;
    let whole = power as i32;
    // Taylor around the middle of what is left.
    let y = (power - whole as f32 - 0.5) * LN_2;
    let mut sum = 1.0 / 720.0;
    for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * y + factor;
    }
    f32::from_bits(((whole + 127) as u32) << 23) * SQRT_2 * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perturbation::central;

    #[test]
    fn the_exponential_is_one() {
        for i in 0..80_000 {
            let x = i as f32 / 1000.0;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 1e-5, "{x}");
        }
        assert!((exp(20.0) / 20_f32.exp() - 1.0).abs() < 3e-6);
    }

    fn parameters(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| (0.5 + 0.5 * (i as f32 * 1.7).sin()).powi(2))
            .collect()
    }

    /// Every pixel from all parameters near it, as the page has it.
    #[test]
    fn a_slower_twin() {
        let (size, step, sigma, coldness) = ([30, 23], 7, 9.0, 20.0);
        let mask = SmoothMask::new(size, step, sigma, coldness).unwrap();
        let p = parameters(mask.parameters());
        let got = mask.cropped(&mask.full_mask(&p).values);
        for y in 0..size[0] {
            for x in 0..size[1] {
                let (mut top, mut bottom) = (0.0, 0.0);
                // The window of taps around the pixel, zeros beyond the image included.
                for (i, j) in mask.each_tap() {
                    let at = |pixel: usize, tap: usize| {
                        ((pixel + mask.margin) / step + tap) as i64 - mask.padding as i64
                    };
                    let (i, j) = (at(y, i), at(x, j));
                    let d = (y as f32 - (step as i64 * i) as f32)
                        .hypot(x as f32 - (step as i64 * j) as f32);
                    let inside = (0..mask.cells[0] as i64).contains(&i)
                        && (0..mask.cells[1] as i64).contains(&j);
                    let p = if inside {
                        p[i as usize * mask.cells[1] + j as usize]
                    } else {
                        0.0
                    };
                    let v = p * (-2.0 * (d / sigma - 0.5).max(0.0).powi(2)).exp();
                    top += v * (coldness * v).exp();
                    bottom += (coldness * v).exp();
                }
                assert!(
                    (got[y * size[1] + x] - top / bottom).abs() < 1e-5,
                    "{y} {x}"
                );
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let mask = SmoothMask::new([20, 17], 5, 6.0, 20.0).unwrap();
        let p = parameters(mask.parameters());
        let found = mask.full_mask(&p);
        let weights: Vec<f32> = (0..found.values.len()).map(|i| (i as f32).sin()).collect();
        let gradient = mask.gradient(&p, &found, &weights);
        let value = |p: &[f32]| -> f64 {
            let full = mask.full_mask(p).values;
            full.iter()
                .zip(&weights)
                .map(|(v, w)| f64::from(v * w))
                .sum()
        };
        let largest = gradient.iter().fold(0.0, |m: f32, g| m.max(g.abs()));
        for i in 0..p.len() {
            let want = central(&p, |p| &mut p[i], |p| value(p));
            let error = (f64::from(gradient[i]) - want).abs() / f64::from(largest);
            assert!(error < 2e-3, "parameter {i}: {} for {want}", gradient[i]);
        }
    }
}
