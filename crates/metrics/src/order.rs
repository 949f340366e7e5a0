//! Orders of pixels, and pixels in an order.

use std::cmp::Ordering;

use elucid_attribution::Random;
use ndarray::ArrayView2;

/// Indices of the pixels, row-major, from the largest value to the smallest; equal ones in
/// row-major order.
pub(crate) fn descending(map: ArrayView2<'_, f32>) -> Vec<usize> {
    let values: Vec<f32> = map.iter().copied().collect();
    descending_of(&values)
}

pub(crate) fn descending_of<T: PartialOrd>(values: &[T]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap_or(Ordering::Equal));
    order
}

/// Draws `count` of what `order` holds without replacement, to its beginning. Any order is as good to begin with.
pub(crate) fn draw<'o>(order: &'o mut [usize], count: usize, random: &mut Random) -> &'o [usize] {
    let all = order.len();
    let count = count.min(all);
    for place in 0..count {
        order.swap(place, place + random.below(all - place));
    }
    &order[..count]
}

/// Copies these pixels, with all their channels, from an image `[C, H, W]` to another of the same size.
pub(crate) fn copy_pixels(pixels: &[usize], plane: usize, from: &[f32], to: &mut [f32]) {
    for &pixel in pixels {
        for at in (pixel..to.len()).step_by(plane) {
            to[at] = from[at];
        }
    }
}
