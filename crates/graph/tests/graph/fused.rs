//! Steps that run as one make the numbers and gradients that they make one by one, whatever is looked at, and passes that
//! take up a plan make those of a new one.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, BoundGraph, backward};
use elucid_onnx::Importer;
use elucid_rules::{GuidedRelu, OpKind, Rules};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error};

const BETWEEN: &[&str] = &[
    "dense",
    "bent",
    "inner",
    "gate",
    "silu",
    "narrow",
    "hard",
    "swish",
    "apart",
    "bounded",
    "twice",
    "rectified",
    "pooled",
];

/// Every kind of convolution before every kind of function: by itself, as a gate, and read by others, too.
fn network() -> BoundGraph {
    let bytes = Onnx::image([-1, 4, 9, 9])
        .weight("w1", &[6, 4, 3, 3])
        .weight("b1", &[6])
        .node("Conv", &["x", "w1", "b1"], &["dense"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["dense"], &["bent"])
        .weight("w2", &[8, 6, 1, 1])
        .node("Conv", &["bent", "w2"], &["inner"])
        .node("Sigmoid", &["inner"], &["gate"])
        .node("Mul", &["gate", "inner"], &["silu"])
        .weight("w3", &[8, 8, 1, 1])
        .node("Conv", &["silu", "w3"], &["narrow"])
        .node("HardSigmoid", &["narrow"], &["hard"])
        .float("alpha", 1.0 / 6.0)
        .node("Mul", &["narrow", "hard"], &["swish"])
        .weight("w4", &[8, 1, 3, 3])
        .node("Conv", &["swish", "w4"], &["apart"])
        .int("group", 8)
        .ints("strides", &[2, 2])
        .node("Clip", &["apart", "low", "high"], &["bounded"])
        .weight("w5", &[8, 8, 1, 1])
        .node("Conv", &["bounded", "w5"], &["twice"])
        .node("Relu", &["twice"], &["rectified"])
        .node("Add", &["rectified", "twice"], &["pooled"])
        .node("GlobalAveragePool", &["pooled"], &["y"])
        .tensor(floats("low", &[], vec![-0.25]))
        .tensor(floats("high", &[], vec![0.5]))
        .output("y")
        .bytes();
    let graph = Importer::new().import(bytes).expect("a network");
    BoundGraph::new(graph, &device())
}

fn images(count: usize) -> Tensor<4> {
    let noise = |i: usize| ((i * 7919 + i * i * 31 + 13) % 2003) as f32 / 1000.0 - 1.0;
    let values: Vec<f32> = (0..count * 324).map(noise).collect();
    Tensor::from_data(TensorData::new(values, [count, 4, 9, 9]), &device())
}

/// What comes out and the gradient of its sum at the image, when `seen` is fetched, too.
fn value_and_gradient(
    network: &BoundGraph,
    rules: &Rules,
    count: usize,
    seen: &[&str],
) -> [Vec<f32>; 2] {
    let leaf = Activation::from(images(count)).require_grad();
    let layers = seen.iter().copied().chain(["y"]);
    let pass = network.pass().rules(rules).feed("x", leaf.clone());
    let fetched = pass.fetch(layers).expect("a pass");
    let y = fetched.get("y").expect("it was fetched").clone();
    let sum: Tensor<1> = y.tensor::<4>().expect("four axes").sum();
    let gradient = leaf.gradient(&backward(&sum)).expect("a path");
    [y, gradient].map(|x| x.to_array().expect("numbers").into_iter().collect())
}

#[test]
fn steps_that_run_as_one_are_those_that_run_one_by_one() {
    let network = network();
    for count in [1, 3] {
        let together = value_and_gradient(&network, &Rules::new(), count, &[]);
        let alone = value_and_gradient(&network, &Rules::new(), count, BETWEEN);
        for (got, want) in together.iter().zip(&alone) {
            assert!(relative_error(got, want) < 2e-6, "{count} images");
        }
        // One value after the other is looked at.
        for seen in BETWEEN {
            let some = value_and_gradient(&network, &Rules::new(), count, &[seen]);
            for (got, want) in some.iter().zip(&alone) {
                assert!(relative_error(got, want) < 2e-6, "{count} images, {seen}");
            }
        }
    }
}

#[test]
fn without_gradients_too() {
    let network = network();
    let fetch = |seen: &[&str]| -> Vec<f32> {
        let pass = network.pass().feed("x", images(2));
        let fetched = pass
            .fetch(seen.iter().copied().chain(["y"]))
            .expect("a pass");
        let y = fetched.get("y").expect("it was fetched");
        y.to_array().expect("numbers").into_iter().collect()
    };
    let want = fetch(BETWEEN);
    assert!(relative_error(&fetch(&[]), &want) < 2e-6);
    let recorded = network
        .pass()
        .feed("x", images(2))
        .record(["y"])
        .expect("a pass");
    let recorded = recorded
        .value("y")
        .expect("it was recorded")
        .to_array()
        .expect("numbers");
    assert_eq!(
        recorded.into_iter().collect::<Vec<f32>>(),
        want,
        "what is kept is not fused"
    );
}

#[test]
fn rules_stand_where_steps_would_run_as_one() {
    let network = network();
    let guided = Rules::new().on(OpKind::Relu, GuidedRelu);
    let together = value_and_gradient(&network, &guided, 2, &[]);
    let alone = value_and_gradient(&network, &guided, 2, BETWEEN);
    for (got, want) in together.iter().zip(&alone) {
        assert!(relative_error(got, want) < 2e-6);
    }
    let [_, plain] = value_and_gradient(&network, &Rules::new(), 2, &[]);
    assert!(
        relative_error(&together[1], &plain) > 1e-2,
        "a rule that does something"
    );
    let leaf = Activation::from(images(2)).require_grad();
    let pass = network.pass().rules(&guided).feed("x", leaf);
    let uses = pass.fetch(["y"]).expect("a pass").rule_uses().to_vec();
    assert_eq!(uses.iter().map(|used| used.operators).sum::<usize>(), 2);
}

#[test]
fn plans_are_taken_up_for_what_they_were_made_for_alone() {
    let network = network();
    let fresh = |count: usize, layer: &str| -> Vec<f32> {
        let pass = self::network();
        let fetched = pass
            .pass()
            .feed("x", images(count))
            .fetch([layer])
            .expect("a pass");
        let found = fetched.get(layer).expect("it was fetched");
        found.to_array().expect("numbers").into_iter().collect()
    };
    // More of them than are kept, in an order in which some are asked for again.
    for round in 0..3 {
        for count in 1..=4 {
            for layer in ["y", "silu", "bounded"] {
                let fetched = network.pass().feed("x", images(count)).fetch([layer]);
                let found = fetched.expect("a pass");
                let found = found
                    .get(layer)
                    .expect("it was fetched")
                    .to_array()
                    .expect("numbers");
                let found: Vec<f32> = found.into_iter().collect();
                assert_eq!(
                    found,
                    fresh(count, layer),
                    "{layer} of {count}, round {round}"
                );
            }
        }
    }
    // Other weights are another network.
    let doubled = network
        .with_weights(|name, weight| (name == "w5").then(|| weight.mapv(|v| 2.0 * v)))
        .expect("weights");
    let pass = |network: &BoundGraph| -> Vec<f32> {
        let fetched = network
            .pass()
            .feed("x", images(1))
            .fetch(["twice"])
            .expect("a pass");
        let found = fetched.get("twice").expect("it was fetched");
        found.to_array().expect("numbers").into_iter().collect()
    };
    let want: Vec<f32> = pass(&network).into_iter().map(|v| 2.0 * v).collect();
    assert!(relative_error(&pass(&doubled), &want) < 1e-6);
}
