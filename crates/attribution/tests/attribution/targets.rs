//! Every target against finite differences and its definition.

use std::sync::LazyLock;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Gradient, LinearApproximation, Reduce, Target,
};
use elucid_graph::LOGITS;
use elucid_models::photographs;

use super::shared::SQUEEZENET as MODEL;

static CAT: LazyLock<Tensor<4>> = LazyLock::new(|| {
    let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
    MODEL.prepare(&picture).unwrap().tensor().clone()
});

fn logits(images: &Tensor<4>) -> Vec<f32> {
    MODEL
        .classify(images)
        .unwrap()
        .logits()
        .iter()
        .copied()
        .collect()
}

fn score(images: &Tensor<4>, target: Target) -> f32 {
    Gradient::at_input()
        .attribute(&*MODEL, images, target)
        .unwrap()
        .scores()[0]
}

#[test]
fn scores_are_what_they_are_called() {
    let logits = logits(&CAT);
    let close = |got: f32, want: f32| {
        assert!(
            (got - want).abs() <= 1e-5 * want.abs().max(1.0),
            "{got}, expected {want}"
        );
    };
    close(score(&CAT, Target::class(285)), logits[285]);
    close(score(&CAT, Target::label("Egyptian cat")), logits[285]);
    close(
        score(&CAT, Target::difference(285, 282)),
        logits[285] - logits[282],
    );
    let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    close(score(&CAT, Target::log_sum_exp()), sum.ln() as f32);
    let probability = (f64::from(logits[285]).exp() / sum) as f32;
    close(score(&CAT, Target::probability(285)), probability);

    let fetched = MODEL.pass().input(&*CAT).fetch(["fire9/concat"]).unwrap();
    let layer = fetched.get("fire9/concat").unwrap().to_array().unwrap();
    close(
        score(&CAT, Target::neuron("fire9/concat", 7, 3, 5)),
        layer[[0, 7, 3, 5]],
    );
    let channels = layer.shape()[1];
    let norm = (0..channels)
        .map(|c| layer[[0, c, 3, 5]].powi(2))
        .sum::<f32>()
        .sqrt();
    close(score(&CAT, Target::position("fire9/concat", 3, 5)), norm);
    let mean = Target::closure(LOGITS, |x| {
        let n = x.dims()[0];
        x.reshape([n as i32, -1]).mean_dim(1).reshape([n])
    });
    close(
        score(&CAT, mean),
        logits.iter().sum::<f32>() / logits.len() as f32,
    );
}

/// Along random directions the gradient must say how the score changes.
#[test]
fn gradients_match_finite_differences() {
    let layer = "fire9/concat";
    let at = MODEL.pass().input(&*CAT).fetch([layer]).unwrap();
    let at = at.get(layer).unwrap().tensor::<4>().unwrap();
    let shape = at.dims();
    let size: usize = shape.iter().product();
    let targets = || {
        [
            Target::class(285),
            Target::difference(285, 282),
            Target::log_sum_exp(),
            Target::probability(285),
            Target::closure(LOGITS, |x| {
                let n = x.dims()[0];
                (x.clone() * x)
                    .reshape([n as i32, -1])
                    .mean_dim(1)
                    .reshape([n])
            }),
        ]
    };
    for (t, target) in targets().into_iter().enumerate() {
        let name = target.to_string();
        let result = Gradient::at(layer)
            .attribute(&*MODEL, &*CAT, target)
            .unwrap();
        // Along the activation itself, where no ReLU changes sides.
        let step = 1e-2;
        let moved = |factor: f32| {
            let logits = MODEL
                .pass()
                .feed(layer, at.clone() * factor)
                .fetch([LOGITS])
                .unwrap()
                .get(LOGITS)
                .unwrap()
                .to_array()
                .unwrap();
            let l: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
            let sum: f64 = l.iter().map(|v| v.exp()).sum();
            match t {
                0 => l[285],
                1 => l[285] - l[282],
                2 => sum.ln(),
                3 => l[285].exp() / sum,
                _ => l.iter().map(|v| v * v).sum::<f64>() / l.len() as f64,
            }
        };
        let numeric = (moved(1.0 + step) - moved(1.0 - step)) / (2.0 * f64::from(step));
        let values: Vec<f32> = at.clone().into_data().iter::<f32>().collect();
        assert_eq!(values.len(), size);
        let along: f64 = values
            .iter()
            .zip(result.values())
            .map(|(&a, &g)| f64::from(a) * f64::from(g))
            .sum();
        let error = (along - numeric).abs() / numeric.abs().max(1e-3);
        assert!(error < 5e-3, "{name}: {along}, numerically {numeric}");
    }
}

#[test]
fn text_becomes_a_target() {
    let parse = |text: &str| text.parse::<Target>().map(|t| t.to_string());
    assert_eq!(parse("285").unwrap(), "285");
    assert_eq!(
        parse("Egyptian cat:espresso").unwrap(),
        "Egyptian cat - espresso"
    );
    assert_eq!(parse("LogSumExp").unwrap(), "log sum exp");
    for bad in ["", " ", ":", "285:"] {
        assert!(
            matches!(parse(bad), Err(AttributionError::Target { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn targets_outside_the_model_are_refused() {
    let attribute = |target| {
        Gradient::at_input()
            .attribute(&*MODEL, &*CAT, target)
            .unwrap_err()
            .to_string()
    };
    assert!(attribute(Target::class(1000)).contains("0 to 999"));
    assert!(attribute(Target::label("Egyptain cat")).contains("Egyptian cat"));
    assert!(attribute(Target::neuron("fire9/concat", 9999, 0, 0)).contains("channel 9999"));
    assert!(attribute(Target::position("fire9/concat", 0, 99)).contains("column 99"));
    assert!(attribute(Target::position("pool10/flatten", 0, 0)).contains("[N, C, H, W]"));
    let wrong = Target::closure(LOGITS, |x| x.reshape([-1]));
    assert!(attribute(wrong).contains("expected [1]"));
    let behind = Gradient::at("fire9/concat")
        .attribute(&*MODEL, &*CAT, Target::neuron("fire2/concat", 0, 0, 0))
        .unwrap_err();
    assert!(
        matches!(behind, AttributionError::NoPath { .. }),
        "{behind}"
    );
}

#[test]
fn a_constant_target_has_no_gradient() {
    let constant = Target::closure(LOGITS, |x| Tensor::ones([x.dims()[0]], &x.device()));
    let refused = Gradient::at_input().attribute(&*MODEL, &*CAT, constant);
    assert!(matches!(refused, Err(AttributionError::NoPath { .. })));
    let zero = Target::closure(LOGITS, |x| {
        let n = x.dims()[0];
        (x * 0.0).reshape([n as i32, -1]).sum_dim(1).reshape([n])
    });
    let result = Gradient::at_input()
        .attribute(&*MODEL, &*CAT, zero)
        .unwrap();
    assert!(result.values().iter().all(|&v| v == 0.0));
}

#[test]
fn reductions_are_what_they_are_called() {
    let result = Gradient::at("fire9/concat")
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    let values = result.values();
    let at = |reduce| result.saliency(reduce).unwrap().maps()[[0, 4, 6]];
    let column: Vec<f32> = (0..values.shape()[1])
        .map(|c| values[[0, c, 4, 6]])
        .collect();
    let sum: f32 = column.iter().sum();
    let close = |a: f32, b: f32| assert!((a - b).abs() <= 1e-5 * b.abs().max(1e-3), "{a} {b}");
    close(at(Reduce::Sum), sum);
    close(at(Reduce::Positive), sum.max(0.0));
    close(at(Reduce::AbsSum), column.iter().map(|v| v.abs()).sum());
    close(
        at(Reduce::MaxAbs),
        column.iter().fold(0.0, |m, v| m.max(v.abs())),
    );
    close(
        at(Reduce::L2),
        column.iter().map(|v| v * v).sum::<f32>().sqrt(),
    );
}

#[test]
fn maps_sum_to_the_layers_attribution() {
    let gradient = Gradient::at("fire9/concat")
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    let fetched = MODEL.pass().input(&*CAT).fetch(["fire9/concat"]).unwrap();
    let activation = fetched.get("fire9/concat").unwrap().to_array().unwrap();
    let maps = LinearApproximation::at("fire9/concat")
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    let total: f64 = activation
        .iter()
        .zip(gradient.values())
        .map(|(&a, &g)| f64::from(a * g))
        .sum();
    let mapped: f64 = maps.values().iter().map(|&v| f64::from(v)).sum();
    assert!(
        (total - mapped).abs() < 1e-3 * total.abs(),
        "{mapped}, expected {total}"
    );
}

#[test]
fn threads_with_different_rules_do_not_see_each_other() {
    use elucid_rules::Rules;
    let run = |preset: &str| {
        let rules = Rules::preset(preset).unwrap();
        let result =
            Gradient::at_input()
                .rules(&rules)
                .attribute(&*MODEL, &*CAT, Target::class(285));
        result.unwrap().values().clone()
    };
    let (guided, plain) = (run("guided"), run("true"));
    assert_ne!(guided, plain);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| run("guided"));
        let other = scope.spawn(|| run("true"));
        assert_eq!(one.join().unwrap(), guided);
        assert_eq!(other.join().unwrap(), plain);
    });
}

#[test]
fn chunks_change_nothing() {
    let mirrored = CAT.clone().flip([3]);
    let batch = Tensor::cat(vec![CAT.clone(), mirrored, CAT.clone() * 0.5], 0);
    let gradient = |size| {
        let method = Gradient::at_input().batch_size(size);
        method.attribute(&*MODEL, &batch, Target::class(285))
    };
    let linear = |size| {
        let method = LinearApproximation::at("fire9/concat").batch_size(size);
        method.attribute(&*MODEL, &batch, Target::class(285))
    };
    let (together, apart) = (gradient(3).unwrap(), gradient(2).unwrap());
    assert_eq!(apart.values().shape(), [3, 3, 224, 224]);
    assert!(elucid_testkit::relative_error(apart.values(), together.values()) < 1e-5);
    assert!(elucid_testkit::relative_error(apart.scores(), together.scores()) < 1e-5);
    let (together, apart) = (linear(3).unwrap(), linear(1).unwrap());
    assert_eq!(apart.map().unwrap().maps().shape(), [3, 13, 13]);
    assert!(elucid_testkit::relative_error(apart.values(), together.values()) < 1e-5);
    for refused in [gradient(0).err(), linear(0).err()] {
        assert!(matches!(refused, Some(AttributionError::Parameter { .. })));
    }
}
