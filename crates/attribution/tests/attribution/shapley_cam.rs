//! Shapley-CAM against second derivatives by hand and by differences in double precision.

use elucid_attribution::{Attributor, GradCam, ShapleyCam, Target};
use elucid_graph::INPUT;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, relative_error, tensor};
use elucid_vision::Model;

const CHANNELS: usize = 3;
const POSITIONS: usize = 4 * 5;
const CLASSES: usize = 4;

fn dense() -> Vec<f32> {
    numbers(CLASSES * CHANNELS, 11)
}

/// The channels' means, a dense layer, and perhaps the square of each score.
fn model(squared: bool) -> Model {
    let onnx = Onnx::image([-1, CHANNELS as i64, 4, 5])
        .tensor(floats("dense", &[CLASSES as i64, CHANNELS as i64], dense()))
        .node("GlobalAveragePool", &["x"], &["pool"])
        .node("Flatten", &["pool"], &["flat"])
        .node(
            "Gemm",
            &["flat", "dense"],
            &[if squared { "linear" } else { "y" }],
        )
        .int("transB", 1);
    let onnx = match squared {
        true => onnx.node("Mul", &["linear", "linear"], &["y"]),
        false => onnx,
    };
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

fn pixels() -> Vec<f32> {
    numbers(2 * CHANNELS * POSITIONS, 5)
        .iter()
        .map(|v| 3.0 * v)
        .collect()
}

fn attribute(method: &dyn Attributor, model: &Model, target: Target) -> Vec<f32> {
    let images = tensor(pixels(), [2, CHANNELS, 4, 5]);
    let found = method.attribute(model, &images, target).unwrap();
    found.values().iter().copied().collect()
}

/// The scores of one image in double precision.
fn scores(x: &[f64]) -> Vec<f64> {
    let mean = |c: usize| {
        let channel = &x[c * POSITIONS..(c + 1) * POSITIONS];
        channel.iter().sum::<f64>() / POSITIONS as f64
    };
    let dense = dense();
    let of = |class: usize| (0..CHANNELS).map(move |c| (class * CHANNELS + c, c));
    let score = |class| of(class).map(|(i, c)| f64::from(dense[i]) * mean(c)).sum();
    (0..CLASSES).map(score).collect()
}

/// `mean_j(g - H x / 2) x` by differences of differences.
fn naive(score: impl Fn(&[f64]) -> f64) -> Vec<f32> {
    let pixels = pixels();
    let mut all = Vec::new();
    for image in pixels.chunks(CHANNELS * POSITIONS) {
        let x: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
        let gradient = |x: &[f64]| -> Vec<f64> {
            let at = |i: usize| {
                let moved = |by: f64| {
                    let mut x = x.to_vec();
                    x[i] += by;
                    score(&x)
                };
                (moved(1e-4) - moved(-1e-4)) / 2e-4
            };
            (0..x.len()).map(at).collect()
        };
        let along = |by: f64| -> Vec<f64> { x.iter().map(|v| v * by).collect() };
        let (g, more, less) = (
            gradient(&x),
            gradient(&along(1.001)),
            gradient(&along(0.999)),
        );
        for c in 0..CHANNELS {
            let channel = c * POSITIONS..(c + 1) * POSITIONS;
            let terms = channel
                .clone()
                .map(|i| g[i] - 0.5 * (more[i] - less[i]) / 0.002);
            let weight = terms.sum::<f64>() / POSITIONS as f64;
            all.extend(channel.map(|i| (weight * x[i]) as f32));
        }
    }
    all
}

#[test]
fn of_a_linear_score_it_is_grad_cam() {
    let model = model(false);
    let want = attribute(&GradCam::at(INPUT), &model, Target::class(2));
    for step in [0.001, 0.01, 1.0] {
        let got = attribute(&ShapleyCam::at(INPUT).step(step), &model, Target::class(2));
        let error = relative_error(&got, &want);
        assert!(error < 1e-4, "{step}: {error:.1e}");
    }
}

/// Of a square, the second derivatives along the image are the gradient itself: half of it is left.
#[test]
fn of_a_square_half_of_grad_cam_is_left() {
    let model = model(true);
    for class in 0..CLASSES {
        let target = || Target::class(class);
        let want = attribute(&GradCam::at(INPUT), &model, target());
        let want: Vec<f32> = want.iter().map(|v| v / 2.0).collect();
        let got = attribute(&ShapleyCam::at(INPUT), &model, target());
        let error = relative_error(&got, &want);
        assert!(error < 1e-4, "{class}: {error:.1e}");
        let by_differences = naive(|x| scores(x)[class].powi(2));
        let error = relative_error(&got, &by_differences);
        assert!(error < 1e-3, "{class}: {error:.1e}");
    }
}

#[test]
fn of_a_probability_as_differences_say() {
    let model = model(false);
    for class in 0..CLASSES {
        let probability = |x: &[f64]| {
            let scores = scores(x);
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            scores[class].exp() / sum
        };
        let want = naive(probability);
        let method = ShapleyCam::at(INPUT);
        let got = attribute(&method, &model, Target::probability(class));
        let error = relative_error(&got, &want);
        println!("{class}: {error:.1e}");
        assert!(error < 1e-3, "{class}: {error:.1e}");
        let plain = attribute(&GradCam::at(INPUT), &model, Target::probability(class));
        assert!(relative_error(&plain, &want) > 1e-2, "{class}");
    }
}

#[test]
fn three_gradients_and_a_step_in_range() {
    let images = tensor(pixels(), [2, CHANNELS, 4, 5]);
    let found = ShapleyCam::at(INPUT).attribute(&model(true), &images, Target::class(0));
    assert_eq!(found.unwrap().evaluations(), [3, 3]);
    for step in ["0", "-0.1", "1.5", "nan"] {
        let refused = super::shared::refused_option("shapley-cam", "step", step);
        assert!(refused.contains("above 0 and at most 1"), "{refused}");
    }
}
