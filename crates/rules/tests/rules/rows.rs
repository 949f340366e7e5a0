//! Normalisations and softmax as burn operations: values and gradients against burn's own, views, and tensors that
//! others hold.

use burn::tensor::{Device, Tensor, activation};
use elucid_rules::{Affine, AnyRank, scale_and_shift, softmax_of_rows, standardise};
use elucid_testkit::array::{Array, assert_close, device, value_and_gradient};

const ROW: usize = 35;

fn input() -> Array {
    Array::random([2, 3, 7, 5], 3).map(|v| v * 4.0)
}

fn gradient(dims: [usize; 4]) -> Array {
    Array::random(dims, 5)
}

fn has_kernels() -> bool {
    device() == Device::flex()
}

fn rows(x: Tensor<4>) -> Tensor<2> {
    x.reshape([-1, ROW as i32])
}

/// Factors and shifts.
fn parameters(count: usize) -> [Tensor<1>; 2] {
    [8, 9].map(|seed| {
        Array::random([1, 1, 1, count], seed)
            .tensor()
            .reshape([count])
    })
}

fn affine(x: &Tensor<2>, count: usize, segment: usize) -> Option<Affine> {
    let [scale, bias] = parameters(count).map(|p| Some(AnyRank::from(p)));
    Affine::of(x, scale, bias, count, segment)
}

fn by_burn(x: Tensor<4>, count: usize, segment: usize, centred: bool) -> Tensor<4> {
    let (dims, x) = (x.dims(), rows(x));
    let x = match centred {
        true => x.clone() - x.mean_dim(1),
        false => x,
    };
    let normal = x.clone() / ((x.clone() * x).mean_dim(1) + 1e-3).sqrt();
    let normal = normal.reshape([-1, count as i32, segment as i32]);
    let [scale, bias] = parameters(count).map(|p| p.reshape([1, count as i32, 1]));
    (normal * scale + bias).reshape(dims)
}

/// Value and gradient, and the value of a view and of numbers that somebody else holds, too.
fn check(ours: impl Fn(Tensor<4>) -> Tensor<4>, twin: impl Fn(Tensor<4>) -> Tensor<4>) {
    let x = input();
    let (value, found) = value_and_gradient(&x, &ours, gradient);
    let (want, wanted) = value_and_gradient(&x, &twin, gradient);
    assert_close(&value, &want, 2e-6);
    assert_close(&found, &wanted, 5e-6);
    let tensor = x.tensor();
    assert_eq!(Array::of(ours(tensor.clone())), value);
    assert_eq!(Array::of(tensor.clone()), x, "the input is left alone");
    assert_eq!(Array::of(ours(tensor)), value);
    let view = || x.tensor().swap_dims(2, 3);
    assert_close(&Array::of(ours(view())), &Array::of(twin(view())), 2e-6);
}

#[test]
fn rows_are_standardised_as_by_burn() {
    // A factor for each number, for each group of channels, for each image's channels in turn.
    for (count, segment) in [(ROW, 1), (5, 7), (10, 7), (3, ROW)] {
        for centred in [true, false] {
            let twin = |x| by_burn(x, count, segment, centred);
            let ours = |x: Tensor<4>| {
                let (dims, rows) = (x.dims(), rows(x.clone()));
                match affine(&rows, count, segment) {
                    Some(affine) => {
                        let y = standardise(&rows, affine, centred, 1e-3);
                        y.expect("segments that fit").reshape(dims)
                    }
                    None => twin(x),
                }
            };
            check(ours, twin);
        }
    }
}

#[test]
fn what_has_no_kernel_is_said() {
    let x = rows(input().tensor());
    let [scale, bias] = parameters(ROW);
    let tracked = Some(AnyRank::from(scale.autodiff().require_grad()));
    assert!(Affine::of(&x, tracked, Some(AnyRank::from(bias)), ROW, 1).is_none());
    assert!(Affine::of(&x, None, None, 0, 1).is_none());
    if has_kernels() {
        let apart = Affine::of(&x, None, None, 4, 4).expect("a kernel on this device");
        assert!(standardise(&x, apart, true, 1e-3).is_none());
    }
}

#[test]
fn softmax_is_that_of_burn() {
    let ours = |x: Tensor<4>| {
        let dims = x.dims();
        softmax_of_rows(rows(x), |x| activation::softmax(x, 1)).reshape(dims)
    };
    check(ours, |x| {
        let dims = x.dims();
        activation::softmax(rows(x), 1).reshape(dims)
    });
}

#[test]
fn channels_are_scaled_and_shifted_as_by_burn() {
    let twin = |x: Tensor<4>| {
        let [scale, bias] = parameters(3).map(|p| p.reshape([1, 3, 1, 1]));
        x * scale + bias
    };
    let ours = |x: Tensor<4>| match affine(&rows(x.clone()), 3, ROW) {
        None => twin(x),
        affine => {
            let swept = |x| scale_and_shift(x, affine, |_| unreachable!("there are factors"));
            AnyRank::from(x).map(swept).tensor().unwrap()
        }
    };
    check(ours, twin);
}
