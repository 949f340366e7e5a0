//! What is covered, completely and by batches, and what is listed as not covered.

use elucid_attribution::relevance::{Flat, Pass, RelevanceRules, Winner};
use elucid_attribution::{
    AttributionError, Attributor, Baseline, ContrastiveExcitationBackprop, DeepLift,
    ExcitationBackprop, Lrp, Target,
};
use elucid_graph::INPUT;
use elucid_rules::OpKind;
use elucid_testkit::onnx::{Onnx, floats, small_network};
use elucid_testkit::relative_error;
use elucid_vision::Model;

use super::{dense, images, model, noise, says, three};

/// Every function of one input, products and quotients of two, maxima of two, pools and LRN.
fn of_all_kinds() -> Onnx {
    let mut network = Onnx::image([-1, 3, 6, 6])
        .tensor(floats("w1", &[4, 3, 3, 3], noise(108, 1)))
        .tensor(floats("b1", &[4], noise(4, 2)))
        .node("Conv", &["x", "w1", "b1"], &["c"])
        .tensor(floats("slope", &[4, 1, 1], noise(4, 3)))
        .node("PRelu", &["c", "slope"], &["prelu"])
        .node("Mul", &["c", "prelu"], &["product"])
        .node("Exp", &["c"], &["exp"])
        .node("Div", &["prelu", "exp"], &["quotient"])
        .node("Max", &["c", "quotient"], &["max"])
        .node("Min", &["exp", "quotient"], &["min"])
        .tensor(floats("two", &[1], vec![2.0]))
        .node("Pow", &["c", "two"], &["pow"])
        .node("Div", &["pow", "two"], &["half"])
        .node("Sub", &["two", "half"], &["sub"])
        .node("LRN", &["sub"], &["lrn"])
        .int("size", 3)
        .float("alpha", 0.1)
        .node("MaxPool", &["lrn"], &["pool"])
        .ints("kernel_shape", &[3, 3])
        .ints("pads", &[1, 1, 1, 1])
        .node("GlobalMaxPool", &["c"], &["largest"])
        .node("Mul", &["largest", "prelu"], &["gated"]);
    let mut all = vec!["product", "quotient", "max", "min", "half", "pool", "gated"];
    for (op, name) in [
        ("Relu", "relu"),
        ("Sigmoid", "sigmoid"),
        ("HardSigmoid", "hardsigmoid"),
        ("Tanh", "tanh"),
        ("Elu", "elu"),
        ("LeakyRelu", "leaky"),
        ("Erf", "erf"),
        ("Abs", "abs"),
        ("Neg", "neg"),
    ] {
        network = network.node(op, &["c"], &[name]);
        all.push(name);
    }
    network
        .node("Concat", &all, &["all"])
        .int("axis", 1)
        .node("GlobalAveragePool", &["all"], &["gap"])
        .node("Flatten", &["gap"], &["f"])
        .tensor(floats("w3", &[64, 5], noise(320, 4)))
        .node("Gemm", &["f", "w3"], &["y"])
}

#[test]
fn deep_lift_is_complete_through_every_operator_it_covers() {
    let model = model(&of_all_kinds());
    let x = images(&noise(2 * 108, 7), [2, 3, 6, 6]);
    for baseline in [images(&[0.0; 108], [1, 3, 6, 6]), x.clone().flip([0])] {
        for class in 0..5 {
            let result = DeepLift::at_input()
                .baseline(Baseline::image(&baseline))
                .attribute(&model, &x, Target::class(class))
                .unwrap();
            println!("{result}");
            assert!(result.completeness_error().unwrap() < 1e-4);
        }
    }
    let same = DeepLift::at_input()
        .baseline(Baseline::image(&x))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    assert!(same.values().iter().all(|&v| v == 0.0));
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let model = model(&small_network());
    let x = images(&noise(3 * 432, 5), [3, 3, 12, 12]);
    let targets = [Target::class(1), Target::class(4), Target::difference(0, 2)];
    let methods: [fn(usize) -> Box<dyn Attributor>; 5] = [
        |size| Box::new(Lrp::epsilon_plus_flat().batch_size(size)),
        |size| Box::new(Lrp::epsilon_gamma_box(&[-1.0], &[1.0]).batch_size(size)),
        |size| Box::new(DeepLift::at_input().batch_size(size)),
        |size| {
            Box::new(
                ExcitationBackprop::at("block/output")
                    .allow_signed(true)
                    .batch_size(size),
            )
        },
        |size| {
            Box::new(
                ContrastiveExcitationBackprop::at("pool1")
                    .allow_signed(true)
                    .batch_size(size),
            )
        },
    ];
    for method in methods {
        let all = |size: usize| {
            method(size)
                .attribute(&model, &x, Target::each(targets.clone()))
                .unwrap()
        };
        let together = all(3);
        for size in [1, 2] {
            let error = relative_error(all(size).values(), together.values());
            assert!(error < 1e-5, "{}: {error:.1e}", together.method());
        }
        for (i, target) in targets.iter().enumerate() {
            let one = x.clone().narrow(0, i, 1);
            let single = method(8).attribute(&model, &one, target.clone()).unwrap();
            let part = together.values().index_axis(ndarray::Axis(0), i);
            let error = relative_error(single.values(), &part);
            assert!(error < 1e-5, "{}: {error:.1e}", together.method());
            assert!((single.scores()[0] - together.scores()[i]).abs() < 1e-5);
        }
    }
}

/// A softmax between layers and a product of two activations.
fn attention() -> Model {
    let network = dense()
        .weight("w", &[3, 3])
        .node("Gemm", &["f", "w"], &["a"])
        .node("Softmax", &["a"], &["attention"])
        .node("Mul", &["f", "attention"], &["weighted"])
        .node("LogSoftmax", &["weighted"], &["log"])
        .weight("w2", &[3, 2])
        .node("Gemm", &["log", "w2"], &["y"]);
    model(&network)
}

#[test]
fn what_is_not_covered_is_listed() {
    let model = attention();
    let x = three([1.0, 2.0, 3.0]);
    let nodes = |method: &dyn Attributor| match method.attribute(&model, &x, Target::class(0)) {
        Err(AttributionError::Uncovered { nodes, .. }) => nodes,
        other => panic!("{other:?}"),
    };
    let (log, mul, soft) = (
        "LogSoftmax \"make_log\"",
        "Mul \"make_weighted\"",
        "Softmax \"make_attention\"",
    );
    assert_eq!(nodes(&Lrp::epsilon()), [log, mul, soft]);
    assert_eq!(nodes(&DeepLift::at_input()), [log]);
    // Weights of attention are weights: what makes them gets nothing.
    assert_eq!(
        nodes(&ExcitationBackprop::at(INPUT).allow_input(true)),
        [log]
    );
    assert_eq!(nodes(&ExcitationBackprop::at("weighted")), [log]);
    assert_eq!(nodes(&Lrp::epsilon().at("weighted")), [log]);
    let message = Lrp::epsilon()
        .attribute(&model, &x, Target::class(0))
        .unwrap_err();
    says(&message, "lrp (epsilon)");
    // A rule that does not cover an operator is not one for it.
    let rules = RelevanceRules::epsilon()
        .on(OpKind::Mul, Flat)
        .on_layers("log", Pass)
        .on(OpKind::Softmax, Pass);
    assert_eq!(nodes(&Lrp::new(rules.clone())), [mul]);
    let rules = rules.on_layers("weigh*", Winner);
    let result = Lrp::new(rules).attribute(&model, &x, Target::class(0));
    assert!(result.unwrap().values().iter().all(|v| v.is_finite()));
}

#[test]
fn progress_is_told_and_can_cancel() {
    let model = model(&small_network());
    let x = images(&noise(3 * 432, 5), [3, 3, 12, 12]);
    let result = Lrp::epsilon()
        .batch_size(1)
        .progress(|progress| match progress.done {
            2 => progress.cancel(),
            _ => progress.continue_(),
        })
        .attribute(&model, &x, Target::class(0));
    assert!(matches!(
        result,
        Err(AttributionError::Cancelled { done: 2, total: 3 })
    ));
}
