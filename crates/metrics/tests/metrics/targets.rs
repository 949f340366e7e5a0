//! Metrics of what is no class of a picture: regions of dense maps, detected boxes, numbers of layers.

use burn::tensor::Tensor;
use elucid_attribution::{BoxFormat, Detection, Gradient, LinearApproximation, Region, Target};
use elucid_metrics::{
    AverageDrop, Case, FaithfulnessEstimate, InsertionDeletion, LipschitzEstimate, Metric,
    NotApplicable, PixelFlipping, RandomLogit, pixel_flipping::Filling,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_vision::Model;
use ndarray::{Array2, array};

use crate::common::{device, reason, tensor, value};

fn open(onnx: Onnx) -> Model {
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

const WEIGHTS: [[f32; 3]; 2] = [[1.0, -2.0, 0.5], [-0.25, 3.0, 1.5]];

/// Two classes for each of 2 x 2 pixels, each of which sees its own pixel only.
fn segmenter() -> Model {
    let network = Onnx::image([-1, 3, 2, 2])
        .tensor(floats("w", &[2, 3, 1, 1], WEIGHTS.concat()))
        .node("Conv", &["x", "w"], &["z"])
        .node("Softmax", &["z"], &["y"])
        .int("axis", 1);
    open(network)
}

/// Pixels p of (p, 1, 2): of the second class they score -p / 4 + 6.
fn pixels() -> Tensor<4> {
    let channels = [[4.0, 8.0, 12.0, 16.0], [1.0; 4], [2.0; 4]];
    tensor(channels.concat(), [1, 3, 2, 2])
}

fn close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-5, "{got:?} {want:?}");
    }
}

/// The upper row of the second class scores 5 and 4; pixels outside of it do nothing.
#[test]
fn deletion_of_a_region() {
    let model = segmenter();
    let map = array![[0.4, 0.3], [0.9, 0.1]];
    let image = pixels();
    let case = Case::new(&model, &image, 1, map.view()).unwrap();
    let region = Target::region(1, Region::bounds(0, 0, 2, 1));
    let case = case.explains(region);
    let curve = |metric: InsertionDeletion| metric.pixels(1).curve(&case).unwrap().unwrap();
    close(
        &curve(InsertionDeletion::deletion()).scores,
        &[9.0, 9.0, 4.0, 0.0, 0.0],
    );
    close(
        &curve(InsertionDeletion::insertion().baseline(elucid_metrics::Hidden::Zero)).scores,
        &[0.0, 0.0, 5.0, 9.0, 9.0],
    );
    let deletion = InsertionDeletion::deletion().pixels(1);
    let area = value(deletion.measure(&case).unwrap());
    assert!((area - (4.5 + 9.0 + 4.0) / 4.0).abs() < 1e-5);
    let flipping = PixelFlipping::samek().patch(1).filling(Filling::Zero);
    close(
        &flipping.curve(&case).unwrap().unwrap().scores,
        &[9.0, 9.0, 4.0, 0.0, 0.0],
    );
    // A map that has what each pixel does to the region.
    let exact = array![[5.0, 4.0], [0.0, 0.0]];
    let case = Case::new(&model, &image, 1, exact.view()).unwrap();
    let case = case.explains(Target::region(1, Region::bounds(0, 0, 2, 1)));
    let estimate = value(FaithfulnessEstimate::new().measure(&case).unwrap());
    assert!((estimate - 1.0).abs() < 1e-5);
    let outcome = AverageDrop::drop().measure(&case).unwrap();
    assert_eq!(reason(outcome), NotApplicable::NoProbability);
}

/// Where the second class is predicted in the picture as it is, whatever the changed ones show: its pixels score 5 4 3 2 there, the
/// first class' p - 1.
#[test]
fn a_predicted_region_stays_where_it_was() {
    let model = segmenter();
    let channels = [[4.0, 8.0, 2.0, 16.0], [1.0; 4], [2.0; 4]];
    let image = tensor(channels.concat(), [1, 3, 2, 2]);
    // The first class has p - 1 = 3 7 1 15, the second 5 4 5.5 2: it wins in the left column.
    let map = array![[0.9, 0.1], [0.2, 0.5]];
    let case = Case::new(&model, &image, 1, map.view()).unwrap();
    let case = case.explains(Target::region(1, Region::predicted()));
    let curve = InsertionDeletion::deletion()
        .pixels(1)
        .curve(&case)
        .unwrap();
    close(&curve.unwrap().scores, &[10.5, 5.5, 5.5, 0.0, 0.0]);
    let case = Case::new(&model, &image, 1, map.view()).unwrap();
    let nowhere = case.explains(Target::region(7, Region::predicted()));
    InsertionDeletion::deletion().measure(&nowhere).unwrap_err();
}

/// Four anchors of centre, width, height and two scores: the numbers of a picture of 4 x 2 pixels, of which pixels 1 and 5 hold
/// those of anchor 1. It is the box that is explained; all others are empty.
#[test]
fn deletion_of_a_detected_box() {
    let detector = Onnx::image([-1, 3, 2, 4]).list("shape", &[-1, 6, 4]).node(
        "Reshape",
        &["x", "shape"],
        &["y"],
    );
    let model = open(detector);
    let anchor = [2.0, 1.0, 2.0, 2.0, 0.75, 0.25];
    let mut numbers = vec![0.0; 24];
    for (row, number) in anchor.into_iter().enumerate() {
        numbers[4 * row + 1] = number;
    }
    let image = tensor(numbers, [1, 3, 2, 4]);
    let format = BoxFormat::new().anchors_last(true);
    let detection = Detection::at("y", 0, [1.0, 0.0, 3.0, 2.0]).written(format);
    let target = || Target::detection(detection.clone());
    let curve = |map: &Array2<f32>| {
        let case = Case::new(&model, &image, 0, map.view())
            .unwrap()
            .explains(target());
        let curve = InsertionDeletion::deletion().pixels(1).curve(&case);
        curve.unwrap().unwrap().scores
    };
    let mut map = Array2::from_shape_fn((2, 4), |(y, x)| 1.0 + (4 * y + x) as f32);
    map[[0, 1]] = 100.0;
    let mut first = vec![0.0; 9];
    first[0] = 0.75;
    close(&curve(&map), &first);
    map[[0, 1]] = 0.5;
    map[[1, 1]] = 0.25;
    let mut last = vec![0.75; 9];
    last[7..].fill(0.0);
    close(&curve(&map), &last);
}

#[test]
fn methods_explain_again_what_was_explained() {
    let model = segmenter();
    let map = array![[0.4, 0.3], [0.9, 0.1]];
    let image = pixels();
    let products = LinearApproximation::at_input();
    let gradient = Gradient::at_input();
    let case = Case::new(&model, &image, 0, map.view()).unwrap();
    let case = case.explains(Target::region(1, Region::bounds(0, 0, 1, 1)));
    // Weights times the pixel: no more than the largest weight, and constant for the gradient.
    let of = |metric: LipschitzEstimate, method| {
        let case = case.clone().attributor(method);
        value(metric.raw().measure(&case).unwrap())
    };
    assert_eq!(of(LipschitzEstimate::new(), &gradient), 0.0);
    let moved = of(LipschitzEstimate::new(), &products);
    assert!(moved > 0.1 && moved <= 3.0, "{moved}");
    let outcome = RandomLogit::ssim().measure(&case.clone().attributor(&products));
    assert_eq!(reason(outcome.unwrap()), NotApplicable::NotAClass);
}
