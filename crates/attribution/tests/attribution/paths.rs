//! The path family on functions worked out by hand, and on SqueezeNet.

mod by_hand;
mod guided;
mod methods;
mod stopped;

use burn::tensor::{Tensor, activation};
use elucid_attribution::{Attribution, Attributor, Network, Quadrature, Target};
use elucid_testkit::{relative_error, tensor};

use super::shared::SQUEEZENET as MODEL;

fn logit(images: &Tensor<4>, class: usize) -> f64 {
    f64::from(MODEL.classify(images).unwrap().logits()[[0, class]])
}

/// One image of two numbers.
fn pair(x: f32, y: f32) -> Tensor<4> {
    tensor(vec![x, y], [1, 2, 1, 1])
}

fn split(x: Tensor<4>) -> [Tensor<2>; 2] {
    let n = x.dims()[0];
    [0, 1].map(|c| x.clone().narrow(1, c, 1).reshape([n, 1]))
}

/// `x y`
fn product(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    x * y
}

/// `relu(x + y - 1)`
fn kink(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    activation::relu(x + y - 1.0)
}

fn explain(method: &dyn Attributor, network: &dyn Network, image: &Tensor<4>) -> Attribution {
    method.attribute(network, image, Target::class(0)).unwrap()
}

fn assert_close(got: &Attribution, want: &[f32], tolerance: f32) {
    let error = relative_error(got.values(), want);
    assert!(error <= tolerance, "{:?}, expected {want:?}", got.values());
}

fn all_quadratures() -> impl Iterator<Item = Quadrature> {
    Quadrature::NAMES.iter().map(|&(_, rule)| rule)
}

/// Numbers of both signs without a pattern.
fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count)
        .map(|i| (1.7 * (i * i) as f32 + phase).sin())
        .collect()
}

/// `sum a_k + a_k^2 / 2 + sin(a_k a_(k+1))`
fn curved(x: Tensor<4>) -> Tensor<2> {
    let [n, c, _, _] = x.dims();
    let x = x.reshape([n, c]);
    let pairs = x.clone().narrow(1, 0, c - 1) * x.clone().narrow(1, 1, c - 1);
    let squares = x.clone() + x.clone() * x * 0.5;
    squares.sum_dim(1) + pairs.sin().sum_dim(1)
}
