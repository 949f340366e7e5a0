//! Networks that leave the numbers: an error that says what and where, and never a dark map.

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, ChannelAttribution, Gradient, IntegratedGradients,
    LinearApproximation, Lrp, METHODS, MethodOptions, Occlusion, SpatialAttribution, Target,
};
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_vision::Model;

fn picture() -> Tensor<4> {
    elucid_testkit::tensor(vec![1.0; 3 * 8 * 8], [1, 3, 8, 8])
}

/// Each score is the mean over pixels of a function of the sum of their channels times `weight`.
fn model(weight: f32, function: &str) -> Model {
    let network = Onnx::image([1, 3, 8, 8])
        .tensor(floats("w", &[2, 3, 1, 1], vec![weight; 6]))
        .node("Conv", &["x", "w"], &["c"])
        .node(function, &["c"], &["f"])
        .node("GlobalAveragePool", &["f"], &["p"])
        .node("Flatten", &["p"], &["y"]);
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

/// Scores that overflow where the picture is whole.
fn overflowing() -> Model {
    model(60.0, "Exp")
}

/// Finite scores whose gradient is no number: the root of zero.
fn steep() -> Model {
    model(0.0, "Sqrt")
}

#[test]
fn scores_that_overflow_are_refused() {
    let methods: [&dyn Attributor; 4] = [
        &Gradient::at_input(),
        &IntegratedGradients::new().steps(4),
        &Occlusion::new().window(4),
        &LinearApproximation::at("c"),
    ];
    for method in methods {
        match method.attribute(&overflowing(), &picture(), Target::class(1)) {
            Err(AttributionError::NotFinite {
                what, value, place, ..
            }) => {
                assert_eq!((what.as_str(), place.as_str()), ("the score", "image 0"));
                assert!(value.is_infinite(), "{value}");
            }
            other => panic!("{}: {other:?}", method.name()),
        }
    }
}

#[test]
fn gradients_that_are_no_numbers_are_refused() {
    match Gradient::at("c").attribute(&steep(), &picture(), Target::class(1)) {
        Err(error @ AttributionError::NotFinite { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("gradient") && message.contains("image 0"),
                "{message}"
            );
            assert!(message.contains("[0, 0, 0]"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let channels = ChannelAttribution::at("c").compute(&steep(), &picture(), Target::class(1));
    assert!(
        matches!(channels, Err(AttributionError::NotFinite { .. })),
        "{channels:?}"
    );
    let spatial = SpatialAttribution::between("c", "f").compute(&steep(), &picture());
    assert!(
        matches!(spatial, Err(AttributionError::NotFinite { .. })),
        "{spatial:?}"
    );
}

/// No method has a map for such a network.
#[test]
fn no_method_makes_a_map_of_what_is_no_number() {
    for method in METHODS {
        let quick = ["masks", "iterations", "samples", "steps", "permutations"];
        let options = quick.iter().filter(|option| method.takes(option));
        let options = options.fold(MethodOptions::new(), |all, option| all.set(option, "8"));
        let Ok(built) = method.build(&options) else {
            continue;
        };
        let found = built.attribute(&overflowing(), &picture(), Target::class(0));
        let map = found.and_then(|found| found.map());
        assert!(map.is_err(), "{}: {map:?}", method.name);
    }
}

/// The constant of a `Gemm` may be one number, also where a normalisation is merged into it.
#[test]
fn a_constant_of_one_number_is_one_for_each() {
    let network = |constant: &[i64]| {
        let count = constant.iter().product::<i64>() as usize;
        let onnx = Onnx::image([1, 3, 8, 8])
            .node("GlobalAveragePool", &["x"], &["p"])
            .node("Flatten", &["p"], &["f"])
            .tensor(floats("w", &[3, 4], elucid_testkit::numbers(12, 7)))
            .tensor(floats("c", constant, vec![0.25; count]))
            .node("Gemm", &["f", "w", "c"], &["g"])
            .tensor(floats("scale", &[4], vec![1.0, 2.0, 0.5, 1.5]))
            .tensor(floats("shift", &[4], vec![0.1; 4]))
            .tensor(floats("mean", &[4], vec![0.2; 4]))
            .tensor(floats("variance", &[4], vec![1.3; 4]))
            .node(
                "BatchNormalization",
                &["g", "scale", "shift", "mean", "variance"],
                &["n"],
            )
            .node("Relu", &["n"], &["r"])
            .tensor(floats("v", &[4, 2], elucid_testkit::numbers(8, 9)))
            .node("MatMul", &["r", "v"], &["y"]);
        let model = Model::from_bytes(onnx.bytes(), &device(), None).unwrap();
        let found = Lrp::epsilon()
            .attribute(&model, &picture(), Target::class(1))
            .unwrap();
        found.values().clone()
    };
    let whole = network(&[4]);
    assert!(whole.iter().any(|v| *v != 0.0));
    for shape in [&[1][..], &[], &[1, 4], &[1, 1]] {
        let found = network(shape);
        for (a, b) in found.iter().zip(&whole) {
            assert!((a - b).abs() < 1e-6, "{shape:?}: {a} {b}");
        }
    }
}
