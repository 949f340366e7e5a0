//! What all methods of paths keep: batches, progress, refusals, options as text.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Baseline, BlurIntegratedGradients, GuidedIntegratedGradients,
    IntegratedGradients, Method, MethodOptions, Target,
};
use elucid_graph::INPUT;
use elucid_testkit::{relative_error, tensor};
use ndarray::Axis;

use super::{explain, kink, pair, product};
use crate::shared::{CAT, SQUEEZENET as MODEL};

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
