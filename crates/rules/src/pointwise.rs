//! Functions of each number, in one sweep where tensors lie in main memory.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_kernels::pointwise::Pointwise;

use crate::AnyRank;
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
    let x = AnyRank::from(x).cast();
    AnyRank::from(operation::run(x, Arc::new(Function(function)))).cast()
}

#[derive(Debug)]
struct Function(Pointwise);

impl Function {
    fn of(&self, x: Tensor<4>) -> Numbers {
        Numbers::of(x).expect("numbers in main memory, with gradients behind the node only")
    }
}

impl Operation for Function {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.of(x);
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
                let y = self.of(self.forward(x));
                (y.clone(), y.into_tensor())
            }
            _ => {
                let x = self.of(x);
                let y = x.made(function.map(x.values()));
                (x, y)
            }
        };
        let pullback = Pullback::new(move |g: Tensor<4>| {
            let mut g = Function(function).of(g);
            match g.in_place() {
                Some(values) => {
                    function.backward(kept.values(), values);
                    g.into_tensor()
                }
                None => {
                    let mut values = g.values().to_vec();
                    function.backward(kept.values(), &mut values);
                    g.made(values)
                }
            }
        });
        (y, pullback)
    }
}
