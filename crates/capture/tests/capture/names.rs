//! What values are called, and what a module's name means.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softmax};
use elucid_capture::{Captured, layer};
use elucid_graph::{BoundGraph, GraphError};
use elucid_testkit::device;

use super::common::{Nothing, bound};
use super::networks::zoo;

const IMAGE: [usize; 3] = [3, 32, 32];

fn captured<M: Module>(module: &M, forward: impl Fn(&M, Tensor<4>) -> Tensor<2>) -> BoundGraph {
    let captured = Captured::of(module, IMAGE, forward).expect("a capture");
    bound(captured.graph().expect("a graph"), [32, 32], &device())
}

/// The names of all layers in order.
fn names(bound: &BoundGraph) -> Vec<&str> {
    bound.layers().iter().map(|layer| layer.name()).collect()
}

#[track_caller]
fn resolves(bound: &BoundGraph, pairs: &[(&str, &str)]) {
    for (asked, full) in pairs {
        assert_eq!(
            bound.layer(asked).map(|l| l.name()).ok(),
            Some(*full),
            "{asked}"
        );
    }
}

#[test]
fn an_inception_network() {
    let net = zoo::InceptionV1::new();
    let bound = captured(&net, |m, x| m.forward(x));
    assert_eq!(
        names(&bound)[..24],
        [
            "input",
            "conv1",
            "conv1/relu",
            "max_pool",
            "lrn",
            "conv2",
            "conv2/relu",
            "inception_3a.b1",
            "inception_3a.b1/relu",
            "inception_3a.b2_reduce",
            "inception_3a.b2_reduce/relu",
            "inception_3a.b2",
            "inception_3a.b2/relu",
            "inception_3a.b3_reduce",
            "inception_3a.b3_reduce/relu",
            "inception_3a.b3",
            "inception_3a.b3/relu",
            "max_pool_2",
            "inception_3a.b4",
            "inception_3a.b4/relu",
            "inception_3a/concat",
            "inception_3b.b1",
            "inception_3b.b1/relu",
            "inception_3b.b2_reduce",
        ]
    );
    resolves(
        &bound,
        &[
            ("inception_3a", "inception_3a/concat"),
            ("inception_4a", "inception_4a/concat"),
            // Lucid's names hold for whatever is an InceptionV1.
            ("inception_3b.b2", "inception_3b.b2"),
            ("fc", "fc"),
        ],
    );
    let weights: Vec<&str> = bound
        .graph()
        .weights()
        .map(|(v, _)| bound.graph().name(v))
        .collect();
    assert_eq!(
        weights[..4],
        ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]
    );
    assert!(weights.contains(&"fc.weight"));
}

#[test]
fn residual_networks() {
    let bound = captured(&zoo::ResNet::new(), |m, x| m.forward(x));
    resolves(
        &bound,
        &[
            ("stem", "stem.norm/relu"),
            ("layer1.0.conv1", "layer1.0.conv1"),
            ("layer1.1", "layer1.1/relu"),
            ("layer1", "layer1.1/relu"),
            ("layer2.0.downsample", "layer2.0.downsample.norm"),
            ("layer2", "layer2.1/relu"),
        ],
    );
    let bound = captured(&zoo::MobileNet::new(), |m, x| m.forward(x));
    resolves(
        &bound,
        &[
            ("blocks.0.se", "blocks.0.se/mul"),
            ("blocks.0.se.fc1", "blocks.0.se.fc1"),
            ("blocks.1", "blocks.1/add"),
        ],
    );
    let bound = captured(&zoo::DenseNet::new(), |m, x| m.forward(x));
    resolves(
        &bound,
        &[
            ("block1.0", "block1.0/concat"),
            ("block1", "block1.1/concat"),
        ],
    );
}

#[test]
fn transformers() {
    let bound = captured(&zoo::VisionTransformer::new(), |m, x| m.forward(x));
    resolves(
        &bound,
        &[
            ("patch", "patch"),
            ("blocks.0.attn", "blocks.0.attn.output"),
            ("blocks.0.attn.query", "blocks.0.attn.query"),
            ("blocks.1", "blocks.1/add_2"),
            ("head", "head"),
        ],
    );
    let modules: Vec<&str> = bound.modules().iter().map(|m| m.path()).collect();
    assert!(modules.contains(&"blocks.0.attn.value"), "{modules:?}");
    let bound = captured(&zoo::ConvNext::new(), |m, x| m.forward(x));
    resolves(
        &bound,
        &[
            ("stages.0.1", "stages.0.1/add"),
            ("stages.0.1.dwconv", "stages.0.1.dwconv"),
            ("stages.0.1.gamma", "stages.0.1.gamma/mul"),
            ("stages.0", "stages.0.1/add"),
        ],
    );
}

#[test]
fn the_pass_names_values_itself() {
    let bound = captured(&Nothing {}, |_, x| {
        let x = layer("input copy", x);
        let x = layer("bent", x.tanh());
        // A second name for the same value, and a name twice.
        let x = layer("also bent", x);
        let x = layer("bent", x.sigmoid_twice());
        layer("scores", x.mean_dims(&[2, 3]).flatten(1, 3))
    });
    let names = names(&bound);
    let marked = ["input copy", "bent", "also bent", "bent_2", "scores"];
    let found: Vec<&str> = names
        .into_iter()
        .filter(|name| marked.contains(name))
        .collect();
    assert_eq!(found, marked);
}

trait Twice {
    fn sigmoid_twice(self) -> Self;
}

impl Twice for Tensor<4> {
    fn sigmoid_twice(self) -> Self {
        burn::tensor::activation::sigmoid(burn::tensor::activation::sigmoid(self))
    }
}

#[test]
fn a_named_value_inside_a_known_function_stays() {
    let forward = |_: &Nothing, x: Tensor<4>| {
        let gate = layer("gate", burn::tensor::activation::sigmoid(x.clone()));
        (x * gate).mean_dims(&[2, 3]).flatten::<2>(1, 3)
    };
    let bound = captured(&Nothing {}, forward);
    assert_eq!(names(&bound)[..3], ["input", "gate", "mul"]);
}

#[derive(Module, Debug)]
struct Heads {
    // What a name like the network's own input would be.
    input: Conv2d,
    first: Linear,
    second: Linear,
}

#[test]
fn several_outputs_and_a_field_called_input() {
    let net = Heads {
        input: Conv2dConfig::new([3, 4], [3, 3]).init(&device()),
        first: LinearConfig::new(4, 5).init(&device()),
        second: LinearConfig::new(4, 2).init(&device()),
    };
    let captured = Captured::of(&net, IMAGE, |m, x| {
        let x = relu(m.input.forward(x))
            .mean_dims(&[2, 3])
            .flatten::<2>(1, 3);
        let first = m.first.forward(x.clone());
        (first.clone(), [softmax(m.second.forward(x), 1), first])
    });
    let graph = captured.and_then(|c| c.graph()).expect("a graph");
    let outputs: Vec<&str> = graph.outputs().iter().map(|&v| graph.name(v)).collect();
    assert_eq!(outputs, ["first", "softmax", "output_2"]);
    let inputs: Vec<&str> = graph.inputs().iter().map(|i| graph.name(i.value)).collect();
    assert_eq!(inputs, ["input"]);
    assert!(graph.value("input_2").is_some());
}

#[test]
fn unknown_names_are_told_the_nearest() {
    let bound = captured(&zoo::ResNet::new(), |m, x| m.forward(x));
    let Err(GraphError::UnknownLayer { nearest, .. }) = bound.layer("layer1.0.conv3") else {
        panic!("no such layer");
    };
    assert!(
        nearest.iter().any(|name| name.starts_with("layer1.0.conv")),
        "{nearest:?}"
    );
}
