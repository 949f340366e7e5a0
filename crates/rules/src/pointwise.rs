//! Functions of each number, in one sweep where tensors lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::pointwise::Pointwise;

use crate::host::{Numbers, computes_on_host};
use crate::operation::{self, Operation, Pullback};

/// A function of each number, differentiable: of a tensor whose rank need not be the one in its type.
///
/// On burn's CPU backend a kernel of our own runs; elsewhere `otherwise`, which is to compute the same.
pub fn pointwise(
    x: Tensor<1>,
    function: Pointwise,
    otherwise: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> Tensor<1> {
    if !computes_on_host(&x) {
        return otherwise(x);
    }
    operation::run_any_rank(x, Function(function))
}

/// It, as an operation.
#[derive(Debug)]
pub(crate) struct Function(pub Pointwise);

impl Operation for Function {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let function = self.0;
        Numbers::expected(x).changed_or_made(|x| function.apply(x), |x| function.map(x))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let function = self.0;
        if function == Pointwise::Relu {
            let y = self.forward(x);
            let pullback = rectified(Numbers::expected(y.clone()));
            return (y, pullback);
        }
        let x = Numbers::expected(x);
        let y = x.made(function.map(x.values()));
        (y, pullback(function, x))
    }
}

fn pullback(function: Pointwise, x: Numbers) -> Pullback {
    Pullback::new(move |g| {
        let x = x.values();
        Numbers::expected(g)
            .changed_or_made(|g| function.backward(x, g), |g| function.gradient(x, g))
    })
}

/// That of a rectifier, by its output: where that is 0 the input was no larger. It is held by its reader anyway.
pub(crate) fn rectified(y: Numbers) -> Pullback {
    pullback(Pointwise::Relu, y)
}
