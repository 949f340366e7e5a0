//! Meaningful perturbation, on toys and on the embedded network.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use elucid_attribution::perturbation::{Start, Variant};
use elucid_attribution::{
    AttributionError, Attributor, Baseline, MeaningfulMasks, MeaningfulPerturbation,
    MeaningfulScore, Method, MethodOptions, Target,
};
use elucid_testkit::{relative_error, tensor};
use ndarray::{Array2, Axis};

use super::shared::{CAT, SQUEEZENET, is_cancelled, moved, rectangle};

const SIDE: usize = 48;

fn square() -> Tensor<4> {
    rectangle(SIDE, 8..24, 24..40)
}

/// How much is left of the image inside the square, and outside of it; 1 for all of ones.
fn in_square(x: Tensor<4>) -> Tensor<2> {
    let n = x.dims()[0] as i32;
    let share = |of: Tensor<4>| {
        let all = of.clone().sum().into_scalar::<f32>();
        (x.clone() * of).reshape([n, -1]).sum_dim(1) / all
    };
    let outside = square() * -1.0 + 1.0;
    Tensor::cat(vec![share(square()), share(outside)], 1)
}

fn ones() -> Tensor<4> {
    square().ones_like()
}

fn small() -> MeaningfulPerturbation {
    MeaningfulPerturbation::new()
        .baseline(Baseline::zero())
        .score(MeaningfulScore::Target)
        .scale(4)
        .mask_blur(2.0)
        .jitter(0)
        .iterations(100)
}

fn run(method: &MeaningfulPerturbation, image: &Tensor<4>, class: usize) -> MeaningfulMasks {
    method
        .masks(&in_square, image, Target::class(class))
        .unwrap()
}

#[test]
fn the_mask_covers_what_the_score_is_made_of() {
    let square: Vec<f32> = square().into_data().iter::<f32>().collect();
    for variant in [Variant::Delete, Variant::Preserve, Variant::Dual] {
        for start in [Start::Disc, Start::Value(0.5), Start::Random] {
            // A pixel of the square counts 1 / 256 of the score and 1 / 16 of a parameter.
            let method = small().variant(variant).start(start).l1(1e-2).tv(1e-3);
            let found = run(&method, &ones(), 0);
            let mask = found.masks();
            let of = |inside: bool| {
                let pixels = mask
                    .iter()
                    .zip(&square)
                    .filter(|(_, s)| (**s > 0.0) == inside);
                let (sum, count) = pixels.fold((0.0, 0), |(s, n), (m, _)| (s + m, n + 1));
                sum / count as f32
            };
            let (inside, outside) = (of(true), of(false));
            println!("{variant:?} from {start:?}: {inside:.3} inside, {outside:.3} outside");
            assert!(inside > 0.8, "{variant:?} from {start:?}: {inside}");
            assert!(outside < 0.15, "{variant:?} from {start:?}: {outside}");
            assert!(mask.iter().all(|m| (-1e-5..=1.0 + 1e-5).contains(m)));
        }
    }
}

/// The loss changes along a step as its gradient says, and the step is along the gradient: the
/// epsilon of Adam is so large that it divides nothing else.
#[test]
fn the_gradient_is_that_of_finite_differences() {
    let image = tensor(
        (0..3 * SIDE * SIDE)
            .map(|i| (i as f32 * 0.37).sin())
            .collect(),
        [1, 3, SIDE, SIDE],
    );
    // Not linear: penalties and scores have to balance at the right point.
    let network = |x: Tensor<4>| {
        let n = x.dims()[0] as i32;
        let x = (x * 2.0).tanh();
        (x.clone() * x)
            .reshape([n, 2, -1])
            .mean_dim(2)
            .reshape([n, 2])
    };
    for variant in [Variant::Delete, Variant::Preserve, Variant::Dual] {
        for baseline in [
            Baseline::blur(2.0),
            Baseline::several([Baseline::zero(), Baseline::constant([0.3])]),
        ] {
            let method = small()
                .variant(variant)
                .baseline(baseline.clone())
                .mask_blur(0.0)
                .scale(1)
                .start(Start::Random)
                .l1(3e-6)
                .tv(2e-6)
                .settled(0.0);
            let of = |rate: f32, iterations| {
                let method = method.clone().adam(0.0, 0.0, 1e3);
                let method = method.learning_rate(rate).iterations(iterations);
                method.masks(&network, &image, Target::class(0)).unwrap()
            };
            let rate = 1e4;
            let (before, after) = (of(1e-20, 1), of(rate, 1));
            let step = before.masks() - after.masks();
            let gradient = &step * (1e3 / rate);
            let losses = of(rate, 2).losses()[0].clone();
            let (got, want) = (losses[0] - losses[1], (&step * &gradient).sum());
            println!("{variant:?}, {baseline}: the loss falls by {got:.3e}, {want:.3e} expected");
            assert!(
                want > 0.0 && (got - want).abs() < 0.02 * want,
                "{variant:?}, {baseline}"
            );
        }
    }
}

#[test]
fn images_do_not_mix() {
    let images = Tensor::cat(vec![ones(), ones() * 0.5, ones().flip([3]) * 2.0], 0);
    let targets = [0, 1, 0].map(Target::class);
    for variant in [Variant::Delete, Variant::Dual] {
        let method = small()
            .iterations(20)
            .variant(variant)
            .jitter(4)
            .noise(0.1)
            .seed(5)
            .baseline("zero+noise:0:0.5".parse().unwrap());
        let together = |batch_size: usize| {
            let method = method.clone().batch_size(batch_size);
            let each = Target::each(targets.clone());
            method.masks(&in_square, &images, each).unwrap()
        };
        let found = together(12);
        for batch_size in [1, 3] {
            let error = relative_error(together(batch_size).masks(), found.masks());
            assert!(error < 1e-4, "batches of {batch_size}: {error:.1e}");
        }
        for (i, target) in targets.iter().enumerate() {
            let one = images.clone().narrow(0, i, 1);
            let alone = method.masks(&in_square, &one, target.clone()).unwrap();
            let got = found.masks().index_axis(Axis(0), i);
            let error = relative_error(got, alone.masks());
            assert!(error < 1e-4, "image {i}: {error:.1e}");
        }
    }
}

#[test]
fn it_begins_with_the_smallest_disc_that_suffices() {
    // A step too small to see.
    let method = small().iterations(1).learning_rate(1e-9).mask_blur(0.0);
    let disc = |class, left| {
        let found = run(&method.clone().disc(3.0, 0.0, left), &ones(), class);
        found.masks().sum()
    };
    // Nothing is hidden where all may be left; the square's far corner is 21.2 pixels away from the
    // middle, the image's 33.2.
    assert!(disc(0, 1.0) < 1e-3);
    let area = |radius: f32| std::f32::consts::PI * radius * radius;
    let got = disc(0, 0.01);
    assert!((area(19.5)..area(24.0)).contains(&got), "{got}");
    assert!(disc(1, 0.01) > 2000.0);
    assert!(disc(0, 0.5) < got);
    // A score that hiding does not lower needs no disc.
    let negative = |x: Tensor<4>| in_square(x) * -1.0;
    let found = method.masks(&negative, &ones(), Target::class(0)).unwrap();
    assert!(found.masks().sum() < 1e-3);
}

#[test]
fn a_settled_search_ends() {
    let long = small().iterations(400).l1(1e-2).tv(1e-3);
    let all = run(&long.clone().settled(0.0), &ones(), 0);
    let ended = run(&long, &ones(), 0);
    println!("settled after {:?}", ended.iterations());
    assert_eq!(all.iterations(), [400]);
    assert!((51..400).contains(&ended.iterations()[0]));
    let error = (all.masks() - ended.masks()).mapv(f32::abs).mean().unwrap();
    assert!(error < 0.02, "{error}");
}

/// Hiding the region lowers the probability of the class, hiding the same region elsewhere far less.
#[test]
fn a_region_without_which_the_class_is_gone() {
    let (model, image) = (&*SQUEEZENET, &*CAT);
    let method = MeaningfulPerturbation::new()
        .baseline(Baseline::zero())
        .iterations(40);
    let found = method.masks(model, image, Target::class(285)).unwrap();
    let mask = found.masks().index_axis(Axis(0), 0).to_owned();
    let probability = |mask: &Array2<f32>| {
        let keep = mask.iter().map(|m| 1.0 - m).collect();
        let seen = image.clone() * tensor(keep, [1, 1, 224, 224]);
        model.classify(&seen).unwrap().probabilities(0).unwrap()[285]
    };
    let whole = probability(&Array2::zeros((224, 224)));
    let hidden = probability(&mask);
    let elsewhere: Vec<f32> = (1..8).map(|i| probability(&moved(&mask, i))).collect();
    let mean = elsewhere.iter().sum::<f32>() / elsewhere.len() as f32;
    println!(
        "whole {whole:.4}, without it {hidden:.4}, elsewhere {mean:.4} on average, mask mean {:.3}",
        mask.mean().unwrap()
    );
    assert!(hidden < 0.2 * whole, "{hidden} of {whole}");
    assert!(hidden < 0.3 * mean, "{hidden} against {mean}");
    assert!(mask.mean().unwrap() < 0.5);
}

#[test]
fn work_can_be_cancelled() {
    let method = small().progress(|_| ControlFlow::Break(()));
    let found = method.attribute(&in_square, &ones(), Target::class(0));
    is_cancelled(found, 1, 100);
}

#[test]
fn parameters_out_of_range_are_refused() {
    let new = small;
    for (name, method) in [
        ("iterations", new().iterations(0)),
        ("mask-scale", new().scale(0)),
        ("learning-rate", new().learning_rate(f32::NAN)),
        ("mask-blur", new().mask_blur(-1.0)),
        ("blur of the disc", new().disc(5.0, f32::INFINITY, 0.01)),
        ("step of the disc", new().disc(0.0, 1.0, 0.01)),
        ("share left by the disc", new().disc(5.0, 1.0, 1.5)),
        ("decay of adam", new().adam(1.0, 0.9, 1e-8)),
        ("decay of the square of adam", new().adam(0.9, -0.1, 1e-8)),
        ("epsilon of adam", new().adam(0.9, 0.9, 0.0)),
        ("l1", new().l1(-1.0).tv(0.0)),
        ("tv", new().l1(0.0).tv(f32::NAN)),
        ("l1", new().l1(1e10).tv(0.0)),
        ("tv-beta", new().beta(0.5)),
        ("mask-noise", new().noise(-0.1)),
        ("offsets", new().jitter(SIDE + 1)),
        ("start", new().start(Start::Value(1.5))),
        ("settled", new().settled(-1.0)),
        ("baseline", new().baseline(Baseline::blur(-1.0))),
        ("batch size", new().batch_size(0)),
    ] {
        match method.attribute(&in_square, &ones(), Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn options_as_text() {
    let options = MethodOptions::new()
        .set("preset", "localisation")
        .set("baseline", "zero")
        .set("score", "target")
        .set("variant", "dual")
        .set("iterations", "5")
        .set("mask-scale", "4")
        .set("mask-blur", "2")
        .set("offsets", "3")
        .set("adam", "0.8, 0.99, 1e-6")
        .set("disc", "3,2,0.1")
        .seed(7);
    let method = Method::find("meaningful-perturbation").unwrap();
    let built = method.build(&options).unwrap();
    let run = |m: &dyn Attributor| m.attribute(&in_square, &ones(), Target::class(0)).unwrap();
    let got = run(&built);
    let want = MeaningfulPerturbation::localisation()
        .baseline(Baseline::zero())
        .score(MeaningfulScore::Target)
        .variant(Variant::Dual)
        .iterations(5)
        .scale(4)
        .mask_blur(2.0)
        .jitter(3)
        .adam(0.8, 0.99, 1e-6)
        .disc(3.0, 2.0, 0.1)
        .seed(7);
    assert_eq!(got.values(), run(&want).values());
    assert_eq!(got.values().shape(), [1, 1, SIDE, SIDE]);
    for (option, value) in [
        ("preset", "best"),
        ("score", "logit"),
        ("variant", "keep"),
        ("adam", "0.9,0.999"),
        ("start", "middle"),
    ] {
        let refused = method.build(&MethodOptions::new().set(option, value));
        assert!(
            matches!(refused, Err(AttributionError::OptionValue { .. })),
            "{option}"
        );
    }
}
