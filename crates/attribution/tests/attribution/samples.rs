//! Sampling methods on functions worked out by hand, and on SqueezeNet.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    Attribution, AttributionError, Attributor, Baseline, Gradient, GradientShap,
    IntegratedGradients, LinearApproximation, Method, MethodOptions, Network, Reduce, SmoothGrad,
    Target,
};
use elucid_graph::INPUT;
use elucid_testkit::{relative_error, tensor};
use ndarray::{ArrayD, Axis};

use super::shared::{CAT, SQUEEZENET as MODEL, is_cancelled, refuses_parameters};

fn explain(method: &dyn Attributor, network: &dyn Network, image: &Tensor<4>) -> Attribution {
    method.attribute(network, image, Target::class(0)).unwrap()
}

fn kinds() -> [SmoothGrad; 3] {
    [
        SmoothGrad::mean(),
        SmoothGrad::variance(),
        SmoothGrad::squared(),
    ]
}

/// `[1, 3, 4, 5]` of numbers from -2 to 2.
fn image() -> Tensor<4> {
    let values = (0..60).map(|i| 2.0 * (0.9 * i as f32).sin()).collect();
    tensor(values, [1, 3, 4, 5])
}

fn weights() -> Tensor<4> {
    tensor(
        (0..60).map(|i| (0.4 * i as f32).cos()).collect(),
        [1, 3, 4, 5],
    )
}

fn linear(x: Tensor<4>) -> Tensor<2> {
    let n = x.dims()[0];
    (x * weights()).reshape([n as i32, -1]).sum_dim(1)
}

/// `sum a^2 / 2`, whose gradient is `a`.
fn squares(x: Tensor<4>) -> Tensor<2> {
    let n = x.dims()[0];
    (x.clone() * x).reshape([n as i32, -1]).sum_dim(1) * 0.5
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

#[test]
fn linear_functions_have_one_gradient() {
    let w = values(weights());
    let squared: Vec<f32> = w.iter().map(|w| w * w).collect();
    for (method, want) in kinds().into_iter().zip([w.clone(), vec![0.0; 60], squared]) {
        let got = explain(&method.samples(13).batch_size(4), &linear, &image());
        let largest = got.values().iter().zip(&want).map(|(g, w)| (g - w).abs());
        let largest = largest.fold(0.0, f32::max);
        assert!(largest < 1e-6, "{}: {largest:.1e}", got.method());
        assert_eq!(got.evaluations(), [13]);
        assert_eq!(got.reduction(), Reduce::MaxAbs);
        assert!(got.completeness().is_empty());
    }
    let product = values(weights() * image());
    let times = explain(&SmoothGrad::mean().times_input(true), &linear, &image());
    assert!(relative_error(times.values(), &product) < 1e-6);
    let linear_approximation = explain(&LinearApproximation::at_input(), &linear, &image());
    assert!(relative_error(times.values(), linear_approximation.values()) < 1e-6);
    assert_eq!(times.reduction(), Reduce::Sum);
}

/// The gradient of the sum of squares is the noisy value itself, so that the statistics are those
/// of the noise: mean `a`, variance `s^2`, mean square `a^2 + s^2`.
#[test]
fn statistics_of_the_noise() {
    let a = values(image());
    let (low, high) = a
        .iter()
        .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let noise = 0.1;
    let s = noise * (high - low);
    let samples = 20_000;
    let [mean, variance, squared] = kinds().map(|kind| {
        let method = kind.samples(samples).noise(noise).batch_size(500).seed(3);
        explain(&method, &squares, &image()).values().clone()
    });
    let n = samples as f32;
    // Five standard deviations of each estimate.
    for (k, &a) in a.iter().enumerate() {
        let at = |x: &ArrayD<f32>| x.as_slice().unwrap()[k];
        assert!((at(&mean) - a).abs() < 5.0 * s / n.sqrt());
        assert!((at(&variance) - s * s).abs() < 5.0 * s * s * (2.0 / n).sqrt());
        let spread = (4.0 * a * a * s * s + 2.0 * s.powi(4)).sqrt();
        assert!((at(&squared) - a * a - s * s).abs() < 5.0 * spread / n.sqrt());
        // The three saw the same samples.
        let together = at(&squared) - at(&mean).powi(2);
        assert!((together - at(&variance)).abs() < 1e-4 * (a * a + 1.0));
    }
}

#[test]
fn the_variance_survives_large_gradients() {
    // Gradients of 10000 plus noise of about 0.4: squares would lose the variance in f32.
    let steep = |x: Tensor<4>| {
        let n = x.dims()[0];
        squares(x.clone()) + x.reshape([n as i32, -1]).sum_dim(1) * 1e4
    };
    let method = || SmoothGrad::variance().noise(0.1).samples(400);
    let want = explain(&method(), &squares, &image());
    let got = explain(&method(), &steep, &image());
    let error = relative_error(got.values(), want.values());
    assert!(error < 0.02, "{error:.1e}");
}

#[test]
fn without_a_range_there_is_no_noise() {
    let flat = tensor(vec![0.7; 60], [1, 3, 4, 5]);
    let gradient = explain(&Gradient::at_input(), &squares, &flat);
    let square = gradient.values().mapv(|g| g * g);
    let zero = gradient.values().mapv(|_| 0.0);
    let wants = [gradient.values().clone(), zero, square];
    for (method, want) in kinds().into_iter().zip(&wants) {
        let got = explain(&method.samples(9), &squares, &flat);
        let error = (got.values() - want).mapv(f32::abs);
        assert!(error.iter().all(|&e| e < 1e-6), "{}", got.method());
    }
    let still = explain(
        &SmoothGrad::mean().noise(0.0).samples(3),
        &squares,
        &image(),
    );
    assert!(relative_error(still.values(), &values(image())) < 1e-6);
}

#[test]
fn shap_of_a_linear_function_is_exact() {
    // Against one baseline every sample is the answer; against several, their mean.
    let w = values(weights());
    let x = values(image());
    let want: Vec<f32> = w.iter().zip(&x).map(|(w, x)| w * (x - 0.5)).collect();
    let got = explain(
        &GradientShap::new(Baseline::constant([0.5])).samples(5),
        &linear,
        &image(),
    );
    assert!(relative_error(got.values(), &want) < 1e-6);
    assert!(got.completeness_error().unwrap() < 1e-5);
    assert_eq!(got.evaluations(), [5]);
}

#[test]
fn shap_converges_to_integrated_gradients() {
    let baselines = || {
        Baseline::several([
            Baseline::zero(),
            Baseline::constant([1.0, -1.0, 0.5]),
            Baseline::noise(-1.0, 1.0),
        ])
    };
    let cubes = |x: Tensor<4>| {
        let n = x.dims()[0];
        (x.clone() * x.clone() * x)
            .reshape([n as i32, -1])
            .sum_dim(1)
    };
    let want = explain(
        &IntegratedGradients::new().baseline(baselines()).seed(5),
        &cubes,
        &image(),
    );
    let shap = |samples| {
        let method = GradientShap::new(baselines()).seed(5).samples(samples);
        let got = explain(&method.batch_size(500), &cubes, &image());
        let (got_expected, expected) = (got.completeness()[0], want.completeness()[0]);
        assert!((got_expected.expected - expected.expected).abs() < 1e-5);
        relative_error(got.values(), want.values())
    };
    let (few, many) = (shap(200), shap(20_000));
    println!("gradient SHAP, 200 and 20000 samples: {few:.1e}, {many:.1e}");
    // A hundred times the samples, a tenth of the error.
    assert!(many < 0.03 && many < 0.4 * few, "{few:.1e} {many:.1e}");
}

#[test]
fn noise_moves_the_end_of_the_path() {
    // For the sum of squares, with noise s, the expected sum is n s^2 / 2 above the difference.
    let s = 0.5;
    let method = GradientShap::new(Baseline::zero())
        .noise(s)
        .samples(20_000)
        .batch_size(500);
    let got = explain(&method, &squares, &image()).completeness()[0];
    let want = got.expected + 60.0 * f64::from(s * s) / 2.0;
    assert!((got.sum / want - 1.0).abs() < 0.02, "{got:?}, {want}");
}

fn methods() -> Vec<Box<dyn Attributor>> {
    let two = Baseline::several([Baseline::blur(3.0), Baseline::noise(-20.0, 20.0)]);
    let mut methods: Vec<Box<dyn Attributor>> = Vec::new();
    for kind in kinds() {
        methods.push(Box::new(kind.clone().samples(5).seed(1).batch_size(2)));
        methods.push(Box::new(kind.samples(3).at("fire9/concat")));
    }
    methods.push(Box::new(GradientShap::new(two.clone()).samples(5).seed(9)));
    methods.push(Box::new(
        GradientShap::new(two).samples(5).noise(1.0).at("conv1"),
    ));
    methods
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let images = Tensor::cat(vec![CAT.clone(), CAT.clone().flip([3]) * 0.5], 0);
    let targets = [Target::class(285), Target::difference(281, 7)];
    for method in methods() {
        let run =
            |images: &Tensor<4>, target: Target| method.attribute(&*MODEL, images, target).unwrap();
        let both = run(&images, Target::each(targets.clone()));
        for (i, target) in targets.iter().enumerate() {
            let alone = run(&images.clone().narrow(0, i, 1), target.clone());
            let row = both.values().index_axis(Axis(0), i);
            let error = relative_error(row, alone.values());
            assert!(error < 1e-4, "{}, image {i}: {error:.1e}", method.name());
            assert!((both.scores()[i] - alone.scores()[0]).abs() < 1e-4);
        }
        let again = run(&images, Target::each(targets.clone()));
        assert_eq!(again.values(), both.values(), "{}", method.name());
    }
}

#[test]
fn standard_errors_are_those_of_means() {
    let (noise, n) = (0.1, 400);
    let [mean, variance, squared] = kinds().map(|kind| {
        let method = kind.samples(n).noise(noise).batch_size(64).seed(3);
        explain(&method, &squares, &image())
    });
    assert!(variance.standard_errors().is_none());
    let errors = mean.standard_errors().unwrap();
    assert_eq!(errors.shape(), mean.values().shape());
    // The three saw the same samples.
    let want = variance.values().mapv(|v| (v / (n - 1) as f32).sqrt());
    assert!(relative_error(errors, &want) < 1e-5);
    assert!(squared.standard_errors().unwrap().iter().all(|e| *e > 0.0));

    let shap = |samples| {
        let method = GradientShap::new(Baseline::zero()).samples(samples).seed(5);
        explain(&method, &squares, &image())
    };
    // Of `u a^2` with `u` even in [0, 1): a deviation of `a^2 / sqrt(12)`.
    let errors = shap(n).standard_errors().unwrap().clone();
    let want: Vec<f32> = values(image())
        .into_iter()
        .map(|a| a * a / (12.0 * n as f32).sqrt())
        .collect();
    assert!(relative_error(&errors, &want) < 0.1);
    assert!(shap(1).standard_errors().is_none());
    assert!(
        explain(&Gradient::at_input(), &squares, &image())
            .standard_errors()
            .is_none()
    );
}

/// [`squares`], and how many rows each run of it had.
fn watched() -> (impl Network, Arc<Mutex<Vec<usize>>>) {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&runs);
    let network = move |x: Tensor<4>| {
        seen.lock().unwrap().push(x.dims()[0]);
        squares(x)
    };
    (network, runs)
}

/// Three images of five samples are two batches of eight, not three of five.
#[test]
fn a_batch_holds_samples_of_several_images() {
    let images = Tensor::cat(vec![image(), image() * 2.0, image() - 1.0], 0);
    let (watched, runs) = watched();
    let shap = GradientShap::new(Baseline::zero()).samples(5);
    let methods: [&dyn Attributor; 2] = [&SmoothGrad::mean().samples(5), &shap];
    for method in methods {
        runs.lock().unwrap().clear();
        explain(method, &watched, &images);
        let sampled: Vec<usize> = runs
            .lock()
            .unwrap()
            .iter()
            .copied()
            .filter(|n| *n > 2)
            .collect();
        assert_eq!(sampled, [8, 7], "{}", method.name());
    }
}

/// Methods that need scores alone share batches, too, and give what they give image by image.
#[test]
fn scores_of_several_images_share_a_batch() {
    let images = Tensor::cat(vec![image(), image() * 2.0, image() - 1.0], 0);
    let (watched, runs) = watched();
    // What each image takes in one stream, and whether scores of the images as they are come before.
    for (name, options, each, before) in [
        ("rise", "masks=5,score=target", 5, true),
        ("occlusion", "window=3,stride=3", 0, true),
        ("feature-ablation", "cells=2", 4, true),
        ("lime", "segments=grid:2,samples=4", 5, false),
        ("kernel-shap", "segments=grid:3,samples=3", 5, false),
        (
            "shapley-sampling",
            "segments=grid:2,permutations=1",
            5,
            false,
        ),
        ("sobol", "segments=grid:1,design=1", 5, false),
        ("hsic", "segments=grid:2,samples=3", 5, false),
        ("score-cam", "weights=score", 3, true),
        ("ablation-cam", "", 3, true),
    ] {
        let at = match name.ends_with("-cam") {
            true => MethodOptions::new().layer(INPUT),
            false => MethodOptions::new(),
        };
        let options = options.split(',').filter_map(|text| text.split_once('='));
        let options = options.fold(at, |all, (option, value)| all.set(option, value));
        let method = Method::find(name).unwrap();
        let method = method.build(&options.batch_size(8)).unwrap();
        runs.lock().unwrap().clear();
        let together = explain(&method, &watched, &images);
        let made = runs.lock().unwrap().clone();
        let each = match each {
            0 => together.evaluations()[0] - 1,
            each => each,
        };
        let sampled = &made[usize::from(before)..];
        let total: usize = sampled.iter().sum();
        assert_eq!(total, 3 * each, "{name}: {made:?}");
        let full = sampled.iter().rev().skip(1).all(|&rows| rows == 8);
        assert!(
            full && sampled.len() < 3 * each.div_ceil(8),
            "{name}: {made:?}"
        );
        for i in 0..3 {
            let alone = explain(&method, &squares, &images.clone().narrow(0, i, 1));
            let row = together.values().index_axis(Axis(0), i);
            let error = relative_error(row, alone.values());
            assert!(error < 1e-6, "{name}, image {i}: {error:.1e}");
            assert_eq!(together.evaluations()[i], alone.evaluations()[0], "{name}");
        }
    }
}

#[test]
fn seeds_and_batches() {
    let run = |seed, batch_size| {
        let method = SmoothGrad::mean().samples(10).seed(seed);
        let method = method.batch_size(batch_size);
        explain(&method, &squares, &image()).values().clone()
    };
    assert_eq!(run(4, 8), run(4, 8));
    assert_ne!(run(4, 8), run(5, 8));
    // Batches divide the same samples.
    assert!(relative_error(&run(4, 3), &run(4, 8)) < 1e-5);
}

#[test]
fn work_can_be_watched_and_cancelled() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = Arc::clone(&seen);
    let method = SmoothGrad::variance()
        .samples(20)
        .batch_size(8)
        .progress(move |progress| {
            watching
                .lock()
                .unwrap()
                .push((progress.done, progress.total));
            progress.continue_()
        });
    let two = image().repeat_dim(0, 2);
    method.attribute(&squares, &two, Target::class(0)).unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [8, 16, 24, 32, 40].map(|done| (done, 40)));

    let stop = |_| ControlFlow::Break(());
    let methods: [Box<dyn Attributor>; 2] = [
        Box::new(SmoothGrad::mean().progress(stop)),
        Box::new(GradientShap::new(Baseline::zero()).progress(stop)),
    ];
    for method in methods {
        let found = method.attribute(&squares, &image(), Target::class(0));
        is_cancelled(found, 8, 50);
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let shap = || GradientShap::new(Baseline::zero());
    let bad: Vec<(&str, Box<dyn Attributor>)> = vec![
        ("samples", Box::new(SmoothGrad::mean().samples(0))),
        ("noise", Box::new(SmoothGrad::mean().noise(-0.1))),
        ("noise", Box::new(SmoothGrad::squared().noise(f32::NAN))),
        ("batch size", Box::new(SmoothGrad::variance().batch_size(0))),
        ("samples", Box::new(shap().samples(0))),
        ("noise", Box::new(shap().noise(f32::INFINITY))),
        ("batch size", Box::new(shap().batch_size(0))),
        (
            "baseline",
            Box::new(GradientShap::new(Baseline::several([]))),
        ),
    ];
    refuses_parameters(bad, &squares, &image());
}

#[test]
fn options_as_text() {
    for name in ["smooth-grad", "var-grad", "square-grad"] {
        let options = MethodOptions::new()
            .set("samples", "7")
            .set("noise", "0.2")
            .set("times-input", "true")
            .seed(3);
        let built = Method::find(name).unwrap().build(&options).unwrap();
        let got = explain(&built, &squares, &image());
        assert_eq!((got.method(), got.evaluations()), (name, &[7][..]));
    }
    let options = MethodOptions::new()
        .set("baseline", "zero+constant:1")
        .set("samples", "6")
        .set("noise", "0.1");
    let built = Method::find("gradient-shap").unwrap().build(&options);
    let got = explain(&built.unwrap(), &squares, &image());
    assert_eq!(
        (got.method(), got.evaluations()),
        ("gradient-shap", &[6][..])
    );
    for (option, value) in [("samples", "-1"), ("noise", "much"), ("times-input", "yes")] {
        let options = MethodOptions::new().set(option, value);
        let refused = Method::find("smooth-grad").unwrap().build(&options);
        assert!(matches!(refused, Err(AttributionError::OptionValue { .. })));
    }
}
