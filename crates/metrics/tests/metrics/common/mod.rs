//! What the tests share.

use burn::tensor::Tensor;
use elucid_metrics::{Case, Metric, NotApplicable, Outcome};
use ndarray::{Array2, ArrayView2};

pub use elucid_testkit::{assets, device, numbers, tensor};

/// Two classes: the sum of all pixels, and zero.
pub fn sum_network(images: Tensor<4>) -> Tensor<2> {
    let count = images.dims()[0];
    let sums = images.reshape([count as i32, -1]).sum_dim(1);
    Tensor::cat(vec![sums.clone(), sums.zeros_like()], 1)
}

pub fn noise_image(channels: usize, height: usize, width: usize, state: u32) -> Tensor<4> {
    let values = numbers(channels * height * width, state.max(1));
    tensor(values, [1, channels, height, width])
}

/// A map for [`noise_image`] of the same state, of other numbers.
pub fn noise_map(height: usize, width: usize, state: u32) -> Array2<f32> {
    let values = numbers(height * width, state ^ 0x5555 | 1);
    Array2::from_shape_vec((height, width), values).unwrap()
}

/// Measures a map where only the map and the boxes matter.
pub fn of_map(metric: &dyn Metric, map: &Array2<f32>, boxes: &[[f32; 4]]) -> Outcome {
    let (h, w) = map.dim();
    let image = noise_image(1, h, w, 7);
    let case = Case::new(&sum_network, &image, 0, map.view())
        .unwrap()
        .boxes(boxes)
        .unwrap();
    metric.measure(&case).unwrap()
}

pub fn value(outcome: Outcome) -> f64 {
    match outcome {
        Outcome::Value(value) => value,
        Outcome::NotApplicable(reason) => panic!("not applicable: {reason}"),
    }
}

pub fn reason(outcome: Outcome) -> NotApplicable {
    match outcome {
        Outcome::Value(value) => panic!("a value: {value}"),
        Outcome::NotApplicable(reason) => reason,
    }
}

/// Turned by half a circle and with the smallest values where the largest were.
pub fn reversed(map: ArrayView2<'_, f32>) -> Array2<f32> {
    map.mapv(|v| -v)
}
