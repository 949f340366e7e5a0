//! Every operator, attribute and opset against ONNX Runtime 1.31.1.
//!
//! `scripts/make_operator_cases.py` made the cases and says what they hold.

use std::path::Path;

use burn::tensor::Tensor;
use elucid_graph::{BoundGraph, Graph, HostTensor};
use elucid_testkit::{device, relative_error, tensor};

/// Largest deviation allowed, relative to the output's largest value.
const TOLERANCE: f32 = 1e-5;

/// The input that the script feeds: numbers from -1 to 1 in every order of sign and size.
fn image(graph: &Graph) -> Tensor<4> {
    let shape: Vec<usize> = graph.inputs()[0].shape.iter().map(|d| d.unwrap()).collect();
    let shape: [usize; 4] = shape.try_into().unwrap();
    let value = |i: usize| (((i * 37 + 11) % 101) as f64 / 50.0 - 1.0) as f32;
    tensor((0..shape.iter().product()).map(value).collect(), shape)
}

/// The deviation from the recorded output, or what went wrong.
fn deviation(path: &Path) -> Result<f32, String> {
    let bytes = std::fs::read(path).unwrap();
    let graph = elucid_onnx::import(bytes).map_err(|e| e.to_string())?;
    let model = BoundGraph::new(graph, &device());
    let graph = model.graph();
    let constant = graph.value("expected").and_then(|v| graph.constant(v));
    let Some(expected) = constant.and_then(HostTensor::float_array) else {
        return Err("the file holds no expected output".to_owned());
    };
    let input = image(graph);
    let fetched = model
        .pass()
        .feed("x", input)
        .fetch(["y"])
        .map_err(|e| e.to_string())?;
    let y = fetched
        .get("y")
        .and_then(|y| y.to_array())
        .map_err(|e| e.to_string())?;
    // burn has no rank 0: a scalar is one number in one dimension.
    let scalar = expected.ndim() == 0 && y.shape() == [1];
    if y.shape() != expected.shape() && !scalar {
        return Err(format!(
            "shape {:?}, expected {:?}",
            y.shape(),
            expected.shape()
        ));
    }
    Ok(relative_error(&y, expected))
}

#[test]
fn every_case_agrees() {
    let files = super::case_files();
    assert!(files.len() >= 640, "only {} cases", files.len());
    let mut worst = 0_f32;
    let mut failures = Vec::new();
    for file in &files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match deviation(file) {
            Ok(error) if error <= TOLERANCE => worst = worst.max(error),
            Ok(error) => failures.push(format!("{name}: deviates by {error:.1e}")),
            Err(reason) => failures.push(format!("{name}: {reason}")),
        }
    }
    println!("{} cases, largest deviation {worst:.1e}", files.len());
    assert!(
        failures.is_empty(),
        "{} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
