//! Local response normalisation against loops, burn's autodiff, and differences.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use elucid_rules::{Lrn, local_response_norm};
use elucid_testkit::array::{
    Array, assert_close, cases, directional_difference, indices, value_and_gradient,
};
use proptest::prelude::*;

/// In double precision, straight from the definition.
fn naive_lrn(x: &Array, lrn: &Lrn) -> Array {
    let channels = x.dims[1];
    let mut y = Array::zeros(x.dims);
    for [n, c, h, w] in indices(x.dims) {
        let first = c.saturating_sub((lrn.size - 1) / 2);
        let last = (c + lrn.size / 2).min(channels - 1);
        let squares: f64 = (first..=last)
            .map(|i| f64::from(x.get([n, i, h, w])).powi(2))
            .sum();
        let s = f64::from(lrn.bias) + f64::from(lrn.alpha) / lrn.size as f64 * squares;
        let v = f64::from(x.get([n, c, h, w])) * s.powf(-f64::from(lrn.beta));
        *y.get_mut([n, c, h, w]) = v as f32;
    }
    y
}

/// The same of burn's operations, whose gradient burn derives.
fn composed_lrn(x: Tensor<4>, lrn: &Lrn) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let (below, above) = ((lrn.size - 1) / 2, lrn.size / 2);
    let squares =
        (x.clone() * x.clone()).pad([(below, above), (0, 0), (0, 0)], PadMode::Constant(0.0));
    let mut sum = squares.clone().slice([0..n, 0..c, 0..h, 0..w]);
    for i in 1..lrn.size {
        sum = sum + squares.clone().slice([0..n, i..i + c, 0..h, 0..w]);
    }
    x * (sum * (lrn.alpha / lrn.size as f32) + lrn.bias).powf_scalar(-lrn.beta)
}

fn parameters() -> impl Strategy<Value = Lrn> {
    (
        1usize..8,
        1e-4f32..2.0,
        prop_oneof![Just(0.75f32), 0.3f32..2.0],
        0.5f32..2.0,
    )
        .prop_map(|(size, alpha, beta, bias)| Lrn {
            size,
            alpha,
            beta,
            bias,
        })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn lrn_is_its_naive_twin(
        lrn in parameters(),
        dims in [1usize..4, 1..12, 1..7, 1..7],
        large: bool,
        seed: u64,
    ) {
        let scale = if large { 100.0 } else { 1.0 };
        let x = Array::random(dims, seed).map(|v| v * scale);
        let want = naive_lrn(&x, &lrn);
        let got = Array::of(local_response_norm(x.tensor(), &lrn));
        for (got, want) in got.values.iter().zip(&want.values) {
            prop_assert!((got - want).abs() <= 2e-6 * want.abs() + 1e-7, "{} {}", got, want);
        }
        let tracked = Array::of(local_response_norm(x.tracked(), &lrn).inner());
        prop_assert_eq!(tracked, got);
    }

    #[test]
    fn gradient_is_burns(
        lrn in parameters(),
        dims in [1usize..4, 1..12, 1..7, 1..7],
        seed: u64,
    ) {
        let x = Array::random(dims, seed);
        let g = |dims| Array::random(dims, seed ^ 1);
        let ours = value_and_gradient(&x, |x| local_response_norm(x, &lrn), g);
        let burns = value_and_gradient(&x, |x| composed_lrn(x, &lrn), g);
        assert_close(&ours.0, &burns.0, 1e-5);
        assert_close(&ours.1, &burns.1, 1e-5);
    }

    #[test]
    fn gradient_is_a_difference(lrn in parameters(), dims in [1usize..3, 1..9, 1..5, 1..5], seed: u64) {
        let x = Array::random(dims, seed);
        let direction = Array::random(dims, seed ^ 2);
        let g = Array::random(dims, seed ^ 1);
        let f = |x| local_response_norm(x, &lrn);
        let (_, d) = value_and_gradient(&x, f, |_| g.clone());
        let slope = directional_difference(&x, &direction, 1e-2, &g, f);
        let scale = d.values.iter().map(|v| v.abs()).sum::<f32>().max(1.0);
        prop_assert!((d.dot(&direction) - slope).abs() < 2e-3 * f64::from(scale));
    }
}

/// More positions than the kernel's block, more channels than its share, one image and several.
#[test]
fn sizes_of_a_network() {
    for dims in [[1, 70, 23, 25], [5, 9, 40, 41]] {
        let lrn = Lrn::new(5);
        let x = Array::random(dims, 3).map(|v| v * 200.0);
        assert_close(
            &Array::of(local_response_norm(x.tensor(), &lrn)),
            &naive_lrn(&x, &lrn),
            1e-6,
        );
        let g = |dims| Array::random(dims, 1);
        let ours = value_and_gradient(&x, |x| local_response_norm(x, &lrn), g);
        let burns = value_and_gradient(&x, |x| composed_lrn(x, &lrn), g);
        assert_close(&ours.1, &burns.1, 1e-5);
    }
}

#[test]
#[should_panic(expected = "must hold a channel")]
fn an_empty_window_is_refused() {
    let lrn = Lrn {
        size: 0,
        ..Lrn::new(1)
    };
    local_response_norm(Array::zeros([1, 1, 1, 1]).tensor(), &lrn);
}
