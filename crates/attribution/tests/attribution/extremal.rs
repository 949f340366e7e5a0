//! Extremal perturbation, on toys and on the embedded network.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Tensor;
use elucid_attribution::perturbation::{Perturbation, Reward, Variant};
use elucid_attribution::{
    AttributionError, Attributor, ExtremalPerturbation, Method, MethodOptions, Target,
};
use elucid_testkit::relative_error;
use ndarray::{Array2, ArrayView2, Axis};

use super::shared::{CAT, SQUEEZENET, is_cancelled, moved, rectangle};

const SIDE: usize = 48;

fn square() -> Tensor<4> {
    rectangle(SIDE, 10..26, 24..40)
}

/// Scores of how much is left of the image inside the square, and outside it.
fn in_square(x: Tensor<4>) -> Tensor<2> {
    let n = x.dims()[0] as i32;
    let mean = |x: Tensor<4>| x.reshape([n, -1]).mean_dim(1) * 100.0;
    let square = square();
    let outside = square.clone() * -1.0 + 1.0;
    Tensor::cat(vec![mean(x.clone() * square), mean(x * outside) * 0.1], 1)
}

fn ones() -> Tensor<4> {
    square().ones_like()
}

fn small() -> ExtremalPerturbation {
    ExtremalPerturbation::new()
        .perturbation(Perturbation::Fade)
        .sigma(6.0)
        .step(3)
        .areas([0.04])
        .jitter(false)
        .iterations(300)
}

/// The share of the mask that lies inside the square.
fn inside(mask: ArrayView2<'_, f32>) -> f32 {
    let square: Vec<f32> = square().into_data().iter::<f32>().collect();
    let within: f32 = mask.iter().zip(&square).map(|(m, s)| m * s).sum();
    within / mask.sum()
}

#[test]
fn every_variant_finds_what_the_score_is_made_of() {
    for variant in [Variant::Preserve, Variant::Delete, Variant::Dual] {
        for reward in [Reward::Simple, Reward::Contrastive] {
            let method = small().variant(variant).reward(reward);
            let found = method.masks(&in_square, &ones(), Target::class(0)).unwrap();
            let mask = found.masks().index_axis(Axis(0), 0);
            let mask = mask.index_axis(Axis(0), 0);
            let share = inside(mask);
            // The area counts the margin of 6 pixels as well.
            let area = mask.sum() / 60.0 / 60.0;
            println!(
                "{variant:?}, {reward:?}: {:.0} % inside, area {area:.3}, {} iterations",
                100.0 * share,
                found.iterations()[0][0]
            );
            assert!(share > 0.75, "{variant:?}, {reward:?}: {share}");
            assert!((0.02..0.07).contains(&area), "{variant:?}: {area}");
        }
    }
}

#[test]
fn areas_and_images_do_not_mix() {
    let images = Tensor::cat(vec![ones(), ones() * 0.5, ones().flip([3]) * 2.0], 0);
    let targets = [0, 1, 0].map(Target::class);
    let areas = [0.05, 0.2];
    for reward in [Reward::Simple, Reward::Contrastive] {
        for variant in [Variant::Preserve, Variant::Dual] {
            let method = small().iterations(20).reward(reward).variant(variant);
            let together = |batch_size: usize| {
                let method = method.clone().areas(areas).batch_size(batch_size);
                let each = Target::each(targets.clone());
                method.masks(&in_square, &images, each).unwrap()
            };
            let found = together(8);
            for batch_size in [1, 3] {
                let error = relative_error(together(batch_size).masks(), found.masks());
                assert!(error < 1e-4, "batches of {batch_size}: {error:.1e}");
            }
            for (i, target) in targets.iter().enumerate() {
                for (j, area) in areas.into_iter().enumerate() {
                    let one = images.clone().narrow(0, i, 1);
                    let method = method.clone().areas([area]);
                    let alone = method.masks(&in_square, &one, target.clone()).unwrap();
                    let got = found.masks().index_axis(Axis(0), i);
                    let got = got.index_axis(Axis(0), j);
                    let error = relative_error(got, alone.masks());
                    assert!(error < 1e-4, "image {i}, area {area}: {error:.1e}");
                    let reward = (found.rewards()[i][j] - alone.rewards()[0][0]).abs();
                    assert!(reward < 1e-3, "image {i}, area {area}: {reward:.1e}");
                }
            }
        }
    }
}

#[test]
fn rewards_are_what_they_say() {
    let image = ones() * 0.7;
    let first = small().iterations(1);
    let side = SIDE.div_ceil(3);
    let whole = first.smooth_mask(Array2::ones((side, side)).view(), [SIDE; 2]);
    let whole = whole.unwrap();
    let scores = |mask: &Array2<f32>| -> Vec<f32> {
        let seen = first.perturbed(&image, mask.view()).unwrap();
        in_square(seen).into_data().iter::<f32>().collect()
    };
    let (shown, hidden) = (scores(&whole), scores(&whole.mapv(|m| 1.0 - m)));
    let reward = |method: ExtremalPerturbation, target| {
        let found = method.masks(&in_square, &image, target).unwrap();
        found.rewards()[0][0]
    };
    for class in [0, 1] {
        let contrast = |scores: &[f32]| scores[class] - scores[1 - class];
        let simple = |variant| reward(first.clone().variant(variant), Target::class(class));
        let contrastive = |variant| {
            let method = first.clone().variant(variant);
            let got = reward(
                method.clone().reward(Reward::Contrastive),
                Target::class(class),
            );
            assert_eq!(got, reward(method, Target::contrast(class)));
            got
        };
        for (got, want) in [
            (simple(Variant::Preserve), shown[class]),
            (simple(Variant::Delete), -hidden[class]),
            (simple(Variant::Dual), shown[class] - hidden[class]),
            (contrastive(Variant::Preserve), contrast(&shown)),
            (contrastive(Variant::Delete), -contrast(&hidden)),
            (
                contrastive(Variant::Dual),
                contrast(&shown) - contrast(&hidden),
            ),
        ] {
            assert!((got - want).abs() < 1e-4, "{got} for {want}");
        }
    }
}

#[test]
fn a_settled_search_ends() {
    let run = |settled: f32| {
        let method = small().iterations(700).settled(settled);
        method.masks(&in_square, &ones(), Target::class(0)).unwrap()
    };
    let (all, ended) = (run(0.0), run(0.002));
    println!("settled after {:?}", ended.iterations());
    assert_eq!(all.iterations()[0], [700]);
    assert!((51..700).contains(&ended.iterations()[0][0]));
    let error = (all.masks() - ended.masks()).mapv(f32::abs).mean().unwrap();
    assert!(error < 0.02, "{error}");
}

/// The mask on its way to a tenth of the photograph holds more of the class than the same mask
/// elsewhere.
#[test]
fn an_area_that_keeps_the_class() {
    let (model, image) = (&*SQUEEZENET, &*CAT);
    let method = ExtremalPerturbation::new().iterations(250);
    let start = Instant::now();
    let found = method.masks(model, image, Target::class(285)).unwrap();
    let iterations = found.iterations()[0][0];
    println!(
        "{iterations} iterations, {:.3} s each",
        start.elapsed().as_secs_f32() / iterations as f32
    );
    let mask = found.masks().index_axis(Axis(0), 0);
    let mask = mask.index_axis(Axis(0), 0).to_owned();
    let probability = |mask: &Array2<f32>| {
        let seen = method.perturbed(image, mask.view()).unwrap();
        model.classify(&seen).unwrap().probabilities(0).unwrap()[285]
    };
    let kept = probability(&mask);
    let elsewhere: Vec<f32> = (1..16).map(|i| probability(&moved(&mask, i))).collect();
    let best = elsewhere.iter().fold(0.0, |m: f32, &p| m.max(p));
    println!(
        "kept {kept:.4}, elsewhere at most {best:.4}, mask mean {:.3}",
        mask.mean().unwrap()
    );
    assert!(kept > 2.0 * best, "{kept} against {best}");
}

#[test]
fn work_can_be_cancelled() {
    let method = small().progress(|_| ControlFlow::Break(()));
    let found = method.attribute(&in_square, &ones(), Target::class(0));
    is_cancelled(found, 1, 300);
}

#[test]
fn parameters_out_of_range_are_refused() {
    let new = ExtremalPerturbation::new;
    for (name, method) in [
        ("number of areas", new().areas([])),
        ("areas", new().areas([0.1, 1.0])),
        ("areas", new().areas([f32::NAN])),
        ("iterations", new().iterations(0)),
        ("step", new().step(0)),
        ("step", new().step(usize::MAX)),
        ("step", new().step(1).sigma(9_000.0)),
        ("levels", new().levels(1)),
        ("levels", new().levels(1_001)),
        ("sigma", new().sigma(0.0)),
        ("sigma", new().sigma(f32::INFINITY)),
        ("blur", new().blur(-1.0)),
        ("coldness", new().coldness(0.0)),
        ("coldness", new().coldness(100.0)),
        ("mask-smooth", new().smooth(-0.1)),
        ("learning-rate", new().learning_rate(0.0)),
        ("momentum", new().momentum(1.5)),
        ("dampening", new().dampening(-0.1)),
        ("area-weight", new().area_weight(f32::NAN)),
        ("area-growth", new().area_growth(0.0)),
        ("settled", new().settled(-1.0)),
        ("batch size", new().batch_size(0)),
    ] {
        match method.attribute(&in_square, &ones(), Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let contrastive = new().reward(Reward::Contrastive);
    let refused = contrastive.attribute(&in_square, &ones(), Target::log_sum_exp());
    assert!(matches!(refused, Err(AttributionError::Parameter { .. })));
    let wrong = new().smooth_mask(Array2::zeros((3, 3)).view(), [SIDE; 2]);
    assert!(matches!(wrong, Err(AttributionError::Parameter { .. })));
    let wrong = new().perturbed(&ones(), Array2::zeros((3, 3)).view());
    assert!(matches!(wrong, Err(AttributionError::Images { .. })));
}

#[test]
fn options_as_text() {
    let options = MethodOptions::new()
        .set("areas", "0.05, 0.1")
        .set("perturbation", "fade")
        .set("variant", "dual")
        .set("reward", "contrastive")
        .set("iterations", "5")
        .set("sigma", "6")
        .set("step", "3")
        .set("jitter", "false")
        .set("mask-smooth", "0.05");
    let method = Method::find("extremal-perturbation").unwrap();
    let built = method.build(&options).unwrap();
    let run = |m: &dyn Attributor| m.attribute(&in_square, &ones(), Target::class(0)).unwrap();
    let got = run(&built);
    let want = small()
        .areas([0.05, 0.1])
        .variant(Variant::Dual)
        .reward(Reward::Contrastive)
        .iterations(5)
        .smooth(0.05);
    assert_eq!(got.values(), run(&want).values());
    assert_eq!(got.evaluations(), [20]);
    for (option, value) in [("areas", "big"), ("variant", "keep"), ("jitter", "4")] {
        let refused = method.build(&MethodOptions::new().set(option, value));
        assert!(matches!(refused, Err(AttributionError::OptionValue { .. })));
    }
}
