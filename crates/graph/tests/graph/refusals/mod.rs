//! What cannot be imported or run is refused with an error that names the cause.

mod graphs;
mod limits;
mod operators;
mod passes;

use burn::tensor::Tensor;
use elucid_graph::GraphError;
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, small_network};
use elucid_vision::{Model, ModelError};

/// A dimension that no product may overflow with.
const HUGE: i64 = 1 << 62;

fn opened(onnx: &Onnx) -> Result<Model, ModelError> {
    Model::from_bytes(onnx.bytes(), &device(), None)
}

fn open(onnx: &Onnx) -> Result<Model, GraphError> {
    of_graph(opened(onnx))
}

/// The graph's own error, where nothing but the graph can be wrong.
fn of_graph<T>(opened: Result<T, ModelError>) -> Result<T, GraphError> {
    opened.map_err(|error| match error {
        ModelError::Graph(error) => error,
        other => panic!("{other:?}"),
    })
}

fn images(shape: [usize; 4]) -> Tensor<4> {
    let count: usize = shape.iter().product();
    elucid_testkit::tensor(
        (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect(),
        shape,
    )
}

/// Opens a model with an image input and runs it.
fn run(onnx: &Onnx) -> Result<Vec<f32>, GraphError> {
    let model = open(onnx)?;
    let shape = model.layers()[0].shape();
    let images = images([1, 3, shape[2].min(64), shape[3].min(64)]);
    let fetched = model.pass().input(&images).fetch(["y"])?;
    Ok(fetched.get("y")?.to_array()?.into_iter().collect())
}

use GraphError as E;
use ModelError as M;
use elucid_testkit::refused;

#[test]
fn the_models_made_here_are_good() {
    let values = run(&small_network()).unwrap();
    assert_eq!(values.len(), 5);
    assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}
