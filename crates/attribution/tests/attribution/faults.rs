//! What other programs get wrong about guided backpropagation and the deconvnet, on networks small
//! enough to work out by hand.
//!
//! Captum's guided backpropagation loses a gradient where a ReLU's input has a second reader, and is
//! the plain gradient, without a warning, where ReLU is called as a function. TorchRay's is the plain
//! gradient in networks of ReLU6.

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, DeconvNet, Gradient, GuidedBackprop, GuidedGradCam, Target,
};
use elucid_graph::LOGITS;
use elucid_models::photographs;
use elucid_rules::OpKind;
use elucid_testkit::generated::with_weights;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{assets, device, relative_error};
use elucid_vision::Model;
use ndarray::ArrayD;

use super::shared::SQUEEZENET;

/// A network of one pixel: three numbers.
fn pixel() -> Onnx {
    Onnx::image([-1, 3, 1, 1])
}

fn open(onnx: Onnx) -> Model {
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

/// The gradient of class 0, its guided form, and its deconvnet form, at the input.
fn three_ways(model: &Model, image: &Tensor<4>) -> [Vec<f32>; 3] {
    let methods: [&dyn Attributor; 3] = [
        &Gradient::at_input(),
        &GuidedBackprop::at_input(),
        &DeconvNet::at_input(),
    ];
    methods.map(|method| {
        let result = method.attribute(model, image, Target::class(0)).unwrap();
        result.values().iter().copied().collect()
    })
}

#[test]
fn a_relu_whose_input_has_a_second_reader() {
    // c = (3, 2), of which both the ReLU and the dense layer read.
    let model = open(
        pixel()
            .tensor(floats("w", &[2, 3, 1, 1], vec![1., 2., 0., 0., -1., 1.]))
            .node("Conv", &["x", "w"], &["c"])
            .node("Relu", &["c"], &["r"])
            .node("Concat", &["r", "c"], &["both"])
            .int("axis", 1)
            .node("Flatten", &["both"], &["flat"])
            .tensor(floats("dense", &[4, 1], vec![-1., 2., 0.5, -3.]))
            .node("Gemm", &["flat", "dense"], &["y"]),
    );
    let image = elucid_testkit::tensor(vec![1., 1., 3.], [1, 3, 1, 1]);
    let [plain, guided, deconvnet] = three_ways(&model, &image);
    // At c: (-1 + 0.5, 2 - 3); guided, the ReLU passes (0, 2), and the second reader all it has.
    assert_eq!(plain, [-0.5, 0., -1.]);
    assert_eq!(guided, [0.5, 2., -1.]);
    assert_eq!(deconvnet, [0.5, 2., -1.]);
}

/// The ReLU of the first and of the second layer, which share their weights, as `activation` makes
/// it from `c1` and `c2`.
fn two_layers(activation: impl Fn(Onnx, &str, &str) -> Onnx) -> Model {
    let onnx = pixel()
        .tensor(floats(
            "w",
            &[3, 3, 1, 1],
            vec![1., 1., 0., -1., 2., 0., 0., 1., -1.],
        ))
        .node("Conv", &["x", "w"], &["c1"]);
    let onnx = activation(onnx, "c1", "r1").node("Conv", &["r1", "w"], &["c2"]);
    open(
        activation(onnx, "c2", "r2")
            .node("Flatten", &["r2"], &["flat"])
            .tensor(floats("dense", &[3, 1], vec![1., -2., 3.]))
            .node("Gemm", &["flat", "dense"], &["y"]),
    )
}

/// For the image (1, 2, 1): c1 = (3, 3, 1), c2 = (6, 3, 2), so that all units are active. The gradient
/// at r2 is (1, -2, 3).
///
/// | | at c2 | at r1 | at c1 | at x |
/// | --- | --- | --- | --- | --- |
/// | plain | (1, -2, 3) | (3, 0, -3) | (3, 0, -3) | (3, 0, 3) |
/// | guided | (1, 0, 3) | (1, 4, -3) | (1, 4, 0) | (-3, 9, 0) |
fn check_two_layers(model: &Model, how: &str) {
    let image = elucid_testkit::tensor(vec![1., 2., 1.], [1, 3, 1, 1]);
    let [plain, guided, deconvnet] = three_ways(model, &image);
    assert_eq!(plain, [3., 0., 3.], "{how}");
    assert_eq!(guided, [-3., 9., 0.], "{how}");
    assert_eq!(deconvnet, guided, "{how}");
}

#[test]
fn a_reused_operator() {
    let model = two_layers(|onnx, from, to| onnx.node("Relu", &[from], &[to]));
    check_two_layers(&model, "Relu");
    // With (1, 2, 5) the third unit of c1 is not active: c1 = (3, 3, -3), c2 = (6, 3, 3).
    let image = elucid_testkit::tensor(vec![1., 2., 5.], [1, 3, 1, 1]);
    let [plain, guided, deconvnet] = three_ways(&model, &image);
    assert_eq!(plain, [3., 3., 0.]);
    assert_eq!(guided, [-3., 9., 0.]);
    assert_eq!(deconvnet, guided);
    // A unit at exactly zero is not active: c1 = (0, -3, -2), c2 = (0, 0, 0).
    let image = elucid_testkit::tensor(vec![1., -1., 1.], [1, 3, 1, 1]);
    let [plain, guided, deconvnet] = three_ways(&model, &image);
    assert_eq!(plain, [0.; 3]);
    assert_eq!(guided, [0.; 3]);
    assert_eq!(deconvnet, [-3., 9., 0.]);
}

#[test]
fn a_relu_written_as_a_function() {
    type Written = fn(Onnx, &str, &str) -> Onnx;
    let forms: [(&str, i64, Written); 6] = [
        ("Max(x, 0)", 13, |o, from, to| {
            o.node("Max", &[from, "zero"], &[to])
        }),
        ("Max(0, x)", 13, |o, from, to| {
            o.node("Max", &["zero", from], &[to])
        }),
        ("Max(x, [0])", 13, |o, from, to| {
            o.node("Max", &[from, "zeros"], &[to])
        }),
        ("Clip(x, 0)", 13, |o, from, to| {
            o.node("Clip", &[from, "zero"], &[to])
        }),
        ("Clip(x, 0, inf)", 13, |o, from, to| {
            o.node("Clip", &[from, "zero", "infinity"], &[to])
        }),
        ("Clip with attributes", 6, |o, from, to| {
            o.node("Clip", &[from], &[to])
                .float("min", 0.0)
                .float("max", f32::MAX)
        }),
    ];
    for (how, opset, form) in forms {
        let model = two_layers(|mut onnx, from, to| {
            if from == "c1" {
                onnx = onnx
                    .opset(opset)
                    .tensor(floats("zero", &[], vec![0.0]))
                    .tensor(floats("zeros", &[1], vec![0.0]))
                    .tensor(floats("infinity", &[], vec![f32::INFINITY]));
            }
            form(onnx, from, to)
        });
        check_two_layers(&model, how);
    }
    // The larger of two activations, or of one and another number, is no ReLU.
    let onnx = pixel()
        .tensor(floats("one", &[], vec![1.0]))
        .node("Max", &["x", "one"], &["r"])
        .node("Flatten", &["r"], &["y"]);
    assert_eq!(open(onnx).layer("r").unwrap().kind(), OpKind::Max);
}

#[test]
fn relu6() {
    // c = (3, 8, 2): the second unit is above its bound.
    let onnx = pixel()
        .tensor(floats(
            "w",
            &[3, 3, 1, 1],
            vec![1., 0., 0., 0., 1., 0., 0., 0., 2.],
        ))
        .node("Conv", &["x", "w"], &["c"])
        .tensor(floats("zero", &[], vec![0.0]))
        .tensor(floats("six", &[], vec![6.0]))
        .node("Clip", &["c", "zero", "six"], &["r"])
        .node("Flatten", &["r"], &["flat"])
        .tensor(floats("dense", &[3, 1], vec![-1., 2., 5.]))
        .node("Gemm", &["flat", "dense"], &["y"]);
    let image = elucid_testkit::tensor(vec![3., 8., 1.], [1, 3, 1, 1]);
    let [plain, guided, deconvnet] = three_ways(&open(onnx), &image);
    assert_eq!(plain, [-1., 0., 10.]);
    assert_eq!(guided, [0., 0., 10.]);
    assert_eq!(deconvnet, [0., 2., 10.]);
}

#[test]
fn pools_whose_windows_overlap() {
    // The first channel, (1, 3, 2), behind a ReLU: both windows have their maximum in the middle.
    let gradients = |dense: [f32; 2]| {
        let model = open(
            Onnx::image([-1, 3, 1, 3])
                .tensor(floats("w", &[1, 3, 1, 1], vec![1., 0., 0.]))
                .node("Conv", &["x", "w"], &["c"])
                .node("Relu", &["c"], &["r"])
                .node("MaxPool", &["r"], &["p"])
                .ints("kernel_shape", &[1, 2])
                .node("Flatten", &["p"], &["flat"])
                .tensor(floats("dense", &[2, 1], dense.to_vec()))
                .node("Gemm", &["flat", "dense"], &["y"]),
        );
        let image = elucid_testkit::tensor(vec![1., 3., 2., 0., 0., 0., 0., 0., 0.], [1, 3, 1, 3]);
        three_ways(&model, &image).map(|values| values[..3].to_vec())
    };
    // What arrives from both is added up before the ReLU looks at its sign.
    let [plain, guided, deconvnet] = gradients([5., -2.]);
    assert_eq!(plain, [0., 3., 0.]);
    assert_eq!(guided, plain);
    assert_eq!(deconvnet, plain);
    let [plain, guided, deconvnet] = gradients([2., -5.]);
    assert_eq!(plain, [0., -3., 0.]);
    assert_eq!(guided, [0.; 3]);
    assert_eq!(deconvnet, [0.; 3]);
}

#[test]
fn a_network_without_relu_is_refused() {
    let image = elucid_testkit::tensor(vec![3., 8., 1.], [1, 3, 1, 1]);
    let refused = |model: &Model, at: &str| {
        let methods: [&dyn Attributor; 3] = [
            &GuidedBackprop::at(at),
            &DeconvNet::at(at),
            &GuidedGradCam::with_cam_at("c"),
        ];
        methods.map(
            |method| match method.attribute(model, &image, Target::class(0)) {
                Err(AttributionError::NoRectifier { activations, .. }) => activations,
                other => panic!("{}: {other:?}", method.name()),
            },
        )
    };
    let network = |activation: &str| {
        pixel()
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["x", "w"], &["c"])
            .node(activation, &["c"], &["r"])
            .node("HardSwish", &["r"], &["s"])
            .opset(14)
            .node("Flatten", &["s"], &["y"])
    };
    for (activation, named) in [
        ("LeakyRelu", vec!["LeakyRelu", "HardSwish"]),
        ("Erf", vec!["Erf", "HardSwish"]),
        ("HardSwish", vec!["HardSwish"]),
    ] {
        for activations in refused(&open(network(activation)), "@input") {
            assert_eq!(activations, named);
        }
    }
    let linear = open(
        pixel()
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["x", "w"], &["c"])
            .node("Flatten", &["c"], &["y"]),
    );
    for activations in refused(&linear, "@input") {
        assert!(activations.is_empty());
    }
    // A ReLU below the layer is none in between.
    let relu = open(network("Relu"));
    assert!(
        GuidedBackprop::at("c")
            .attribute(&relu, &image, Target::class(0))
            .is_ok()
    );
    let error = GuidedBackprop::at("r")
        .attribute(&relu, &image, Target::class(0))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("HardSwish") && text.contains("\"r\""),
        "{text}"
    );
}

#[test]
fn behind_the_last_relu_guided_is_the_gradient() {
    let image = SQUEEZENET
        .prepare(&elucid_vision::input::decode_image(photographs::chelsea()).unwrap())
        .unwrap();
    let values = |method: &dyn Attributor| -> ArrayD<f32> {
        let result = method.attribute(&*SQUEEZENET, &image, Target::class(285));
        result.unwrap().values().clone()
    };
    let last = SQUEEZENET
        .layers()
        .iter()
        .rev()
        .find(|layer| layer.kind() == OpKind::Relu)
        .unwrap()
        .name();
    assert_eq!(
        values(&GuidedBackprop::at(last)),
        values(&Gradient::at(last))
    );
    assert_eq!(
        values(&DeconvNet::at(LOGITS)),
        values(&Gradient::at(LOGITS))
    );
    let below = "fire8/concat";
    assert_ne!(
        values(&GuidedBackprop::at(below)),
        values(&Gradient::at(below))
    );
}

#[test]
fn mobilenets_relu6_is_guided() {
    let Some(assets) = assets() else { return };
    for file in ["mobilenet_v2", "mobilenet_v2_bn"] {
        let path = assets.join(format!("models/torchvision/{file}.onnx"));
        let model = Model::from_bytes(with_weights(&path, 1.0), &device(), None).unwrap();
        let kinds: Vec<OpKind> = model.layers().iter().map(|layer| layer.kind()).collect();
        assert!(kinds.contains(&OpKind::Clip) && !kinds.contains(&OpKind::Relu));
        let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
        let photo = model.prepare(&picture).unwrap();
        let target = Target::class(model.classify(&photo).unwrap().top(1)[0].index);
        let attribute =
            |method: &dyn Attributor| method.attribute(&model, &photo, target.clone()).unwrap();
        let plain = attribute(&Gradient::at_input());
        let guided = attribute(&GuidedBackprop::at_input());
        let deconvnet = attribute(&DeconvNet::at_input());
        let error = relative_error(guided.values(), plain.values());
        println!("{file}: guided differs from the gradient by {error:.1e}");
        assert!(error > 0.1, "{file}: {error:.1e}");
        assert!(relative_error(deconvnet.values(), guided.values()) > 0.1);
        assert_eq!(guided.scores(), plain.scores());
    }
}
