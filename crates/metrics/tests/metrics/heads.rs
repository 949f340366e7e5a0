//! Metrics that take a probability take the one that the network's own head makes.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_metrics::{Case, InsertionDeletion};
use elucid_vision::{Model, Opening, Probabilities};
use ndarray::array;

/// Sums over a picture of 2 x 2, and minus half of them.
fn model(classes: usize, by: Probabilities) -> Model {
    let weight = (0..12).flat_map(|_| [1.0_f32, -0.5].into_iter().take(classes));
    let graph = elucid_testkit::dense([1, 3, 2, 2], weight.collect());
    let opening = Opening::new().scores(by);
    opening.graph(graph, &Device::flex()).unwrap()
}

#[test]
fn deletion_follows_the_head() {
    // Each pixel holds its number in three channels; the largest goes first.
    let pixels = [1.0_f32, 2.0, 3.0, -4.0].map(|v| v / 3.0);
    let pixels: Vec<f32> = (0..3).flat_map(|_| pixels).collect();
    let image = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, 2, 2]), &Device::flex());
    let map = array![[0.2, 0.3], [0.4, 0.1]];
    let sums = [2.0_f64, -1.0, -3.0, -4.0, 0.0];
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (classes, by, want) in [
        (1, Probabilities::Sigmoid, sums.map(sigmoid)),
        (2, Probabilities::Sigmoid, sums.map(sigmoid)),
        // exp(s) / (exp(s) + exp(-s / 2))
        (2, Probabilities::Softmax, sums.map(|s| sigmoid(1.5 * s))),
        (1, Probabilities::None, sums),
        (2, Probabilities::None, sums),
    ] {
        let model = model(classes, by);
        let case = Case::new(&model, &image, 0, map.view()).unwrap();
        let curve = InsertionDeletion::deletion().pixels(1).curve(&case);
        let curve = curve.unwrap().unwrap();
        for (got, want) in curve.scores.iter().zip(want) {
            assert!((got - want).abs() < 1e-5, "{by}: {got} {want}");
        }
    }
}
