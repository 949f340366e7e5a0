//! The search of masks by gradient ascent.

use std::rc::Rc;

use burn::tensor::{Tensor, TensorData};

use super::ExtremalPerturbation;
use crate::error::AttributionError;
use crate::perturbation::pyramid::Pyramid;
use crate::perturbation::smooth_mask::{FullMask, SmoothMask};
use crate::work::{Context, to_vec};

/// Iterations between two looks at whether a mask still changes.
const LOOK_EVERY: usize = 50;

/// The weight of the area grows no further than this: all that it could do is lead out of the
/// numbers.
const MAX_WEIGHT: f32 = 1e20;

/// The search of one mask.
pub(super) struct Search {
    pub image: usize,
    pub area: usize,
    pub pyramid: Rc<Pyramid>,
    pub parameters: Vec<f32>,
    /// The last step, per learning rate; none before the first.
    step: Vec<f32>,
    /// The mask at the last look.
    before: Vec<f32>,
    pub reward: f32,
    pub is_settled: bool,
}

impl Search {
    /// Of the mask of one area of one image; all parameters begin at 1.
    pub fn new(image: usize, area: usize, pyramid: Rc<Pyramid>, parameters: usize) -> Self {
        Self {
            image,
            area,
            pyramid,
            parameters: vec![1.0; parameters],
            step: Vec::new(),
            before: Vec::new(),
            reward: 0.0,
            is_settled: false,
        }
    }
}

impl ExtremalPerturbation {
    /// One iteration of several searches.
    pub(super) fn advance(
        &self,
        work: &Context<'_>,
        shape: &SmoothMask,
        searches: &mut [Search],
        iteration: usize,
        sides: &[bool],
    ) -> Result<(), AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let growth = self
            .area_growth
            .powi(iteration.min(i32::MAX as usize) as i32);
        let weight = (self.area_weight * growth.min(f32::MAX)).min(MAX_WEIGHT);
        let is_mirrored = self.jitter && iteration.is_multiple_of(2);
        let masks: Vec<FullMask> = searches
            .iter()
            .map(|search| shape.full_mask(&search.parameters))
            .collect();
        // Each search's mask as each of its sides shows it.
        let shown: Vec<Vec<Vec<f32>>> = masks
            .iter()
            .map(|mask| {
                let mask = shape.cropped(&mask.values);
                let hidden = || mask.iter().map(|m| 1.0 - m).collect();
                let side = |&keep: &bool| if keep { mask.clone() } else { hidden() };
                sides.iter().map(side).collect()
            })
            .collect();
        let mut rows = Vec::new();
        let mut pixels = Vec::new();
        for (search, shown) in searches.iter().zip(&shown) {
            for mask in shown {
                rows.push(search.image);
                pixels.extend(search.pyramid.under(mask));
            }
        }
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let mirror = |x: Tensor<4>| if is_mirrored { x.flip([3]) } else { x };
        let seen = mirror(Tensor::from_data(data, &work.device()));
        // Images one by one where a batch holds fewer than one mask needs.
        let (mut scores, mut gradients) = (Vec::new(), Vec::new());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            let found = work.gradients(rows, part.into())?;
            scores.extend(found.scores);
            let gradient: Tensor<4> = found.gradient.tensor()?;
            gradients.extend(to_vec(&mirror(gradient).into())?);
        }
        let image = channels * height * width;
        let mut each = gradients.chunks(image).zip(scores);
        for ((search, mask), shown) in searches.iter_mut().zip(&masks).zip(&shown) {
            let mut gradient = area_gradient(&mask.values, self.areas[search.area], -weight);
            search.reward = 0.0;
            for ((&keep, shown), (at_image, score)) in sides.iter().zip(shown).zip(&mut each) {
                // Hiding changes the sign twice: that of the reward, and that of the mask.
                search.reward += if keep { score } else { -score };
                shape.add_inside(&mut gradient, &search.pyramid.gradient(shown, at_image));
            }
            let ascent = shape.gradient(&search.parameters, mask, &gradient);
            if search.step.is_empty() {
                search.step = ascent;
            } else {
                for (step, ascent) in search.step.iter_mut().zip(ascent) {
                    *step = self.momentum * *step + (1.0 - self.dampening) * ascent;
                }
            }
            for (parameter, step) in search.parameters.iter_mut().zip(&search.step) {
                *parameter = (*parameter + self.learning_rate * step).clamp(0.0, 1.0);
            }
            if iteration.is_multiple_of(LOOK_EVERY) {
                if !search.before.is_empty() {
                    let change = search.before.iter().zip(&mask.values);
                    let change: f32 = change.map(|(a, b)| (a - b).abs()).sum();
                    search.is_settled =
                        self.settled > 0.0 && change <= self.settled * mask.values.len() as f32;
                }
                search.before.clone_from(&mask.values);
            }
        }
        Ok(())
    }
}

/// The gradient of `weight mean((sort(mask) - ref)^2)` at the mask, where `ref` is 0 for a share
/// `1 - area` of the pixels and then 1.
fn area_gradient(mask: &[f32], area: f32, weight: f32) -> Vec<f32> {
    let hidden = (mask.len() as f32 * (1.0 - area)) as usize;
    // The values, none of which is below zero, have the order of their bits, and equal ones that of their
    // pixels: whole numbers that are compared at once.
    let key = |(pixel, value): (usize, &f32)| u64::from(value.to_bits()) << 32 | pixel as u64;
    let mut keys: Vec<u64> = mask.iter().enumerate().map(key).collect();
    let first_shown = match hidden < keys.len() {
        true => *keys.select_nth_unstable(hidden).1,
        false => u64::MAX,
    };
    let factor = 2.0 * weight / mask.len() as f32;
    let values = mask.iter().enumerate();
    values
        .map(|(pixel, value)| {
            let wanted = f32::from(u8::from(key((pixel, value)) >= first_shown));
            factor * (value - wanted)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_pulls_to_zero_and_one() {
        let mask = [0.9, 0.1, 0.4, 0.4, 0.8, 0.0, 0.3, 1.0, 0.2, 0.5];
        let value = |mask: &[f32]| {
            let mut sorted = mask.to_vec();
            sorted.sort_by(f32::total_cmp);
            let wanted = |i: usize| if i < 7 { 0.0 } else { 1.0 };
            let squares = sorted
                .iter()
                .enumerate()
                .map(|(i, m)| (m - wanted(i)).powi(2));
            3.0 * squares.sum::<f32>() / 10.0
        };
        let gradient = area_gradient(&mask, 0.3, 3.0);
        for (i, got) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut mask = mask;
                mask[i] += by;
                value(&mask)
            };
            let want = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((got - want).abs() < 1e-3, "pixel {i}: {got} for {want}");
        }
    }
}
