//! Functions of each number as burn operations: values and gradients against burn's own, ranks, and tensors that
//! others hold.

use burn::tensor::{Tensor, activation};
use elucid_rules::{AnyRank, Pointwise, pointwise};
use elucid_testkit::array::{Array, assert_close, device, value_and_gradient};

type Twin = fn(Tensor<1>) -> Tensor<1>;

const CASES: [(Pointwise, Twin); 12] = [
    (
        Pointwise::HardSigmoid {
            alpha: 0.25,
            beta: 0.5,
        },
        |x| (x * 0.25 + 0.5).clamp(0.0, 1.0),
    ),
    (Pointwise::HardSwish, |x| {
        x.clone() * (x / 6.0 + 0.5).clamp(0.0, 1.0)
    }),
    (Pointwise::GeluTanh, |x| {
        let within = (x.clone() + x.clone().powi_scalar(3) * 0.044_715) * 0.797_884_6;
        x * 0.5 * (within.tanh() + 1.0)
    }),
    (Pointwise::Exp, |x| x.exp()),
    (Pointwise::Erf, |x| x.erf()),
    (Pointwise::Sigmoid, activation::sigmoid),
    (Pointwise::Tanh, |x| x.tanh()),
    (Pointwise::Swish { alpha: 1.0 }, |x| {
        x.clone() * activation::sigmoid(x)
    }),
    (Pointwise::Gelu, |x| {
        x.clone() * 0.5 * ((x * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0)
    }),
    (Pointwise::Relu, activation::relu),
    (
        Pointwise::Clip {
            min: -0.5,
            max: 0.75,
        },
        |x| x.clamp(-0.5, 0.75),
    ),
    (Pointwise::LeakyRelu { alpha: 0.25 }, |x| {
        activation::leaky_relu(x, 0.25)
    }),
];

/// Of any rank.
fn each(x: Tensor<4>, f: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Tensor<4> {
    AnyRank::from(x).map(f).tensor().unwrap()
}

#[test]
fn values_and_gradients_are_those_of_burn() {
    let x = Array::random([2, 3, 41, 73], 3).map(|v| v * 4.0);
    let g = |dims| Array::random(dims, 5);
    for (function, twin) in CASES {
        let ours = |x| pointwise(x, function, |_| panic!("a kernel on this device"));
        let ours = |x: Tensor<4>| match device() == burn::tensor::Device::flex() {
            true => each(x, ours),
            false => each(x, |x| pointwise(x, function, twin)),
        };
        let (value, gradient) = value_and_gradient(&x, ours, g);
        let (want, want_gradient) = value_and_gradient(&x, |x| each(x, twin), g);
        assert_close(&value, &want, 1e-6);
        assert_close(&gradient, &want_gradient, 2e-6);
        // Without gradients, the numbers being somebody else's, too, and nobody else's.
        let tensor = x.tensor();
        assert_eq!(Array::of(ours(tensor.clone())), value);
        assert_eq!(
            Array::of(tensor.clone()),
            x,
            "{function:?} left its input alone"
        );
        assert_eq!(Array::of(ours(tensor)), value);
    }
}

/// A view is not what its memory holds in a row.
#[test]
fn of_views() {
    let x = Array::random([2, 3, 5, 7], 4);
    for (function, twin) in CASES {
        let view = || x.tensor().swap_dims(1, 3).slice([0..2, 1..6, 0..5, 0..2]);
        let got = each(view(), |x| pointwise(x, function, twin));
        assert_close(&Array::of(got), &Array::of(each(view(), twin)), 1e-6);
    }
}
