//! Targets that are no scores of a whole picture, against gradients worked out by hand: numbers of
//! outputs and layers, regions of dense maps, detected boxes, likeness.

mod boxes;
mod elements;
mod regions;

use burn::tensor::Tensor;
use elucid_attribution::{
    Attribution, AttributionError, Attributor, GradCam, Gradient, Lrp, MethodOptions, Target,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, tensor};
use elucid_vision::Model;
use ndarray::{Array2, Array4};

use super::shared::{SMALL, without_attention};

fn open(onnx: Onnx) -> Model {
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

fn noise(shape: [usize; 4], seed: u32) -> Tensor<4> {
    let mut state = 0x9E37_79B9_u32 ^ seed.wrapping_mul(0x85EB_CA6B);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values = (0..shape.iter().product()).map(|_| next()).collect();
    tensor(values, shape)
}

fn array(x: &Tensor<4>) -> Array4<f32> {
    let values = x.clone().into_data().iter::<f32>().collect();
    Array4::from_shape_vec(x.dims(), values).unwrap()
}

fn gradient(model: &Model, image: &Tensor<4>, target: Target) -> Attribution {
    let found = Gradient::at_input().attribute(model, image, target);
    found.unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(model: &Model, image: &Tensor<4>, target: Target) -> String {
    let found = Gradient::at_input().attribute(model, image, target);
    found.expect_err("it is refused").to_string()
}

fn four(attribution: &Attribution) -> Array4<f32> {
    attribution.values().clone().into_dimensionality().unwrap()
}

const WEIGHTS: [[f32; 3]; 2] = [[1.0, -2.0, 0.5], [-0.25, 3.0, 1.5]];

/// Two classes for each of 4 x 4 pixels, each of which sees its own pixel only.
fn segmenter() -> Onnx {
    Onnx::image([-1, 3, 4, 4])
        .tensor(floats("w", &[2, 3, 1, 1], WEIGHTS.concat()))
        .node("Conv", &["x", "w"], &["z"])
}

fn dense() -> Model {
    open(segmenter().node("Softmax", &["z"], &["y"]).int("axis", 1))
}

/// Scores of a class at each pixel, by loops.
fn scores(image: &Array4<f32>, of: usize, class: usize) -> Array2<f32> {
    Array2::from_shape_fn((4, 4), |(y, x)| {
        (0..3)
            .map(|c| WEIGHTS[class][c] * image[[of, c, y, x]])
            .sum()
    })
}

/// The gradient is the class's weights in the pixels, and exactly 0 elsewhere; the score is the sum.
fn is_sum_over(
    found: &Attribution,
    of: usize,
    image: &Array4<f32>,
    class: usize,
    pixels: &Array2<bool>,
) {
    let values = four(found);
    for ((y, x), &inside) in pixels.indexed_iter() {
        for c in 0..3 {
            let want = if inside { WEIGHTS[class][c] } else { 0.0 };
            assert_eq!(values[[of, c, y, x]], want, "({c}, {y}, {x})");
        }
    }
    let map = scores(image, of, class);
    let want: f32 = map
        .indexed_iter()
        .filter(|(at, _)| pixels[*at])
        .map(|(_, v)| v)
        .sum();
    let got = found.scores()[of];
    assert!((got - want).abs() < 1e-5, "{got}, not {want}");
}

/// Numbers of a picture `[1, 3, 2, 4]` in a row are what a detector says: 6 for each of 4 anchors.
fn detector() -> Onnx {
    Onnx::image([-1, 3, 2, 4]).list("shape", &[-1, 6, 4])
}

fn raw() -> Model {
    open(detector().node("Reshape", &["x", "shape"], &["y"]))
}

#[test]
fn likeness_is_the_cosine_of_embeddings() {
    let model = open(Onnx::image([-1, 3, 1, 1]).node("Flatten", &["x"], &["y"]));
    let image = tensor(vec![1.0, -2.0, 2.0], [1, 3, 1, 1]);
    // |u| = 3, |v| = 5, u.v = 3 - 8.
    let found = gradient(&model, &image, Target::like("y", &[3.0, 4.0, 0.0]));
    let cosine = -5.0 / 15.0;
    assert!((found.scores()[0] - cosine).abs() < 1e-6);
    let (u, v) = ([1.0, -2.0, 2.0], [0.6, 0.8, 0.0]);
    for (i, &slope) in found.values().iter().enumerate() {
        let want = (v[i] - cosine * u[i] / 3.0) / 3.0;
        assert!((slope - want).abs() < 1e-6, "{slope}, not {want}");
    }
    // Nothing is like nothing, and nothing breaks.
    let black = tensor(vec![0.0; 3], [1, 3, 1, 1]);
    let found = gradient(&model, &black, Target::like("y", &[3.0, 4.0, 0.0]));
    assert_eq!(found.scores(), [0.0]);
    assert!(found.values().iter().all(|v| v.is_finite()));

    for (vector, says) in [(vec![0.0; 3], "not all zero"), (vec![1.0; 4], "3 numbers")] {
        let error = refusal(&model, &image, Target::like("y", &vector));
        assert!(error.contains(says), "{error}");
    }
    let lrp = Lrp::epsilon().attribute(&model, &image, Target::like("y", &[3.0, 4.0, 0.0]));
    let error = lrp.unwrap_err().to_string();
    assert!(
        error.contains("lrp") && error.contains("add up to 0"),
        "{error}"
    );
}

/// Two convolutions of 8 channels and a dense map of 3 classes.
fn deep() -> Model {
    open(
        Onnx::image([-1, 3, 32, 32])
            .weight("w1", &[8, 3, 3, 3])
            .node("Conv", &["x", "w1"], &["c1"])
            .ints("pads", &[1; 4])
            .ints("strides", &[2, 2])
            .node("Relu", &["c1"], &["r1"])
            .weight("w2", &[8, 8, 3, 3])
            .node("Conv", &["r1", "w2"], &["c2"])
            .ints("pads", &[1; 4])
            .node("Relu", &["c2"], &["r2"])
            .weight("w3", &[3, 8, 1, 1])
            .node("Conv", &["r2", "w3"], &["y"]),
    )
}

const OWN: &[(&str, &str)] = &[("masks", "4"), ("window", "16"), ("stride", "16")];

#[test]
fn every_method_takes_every_target_or_says_why_not() {
    let model = deep();
    let image = noise([2, 3, 32, 32], 9);
    let vector: Vec<f32> = (0..8 * 256).map(|i| (i % 7) as f32 - 2.0).collect();
    let targets = [
        "2@box:2,2,9,9".parse().unwrap(),
        "2@predicted".parse().unwrap(),
        Target::element("y", &[1, 3, 4]),
        Target::channel("r2", 3),
        Target::like("r2", &vector),
    ];
    let mut refused = Vec::new();
    for method in without_attention() {
        for target in &targets {
            let options = SMALL
                .iter()
                .chain(OWN)
                .filter(|(option, _)| method.takes(option));
            let options = options.fold(MethodOptions::new(), |options, (name, value)| {
                options.set(name, value)
            });
            let options = match method.place {
                elucid_attribution::Place::SpatialLayer => options.layer("r1"),
                _ => options,
            };
            let built = method.build(&options).unwrap();
            match built.attribute(&model, &image, target.clone()) {
                Ok(found) => {
                    assert!(
                        found.values().iter().all(|v| v.is_finite()),
                        "{} {target}",
                        method.name
                    );
                    assert_eq!(found.scores().len(), 2);
                }
                Err(AttributionError::Target { reason, .. }) => {
                    assert!(reason.len() > 20, "{} {target}: {reason}", method.name);
                    refused.push((method.name, target.sort()));
                }
                Err(error) => panic!("{} {target}: {error}", method.name),
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(
        refused,
        [
            ("contrastive-excitation-backprop", "similarity"),
            ("excitation-backprop", "similarity"),
            ("lrp", "similarity"),
        ]
    );
    // The features of a network of pixels lie before its map of classes.
    let cam = GradCam::at_features();
    let found = cam.attribute(&model, &image, targets[0].clone()).unwrap();
    assert_eq!(found.layer(), "r2");
}
