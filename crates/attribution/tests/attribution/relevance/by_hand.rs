//! Small networks worked out by hand.

use elucid_attribution::relevance::{Pass, RelevanceRules, ZPlus};
use elucid_attribution::{
    Attributor, Baseline, ContrastiveExcitationBackprop, DeepLift, ExcitationBackprop, Lrp, Target,
};
use elucid_graph::INPUT;
use elucid_rules::OpKind;
use elucid_testkit::onnx::{Onnx, floats};

use super::{close, dense, images, matrix, model, three, two_layers};

#[test]
fn two_layers_by_hand() {
    let model = two_layers();
    // h = (2, 3), scores 1 and 5.
    let x = three([1.0, 2.0, -1.0]);
    let lrp = |method: Lrp| method.attribute(&model, &x, Target::class(0)).unwrap();
    let epsilon = lrp(Lrp::epsilon());
    close(&epsilon, &[1.0, 4.0, -4.0]);
    assert!(epsilon.completeness_error().unwrap() < 1e-5);
    assert_eq!(epsilon.rules(), "epsilon");
    close(&lrp(Lrp::epsilon().at("h")), &[4.0, -3.0]);
    // 1 goes to h0 alone; there x0 and x1 speak for it, 1 to 2.
    let plus = RelevanceRules::new()
        .on(OpKind::Gemm, ZPlus::default())
        .on(OpKind::Relu, Pass);
    close(&lrp(Lrp::new(plus)), &[1.0 / 3.0, 2.0 / 3.0, 0.0]);

    let ebp = |class: usize, layer: &str| {
        ExcitationBackprop::at(layer)
            .allow_input(true)
            .attribute(&model, &x, Target::class(class))
            .unwrap()
    };
    close(&ebp(0, "h"), &[1.0, 0.0]);
    close(&ebp(1, "h"), &[0.4, 0.6]);
    close(&ebp(1, INPUT), &[0.8, 0.4, -0.2]);
    // Against class 0 speaks h1 alone, for it h0.
    let contrast = ContrastiveExcitationBackprop::at("h");
    close(
        &contrast.attribute(&model, &x, Target::class(0)).unwrap(),
        &[1.0, -1.0],
    );

    // Multipliers of h: 2 and -1; both neurons are on, their ratios 1.
    let deep = DeepLift::at_input().attribute(&model, &x, Target::class(0));
    close(&deep.unwrap(), &[1.0, 4.0, -4.0]);
    // From (0, 0, 2): z0 from 2 to 2, z1 from -4 to 3, of which the ReLU keeps 3.
    let deep = DeepLift::at_input()
        .baseline(Baseline::image(&three([0.0, 0.0, 2.0])))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    let m1 = -3.0 / 7.0;
    close(&deep, &[2.0 + m1, 4.0, -3.0 * (2.0 - 2.0 * m1)]);
    assert!(deep.completeness_error().unwrap() < 1e-5);
}

/// `a + b` with `b = (2 a0, -a1 / 2, a0)`, summed.
#[test]
fn a_residual_sum_by_hand() {
    let network = dense().node("Relu", &["f"], &["a"]);
    let network = matrix(
        network,
        "w",
        [3, 3],
        &[2.0, 0.0, 1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0],
    )
    .node("Gemm", &["a", "w"], &["b"])
    .node("Add", &["a", "b"], &["s"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["s", "ones"], &["y"]));
    let x = three([1.0, 2.0, 3.0]);
    let lrp = Lrp::epsilon().attribute(&model, &x, Target::class(0));
    close(&lrp.unwrap(), &[4.0, 1.0, 3.0]);
    let deep = DeepLift::at_input().attribute(&model, &x, Target::class(0));
    close(&deep.unwrap(), &[4.0, 1.0, 3.0]);
    // Of s, which gets (3, 1, 4) / 8, the branches have (1, 2, 3) / 8 and (2, -1, 1) / 8; what b0
    // and b2 have comes from a0, and nothing excites b1.
    let ebp = ExcitationBackprop::at("a")
        .allow_input(true)
        .attribute(&model, &x, Target::class(0));
    close(&ebp.unwrap(), &[4.0 / 8.0, 2.0 / 8.0, 3.0 / 8.0]);
}

/// A range that ends at 0 is a ReLU: what lies beyond it has the secant, what is rounded its difference.
#[test]
fn a_quantised_layer_by_hand() {
    let network = dense()
        .tensor(floats("scale", &[], vec![0.1]))
        .node("QuantizeLinear", &["f", "scale"], &["q"])
        .node("DequantizeLinear", &["q", "scale"], &["d"]);
    let model =
        model(&matrix(network, "w", [3, 1], &[1.0, 2.0, -3.0]).node("MatMul", &["d", "w"], &["y"]));
    let explain = |x: [f32; 3], baseline: f32| {
        let method = DeepLift::at_input().baseline(Baseline::constant([baseline; 3]));
        method
            .attribute(&model, &three(x), Target::class(0))
            .unwrap()
    };
    // 1.23 is 12 steps, -0.7 is below the range, 0.34 is 3 steps.
    let found = explain([1.23, -0.7, 0.34], 0.0);
    close(&found, &[1.2, 0.0, -0.9]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // From below the range: only what lies inside counts.
    let found = explain([1.23, 0.52, -0.9], -0.7);
    close(&found, &[1.2, 1.0, 0.0]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // From above the range, 25.5, and down into it.
    let found = explain([40.0, 25.0, 20.0], 30.0);
    close(&found, &[0.0, -1.0, 16.5]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // Less than a step is the slope's, whatever rounding makes of it.
    close(&explain([0.04, 0.06, -0.01], 0.0), &[0.04, 0.12, 0.03]);
}

/// `relu(z) + z`: the ReLU's input has a second reader.
#[test]
fn two_readers_by_hand() {
    let network = matrix(
        dense(),
        "i",
        [3, 3],
        &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    )
    .node("Gemm", &["f", "i"], &["z"])
    .node("Relu", &["z"], &["r"])
    .node("Add", &["r", "z"], &["s"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["s", "ones"], &["y"]));
    let x = three([1.0, -2.0, 3.0]);
    for method in [
        Box::new(Lrp::epsilon()) as Box<dyn Attributor>,
        Box::new(DeepLift::at_input()),
    ] {
        let result = method.attribute(&model, &x, Target::class(0)).unwrap();
        close(&result, &[2.0, -2.0, 6.0]);
        assert!(result.completeness_error().unwrap() < 1e-5);
    }
}

/// The same weights in two operators.
#[test]
fn a_reused_operator_by_hand() {
    let w = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let network = matrix(dense(), "w", [3, 3], &w)
        .node("Gemm", &["f", "w"], &["h"])
        .node("Relu", &["h"], &["r"])
        .node("Gemm", &["r", "w"], &["g"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["g", "ones"], &["y"]));
    let x = three([1.0, 2.0, 3.0]);
    for method in [
        Box::new(Lrp::epsilon()) as Box<dyn Attributor>,
        Box::new(DeepLift::at_input()),
    ] {
        let result = method.attribute(&model, &x, Target::class(0)).unwrap();
        close(&result, &[3.0, 2.0, 3.0]);
    }
}

/// Windows `(0, 1)` and `(1, 2)` of three rows, summed.
#[test]
fn overlapping_windows_by_hand() {
    let network = Onnx::image([-1, 3, 1, 3])
        .node("MaxPool", &["x"], &["pool"])
        .ints("kernel_shape", &[1, 2])
        .node("Flatten", &["pool"], &["f"]);
    let model =
        model(&matrix(network, "ones", [6, 1], &[1.0; 6]).node("Gemm", &["f", "ones"], &["y"]));
    let x = images(&[1.0, 5.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.5, 1.0], [1, 3, 1, 3]);
    let baseline = images(&[3.0, 0.0, 4.0, 4.0, 0.0, 3.0, 0.0, 6.0, 0.0], [1, 3, 1, 3]);
    let deep = DeepLift::at_input()
        .baseline(Baseline::image(&baseline))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    // Gains of 2 and 1 to the winner of both windows; losses of 2 and 1 to the baseline's winners;
    // losses of 4.5 twice to the winner that the baseline has in both.
    close(&deep, &[0.0, 3.0, 0.0, -2.0, 0.0, -1.0, 0.0, -9.0, 0.0]);
    let lrp = Lrp::epsilon().attribute(&model, &x, Target::class(0));
    close(
        &lrp.unwrap(),
        &[0.0, 10.0, 0.0, 0.0, 4.0, 0.0, 0.0, 3.0, 0.0],
    );
}
