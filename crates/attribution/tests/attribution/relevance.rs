//! Relevance and DeepLIFT on small networks: by hand, against loops, and what is refused.

mod by_hand;
mod composites;
mod covered;
mod excitations;
mod merged;
mod twins;

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::{Attribution, AttributionError};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error};
use elucid_vision::Model;

fn model(network: &Onnx) -> Model {
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

/// Numbers between -1 and 1 that repeat nothing for a while.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn images(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn three(x: [f32; 3]) -> Tensor<4> {
    images(&x, [1, 3, 1, 1])
}

/// A dense network on three numbers, before its layers.
fn dense() -> Onnx {
    Onnx::image([-1, 3, 1, 1]).node("Flatten", &["x"], &["f"])
}

fn matrix(network: Onnx, name: &str, shape: [i64; 2], values: &[f32]) -> Onnx {
    network.tensor(floats(name, &shape, values.to_vec()))
}

fn close(got: &Attribution, want: &[f32]) {
    let values: Vec<f32> = got.values().iter().copied().collect();
    assert_eq!(values.len(), want.len(), "{values:?}");
    let error = relative_error(&values, want);
    assert!(error < 1e-5, "{values:?} instead of {want:?}");
}

/// `h = relu(x0 + x1 + x2, x0 - 2 x2)`, scores `2 h0 - h1` and `h0 + h1`.
fn two_layers() -> Model {
    let network = matrix(dense(), "w1", [3, 2], &[1.0, 1.0, 1.0, 0.0, 1.0, -2.0])
        .node("Gemm", &["f", "w1"], &["z"])
        .node("Relu", &["z"], &["h"]);
    let network = matrix(network, "w2", [2, 2], &[2.0, 1.0, -1.0, 1.0]);
    model(&network.node("Gemm", &["h", "w2"], &["y"]))
}

fn says(error: &AttributionError, word: &str) {
    assert!(error.to_string().contains(word), "{error}");
}

/// Convolutions, both pools, a concat, a residual sum and a classifier, none with a bias.
fn without_bias() -> Onnx {
    Onnx::image([-1, 3, 9, 9])
        .tensor(floats("w1", &[4, 3, 3, 3], noise(108, 1)))
        .node("Conv", &["x", "w1"], &["c1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["c1"], &["r1"])
        .node("MaxPool", &["r1"], &["p1"])
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .tensor(floats("w2", &[4, 4, 1, 1], noise(16, 2)))
        .node("Conv", &["p1", "w2"], &["c2"])
        .node("Add", &["c2", "p1"], &["sum"])
        .node("Relu", &["sum"], &["r2"])
        .node("AveragePool", &["r2"], &["p2"])
        .ints("kernel_shape", &[2, 2])
        .node("Concat", &["p2", "p2"], &["joined"])
        .int("axis", 1)
        .node("GlobalAveragePool", &["joined"], &["gap"])
        .node("Flatten", &["gap"], &["f"])
        .tensor(floats("w3", &[8, 5], noise(40, 3)))
        .node("Gemm", &["f", "w3"], &["y"])
}
