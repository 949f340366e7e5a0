//! Slices along an axis, in one sweep where tensors lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::steps::Steps;

use crate::AnyRank;
use crate::host::{Numbers, Strided, computes_on_host};
use crate::operation::{Operation, Pullback, run_any_rank};

/// Slices of `x`, a tensor whose rank need not be the one in its type, along `axis`: `count` of them from `start` on, `step` apart, backwards if that is below 0;
/// differentiable.
///
/// On burn's CPU backend a kernel of our own runs; elsewhere `otherwise`, which is to compute the same.
///
/// # Panics
///
/// When a slice lies beyond the axis.
pub fn stepped(
    x: Tensor<1>,
    axis: usize,
    [start, count]: [usize; 2],
    step: isize,
    otherwise: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> Tensor<1> {
    let x = AnyRank::from(x);
    let shape = x.shape();
    let x = x.cast();
    if !computes_on_host(&x) || shape.contains(&0) {
        return otherwise(x);
    }
    let steps = Steps::along(&shape, axis, [start, count], step);
    let mut made = shape.clone();
    made[axis] = count;
    run_any_rank(x, Slices { steps, shape, made })
}

/// `count` slices of `x` along `axis` from `start` on, for a tensor whose rank need not be the one in its type; differentiable.
///
/// On burn's CPU backend it shows the numbers of `x` where they lie, and its gradient is a kernel of our own; elsewhere
/// `otherwise`, which is to compute the same.
///
/// # Panics
///
/// When a slice lies beyond the axis.
pub fn narrowed(
    x: Tensor<1>,
    axis: usize,
    [start, count]: [usize; 2],
    otherwise: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> Tensor<1> {
    let shape = AnyRank::from(x.clone()).shape();
    if !computes_on_host(&x) || shape.contains(&0) || count == 0 {
        return otherwise(x);
    }
    let steps = Steps::along(&shape, axis, [start, count], 1);
    run_any_rank(x, Narrow { steps, shape, axis })
}

#[derive(Debug, Clone)]
struct Narrow {
    steps: Steps,
    shape: Vec<usize>,
    axis: usize,
}

impl Operation for Narrow {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = Strided::expected(x);
        let Steps { start, count, .. } = self.steps;
        x.narrow(self.axis, start, count).into_tensor()
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let this = self.clone();
        let pullback = Pullback::new(move |g| put_back(g, &this.steps, &this.shape));
        (self.forward(x), pullback)
    }
}

/// The gradient at what slices were taken of.
fn put_back(g: Tensor<4>, steps: &Steps, shape: &[usize]) -> Tensor<4> {
    let g = Numbers::expected(g);
    g.shaped(steps.put_back(g.values()), shape)
}

#[derive(Debug, Clone)]
struct Slices {
    steps: Steps,
    shape: Vec<usize>,
    made: Vec<usize>,
}

impl Operation for Slices {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = Numbers::expected(x);
        x.shaped(self.steps.take(x.values()), &self.made)
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let this = self.clone();
        let pullback = Pullback::new(move |g| put_back(g, &this.steps, &this.shape));
        (self.forward(x), pullback)
    }
}
