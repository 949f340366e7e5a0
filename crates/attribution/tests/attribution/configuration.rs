//! A built method says what it will do, and its results say what was done.

use burn::tensor::Tensor;
use elucid_attribution::{
    Attributor, BlurIntegratedGradients, Configuration, ExtremalPerturbation, FeatureAblation,
    GradCam, IntegratedGradients, KernelShap, Lrp, METHODS, MeaningfulPerturbation, Method,
    MethodOptions, Occlusion, Place, Quadrature, Rise, SmoothGrad, Target,
};
use elucid_testkit::{numbers, tensor};

use super::shared::SQUEEZENET as MODEL;

const SIDE: usize = 48;

fn image() -> Tensor<4> {
    tensor(numbers(3 * SIDE * SIDE, 5), [1, 3, SIDE, SIDE])
}

/// Every method under no options, and under each of its presets.
fn cases() -> Vec<(String, &'static Method, MethodOptions)> {
    let mut cases = Vec::new();
    for &method in METHODS {
        cases.push((method.name.to_owned(), method, MethodOptions::new()));
        for preset in method.presets {
            let options = MethodOptions::new().set("preset", preset);
            cases.push((format!("{} {preset}", method.name), method, options));
        }
    }
    cases
}

fn stated(method: &Method, options: &MethodOptions) -> Configuration {
    let built = method.build(options).unwrap();
    built.configuration([SIDE, SIDE])
}

/// What a method says of itself builds the same method again, without the preset; and every option that it
/// names is one that it has.
#[test]
fn what_is_stated_builds_the_same_again() {
    for (name, method, options) in cases() {
        let first = stated(method, &options);
        assert_eq!(first.get("preset"), None, "{name}");
        let again = first
            .iter()
            .fold(MethodOptions::new(), |options, (option, value)| {
                assert!(method.takes(option), "{name}: {option}");
                options.set(option, value)
            });
        assert_eq!(stated(method, &again), first, "{name}");
    }
}

/// Whatever is set is what is stated, for every option of every method.
#[test]
fn every_option_that_is_set_is_stated() {
    // Values that are no default and that every method takes in which such an option stands alone.
    let values = [
        ("quadrature", "trapezoid"),
        ("baseline", "white"),
        ("start", "zero"),
        ("start", "random"),
        ("segments", "grid:3"),
        ("score", "target"),
        ("stretch", "whole-pixels"),
        ("divisor", "masks"),
        ("weights", "score"),
        ("weights", "head"),
        ("heads", "max"),
        ("query", "2,3"),
        ("interpolation", "nearest"),
        ("perturbation", "fade"),
        ("variant", "dual"),
        ("reward", "contrastive"),
        ("composite", "epsilon"),
        ("cam-layer", "fire5/concat"),
        ("contrast-layer", "fire9/concat"),
        ("adam", "0.5,0.25,0.125"),
        ("disc", "3,2,0.5"),
        ("areas", "0.25,0.5"),
        ("times-input", "true"),
        ("centred", "true"),
        ("relative", "true"),
        ("allow-input", "true"),
        ("allow-signed", "true"),
        ("jitter", "false"),
        ("normalised", "false"),
        ("mask", "gaussian"),
        ("value", "score"),
        ("map", "gain"),
        ("hides", "pixels"),
        ("terms", "signed"),
        ("residual", "true"),
    ];
    for method in METHODS {
        for option in method.options {
            // Bounds come in pairs, and with one composite.
            let low_or_high = ["low", "high"].contains(&option.name);
            let mut candidates: Vec<&str> = values
                .iter()
                .filter(|(name, _)| *name == option.name)
                .map(|(_, value)| *value)
                .collect();
            if candidates.is_empty() {
                candidates = vec!["3", "0.75"];
            }
            let set = |value: &str| {
                let options = MethodOptions::new().set(option.name, value);
                match low_or_high {
                    true => options
                        .set("low", value)
                        .set("high", value)
                        .set("composite", "epsilon-gamma-box"),
                    false => options,
                }
            };
            let (value, built) = candidates
                .iter()
                .find_map(|value| Some((*value, method.build(&set(value)).ok()?)))
                .unwrap_or_else(|| panic!("{} takes no --{}", method.name, option.name));
            let found = built.configuration([SIDE, SIDE]);
            assert_eq!(
                found.get(option.name),
                Some(value),
                "{} --{}",
                method.name,
                option.name
            );
        }
    }
}

/// The results of every method and preset hold the configuration of the method that gave them.
#[test]
fn results_hold_what_ran() {
    let small = [
        ("steps", "2"),
        ("samples", "2"),
        ("masks", "2"),
        ("iterations", "1"),
        ("permutations", "1"),
        ("design", "1"),
        ("segments", "grid:2"),
        ("window", "24"),
        ("channels", "2"),
        ("cells", "2"),
        ("l1", "0"),
    ];
    let looks_elsewhere = |(_, method, _): &(_, &Method, _)| method.place != Place::Tokens;
    for (name, method, options) in cases().into_iter().filter(looks_elsewhere) {
        let options = small
            .iter()
            .filter(|(option, _)| method.takes(option))
            .fold(options, |all, (option, value)| all.set(option, value));
        let built = method.build(&options).unwrap();
        let found = built.attribute(&*MODEL, &image(), Target::class(285));
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.method(), built.name(), "{name}");
        assert_eq!(
            found.configuration(),
            &built.configuration([SIDE, SIDE]),
            "{name}"
        );
        for (option, value) in small.iter().filter(|(option, _)| method.takes(option)) {
            let stated = found.configuration().get(option);
            assert_eq!(
                stated.map(|s| s.split(':').next()),
                Some(value.split(':').next()),
                "{name}"
            );
        }
    }
}

#[test]
fn presets_and_exclusive_options_are_resolved() {
    let says =
        |method: &dyn Attributor, side: usize| method.configuration([side, side]).to_string();
    assert_eq!(
        says(&Rise::notebook().masks(9), 224),
        "baseline zero, cells 8, divisor kept, keep 0.1, masks 9, score probability, stretch paper"
    );
    assert_eq!(
        says(&Rise::torchray(), 224),
        "baseline zero, cells 7, divisor masks, keep 0.5, masks 8000, score probability, \
         stretch whole-pixels"
    );
    let ig = IntegratedGradients::new();
    assert_eq!(
        says(&ig, 224),
        "baseline zero, quadrature gauss-legendre, start baseline, steps 50"
    );
    assert_eq!(
        says(&ig.clone().max_evaluations(90), 224),
        "baseline zero, max-evaluations 90, quadrature adaptive, start baseline, tolerance 0.01"
    );
    assert_eq!(
        says(
            &ig.quadrature(Quadrature::Left).from_zero_activations(),
            224
        ),
        "quadrature left, start zero, steps 50"
    );
    let boxed = Lrp::epsilon_gamma_box(&[-1.5], &[2.0, 3.0]);
    assert_eq!(
        says(&boxed, 224),
        "composite epsilon-gamma-box, high 2,3, low -1.5"
    );
    assert_eq!(says(&Lrp::epsilon(), 224), "composite epsilon");
    assert_eq!(
        says(&SmoothGrad::mean().samples(7), 224),
        "noise 0.15, samples 7, times-input false"
    );
    assert_eq!(says(&GradCam::at_features(), 224), "");
}

/// Lengths that nobody gave are stated as they are on the pictures at hand.
#[test]
fn lengths_are_those_of_the_pictures() {
    let of = |method: &dyn Attributor, side: usize, option: &str| {
        let stated = method.configuration([side, side + 9]);
        stated.get(option).map(str::to_owned)
    };
    let occlusion = Occlusion::new();
    assert_eq!(of(&occlusion, 224, "window").as_deref(), Some("32"));
    assert_eq!(of(&occlusion, 224, "stride").as_deref(), Some("16"));
    assert_eq!(of(&occlusion, 32, "window").as_deref(), Some("8"));
    assert_eq!(of(&occlusion, 32, "stride").as_deref(), Some("4"));
    assert_eq!(of(&occlusion.window(6), 32, "stride").as_deref(), Some("3"));
    assert_eq!(
        of(&FeatureAblation::new(), 5, "cells").as_deref(),
        Some("5")
    );
    let blur = BlurIntegratedGradients::new();
    assert_eq!(of(&blur, 64, "max-sigma").as_deref(), Some("25"));
    assert_eq!(
        of(&blur.max_sigma(3.0), 64, "max-sigma").as_deref(),
        Some("3")
    );
    let extremal = ExtremalPerturbation::coco();
    assert_eq!(of(&extremal, 64, "sigma").as_deref(), Some("10.5"));
    assert_eq!(
        of(&extremal, 64, "areas").as_deref(),
        Some("0.018,0.025,0.05,0.1")
    );
    let meaningful = MeaningfulPerturbation::localisation();
    assert_eq!(of(&meaningful, 64, "disc").as_deref(), Some("2.5,5,0.01"));
    assert_eq!(of(&meaningful, 64, "offsets").as_deref(), Some("2"));
    assert_eq!(of(&meaningful, 64, "l1").as_deref(), Some("0.001"));
    let shap = Method::find("sobol")
        .unwrap()
        .build(&MethodOptions::new())
        .unwrap();
    assert_eq!(of(&shap, 6, "segments").as_deref(), Some("grid:6"));
    assert_eq!(
        of(&KernelShap::new(), 6, "segments").as_deref(),
        Some("slic:50:10")
    );
}

/// What is out of range is refused when a method is built from text, before any image is read.
#[test]
fn ranges_are_checked_when_a_method_is_built() {
    for (name, option, value, part) in [
        ("smooth-grad", "samples", "0", "1 or more"),
        ("integrated-gradients", "steps", "0", "1 to"),
        ("integrated-gradients", "tolerance", "0", "above 0"),
        ("rise", "keep", "1.5", "at most 1"),
        ("occlusion", "window", "0", "1 or more"),
        ("lime", "ridge", "-1", "0 or more"),
        ("extremal-perturbation", "areas", "1.5", "below 1"),
        ("meaningful-perturbation", "adam", "1,0.5,1", "less than 1"),
        ("rise", "preset", "xplique", "paper, torchray, notebook"),
    ] {
        let options = MethodOptions::new().set(option, value);
        let refused = Method::find(name).unwrap().build(&options);
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains(part),
            "{name} --{option} {value}: {message}"
        );
    }
}
