//! Pooling against loops that can be checked by eye, against burn, and against differences.

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, module};
use elucid_rules::{Pool2d, PoolError, avg_pool2d, max_pool2d};
use elucid_testkit::array::{
    Array, assert_close, cases, device, directional_difference, indices, output_dims,
    pool_and_dims, value_and_gradient, window,
};
use proptest::prelude::*;

/// Output and gradient of max-pool.
fn naive_max_pool(x: &Array, pool: &Pool2d, g: &Array) -> (Array, Array) {
    let [_, _, height, width] = x.dims;
    let mut y = Array::zeros(g.dims);
    let mut d = Array::zeros(x.dims);
    for [n, c, i, j] in indices(g.dims) {
        let positions = window(pool, [i, j], [height, width]);
        let mut best = positions[0];
        for &[r, q] in &positions {
            if x.get([n, c, r, q]) > x.get([n, c, best[0], best[1]]) {
                best = [r, q];
            }
        }
        *y.get_mut([n, c, i, j]) = x.get([n, c, best[0], best[1]]);
        *d.get_mut([n, c, best[0], best[1]]) += g.get([n, c, i, j]);
    }
    (y, d)
}

/// Output and gradient of average-pool without padding in the count.
fn naive_avg_pool(x: &Array, pool: &Pool2d, g: &Array) -> (Array, Array) {
    let [_, _, height, width] = x.dims;
    let mut y = Array::zeros(g.dims);
    let mut d = Array::zeros(x.dims);
    for [n, c, i, j] in indices(g.dims) {
        let positions = window(pool, [i, j], [height, width]);
        let share = 1.0 / positions.len() as f32;
        for [r, q] in positions {
            *y.get_mut([n, c, i, j]) += share * x.get([n, c, r, q]);
            *d.get_mut([n, c, r, q]) += share * g.get([n, c, i, j]);
        }
    }
    (y, d)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn max_pool_is_its_naive_twin((pool, dims) in pool_and_dims(), seed: u64, ties: bool) {
        let x = if ties {
            Array::random_with_ties(dims, seed)
        } else {
            Array::random(dims, seed)
        };
        let g = Array::random(output_dims(&pool, dims), seed ^ 1);
        let (y, d) = naive_max_pool(&x, &pool, &g);
        prop_assert_eq!(&Array::of(max_pool2d(x.tensor(), &pool)), &y);
        let (tracked_y, tracked_d) =
            value_and_gradient(&x, |x| max_pool2d(x, &pool), |_| g.clone());
        prop_assert_eq!(&tracked_y, &y);
        assert_close(&tracked_d, &d, 1e-6);
    }

    #[test]
    fn avg_pool_is_its_naive_twin((pool, dims) in pool_and_dims(), seed: u64) {
        let x = Array::random(dims, seed);
        let g = Array::random(output_dims(&pool, dims), seed ^ 1);
        let (y, d) = naive_avg_pool(&x, &pool, &g);
        assert_close(&Array::of(avg_pool2d(x.tensor(), &pool, false)), &y, 1e-5);
        let (tracked_y, tracked_d) =
            value_and_gradient(&x, |x| avg_pool2d(x, &pool, false), |_| g.clone());
        assert_close(&tracked_y, &y, 1e-5);
        assert_close(&tracked_d, &d, 1e-5);
    }

    #[test]
    fn pools_are_burns_own_where_burn_has_them(
        kernel in 1usize..4,
        stride in 1usize..4,
        pad in 0usize..2,
        ceil_mode: bool,
        dims in [1usize..3, 1..4, 3..10, 3..10],
        seed: u64,
    ) {
        prop_assume!(pad * 2 <= kernel);
        let pool = Pool2d::new([kernel; 2]).stride([stride; 2]).pads([pad; 4]).ceil_mode(ceil_mode);
        prop_assume!(pool.output_size([dims[2], dims[3]]).is_ok());
        let x = Array::random(dims, seed);
        let g = |dims| Array::random(dims, seed ^ 1);

        let options = MaxPoolOptions::new([kernel; 2])
            .with_stride([stride; 2])
            .with_padding([pad; 2])
            .with_ceil_mode(ceil_mode);
        let ours = value_and_gradient(&x, |x| max_pool2d(x, &pool), g);
        let burns = value_and_gradient(&x, |x| module::max_pool2d(x, options.clone()), g);
        assert_close(&ours.0, &burns.0, 1e-6);
        assert_close(&ours.1, &burns.1, 1e-6);

        let options = AvgPoolOptions::new([kernel; 2])
            .with_stride([stride; 2])
            .with_padding([pad; 2])
            .with_ceil_mode(ceil_mode);
        for count_include_pad in [false, true] {
            let options = options.clone().with_count_include_pad(count_include_pad);
            let ours =
                value_and_gradient(&x, |x| avg_pool2d(x, &pool, count_include_pad), g);
            let burns = value_and_gradient(&x, |x| module::avg_pool2d(x, options.clone()), g);
            assert_close(&ours.0, &burns.0, 1e-5);
            assert_close(&ours.1, &burns.1, 1e-5);
        }
    }

    #[test]
    fn gradients_are_differences((pool, dims) in pool_and_dims(), seed: u64) {
        // Values far enough apart that the step changes no maximum.
        let len = dims.iter().product::<usize>();
        let mut x = Array::zeros(dims);
        for (i, v) in x.values.iter_mut().enumerate() {
            *v = ((i * 7919 + seed as usize % 97) % len) as f32 * 0.05 - 1.0;
        }
        let direction = Array::random(dims, seed);
        let g = Array::random(output_dims(&pool, dims), seed ^ 1);
        let check = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let (_, d) = value_and_gradient(&x, f, |_| g.clone());
            let slope = directional_difference(&x, &direction, 1e-2, &g, f);
            let scale = d.values.iter().map(|v| v.abs()).sum::<f32>().max(1.0);
            assert!((d.dot(&direction) - slope).abs() < 2e-3 * f64::from(scale));
        };
        if len % 7919 != 0 {
            check(&|x| max_pool2d(x, &pool));
        }
        check(&|x| avg_pool2d(x, &pool, true));
        check(&|x| avg_pool2d(x, &pool, false));
    }
}

#[test]
fn padding_counts_only_when_asked() {
    let x = Array::zeros([1, 1, 2, 2]).map(|_| 1.0);
    let pool = Pool2d::new([3, 3]).pads([1; 4]);
    let with = Array::of(avg_pool2d(x.tensor(), &pool, true));
    assert_close(&with, &Array::zeros([1, 1, 2, 2]).map(|_| 4.0 / 9.0), 1e-6);
    let without = Array::of(avg_pool2d(x.tensor(), &pool, false));
    assert_close(&without, &x, 1e-6);

    // The window at the end reaches past the padding; what lies there counts for neither.
    let pool = Pool2d::new([2, 2]).stride([2, 2]).ceil_mode(true);
    let x = Array::zeros([1, 1, 3, 3]).map(|_| 1.0);
    let ones = Array::zeros([1, 1, 2, 2]).map(|_| 1.0);
    assert_close(&Array::of(avg_pool2d(x.tensor(), &pool, true)), &ones, 1e-6);
}

#[test]
fn max_pool_passes_nan_and_infinity_on() {
    if std::env::var("ELUCID_TEST_DEVICE").as_deref() == Ok("wgpu") {
        return; // Shader languages promise nothing about either.
    }
    let mut x = Array::zeros([1, 1, 3, 3]).map(|_| f32::NEG_INFINITY);
    let pool = Pool2d::new([2, 2]);
    let (y, d) = value_and_gradient(
        &x,
        |x| max_pool2d(x, &pool),
        |dims| Array::zeros(dims).map(|_| 1.0),
    );
    assert!(y.values.iter().all(|v| *v == f32::NEG_INFINITY));
    assert_eq!(d.values, [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);

    *x.get_mut([0, 0, 0, 0]) = f32::NAN;
    *x.get_mut([0, 0, 0, 1]) = 3.0;
    for y in [
        Array::of(max_pool2d(x.tensor(), &pool)),
        value_and_gradient(&x, |x| max_pool2d(x, &pool), Array::zeros).0,
    ] {
        assert!(y.values[0].is_nan());
        assert_eq!(y.values[1], 3.0);
    }
}

#[test]
fn empty_batches_are_fine() {
    let x = Tensor::<4>::zeros([0, 3, 5, 5], &device());
    if std::env::var("ELUCID_TEST_DEVICE").as_deref() != Ok("wgpu") {
        let pool = Pool2d::new([2, 2]);
        assert_eq!(max_pool2d(x.clone(), &pool).dims(), [0, 3, 4, 4]);
        assert_eq!(avg_pool2d(x, &pool, false).dims(), [0, 3, 4, 4]);
    }
}

#[test]
fn views_are_pooled_like_copies() {
    let x = Array::random([2, 3, 6, 7], 5).tensor();
    let view = x.swap_dims(2, 3).slice([0..2, 1..3, 0..7, 1..6]);
    let copy = Array::of(view.clone()).tensor();
    let pool = Pool2d::new([3, 2]).stride([2, 1]).pads([1, 0, 0, 1]);
    assert_eq!(
        Array::of(max_pool2d(view, &pool)),
        Array::of(max_pool2d(copy, &pool))
    );
}

#[test]
fn a_stride_may_pass_the_input() {
    let x = Array::random([1, 2, 4, 3], 5);
    let pool = Pool2d::new([2, 2]).stride([7, 1 << 20]);
    let g = Array::random([1, 2, 1, 1], 6);
    let (y, d) = naive_max_pool(&x, &pool, &g);
    let got = value_and_gradient(&x, |x| max_pool2d(x, &pool), |_| g.clone());
    assert_eq!(got, (y, d));
}

#[test]
fn output_sizes() {
    let size = |pool: Pool2d, input| pool.output_size(input).unwrap();
    let pool3 = Pool2d::new([3, 3]).stride([2, 2]);
    assert_eq!(size(pool3, [112, 112]), [55, 55]);
    assert_eq!(size(pool3.ceil_mode(true), [112, 112]), [56, 56]);
    assert_eq!(size(pool3.pads([0, 0, 1, 1]), [112, 112]), [56, 56]);
    assert_eq!(size(Pool2d::new([3, 3]).pads([1; 4]), [28, 14]), [28, 14]);
    // Rounded up to three windows, of which the last would start past the input.
    let pool = Pool2d::new([2, 2])
        .stride([2, 2])
        .pads([1, 1, 1, 1])
        .ceil_mode(true);
    assert_eq!(size(pool, [3, 3]), [2, 2]);
    // Dilated windows over an input shorter than the dilation.
    let pool = Pool2d::new([3, 1]).dilation([2, 1]).pads([2, 0, 2, 0]);
    assert_eq!(size(pool, [1, 1]), [1, 1]);
}

#[test]
fn impossible_pools_are_errors() {
    let error = |pool: Pool2d, input| pool.output_size(input).unwrap_err();
    assert_eq!(
        error(Pool2d::new([3, 0]), [8, 8]).to_string(),
        "the kernel of a pool must be at least 1, not [3, 0]"
    );
    assert!(matches!(
        error(Pool2d::new([1, 1]).stride([0, 1]), [8, 8]),
        PoolError::Zero { what: "stride", .. }
    ));
    assert!(matches!(
        error(Pool2d::new([3, 3]), [8, 2]),
        PoolError::WindowTooLarge {
            axis: 1,
            extent: 3,
            size: 2,
            padded: 2
        }
    ));
    assert!(matches!(
        error(Pool2d::new([1, 1]), [0, 2]),
        PoolError::WindowTooLarge { axis: 0, .. }
    ));
    assert!(matches!(
        error(Pool2d::new([2, 2]).pads([2, 0, 0, 0]), [8, 8]),
        PoolError::WindowInPadding {
            axis: 0,
            before: 2,
            ..
        }
    ));
    assert!(matches!(
        error(
            Pool2d::new([2, 1]).dilation([2, 1]).pads([1, 0, 1, 0]),
            [1, 1]
        ),
        PoolError::WindowInPadding { .. }
    ));
    for huge in [
        Pool2d::new([usize::MAX, 1]).dilation([usize::MAX, 1]),
        Pool2d::new([1, 1]).stride([1 << 62, 1]),
        Pool2d::new([1, 1]).pads([0, 0, 1 << 62, 0]),
    ] {
        assert!(matches!(
            error(huge, [8, 8]),
            PoolError::TooLarge { axis: 0, .. }
        ));
    }
    assert!(matches!(
        error(Pool2d::new([1, 1]), [8, 1 << 62]),
        PoolError::TooLarge { axis: 1, .. }
    ));
}
