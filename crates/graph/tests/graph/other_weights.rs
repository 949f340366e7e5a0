//! The same network with other weights.

use burn::tensor::Tensor;
use elucid_graph::{BoundGraph, GraphError};
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, floats};
use ndarray::{ArrayD, ArrayViewD};

/// `y = w clip(x, 0, most)` of one number.
fn clipped() -> BoundGraph {
    let onnx = Onnx::new()
        .input("x", &[-1, 1])
        .tensor(floats("w", &[1, 1], vec![3.0]))
        .tensor(floats("least", &[], vec![0.0]))
        .tensor(floats("most", &[], vec![2.0]))
        .node("Clip", &["x", "least", "most"], &["c"])
        .node("MatMul", &["c", "w"], &["y"]);
    let graph = elucid_onnx::import(onnx.bytes()).unwrap();
    BoundGraph::new(graph, &device())
}

fn y(network: &BoundGraph, x: f32) -> f32 {
    let x = Tensor::<2>::from_data([[x]], &device());
    let fetched = network.pass().feed("x", x).fetch(["y"]).unwrap();
    fetched.get("y").unwrap().to_array().unwrap()[[0, 0]]
}

fn doubled(of: &'static str) -> impl FnMut(&str, ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> {
    move |name, values| (name == of).then(|| values.mapv(|v| 2.0 * v))
}

#[test]
fn replacements_see_the_present_values() {
    let network = clipped();
    assert_eq!(y(&network, 1.0), 3.0);
    let once = network.with_weights(doubled("w")).unwrap();
    let twice = once.with_weights(doubled("w")).unwrap();
    assert_eq!([y(&once, 1.0), y(&twice, 1.0)], [6.0, 12.0]);
    // The graph says what is computed with; the first network is as it was.
    let weight = |network: &BoundGraph| {
        let graph = network.graph();
        graph.constant(graph.value("w").unwrap()).unwrap().floats()
    };
    assert_eq!(weight(&twice), [12.0]);
    assert_eq!((weight(&network), y(&network, 1.0)), (vec![3.0], 3.0));
    let kept = network.with_weights(|_, _| None).unwrap();
    assert_eq!(y(&kept, 1.0), 3.0);
}

/// Whatever is offered has an effect, also where an operator reads it while it is planned.
#[test]
fn bounds_are_replaced_as_well() {
    let mut offered = Vec::new();
    let network = clipped();
    let wider = network
        .with_weights(|name, values| {
            offered.push(name.to_owned());
            doubled("most")(name, values)
        })
        .unwrap();
    offered.sort();
    assert_eq!(offered, ["least", "most", "w"]);
    assert_eq!([y(&network, 9.0), y(&wider, 9.0)], [6.0, 12.0]);
}

#[test]
fn values_of_another_shape_are_refused() {
    let refused =
        clipped().with_weights(|name, _| (name == "w").then(|| ArrayD::zeros(vec![2, 1])));
    match refused {
        Err(error @ GraphError::Shape { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("\"w\"") && message.contains("[1, 1]"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}
