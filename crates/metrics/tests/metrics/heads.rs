//! Metrics that take a probability take the one that the network's own head makes.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_graph::{ElementType, GraphBuilder, HostTensor};
use elucid_metrics::{Case, InsertionDeletion};
use elucid_vision::{Model, Opening, Probabilities};
use ndarray::array;

/// Sums over a picture of 2 x 2, and minus half of them.
fn model(classes: usize, by: Probabilities) -> Model {
    let mut builder = GraphBuilder::new();
    let shape = [Some(1), Some(3), Some(2), Some(2)];
    builder.input("x", ElementType::F32, &shape).unwrap();
    let weight = (0..12).flat_map(|_| [1.0_f32, -0.5].into_iter().take(classes));
    let weight = HostTensor::of_floats(ElementType::F32, &[12, classes], weight.collect());
    builder.constant("w", weight.unwrap()).unwrap();
    builder.node("Flatten", "", &["x"], &["row"]).unwrap();
    builder.node("MatMul", "", &["row", "w"], &["z"]).unwrap();
    builder.output("z");
    let graph = builder.build().unwrap();
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
