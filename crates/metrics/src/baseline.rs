//! Maps that know nothing: what every table should hold beside the methods.
//!
//! *Centre* is what the pointing game calls its baseline: photographs show their subject in the
//! middle. *Random* has no place that it prefers.

use ndarray::Array2;

use elucid_attribution::Random;

/// A map `[height, width]` that falls from 1 in the middle to 0 at the corners, with the distance
/// from the middle.
///
/// TorchRay's `center` is 1 at the middle pixel and 0 elsewhere, which points to the same place; a
/// slope gives the metrics that order pixels something to order.
pub fn centre(height: usize, width: usize) -> Array2<f32> {
    let (y0, x0) = (height as f64 / 2.0, width as f64 / 2.0);
    let reach = y0.hypot(x0).max(f64::MIN_POSITIVE);
    Array2::from_shape_fn((height, width), |(y, x)| {
        (1.0 - (y as f64 + 0.5 - y0).hypot(x as f64 + 0.5 - x0) / reach) as f32
    })
}

/// A map `[height, width]` of uniform random numbers in `[0, 1)`.
pub fn random(height: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut random = Random::new(seed);
    Array2::from_shape_simple_fn((height, width), || random.uniform())
}
