//! Operators whose sizes are known before the values that they ask for.

use elucid_graph::{BoundGraph, INPUT};
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, floats};

fn bound(network: &Onnx) -> BoundGraph {
    let graph = elucid_onnx::import(network.bytes()).unwrap();
    let input = graph.inputs()[0].value;
    BoundGraph::new(graph, &device())
        .with_pictures(input, [4, 5])
        .unwrap()
}

fn shape<'b>(network: &'b BoundGraph, layer: &str) -> &'b [usize] {
    network.layer(layer).unwrap().shape()
}

/// The two largest of four channels at each position.
fn largest() -> Onnx {
    Onnx::image([-1, 3, 4, 5])
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["c"])
        .list("two", &[2])
        .node("TopK", &["c", "two"], &["v", "i"])
        .int("axis", 1)
        .node("Relu", &["v"], &["r"])
        .node("GlobalAveragePool", &["r"], &["y"])
}

/// Each position's own channel, by a mask of where the largest is.
fn masked() -> Onnx {
    Onnx::image([-1, 3, 4, 5])
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["c"])
        .node("ArgMax", &["c"], &["a"])
        .int("axis", 1)
        .int("keepdims", 0)
        .list("four", &[4])
        .tensor(floats("off_on", &[2], vec![0.0, 1.0]))
        .node("OneHot", &["a", "four", "off_on"], &["o"])
        .int("axis", 1)
        .node("Mul", &["c", "o"], &["m"])
        .node("GlobalAveragePool", &["m"], &["y"])
}

#[test]
fn layers_behind_them_have_shapes() {
    let network = bound(&largest());
    assert_eq!(shape(&network, "v"), [1, 2, 4, 5]);
    assert_eq!(shape(&network, "r"), [1, 2, 4, 5]);
    assert_eq!(shape(&network, "y"), [1, 2, 1, 1]);
    let network = bound(&masked());
    assert_eq!(shape(&network, "o"), [1, 4, 4, 5]);
    assert_eq!(shape(&network, "y"), [1, 4, 1, 1]);
    for network in [largest(), masked()] {
        let network = bound(&network);
        assert!(network.obstacles().is_empty(), "{:?}", network.obstacles());
        assert!(network.pass_elements(INPUT, "y", [4, 5]).unwrap() > 4 * 20);
        assert!(
            network
                .windows(INPUT, "y", &Default::default(), [4, 5])
                .unwrap()
                .is_none()
        );
    }
}

/// A file can name more outputs than there are.
#[test]
fn an_output_that_is_not_made_is_an_error() {
    let network = Onnx::image([-1, 3, 4, 5])
        .list("two", &[2])
        .node("TopK", &["x", "two"], &["v", "i", "more"])
        .node("Relu", &["more"], &["y"]);
    let error = bound(&network).layer("y").unwrap_err().to_string();
    assert!(error.contains("only the first 2"), "{error}");
}

/// What was announced is what comes out, and gradients go the way of the numbers that were taken.
#[test]
fn passes_make_what_was_announced() {
    let images = elucid_testkit::tensor(elucid_testkit::numbers(2 * 60, 3), [2, 3, 4, 5]);
    for (network, name) in [(largest(), "largest"), (masked(), "masked")] {
        let network = bound(&network);
        let leaf = elucid_graph::Activation::from(images.clone()).require_grad();
        let fetched = network
            .pass()
            .feed(INPUT, leaf.clone())
            .fetch(["c", "y"])
            .unwrap();
        let y = fetched.get("y").unwrap();
        let mut want = shape(&network, "y").to_vec();
        want[0] = 2;
        assert_eq!(y.shape(), want, "{name}");
        let c = fetched.get("c").unwrap().to_array().unwrap();
        let found = y.to_array().unwrap();
        for image in 0..2 {
            let sum: f32 = (0..20)
                .map(|i| {
                    let at = |k: usize| c[[image, k, i / 5, i % 5]];
                    (0..4).map(at).fold(f32::NEG_INFINITY, f32::max)
                })
                .map(|largest| {
                    if name == "largest" {
                        largest.max(0.0)
                    } else {
                        largest
                    }
                })
                .sum();
            let got: f32 = match name {
                "largest" => found[[image, 0, 0, 0]],
                _ => (0..4).map(|k| found[[image, k, 0, 0]]).sum(),
            };
            assert!(
                (got - sum / 20.0).abs() < 1e-5,
                "{name}: {got} {}",
                sum / 20.0
            );
        }
        let score = y.tensor::<4>().unwrap().sum();
        let gradient = leaf
            .gradient(&score.backward())
            .unwrap()
            .to_array()
            .unwrap();
        assert!(gradient.iter().any(|v| *v != 0.0), "{name}");
    }
}
