//! Sums, differences and products of tensors that broadcast, in one sweep where they lie in main memory.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_kernels::pairwise::{Broadcast, Pairwise, Side};

use crate::AnyRank;
use crate::host::{Numbers, computes_on_host};
use crate::operation::{Binary, Pullbacks, run_binary};

/// A function of two tensors of one rank that broadcast, differentiable: the rank need not be the one in their type.
///
/// On burn's CPU backend a kernel of our own runs; elsewhere `otherwise`, which is to compute the same.
pub fn pairwise(
    a: Tensor<1>,
    b: Tensor<1>,
    function: Pairwise,
    otherwise: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Tensor<1> {
    let shapes = [&a, &b].map(|x| AnyRank::from(x.clone()).shape());
    let on_host = computes_on_host(&a) && computes_on_host(&b);
    match Broadcast::new(&shapes[0], &shapes[1]).filter(|_| on_host) {
        Some(on) => {
            let [of_a, of_b] = &shapes;
            let shape = of_a.iter().zip(of_b).map(|(a, b)| *a.max(b)).collect();
            let on = Arc::new(Shapes { on, shapes, shape });
            run_binary([a, b], Function { function, on })
        }
        None => otherwise(a, b),
    }
}

/// Those of both operands and of the result.
#[derive(Debug)]
struct Shapes {
    on: Broadcast,
    shapes: [Vec<usize>; 2],
    shape: Vec<usize>,
}

/// It, as an operation.
#[derive(Debug, Clone)]
struct Function {
    function: Pairwise,
    on: Arc<Shapes>,
}

impl Function {
    /// The gradient at an operand.
    fn at(&self, g: Numbers, side: Side, other: Option<&Numbers>) -> Tensor<4> {
        let Shapes { on, shapes, .. } = &*self.on;
        let other = other.map(Numbers::values);
        let made = |g: &[f32]| self.function.backward(g, side, other, on);
        match (on.is_whole(side), other) {
            (true, _) if self.function.passes(side) => g.into_tensor(),
            (true, Some(other)) => {
                g.changed_or_made(|g| self.function.update(g, side, other, on), made)
            }
            _ => g.shaped(made(g.values()), &shapes[side as usize]),
        }
    }
}

impl Function {
    /// In the place of an operand that nobody else holds, and that has the size of the result.
    fn run(&self, [mut a, mut b]: [Numbers; 2]) -> Tensor<4> {
        let Shapes { on, shape, .. } = &*self.on;
        if on.is_whole(Side::Left)
            && let Some(y) = a.in_place()
        {
            self.function.update(y, Side::Left, b.values(), on);
            return a.into_tensor();
        }
        if on.is_whole(Side::Right)
            && let Some(y) = b.in_place()
        {
            self.function.update(y, Side::Right, a.values(), on);
            return b.into_tensor();
        }
        a.shaped(self.function.run(a.values(), b.values(), on), shape)
    }
}

impl Binary for Function {
    fn forward(&self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        self.run([a, b].map(Numbers::expected))
    }

    fn forward_with_pullbacks(
        &self,
        a: Tensor<4>,
        b: Tensor<4>,
        live: [bool; 2],
    ) -> (Tensor<4>, Pullbacks) {
        let this = self.clone();
        let [a, b] = [a, b].map(Numbers::expected);
        let [of_a, of_b] = [(&a, 1), (&b, 0)].map(|(x, other)| {
            // A product is differentiated with its other factor.
            let is_read = self.function == Pairwise::Mul && live[other];
            is_read.then(|| x.clone())
        });
        let y = self.run([a, b]);
        let pullbacks = Pullbacks::new(move |g| {
            let [left, right] = live.map(|live| live.then(|| Numbers::expected(g.clone())));
            // The last that reads the gradient may put its own in its place.
            drop(g);
            let right = right.map(|g| this.at(g, Side::Right, of_a.as_ref()));
            [left.map(|g| this.at(g, Side::Left, of_b.as_ref())), right]
        });
        (y, pullbacks)
    }
}
