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
        let mut x = Numbers::expected(x);
        match x.in_place() {
            Some(values) => {
                self.0.apply(values);
                x.into_tensor()
            }
            None => x.made(self.0.map(x.values())),
        }
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let function = self.0;
        // Where a rectifier is 0 its input was no larger: the output says as much, and is held by its reader.
        let (kept, y) = match function {
            Pointwise::Relu => {
                let y = Numbers::expected(self.forward(x));
                (y.clone(), y.into_tensor())
            }
            _ => {
                let x = Numbers::expected(x);
                let y = x.made(function.map(x.values()));
                (x, y)
            }
        };
        let pullback = Pullback::new(move |g| {
            Numbers::expected(g).changed(|g| function.backward(kept.values(), g))
        });
        (y, pullback)
    }
}
