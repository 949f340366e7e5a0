//! What pixels become that are taken away, in terms of pixels.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_metrics::pixel_flipping::Filling;
use elucid_metrics::{Case, Hidden, InsertionDeletion, MetricOptions, PixelFlipping, metric};
use elucid_testkit::onnx::Onnx;
use elucid_vision::Model;
use ndarray::Array2;

const SIDE: usize = 6;

/// Two scores of the means of red, green and blue, prepared as ImageNet's pictures are.
fn model() -> Model {
    let network = Onnx::image([-1, 3, SIDE as i64, SIDE as i64])
        .node("GlobalAveragePool", &["x"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .weight("w", &[3, 2])
        .node("MatMul", &["flat", "w"], &["y"]);
    Model::from_bytes(network.bytes(), &Device::flex(), None).unwrap()
}

fn flat(values: &[f32]) -> Tensor<4> {
    let pixels = values.iter().flat_map(|v| vec![*v; SIDE * SIDE]).collect();
    let data = TensorData::new(pixels, [1, 3, SIDE, SIDE]);
    Tensor::from_data(data, &Device::flex())
}

#[test]
fn all_pixels_end_as_what_hides_them() {
    let model = model();
    let image = flat(&[0.3, -0.2, 1.5]);
    let map = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| (y * SIDE + x) as f32);
    let case = Case::new(&model, &image, 0, map.view()).unwrap();
    let spec = model.input_spec();
    for (hidden, pixel) in [
        (Hidden::Zero, vec![0.0; 3]),
        (Hidden::Black, vec![-2.117_904, -2.035_714, -1.804_444]),
        (Hidden::White, spec.of_grey(1.0)),
        (Hidden::Mean, vec![0.3, -0.2, 1.5]),
    ] {
        let scores = model.classify(&flat(&pixel)).unwrap();
        let probability = f64::from(scores.probabilities(0).unwrap()[0]);
        let deletion = InsertionDeletion::deletion().steps(4).baseline(hidden);
        let curve = deletion.curve(&case).unwrap().unwrap();
        let end = curve.scores.last().unwrap();
        assert!(
            (end - probability).abs() < 1e-5,
            "{hidden}: {end} {probability}"
        );
        let insertion = InsertionDeletion::insertion().steps(4).baseline(hidden);
        let start = insertion.curve(&case).unwrap().unwrap().scores[0];
        assert!(
            (start - probability).abs() < 1e-5,
            "{hidden}: {start} {probability}"
        );
    }
    let black = model.classify(&flat(&spec.of_grey(0.0))).unwrap();
    let flipped = PixelFlipping::samek().patch(2).filling(Filling::Black);
    let curve = flipped.curve(&case).unwrap().unwrap();
    let end = *curve.scores.last().unwrap();
    assert!((end - f64::from(black.logits()[[0, 0]])).abs() < 1e-5);
}

#[test]
fn steps_suit_small_pictures() {
    let model = model();
    let image = flat(&[0.3, -0.2, 1.5]);
    let map = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| (y * SIDE + x) as f32);
    let case = Case::new(&model, &image, 0, map.view()).unwrap();
    // A row of pixels at a time.
    let curve = InsertionDeletion::deletion().curve(&case).unwrap().unwrap();
    assert_eq!(curve.scores.len(), SIDE + 1);
    // Regions of one pixel.
    let curve = PixelFlipping::samek().curve(&case).unwrap().unwrap();
    assert_eq!(curve.scores.len(), SIDE * SIDE + 1);
    for option in ["black", "noise", "blur"] {
        let options = MetricOptions::new().set("baseline", option);
        metric("deletion", &options)
            .unwrap()
            .measure(&case)
            .unwrap();
    }
    let options = MetricOptions::new().set("baseline", "pink");
    assert!(
        metric("deletion", &options)
            .unwrap_err()
            .to_string()
            .contains("black")
    );
    let given = MetricOptions::new().set("pixels", "18");
    let given = metric("deletion", &given).unwrap().measure(&case).unwrap();
    let two = InsertionDeletion::deletion()
        .steps(2)
        .curve(&case)
        .unwrap()
        .unwrap();
    assert!((given.value().unwrap() - two.area()).abs() < 1e-9);
}
