//! Values of another precision than the network's.

use burn::tensor::{FloatDType, Tensor};
use elucid_graph::{Activation, BoundGraph, INPUT};
use elucid_testkit::device;
use elucid_testkit::onnx::small_network;

fn network() -> BoundGraph {
    let graph = elucid_onnx::import(small_network().bytes()).unwrap();
    let input = graph.inputs()[0].value;
    let bound = BoundGraph::new(graph, &device());
    bound.with_pictures(input, [12, 12]).unwrap()
}

fn images() -> Tensor<4> {
    let numbers = elucid_testkit::numbers(2 * 3 * 12 * 12, 5);
    elucid_testkit::tensor(numbers, [2, 3, 12, 12])
}

#[test]
fn double_and_half_precision_are_taken() {
    let network = network();
    let want = network.pass().input(&images()).fetch(["y"]).unwrap();
    let want = want.get("y").unwrap().to_array().unwrap();
    for (precision, within) in [(FloatDType::F64, 1e-6), (FloatDType::F16, 2e-3)] {
        let given = images().cast(precision);
        let fetched = network.pass().input(&given).fetch(["y", "relu1"]).unwrap();
        let got = fetched.get("y").unwrap().to_array().unwrap();
        let off = (&got - &want)
            .iter()
            .fold(0_f32, |most, v| most.max(v.abs()));
        assert!(off <= within, "{precision:?}: {off}");
        // A layer in the middle, too.
        let middle = fetched.get("relu1").unwrap().tensor::<4>().unwrap();
        let from_there = network
            .pass()
            .feed("relu1", middle.cast(precision))
            .fetch(["y"])
            .unwrap();
        let again = from_there.get("y").unwrap().to_array().unwrap();
        let off = (&again - &want)
            .iter()
            .fold(0_f32, |most, v| most.max(v.abs()));
        assert!(off <= within, "{precision:?}: {off}");
    }
}

/// Gradients arrive at the tensor that was given.
#[test]
fn gradients_go_back_through_the_precision() {
    let network = network();
    let gradient = |images: Tensor<4>| {
        let leaf = Activation::from(images).require_grad();
        let fetched = network.pass().feed(INPUT, leaf.clone()).fetch(["scores"]);
        let scores = fetched
            .unwrap()
            .get("scores")
            .unwrap()
            .tensor::<2>()
            .unwrap();
        let gradients = scores.narrow(1, 2, 1).sum().backward();
        leaf.gradient(&gradients).unwrap().to_array().unwrap()
    };
    let want = gradient(images());
    let got = gradient(images().cast(FloatDType::F64));
    assert!(want.iter().any(|v| *v != 0.0));
    let off = (&got - &want)
        .iter()
        .fold(0_f32, |most, v| most.max(v.abs()));
    assert!(off < 1e-6, "{off}");
}
