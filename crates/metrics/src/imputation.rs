//! Noisy linear imputation without the noise: removed pixels become weighted means of their neighbours.

use crate::error::MetricError;

const NEIGHBOURS: [(isize, isize, f64); 8] = [
    (-1, -1, 1.0 / 12.0),
    (-1, 0, 1.0 / 6.0),
    (-1, 1, 1.0 / 12.0),
    (0, -1, 1.0 / 6.0),
    (0, 1, 1.0 / 6.0),
    (1, -1, 1.0 / 12.0),
    (1, 0, 1.0 / 6.0),
    (1, 1, 1.0 / 12.0),
];

/// The linear system of the removed pixels: `sum of w (x - neighbour) = 0` for each.
pub(crate) struct Imputation {
    pub removed: Vec<usize>,
    /// Sum of the weights of each removed pixel's neighbours.
    diagonal: Vec<f64>,
    /// Where the entries of each removed pixel begin, and where the last ones end.
    starts: Vec<usize>,
    /// Removed neighbours, by their place in `removed`, with their weights.
    entries: Vec<(usize, f64)>,
    /// Neighbours that stay: place of the removed pixel, neighbour, weight.
    known: Vec<(usize, usize, f64)>,
}

impl Imputation {
    /// Of an image with at least one pixel that stays.
    pub fn new(height: usize, width: usize, removed: &[usize]) -> Self {
        let mut removed = removed.to_vec();
        removed.sort_unstable();
        let mut places = vec![None; height * width];
        for (place, &at) in removed.iter().enumerate() {
            places[at] = Some(place);
        }
        let mut system = Self {
            diagonal: Vec::with_capacity(removed.len()),
            starts: Vec::with_capacity(removed.len() + 1),
            entries: Vec::with_capacity(8 * removed.len()),
            known: Vec::new(),
            removed: Vec::new(),
        };
        system.starts.push(0);
        for (place, &at) in removed.iter().enumerate() {
            let mut sum = 0.0;
            for (dy, dx, weight) in NEIGHBOURS {
                let y = (at / width).checked_add_signed(dy).filter(|&y| y < height);
                let x = (at % width).checked_add_signed(dx).filter(|&x| x < width);
                let (Some(y), Some(x)) = (y, x) else { continue };
                sum += weight;
                match places[y * width + x] {
                    Some(other) => system.entries.push((other, weight)),
                    None => system.known.push((place, y * width + x, weight)),
                }
            }
            system.diagonal.push(sum);
            system.starts.push(system.entries.len());
        }
        Self { removed, ..system }
    }

    fn apply(&self, x: &[f64], out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            let entries = &self.entries[self.starts[i]..self.starts[i + 1]];
            let sum: f64 = entries.iter().map(|&(j, weight)| weight * x[j]).sum();
            *out = self.diagonal[i] * x[i] - sum;
        }
    }

    /// Fills the removed pixels of `pixels` `[C, H, W]` into `filled`, which holds a first guess of
    /// them and the pixels that stay.
    pub fn fill(
        &self,
        pixels: &[f32],
        filled: &mut [f32],
        plane: usize,
    ) -> Result<(), MetricError> {
        for (channel, filled) in pixels.chunks(plane).zip(filled.chunks_mut(plane)) {
            let mut right = vec![0.0; self.removed.len()];
            for &(place, neighbour, weight) in &self.known {
                right[place] += weight * f64::from(channel[neighbour]);
            }
            let guess = self.removed.iter().map(|&at| f64::from(filled[at]));
            let mut x: Vec<f64> = guess.collect();
            self.solve(&right, &mut x)?;
            for (&at, x) in self.removed.iter().zip(x) {
                filled[at] = x as f32;
            }
        }
        Ok(())
    }

    /// Conjugate gradients: the matrix is symmetric, and positive definite while a pixel stays.
    fn solve(&self, right: &[f64], x: &mut [f64]) -> Result<(), MetricError> {
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let norm = dot(right, right);
        if norm == 0.0 {
            // Everything around is 0, as in the frame of a digit or of an X-ray.
            x.fill(0.0);
            return Ok(());
        }
        let mut product = vec![0.0; x.len()];
        self.apply(x, &mut product);
        let mut residual: Vec<f64> = right.iter().zip(&product).map(|(b, p)| b - p).collect();
        let mut direction = residual.clone();
        let mut left = dot(&residual, &residual);
        // Changes that single precision does not show are none.
        let largest = x
            .iter()
            .chain(right)
            .fold(0.0_f64, |most, v| most.max(v.abs()));
        let invisible = f64::from(f32::EPSILON) * largest;
        let enough = (RESIDUAL * RESIDUAL * norm).max(invisible * invisible);
        for _ in 0..10 * self.removed.len() + 100 {
            if left <= enough {
                return Ok(());
            }
            self.apply(&direction, &mut product);
            let curvature = dot(&direction, &product);
            if curvature <= 0.0 {
                // The direction has vanished: x is as good as it gets.
                return Ok(());
            }
            let step = left / curvature;
            for i in 0..x.len() {
                x[i] += step * direction[i];
                residual[i] -= step * product[i];
            }
            let before = left;
            left = dot(&residual, &residual);
            for (direction, residual) in direction.iter_mut().zip(&residual) {
                *direction = residual + left / before * *direction;
            }
        }
        Err(MetricError::Image {
            reason: "removed pixels could not be imputed".to_owned(),
        })
    }
}

/// Residual at which the imputation is solved, relative to the right-hand side.
const RESIDUAL: f64 = 1e-5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bright pixels in black surroundings become black, whatever the guess; a whole channel of zeros stays one.
    #[test]
    fn surroundings_may_be_black() {
        let (h, w) = (9, 11);
        let removed: Vec<usize> = (3..6)
            .flat_map(|y| (4..8).map(move |x| y * w + x))
            .collect();
        let mut pixels = vec![0.0_f32; 2 * h * w];
        for &at in &removed {
            pixels[at] = 200.0 + at as f32;
        }
        let imputation = Imputation::new(h, w, &removed);
        let mut filled = pixels.clone();
        imputation.fill(&pixels, &mut filled, h * w).unwrap();
        assert!(filled.iter().all(|&v| v == 0.0));
    }

    /// Surroundings that are next to nothing beside the guess end the work, at what the eye and the noise tell from nothing.
    #[test]
    fn surroundings_may_be_nearly_black() {
        let (h, w) = (24, 24);
        let removed: Vec<usize> = (1..23)
            .flat_map(|y| (1..23).map(move |x| y * w + x))
            .collect();
        for around in [1e-3_f32, 1e-12, 1e-30] {
            let mut pixels = vec![around; h * w];
            for &at in &removed {
                pixels[at] = 255.0;
            }
            let imputation = Imputation::new(h, w, &removed);
            let mut filled = pixels.clone();
            imputation.fill(&pixels, &mut filled, h * w).unwrap();
            for &at in &removed {
                let wrong = (filled[at] - around).abs();
                assert!(wrong <= 0.01, "{around}: {}", filled[at]);
            }
        }
    }
}
