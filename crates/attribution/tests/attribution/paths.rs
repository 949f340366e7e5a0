//! The path family on functions worked out by hand, and on SqueezeNet.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, activation};
use elucid_attribution::{
    Attribution, AttributionError, Attributor, Baseline, BlurIntegratedGradients,
    GuidedIntegratedGradients, IntegratedGradients, Method, MethodOptions, Network, Quadrature,
    Target,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::{relative_error, tensor};
use ndarray::{Array1, Axis};

use super::shared::{CAT, SQUEEZENET as MODEL};

fn logit(images: &Tensor<4>, class: usize) -> f64 {
    f64::from(MODEL.classify(images).unwrap().logits()[[0, class]])
}

/// One image of two numbers.
fn pair(x: f32, y: f32) -> Tensor<4> {
    tensor(vec![x, y], [1, 2, 1, 1])
}

fn split(x: Tensor<4>) -> [Tensor<2>; 2] {
    let n = x.dims()[0];
    [0, 1].map(|c| x.clone().narrow(1, c, 1).reshape([n, 1]))
}

/// `x y`
fn product(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    x * y
}

/// `relu(x + y - 1)`
fn kink(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    activation::relu(x + y - 1.0)
}

fn explain(method: &dyn Attributor, network: &dyn Network, image: &Tensor<4>) -> Attribution {
    method.attribute(network, image, Target::class(0)).unwrap()
}

fn assert_close(got: &Attribution, want: &[f32], tolerance: f32) {
    let error = relative_error(got.values(), want);
    assert!(error <= tolerance, "{:?}, expected {want:?}", got.values());
}

fn all_quadratures() -> impl Iterator<Item = Quadrature> {
    Quadrature::NAMES.iter().map(|&(_, rule)| rule)
}

/// `0..count` as van der Corput's sequence of fractions has them.
fn van_der_corput(count: usize) -> Vec<usize> {
    let size = count.next_power_of_two();
    let fraction = |i: usize| {
        let (mut i, mut value, mut digit) = (i, 0.0, 0.5);
        while i > 0 {
            value += digit * (i % 2) as f64;
            (i, digit) = (i / 2, digit / 2.0);
        }
        value
    };
    let places = (0..size).map(|i| (fraction(i) * size as f64) as usize);
    places.filter(|&place| place < count).collect()
}

/// Stopped after so many points, with a batch of one.
fn stopped(method: IntegratedGradients, points: usize, images: &Tensor<4>) -> Attribution {
    let method = method.batch_size(1).keep_partial(true);
    let method = method.progress(move |p| match p.done >= points {
        true => p.cancel(),
        false => p.continue_(),
    });
    explain(&method, &bent, images)
}

/// `sin(3 x) y^2`
fn bent(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    (x * 3.0).sin() * y.clone() * y
}

#[test]
fn what_is_stopped_is_the_weighted_mean_so_far() {
    let (x, y) = (0.8_f64, 1.5_f64);
    let image = pair(x as f32, y as f32);
    let start = [0.1, -0.4];
    let baselines = || {
        let second = Baseline::constant(start.map(|v| v as f32));
        Baseline::several([Baseline::zero(), second])
    };
    let steps = 7;
    for rule in all_quadratures() {
        let method = || {
            let method = IntegratedGradients::new().quadrature(rule).steps(steps);
            method.baseline(baselines())
        };
        let whole = explain(&method(), &bent, &image);
        let nodes = rule.nodes(steps);
        let points = 2 * nodes.len();
        let kept = explain(&method().keep_partial(true), &bent, &image);
        assert!(relative_error(kept.values(), whole.values()) < 1e-5);
        assert!(kept.planned().is_empty());
        for reached in [1, 3, points - 1] {
            let found = stopped(method(), reached, &Tensor::cat(vec![image.clone(); 2], 0));
            let (mut sum, mut weights) = ([0.0; 2], 0.0);
            for &i in &van_der_corput(points)[..reached] {
                let (at, weight) = nodes[i % nodes.len()];
                let [a, b] = [[0.0, 0.0], start][i / nodes.len()];
                let (u, v) = (a + at * (x - a), b + at * (y - b));
                let gradient = [3.0 * (3.0 * u).cos() * v * v, 2.0 * (3.0 * u).sin() * v];
                sum[0] += weight * gradient[0] * (x - a);
                sum[1] += weight * gradient[1] * (y - b);
                weights += weight;
            }
            let want = sum.map(|sum| (sum / weights) as f32);
            let got = found.values().index_axis(Axis(0), 0);
            let error = relative_error(got.view(), &want);
            assert!(
                error < 1e-5,
                "{rule} of {reached}: {got:?}, expected {want:?}"
            );
            assert_eq!(found.evaluations(), [reached, 0]);
            assert_eq!(found.planned(), [points; 2]);
            let later = found.values().index_axis(Axis(0), 1);
            assert!(later.iter().all(|&v| v == 0.0));
            // What images are worth is known all the same.
            assert_eq!(found.scores()[0], found.scores()[1]);
        }
    }
}

#[test]
fn stopped_adaptive_integration_is_the_trapezoid_so_far() {
    let image = pair(0.8, 1.5);
    let method = || IntegratedGradients::adaptive(1e-9).max_evaluations(200);
    // Before there are intervals everywhere there is nothing.
    let none = stopped(method(), 20, &image);
    assert_eq!((none.evaluations(), none.planned()), (&[0][..], &[200][..]));
    assert!(none.values().iter().all(|&v| v == 0.0));
    let first = stopped(method(), 33, &image);
    let trapezoid = IntegratedGradients::notebook().steps(32);
    let trapezoid = explain(&trapezoid, &bent, &image);
    assert!(relative_error(first.values(), trapezoid.values()) < 1e-5);
    assert_eq!(
        (first.evaluations(), first.tolerance_met()),
        (&[33][..], &[false][..])
    );
    // More of them are nearer.
    let later = stopped(method(), 120, &image);
    let errors = [&first, &later].map(|found| found.completeness_error().unwrap());
    assert!(errors[1] < errors[0], "{errors:?}");
}

#[test]
fn a_product_is_shared_evenly() {
    // d(xy)/dx along the line from 0 is t y, whose integral is y/2.
    for rule in all_quadratures() {
        let method = IntegratedGradients::new().quadrature(rule).steps(20);
        let got = explain(&method, &product, &pair(3.0, -2.0));
        // The rules that take one end see the mean of 20 steps half a step too early or too late.
        let ends = match rule {
            Quadrature::Left => 0.95,
            Quadrature::Right => 1.05,
            _ => 1.0,
        };
        assert_close(&got, &[-3.0 * ends, -3.0 * ends], 1e-6);
        let complete = got.completeness()[0];
        assert!((complete.expected + 6.0).abs() < 1e-6);
        assert!((complete.error() - f64::from((ends - 1.0).abs())).abs() < 1e-6);
        let nodes = 20 + usize::from(rule == Quadrature::Trapezoid);
        assert_eq!(got.evaluations(), [nodes]);
        assert!(got.tolerance_met().is_empty());
    }
}

#[test]
fn a_baseline_moves_the_path() {
    // From (1, 1) to (3, 2): the gradient (y, x) is (1 + t, 1 + 2 t), its integral (1.5, 2).
    let method = IntegratedGradients::new().baseline(Baseline::constant([1.0]));
    let got = explain(&method, &product, &pair(3.0, 2.0));
    assert_close(&got, &[3.0, 2.0], 1e-6);
    assert_eq!(got.completeness()[0].expected, 5.0);
    let given = IntegratedGradients::new().baseline(Baseline::image(&pair(1.0, 1.0)));
    assert_eq!(
        explain(&given, &product, &pair(3.0, 2.0)).values(),
        got.values()
    );
}

#[test]
fn adaptive_finds_the_kink() {
    // The ReLU opens at t = 1/3, so each number keeps 2/3 of itself.
    let image = pair(2.0, 1.0);
    for tolerance in [1e-1, 1e-2, 1e-4] {
        let got = explain(&IntegratedGradients::adaptive(tolerance), &kink, &image);
        assert_eq!(got.tolerance_met(), [true]);
        assert!(got.completeness_error().unwrap() <= tolerance);
        assert_close(&got, &[4.0 / 3.0, 2.0 / 3.0], tolerance as f32);
        // Each halving of the one interval with the kink halves the error.
        assert!(got.evaluations()[0] < 50, "{:?}", got.evaluations());
    }
    let even = explain(&IntegratedGradients::notebook().steps(49), &kink, &image);
    assert!(even.completeness_error().unwrap() > 1e-3);
}

#[test]
fn adaptive_says_when_the_evaluations_are_spent() {
    let method = IntegratedGradients::adaptive(1e-6).max_evaluations(12);
    let got = explain(&method, &kink, &pair(2.0, 1.0));
    assert_eq!(got.tolerance_met(), [false]);
    assert_eq!(got.evaluations(), [12]);
    assert!(got.to_string().contains("tolerance not met"), "{got}");
}

#[test]
fn errors_that_cancel_are_not_accuracy() {
    // The slope rises by 2 at 0.3 and falls by 2 at 0.8: whatever even steps of 1/8, and their
    // halves, miss at the one kink they miss with the other sign at the other.
    let plateau = |x: Tensor<4>| {
        let [x, _] = split(x);
        (x.clone() - 0.3).abs() - (x.clone() - 0.8).abs() + x
    };
    let got = explain(
        &IntegratedGradients::adaptive(1e-3),
        &plateau,
        &pair(1.0, 0.0),
    );
    let trapezoid = IntegratedGradients::notebook().steps(8);
    let even = explain(&trapezoid, &plateau, &pair(1.0, 0.0));
    assert!(even.completeness_error().unwrap() < 1e-6);
    assert_eq!(got.tolerance_met(), [true]);
    assert!(got.evaluations()[0] > 40, "{:?}", got.evaluations());
}

#[test]
fn scores_that_do_not_differ() {
    // x - y from (0, 0) to (1, 1).
    let difference = |x: Tensor<4>| {
        let [x, y] = split(x);
        x - y
    };
    let methods: [(&dyn Attributor, bool); 3] = [
        (&IntegratedGradients::new(), false),
        (&IntegratedGradients::adaptive(0.01), true),
        (&GuidedIntegratedGradients::new(), false),
    ];
    for (method, adaptive) in methods {
        let got = explain(method, &difference, &pair(1.0, 1.0));
        assert_close(&got, &[1.0, -1.0], 1e-5);
        assert!(got.completeness_error().unwrap() < 1e-5);
        // The image itself as its baseline.
        let nothing = explain(method, &difference, &pair(0.0, 0.0));
        assert!(nothing.values().iter().all(|&v| v == 0.0));
        assert_eq!(nothing.completeness_error(), Some(0.0));
        if adaptive {
            assert_eq!(nothing.tolerance_met(), [true]);
        }
    }
    // Scores that do not differ and gradients that bend: there is no difference to be relative to.
    let hill = |x: Tensor<4>| {
        let [x, _] = split(x);
        (x.clone() - 0.3).abs() - (x - 0.7).abs()
    };
    let from = Baseline::constant([-1.0, 0.0]);
    let method = IntegratedGradients::adaptive(0.01)
        .baseline(Baseline::several([from, Baseline::constant([2.0, 0.0])]));
    let got = explain(&method.max_evaluations(50), &hill, &pair(0.5, 0.0));
    assert_eq!(got.tolerance_met(), [false]);
    assert_eq!(got.evaluations(), [50]);
}

#[test]
fn several_baselines_are_averaged() {
    let image = pair(1.5, -0.5);
    let each = [
        Baseline::zero(),
        Baseline::constant([0.5, -1.0]),
        Baseline::image(&pair(2.0, 2.0)),
        Baseline::noise(-1.0, 1.0),
    ];
    let curved = |x: Tensor<4>| {
        let [x, y] = split(x);
        (x.clone() * y.clone()).exp() + activation::relu(x - y)
    };
    let together: [Box<dyn Attributor>; 3] = [
        Box::new(IntegratedGradients::new().baseline(Baseline::several(each.clone()))),
        Box::new(
            IntegratedGradients::adaptive(1e-4)
                .max_evaluations(4000)
                .baseline(Baseline::several(each.clone())),
        ),
        Box::new(GuidedIntegratedGradients::new().baseline(Baseline::several(each.clone()))),
    ];
    let single = |kind: usize, baseline: Baseline| -> Box<dyn Attributor> {
        match kind {
            0 => Box::new(IntegratedGradients::new().baseline(baseline)),
            1 => Box::new(IntegratedGradients::adaptive(1e-4).baseline(baseline)),
            _ => Box::new(GuidedIntegratedGradients::new().baseline(baseline)),
        }
    };
    for (kind, method) in together.iter().enumerate() {
        let got = explain(method, &curved, &image);
        let mut values = Array1::<f32>::zeros(2);
        let mut expected = 0.0;
        for baseline in &each {
            let one = explain(&single(kind, baseline.clone()), &curved, &image);
            values = values + one.values().flatten() / 4.0;
            expected += one.completeness()[0].expected / 4.0;
        }
        let error = relative_error(got.values(), &values);
        assert!(
            error < if kind == 1 { 3e-4 } else { 1e-6 },
            "{kind}: {error:.1e}"
        );
        assert!((got.completeness()[0].expected - expected).abs() < 1e-6);
    }
}

#[test]
fn guided_moves_small_gradients_first() {
    // x y + x at (0, 0) has the gradient (1, 0): y moves first and earns nothing, then x, whose
    // gradient has become 2.
    let network = |x: Tensor<4>| {
        let [x, y] = split(x);
        x.clone() * y + x
    };
    let method = GuidedIntegratedGradients::new().steps(2).max_distance(1.0);
    let got = explain(&method, &network, &pair(1.0, 1.0));
    assert_close(&got, &[2.0, 0.0], 1e-7);
    assert_eq!(got.completeness_error(), Some(0.0));
    assert_eq!(got.evaluations(), [2]);
    // No distance from the straight path: integrated gradients by the left rule, whose first step
    // is at 0.
    let straight = GuidedIntegratedGradients::new().steps(10).max_distance(0.0);
    let left = IntegratedGradients::new()
        .quadrature(Quadrature::Left)
        .steps(10);
    let image = pair(1.3, -0.4);
    let want = explain(&left, &network, &image);
    let got = explain(&straight, &network, &image);
    assert!(relative_error(got.values(), want.values()) < 1e-6);
}

#[test]
fn linear_functions_give_their_weights_on_any_path() {
    let image = tensor(
        (0..2 * 5 * 7).map(|i| (i as f32).sin()).collect(),
        [1, 2, 5, 7],
    );
    let weights = tensor(
        (0..2 * 5 * 7).map(|i| (i as f32).cos()).collect(),
        [1, 2, 5, 7],
    );
    let linear = |x: Tensor<4>| {
        let n = x.dims()[0];
        (x * weights.clone()).reshape([n as i32, -1]).sum_dim(1)
    };
    let values = |x: Tensor<4>| -> Vec<f32> { x.into_data().iter::<f32>().collect() };
    let from_zero = values(image.clone() * weights.clone());
    for method in [
        Box::new(IntegratedGradients::new().steps(3)) as Box<dyn Attributor>,
        Box::new(IntegratedGradients::adaptive(0.1)),
        Box::new(GuidedIntegratedGradients::new().steps(9)),
    ] {
        assert_close(&explain(&method, &linear, &image), &from_zero, 1e-5);
    }
    // The path of the blur ends at the image, wherever it begins.
    let blurred = BlurIntegratedGradients::new().steps(7).max_sigma(2.0);
    let from_blur = IntegratedGradients::new().baseline(Baseline::blur(2.0));
    let want = explain(&from_blur, &linear, &image);
    let got = explain(&blurred, &linear, &image);
    assert!(relative_error(got.values(), want.values()) < 1e-5);
    assert!(got.completeness_error().unwrap() < 1e-5);
    assert_eq!(got.evaluations(), [8]);
}

/// A convolution is linear, so the path is the same before it and behind it, and so is what all
/// its numbers together contribute.
#[test]
fn behind_a_linear_layer_the_path_is_the_same() {
    for method in [
        IntegratedGradients::new().steps(7),
        IntegratedGradients::notebook()
            .steps(3)
            .baseline(Baseline::constant([-30.0, 0.0, 30.0])),
    ] {
        let explain = |method: &IntegratedGradients| {
            let target = Target::class(285);
            let got = method.attribute(&*MODEL, &*CAT, target).unwrap();
            (got.completeness()[0], got.layer().to_owned())
        };
        let (input, _) = explain(&method);
        let (layer, name) = explain(&method.at("conv1"));
        assert_eq!(name, "conv1");
        let error = (layer.sum - input.sum).abs() / input.sum.abs();
        assert!(error < 1e-4, "{input:?} {layer:?}");
        assert!((layer.expected - input.expected).abs() < 1e-4);
    }
}

#[test]
fn along_the_activations_of_a_layer() {
    let layer = "fire6/concat";
    let at = MODEL.pass().input(&*CAT).fetch([layer]).unwrap();
    let zeros = at.get(layer).unwrap().zeros_like();
    let from_zeros = MODEL.pass().feed(layer, zeros).fetch([LOGITS]).unwrap();
    let from_zeros = from_zeros.get(LOGITS).unwrap().to_array().unwrap();
    let want = logit(&CAT, 285) - f64::from(from_zeros[[0, 285]]);
    let method = IntegratedGradients::adaptive(0.01)
        .at(layer)
        .from_zero_activations();
    let got = method
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    println!("{got}");
    assert_eq!(got.values().shape(), at.get(layer).unwrap().shape());
    assert!((got.completeness()[0].expected - want).abs() < 1e-4);
    assert_eq!(got.tolerance_met(), [true]);
    assert!(got.completeness_error().unwrap() < 0.01);
    // From the baseline's activations instead.
    let zero = CAT.zeros_like();
    let want = logit(&CAT, 285) - logit(&zero, 285);
    let got = IntegratedGradients::adaptive(0.01)
        .at(layer)
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    println!("{got}");
    assert!((got.completeness()[0].expected - want).abs() < 1e-4);
    assert!(got.completeness_error().unwrap() < 0.01);
}

#[test]
fn probabilities_are_complete_too() {
    let target = || Target::probability(285);
    let got = IntegratedGradients::adaptive(0.02)
        .attribute(&*MODEL, &*CAT, target())
        .unwrap();
    println!("{got}");
    let probability = |x: &Tensor<4>| MODEL.classify(x).unwrap().probabilities(0).unwrap()[285];
    let want = probability(&CAT) - probability(&CAT.zeros_like());
    assert!((got.completeness()[0].expected - f64::from(want)).abs() < 1e-5);
    assert_eq!(got.tolerance_met(), [true]);
    assert!(got.completeness_error().unwrap() < 0.02);
}

#[test]
fn paths_of_the_blur_and_of_small_gradients_are_complete() {
    let methods: [(Box<dyn Attributor>, f64); 2] = [
        (
            Box::new(BlurIntegratedGradients::new().max_sigma(10.0)),
            0.05,
        ),
        // The gradient at the beginning of each step stands for the whole step, and near the
        // baseline it changes fast: with 800 steps 4 % are left.
        (Box::new(GuidedIntegratedGradients::new().steps(100)), 0.2),
    ];
    for (method, within) in methods {
        let target = Target::class(285);
        let got = method.attribute(&*MODEL, &*CAT, target).unwrap();
        println!("{got}");
        assert!(got.completeness_error().unwrap() < within, "{got}");
        if method.name() == "guided-ig" {
            let want = logit(&CAT, 285) - logit(&CAT.zeros_like(), 285);
            assert!((got.completeness()[0].expected - want).abs() < 1e-4);
        }
    }
    // Where the gradient does not jump, twice the steps halve the error.
    let image = tensor(wave(40, 1.0), [1, 40, 1, 1]);
    let error = |steps| {
        let got = explain(
            &GuidedIntegratedGradients::new().steps(steps),
            &curved,
            &image,
        );
        got.completeness_error().unwrap()
    };
    let (coarse, fine) = (error(200), error(400));
    println!("guided, smooth: {coarse:.1e}, {fine:.1e}");
    assert!(
        coarse < 0.02 && fine < 0.6 * coarse,
        "{coarse:.1e} {fine:.1e}"
    );
}

/// Numbers of both signs without a pattern.
fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count)
        .map(|i| (1.7 * (i * i) as f32 + phase).sin())
        .collect()
}

/// `sum a_k + a_k^2 / 2 + sin(a_k a_(k+1))`
fn curved(x: Tensor<4>) -> Tensor<2> {
    let [n, c, _, _] = x.dims();
    let x = x.reshape([n, c]);
    let pairs = x.clone().narrow(1, 0, c - 1) * x.clone().narrow(1, 1, c - 1);
    let squares = x.clone() + x.clone() * x * 0.5;
    squares.sum_dim(1) + pairs.sin().sum_dim(1)
}

/// The derivative of [`curved`].
fn curved_gradient(x: &[f64]) -> Vec<f64> {
    let term = |i: usize, j: usize| match (x.get(i), x.get(j)) {
        (Some(a), Some(b)) => (a * b).cos() * b,
        _ => 0.0,
    };
    (0..x.len())
        .map(|k| 1.0 + x[k] + term(k, k + 1) + term(k, k.wrapping_sub(1)))
        .collect()
}

/// Algorithm 1 of the paper step by step, on values and without sorting once for a step.
fn guided_naively(
    start: &[f64],
    end: &[f64],
    steps: usize,
    fraction: f64,
    distance: f64,
) -> Vec<f64> {
    let count = start.len();
    let at = |alpha: f64, k: usize| start[k] + alpha * (end[k] - start[k]);
    let left = |x: &[f64]| -> f64 { (0..count).map(|k| (end[k] - x[k]).abs()).sum() };
    let whole = left(start);
    let mut x = start.to_vec();
    let mut attribution = vec![0.0; count];
    for step in 1..=steps {
        let gradient = curved_gradient(&x);
        let alpha = step as f64 / steps as f64;
        let (low, high) = ((alpha - distance).max(0.0), (alpha + distance).min(1.0));
        let target = whole * (1.0 - alpha);
        let mut done = false;
        while !done {
            let before = x.clone();
            for k in 0..count {
                if (x[k] - start[k]).abs() < (at(low, k) - start[k]).abs() {
                    x[k] = at(low, k);
                }
            }
            let arrived = |x: &[f64], k: usize| (x[k] - at(high, k)).abs() < 1e-12;
            let size: Vec<f64> = (0..count)
                .map(|k| {
                    if arrived(&x, k) {
                        f64::INFINITY
                    } else {
                        gradient[k].abs()
                    }
                })
                .collect();
            let mut sorted = size.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[(fraction * (count - 1) as f64).floor() as usize];
            let chosen: Vec<usize> = (0..count)
                .filter(|&k| size[k] <= threshold && size[k].is_finite())
                .collect();
            let reach: f64 = chosen.iter().map(|&k| (at(high, k) - x[k]).abs()).sum();
            let surplus = left(&x) - target;
            let gamma = surplus / reach;
            done = surplus < 1e-12 || chosen.is_empty() || gamma <= 1.0;
            for k in chosen {
                if surplus >= 1e-12 {
                    x[k] += gamma.min(1.0) * (at(high, k) - x[k]);
                }
            }
            for k in 0..count {
                attribution[k] += gradient[k] * (x[k] - before[k]);
            }
        }
    }
    attribution
}

#[test]
fn guided_is_the_published_algorithm() {
    for (count, steps, fraction, distance) in [
        (40, 200, 0.25, 0.02),
        (40, 30, 0.1, 0.2),
        (41, 7, 0.5, 1.0),
        (7, 12, 1.0, 0.3),
        (2, 5, 0.01, 0.05),
    ] {
        let (end, start) = (wave(count, 1.0), wave(count, 2.0));
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let want = guided_naively(&wide(&start), &wide(&end), steps, fraction, distance);
        let want: Vec<f32> = want.into_iter().map(|v| v as f32).collect();
        let method = GuidedIntegratedGradients::new()
            .steps(steps)
            .fraction(fraction)
            .max_distance(distance)
            .baseline(Baseline::image(&tensor(start, [1, count, 1, 1])));
        let got = explain(&method, &curved, &tensor(end, [1, count, 1, 1]));
        let error = relative_error(got.values(), &want);
        assert!(error < 1e-4, "{count} numbers, {steps} steps: {error:.1e}");
    }
}

fn methods() -> Vec<Box<dyn Attributor>> {
    let two = || Baseline::several([Baseline::blur(3.0), Baseline::noise(-20.0, 20.0)]);
    vec![
        Box::new(IntegratedGradients::new().steps(5).baseline(two()).seed(7)),
        Box::new(
            IntegratedGradients::adaptive(0.05)
                .max_evaluations(14)
                .at("conv1"),
        ),
        Box::new(BlurIntegratedGradients::new().steps(4).batch_size(3)),
        Box::new(
            GuidedIntegratedGradients::new()
                .steps(4)
                .baseline(two())
                .seed(7)
                .batch_size(3),
        ),
    ]
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let images = Tensor::cat(vec![CAT.clone(), CAT.clone().flip([3]) * 0.5], 0);
    let targets = [Target::class(285), Target::difference(281, 7)];
    for method in methods() {
        let both = method
            .attribute(&*MODEL, &images, Target::each(targets.clone()))
            .unwrap();
        for (i, target) in targets.iter().enumerate() {
            let one = images.clone().narrow(0, i, 1);
            let alone = method.attribute(&*MODEL, &one, target.clone()).unwrap();
            let row = both.values().index_axis(Axis(0), i);
            let error = relative_error(row, alone.values());
            assert!(error < 1e-4, "{}, image {i}: {error:.1e}", method.name());
            let score = (both.scores()[i] - alone.scores()[0]).abs();
            assert!(score < 1e-4, "{}", method.name());
            assert_eq!(both.evaluations()[i], alone.evaluations()[0]);
            let expected = both.completeness()[i].expected - alone.completeness()[0].expected;
            assert!(expected.abs() < 1e-3, "{}", method.name());
        }
        let again = method
            .attribute(&*MODEL, &images, Target::each(targets.clone()))
            .unwrap();
        assert_eq!(again.values(), both.values(), "{}", method.name());
    }
}

#[test]
fn work_can_be_cancelled() {
    type Callback = fn(elucid_attribution::Progress) -> ControlFlow<()>;
    let stop: Callback = |progress| match progress.done >= 9 {
        true => progress.cancel(),
        false => progress.continue_(),
    };
    let image = pair(2.0, 1.0);
    for (method, total) in [
        (
            Box::new(IntegratedGradients::new().batch_size(3).progress(stop))
                as Box<dyn Attributor>,
            50,
        ),
        (
            Box::new(IntegratedGradients::adaptive(1e-9).progress(stop)),
            400,
        ),
        (Box::new(BlurIntegratedGradients::new().progress(stop)), 101),
        (
            Box::new(GuidedIntegratedGradients::new().progress(stop)),
            200,
        ),
    ] {
        match method.attribute(&kink, &image, Target::class(0)) {
            Err(AttributionError::Cancelled { done, total: of }) => {
                assert!((9..20).contains(&done), "{}: {done}", method.name());
                assert_eq!(of, total, "{}", method.name());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let ig = IntegratedGradients::new;
    let guided = GuidedIntegratedGradients::new;
    let blur = BlurIntegratedGradients::new;
    let bad: Vec<(&str, Box<dyn Attributor>)> = vec![
        ("steps", Box::new(ig().steps(0))),
        ("steps", Box::new(ig().steps(usize::MAX))),
        ("batch size", Box::new(ig().batch_size(0))),
        ("tolerance", Box::new(IntegratedGradients::adaptive(0.0))),
        ("tolerance", Box::new(IntegratedGradients::adaptive(-1.0))),
        (
            "tolerance",
            Box::new(IntegratedGradients::adaptive(f64::NAN)),
        ),
        ("max-evaluations", Box::new(ig().max_evaluations(1))),
        ("baseline", Box::new(ig().baseline(Baseline::several([])))),
        ("baseline", Box::new(ig().baseline(Baseline::constant([])))),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::constant([1.0, 2.0, 3.0]))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::constant([f32::NAN]))),
        ),
        ("baseline", Box::new(ig().baseline(Baseline::blur(-1.0)))),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::blur(f32::NAN))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::noise(1.0, 0.0))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::noise(0.0, f32::INFINITY))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::image(&pair(f32::NAN, 0.0)))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::image(&tensor(vec![0.0; 4], [1, 1, 2, 2])))),
        ),
        (
            "baseline",
            Box::new(ig().baseline(Baseline::image(&tensor(vec![0.0; 4], [2, 2, 1, 1])))),
        ),
        ("steps", Box::new(guided().steps(0))),
        ("fraction", Box::new(guided().fraction(0.0))),
        ("fraction", Box::new(guided().fraction(f64::NAN))),
        ("max-dist", Box::new(guided().max_distance(1.5))),
        ("max-dist", Box::new(guided().max_distance(f64::NAN))),
        ("steps", Box::new(blur().steps(0))),
        ("max-sigma", Box::new(blur().max_sigma(0.0))),
        ("max-sigma", Box::new(blur().max_sigma(f32::NAN))),
    ];
    for (name, method) in bad {
        match method.attribute(&kink, &pair(1.0, 1.0), Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn baselines_and_options_as_text() {
    for text in [
        "zero",
        "constant:1.5",
        "constant:-1,0.5,2",
        "blur:4",
        "noise:-1:1",
        "zero+blur:10+noise:0:255",
        "black+white+grey:0.5",
        "mean+blur+noise",
    ] {
        assert_eq!(text.parse::<Baseline>().unwrap().to_string(), text);
    }
    let signs: Baseline = "constant:+1e+1 + zero".parse().unwrap();
    assert_eq!(signs.to_string(), "constant:10+zero");
    for text in [
        "",
        "pink",
        "constant",
        "constant:x",
        "blur:",
        "noise:1",
        "zero:1",
        "zero+",
        "+",
    ] {
        assert!(text.parse::<Baseline>().is_err(), "{text:?}");
    }

    let method = Method::find("integrated-gradients").unwrap();
    let run = |options: &[(&str, &str)]| {
        let options = options
            .iter()
            .fold(MethodOptions::new(), |o, (k, v)| o.set(k, v));
        Ok::<_, AttributionError>(explain(&method.build(&options)?, &product, &pair(3.0, 2.0)))
    };
    assert_eq!(run(&[]).unwrap().evaluations(), [50]);
    let got = run(&[("quadrature", "trapezoid"), ("steps", "8")]).unwrap();
    assert_eq!(got.evaluations(), [9]);
    let got = run(&[("tolerance", "0.01"), ("baseline", "constant:1")]).unwrap();
    assert_eq!(got.tolerance_met(), [true]);
    assert_eq!(got.completeness()[0].expected, 5.0);
    assert_eq!(
        run(&[("quadrature", "adaptive")]).unwrap().evaluations(),
        [33]
    );
    assert_eq!(
        run(&[("start", "zero")]).unwrap().completeness()[0].expected,
        6.0
    );
    for bad in [
        &[("quadrature", "simpson")][..],
        &[("steps", "many")],
        &[("quadrature", "left"), ("tolerance", "0.1")],
        &[("quadrature", "left"), ("max-evaluations", "10")],
        &[("tolerance", "0.1"), ("steps", "5")],
        &[("start", "one")],
        &[("start", "zero"), ("baseline", "blur:3")],
        &[("baseline", "pink")],
    ] {
        let refused = run(bad);
        assert!(
            matches!(refused, Err(AttributionError::OptionValue { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    let input_only = Method::find("guided-ig").unwrap();
    assert!(
        input_only
            .build(&MethodOptions::new().layer("conv1"))
            .is_err()
    );
    assert!(
        input_only
            .build(&MethodOptions::new().layer(INPUT))
            .is_err()
    );
    let built = input_only.build(&MethodOptions::new().set("max-dist", "1").set("steps", "2"));
    assert_eq!(built.unwrap().name(), "guided-ig");
}
