//! Methods on a network whose file fixes a batch of one, at several batch sizes.

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::relevance::RelevanceRules;
use elucid_attribution::{Attributor, DeepLift, Gradient, IntegratedGradients, Lrp, Rise, Target};
use elucid_testkit::onnx::Onnx;
use elucid_testkit::{device, relative_error};
use elucid_vision::Model;
use ndarray::{ArrayD, Axis};

/// A class token beside four tokens; `divide` by the largest pixel, a number without an axis.
fn model(divide: bool) -> Model {
    let network = Onnx::image([1, 3, 8, 8])
        .weight("patch", &[6, 3, 4, 4])
        .node("Conv", &["x", "patch"], &["patches"])
        .ints("strides", &[4, 4])
        .node("Relu", &["patches"], &["active"])
        .list("flat", &[1, 6, 4])
        .node("Reshape", &["active", "flat"], &["columns"])
        .node("Transpose", &["columns"], &["t"])
        .ints("perm", &[0, 2, 1])
        .weight("token", &[1, 1, 6])
        .node("Concat", &["token", "t"], &["with"])
        .int("axis", 1);
    let network = match divide {
        false => network.node("Identity", &["with"], &["scaled"]),
        true => network
            .node("ReduceMax", &["active"], &["largest"])
            .int("keepdims", 0)
            // Never zero, not for the black image either.
            .node("Exp", &["largest"], &["divisor"])
            .node("Div", &["with", "divisor"], &["scaled"]),
    };
    let network = network
        .list("line", &[1, 30])
        .node("Reshape", &["scaled", "line"], &["all"])
        .weight("classes", &[30, 5])
        .node("MatMul", &["all", "classes"], &["y"]);
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

fn images() -> Tensor<4> {
    let noise = |i: usize| ((i * 7919 + i * i * 31 + 13) % 2003) as f32 / 1000.0 - 1.0;
    let values: Vec<f32> = (0..3 * 192).map(noise).collect();
    Tensor::from_data(TensorData::new(values, [3, 3, 8, 8]), &device())
}

fn same(name: &str, model: &Model, method: &dyn Fn(usize) -> Box<dyn Attributor>) {
    let run = |size: usize, images: &Tensor<4>| -> ArrayD<f32> {
        let found = method(size).attribute(model, images, Target::class(1));
        found.unwrap().values().to_owned()
    };
    let want = run(1, &images());
    assert_eq!(want.shape()[0], 3, "{name}");
    let got = run(8, &images());
    let error = relative_error(&got, &want);
    assert!(error < 1e-5, "{name}: off by {error:e}");
    if name == "rise" {
        // Masks are drawn for each image.
        return;
    }
    for image in 0..3 {
        let alone = run(1, &images().narrow(0, image, 1));
        let error = relative_error(alone.index_axis(Axis(0), 0), got.index_axis(Axis(0), image));
        assert!(error < 1e-5, "{name}: image {image} is off by {error:e}");
    }
}

/// Through a recording.
fn at_several_layers(model: &Model) {
    let run = |size: usize| {
        let method = Gradient::at_input().batch_size(size);
        let found = method.attribute_at(["t", "x"], model, &images(), Target::class(1));
        found.unwrap().into_iter().map(|at| at.values().to_owned())
    };
    for (got, want) in run(8).zip(run(1)) {
        assert_eq!(got.shape()[0], 3);
        assert!(relative_error(&got, &want) < 1e-5);
    }
}

#[test]
fn every_batch_size_gives_the_same() {
    for divide in [false, true] {
        let model = model(divide);
        assert_eq!(model.runs_one_by_one(["y"]).unwrap(), divide);
        same("gradient", &model, &|n| {
            Box::new(Gradient::at_input().batch_size(n))
        });
        same("integrated gradients", &model, &|n| {
            Box::new(IntegratedGradients::new().steps(5).batch_size(n))
        });
        same("rise", &model, &|n| {
            Box::new(Rise::paper().masks(20).cells(3).seed(3).batch_size(n))
        });
        at_several_layers(&model);
        if divide {
            // No rule of relevance covers a quotient.
            continue;
        }
        same("deep lift", &model, &|n| {
            Box::new(DeepLift::at_input().batch_size(n))
        });
        same("lrp", &model, &|n| {
            Box::new(Lrp::new(RelevanceRules::epsilon_gamma_pixels()).batch_size(n))
        });
    }
}
