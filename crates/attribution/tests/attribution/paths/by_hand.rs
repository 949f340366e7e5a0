//! Paths through functions whose shares are known.

use burn::tensor::{Tensor, activation};
use elucid_attribution::{
    Attributor, Baseline, BlurIntegratedGradients, GuidedIntegratedGradients, IntegratedGradients,
    Quadrature, Target,
};
use elucid_graph::LOGITS;
use elucid_testkit::{relative_error, tensor};
use ndarray::Array1;

use super::{
    all_quadratures, assert_close, curved, explain, kink, logit, pair, product, split, wave,
};
use crate::shared::{CAT, SQUEEZENET as MODEL};

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
