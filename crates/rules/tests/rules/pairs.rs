//! Functions of two tensors, whose twins are burn's own.

use burn::tensor::Tensor;
use elucid_rules::{AnyRank, Pairwise, cat, matmul, pairwise};
use elucid_testkit::array::{Array, assert_close};

/// The value of a function, and the gradients of `(y * g).sum()` at those that are tracked.
fn differentiated(
    [a, b]: [&Array; 2],
    tracked: [bool; 2],
    f: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> Vec<Array> {
    let leaf = |x: &Array, is_tracked: bool| match is_tracked {
        true => x.tracked(),
        false => x.tensor(),
    };
    let [a, b] = [leaf(a, tracked[0]), leaf(b, tracked[1])];
    if tracked == [false; 2] {
        return vec![Array::of(f(a, b))];
    }
    let y = f(a.clone(), b.clone());
    let g = Array::random(y.dims(), 7).tensor();
    let mut found = vec![Array::of(y.clone().inner())];
    let gradients = (y * Tensor::from_inner(g)).sum().backward();
    for (x, is_tracked) in [(a, tracked[0]), (b, tracked[1])] {
        if is_tracked {
            found.push(Array::of(x.grad(&gradients).unwrap()));
        }
    }
    found
}

/// Whichever of both is tracked, both functions and their gradients are the same.
fn assert_same(
    operands: [&Array; 2],
    ours: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
    twin: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
) {
    for tracked in [[true, true], [true, false], [false, true], [false, false]] {
        let got = differentiated(operands, tracked, &ours);
        let want = differentiated(operands, tracked, &twin);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert_close(got, want, 2e-6);
        }
    }
}

fn ours(function: Pairwise) -> impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4> {
    move |a, b| {
        let otherwise = |_: Tensor<1>, _: Tensor<1>| unreachable!("the tests run on the CPU");
        let [a, b] = [a, b].map(|x| Tensor::from_dispatch(x.into_dispatch()));
        let y = AnyRank::from(pairwise(a, b, function, otherwise));
        y.tensor().unwrap()
    }
}

fn twin(function: Pairwise) -> impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4> {
    move |a, b| match function {
        Pairwise::Add => a + b,
        Pairwise::Sub => a - b,
        Pairwise::Mul => a * b,
    }
}

#[test]
fn sums_differences_and_products_broadcast() {
    for (of_a, of_b) in [
        ([2, 3, 4, 5], [2, 3, 4, 5]),
        ([2, 3, 4, 5], [2, 3, 1, 1]),
        ([1, 3, 1, 1], [2, 3, 4, 5]),
        ([2, 1, 4, 1], [1, 3, 1, 5]),
        ([1, 1, 1, 5], [2, 3, 4, 5]),
    ] {
        let [a, b] = [Array::random(of_a, 1), Array::random(of_b, 2)];
        for function in [Pairwise::Add, Pairwise::Sub, Pairwise::Mul] {
            let (ours, twin) = (ours(function), twin(function));
            assert_same([&a, &b], &ours, &twin);
            // A view; an operand that is read twice; a gradient that two nodes hold.
            let turned = |x: Tensor<4>| x.swap_dims(2, 3);
            assert_same(
                [&a, &b],
                |a, b| ours(turned(a), turned(b)),
                |a, b| twin(turned(a), turned(b)),
            );
            let nested =
                |f: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>, a: Tensor<4>, b: Tensor<4>| {
                    let y = f(a.clone(), b.clone());
                    f(f(y.clone(), a), f(y, b))
                };
            assert_same(
                [&a, &b],
                |a, b| nested(&ours, a, b),
                |a, b| nested(&twin, a, b),
            );
        }
    }
}

#[test]
fn products_of_matrices_are_differentiated_in_both_factors() {
    for (of_a, of_b) in [
        ([2, 3, 4, 5], [2, 3, 5, 6]),
        ([2, 3, 4, 5], [1, 1, 5, 6]),
        ([1, 3, 4, 5], [2, 3, 5, 1]),
        ([1, 1, 70, 33], [1, 1, 33, 90]),
    ] {
        let [a, b] = [Array::random(of_a, 1), Array::random(of_b, 2)];
        assert_same([&a, &b], matmul, Tensor::matmul);
        let attention =
            |of: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>, a: Tensor<4>, b: Tensor<4>| {
                let y = of(a.clone(), b);
                of(y.swap_dims(2, 3), a)
            };
        assert_same(
            [&a, &b],
            |a, b| attention(&matmul, a, b),
            |a, b| attention(&|a, b| a.matmul(b), a, b),
        );
    }
}

/// Two tensors one after the other, of which one does not lie in the order of its axes.
#[test]
fn pairs_are_joined_along_every_axis() {
    for axis in 0..4 {
        let mut other = [2, 3, 4, 5];
        other[axis] = 7;
        let [a, b] = [Array::random([2, 3, 5, 4], 1), Array::random(other, 2)];
        let parts = |a: Tensor<4>, b: Tensor<4>| vec![a.swap_dims(2, 3), b];
        assert_same(
            [&a, &b],
            |a, b| cat(parts(a, b), axis),
            |a, b| Tensor::cat(parts(a, b), axis),
        );
    }
}

/// What has to be moved for another shape is moved, and its gradient back.
#[test]
fn turned_tensors_take_other_shapes() {
    let [a, b] = [Array::random([2, 6, 4, 5], 1), Array::random([1; 4], 2)];
    let other = [4, 3, 10, 2];
    assert_same(
        [&a, &b],
        |a, b| AnyRank::from(a.permute([2, 0, 3, 1])).reshape(other) * b,
        |a, b| a.permute([2, 0, 3, 1]).reshape(other) * b,
    );
    // Slices are shown where they lie; what is made of them is not.
    assert_same(
        [&a, &b],
        |a, b| AnyRank::from(a.narrow(1, 2, 3)).reshape([3, 2, 5, 4]) * b,
        |a, b| a.narrow(1, 2, 3).reshape([3, 2, 5, 4]) * b,
    );
}
