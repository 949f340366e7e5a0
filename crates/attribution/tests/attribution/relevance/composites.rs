//! Composites and options: which entry wins, what is refused, what is said in text.

use burn::tensor::Tensor;
use elucid_attribution::relevance::{
    AlphaBeta, Epsilon, Flat, Gamma, Norm, RelevanceRule, RelevanceRules, WSquare, ZBox, ZPlus,
};
use elucid_attribution::{
    AttributionError, Attributor, Baseline, ContrastiveExcitationBackprop, DeepLift,
    ExcitationBackprop, Lrp, Method, MethodOptions, Target,
};
use elucid_graph::INPUT;
use elucid_rules::OpKind;
use elucid_testkit::device;
use elucid_testkit::onnx::small_network;

use super::{images, model, noise, says, three, two_layers, without_bias};

#[test]
fn the_first_match_wins() {
    let model = model(&without_bias());
    let x = images(&noise(243, 7), [1, 3, 9, 9]);
    let of = |rules: RelevanceRules| {
        let result = Lrp::new(rules).attribute(&model, &x, Target::class(1));
        result.unwrap().values().clone()
    };
    let flat = of(RelevanceRules::epsilon_plus_flat());
    assert_ne!(flat, of(RelevanceRules::epsilon_plus()));
    let first = RelevanceRules::new().on_first(Flat);
    assert_eq!(flat, of(first.then(RelevanceRules::epsilon_plus())));
    let named = RelevanceRules::new()
        .on_layers("c?", Flat)
        .on_layers("c2", WSquare)
        .then(RelevanceRules::epsilon());
    let kind = RelevanceRules::new()
        .on(OpKind::Conv, Flat)
        .then(RelevanceRules::epsilon());
    assert_eq!(named.list().patterns().collect::<Vec<_>>(), ["c?", "c2"]);
    assert_eq!(of(named), of(kind));
}

#[test]
fn what_cannot_be_is_refused() {
    let model = two_layers();
    let x = three([1.0, 2.0, -1.0]);
    let refused = |method: &dyn Attributor, word: &str| {
        let error = method.attribute(&model, &x, Target::class(0)).unwrap_err();
        assert!(
            matches!(error, AttributionError::Parameter { .. }),
            "{error}"
        );
        says(&error, word);
    };
    let with = |rule: std::sync::Arc<dyn RelevanceRule>| {
        Lrp::new(
            RelevanceRules::new()
                .on_first(rule)
                .then(RelevanceRules::epsilon()),
        )
    };
    let rules: [(std::sync::Arc<dyn RelevanceRule>, &str); 10] = [
        (std::sync::Arc::new(Epsilon::new(0.0)), "epsilon is 0"),
        (
            std::sync::Arc::new(Epsilon::new(f32::NAN)),
            "epsilon is NaN",
        ),
        (std::sync::Arc::new(ZPlus::new(-1.0)), "epsilon is -1"),
        (std::sync::Arc::new(Norm::new(f32::INFINITY)), "epsilon"),
        (std::sync::Arc::new(Gamma::new(-0.1)), "gamma is -0.1"),
        (
            std::sync::Arc::new(AlphaBeta::new(2.0, 2.0)),
            "alpha - beta is 0",
        ),
        (std::sync::Arc::new(ZBox::new(&[0.0], &[0.0])), "above low"),
        (std::sync::Arc::new(ZBox::new(&[], &[1.0])), "low is []"),
        (
            std::sync::Arc::new(ZBox::new(&[0.0; 2], &[1.0; 3])),
            "as many channels",
        ),
        (
            std::sync::Arc::new(ZBox::new(&[0.0; 2], &[1.0; 2])),
            "first layer's input",
        ),
    ];
    for (rule, word) in rules {
        refused(&with(rule), word);
    }
    refused(&ExcitationBackprop::at(INPUT), "allow_input(true)");
    refused(&ContrastiveExcitationBackprop::at("f"), "allow_input(true)");
    refused(
        &ContrastiveExcitationBackprop::at("h").contrast_layer("y"),
        "contrast layer",
    );
    let ones = |shape: [usize; 4]| Tensor::ones(shape, &device());
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&ones([2, 3, 1, 1]))),
        "baseline",
    );
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&ones([1, 3, 2, 1]))),
        "baseline",
    );
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&three([f32::NAN, 0.0, 0.0]))),
        "finite",
    );
    refused(&Lrp::epsilon().batch_size(0), "batch size");

    let closure = |images: Tensor<4>| images.reshape([-1, 3]);
    for method in ["lrp", "deep-lift", "excitation-backprop"] {
        let built = Method::find(method)
            .unwrap()
            .build(&MethodOptions::new().layer(INPUT));
        let error = built.unwrap().attribute(&closure, &x, Target::class(0));
        assert!(matches!(error, Err(AttributionError::NeedsModel { .. })));
    }
    // A layer that the target does not depend on.
    for method in [
        Box::new(Lrp::epsilon().at("y")) as Box<dyn Attributor>,
        Box::new(DeepLift::at("y")),
        Box::new(ExcitationBackprop::at("y")),
    ] {
        let result = method.attribute(&model, &x, Target::closure("h", |h| h.sum()));
        assert!(
            matches!(result, Err(AttributionError::NoPath { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn methods_are_built_from_text() {
    let build = |name: &str, options: MethodOptions| Method::find(name).unwrap().build(&options);
    let set = |pairs: &[(&str, &str)]| {
        let options = pairs
            .iter()
            .fold(MethodOptions::new(), |o, (k, v)| o.set(k, v));
        build("lrp", options)
    };
    let model = model(&small_network());
    let x = images(&noise(432, 5), [1, 3, 12, 12]);
    let values = |method: &dyn Attributor| {
        let result = method.attribute(&model, &x, Target::class(1)).unwrap();
        result.values().clone()
    };
    assert_eq!(
        values(&set(&[]).unwrap()),
        values(&Lrp::epsilon_plus_flat())
    );
    for name in RelevanceRules::COMPOSITES {
        let rules = RelevanceRules::composite(name).unwrap();
        assert_eq!(rules.name(), *name);
        let built = set(&[("composite", name)]).unwrap();
        assert_eq!(values(&built), values(&Lrp::new(rules)), "{name}");
    }
    let bounds = [("low", "-1, -2,-3"), ("high", "4")];
    let built = set(&[&bounds[..], &[("composite", "epsilon-gamma-box")]].concat()).unwrap();
    let stated = Lrp::epsilon_gamma_box(&[-1.0, -2.0, -3.0], &[4.0]);
    assert_eq!(values(&built), values(&stated));
    for wrong in [
        &[("composite", "zennit")][..],
        &bounds[..],
        &bounds[..1],
        &[
            ("composite", "epsilon-gamma-box"),
            ("low", "black"),
            ("high", "1"),
        ],
        &[("composite", "epsilon-gamma-box"), ("high", "1")],
    ] {
        let error = set(wrong).unwrap_err();
        assert!(
            matches!(error, AttributionError::OptionValue { .. }),
            "{error}"
        );
    }
    let contrast = MethodOptions::new()
        .layer("pool1")
        .set("contrast-layer", "block/output")
        .set("allow-signed", "true");
    let built = build("contrastive-excitation-backprop", contrast).unwrap();
    assert_eq!(
        values(&built),
        values(
            &ContrastiveExcitationBackprop::at("pool1")
                .contrast_layer("block/output")
                .allow_signed(true)
        )
    );
    let down = MethodOptions::new()
        .layer(INPUT)
        .set("allow-input", "true")
        .set("allow-signed", "true");
    let built = build("excitation-backprop", down).unwrap();
    assert_eq!(
        values(&built),
        values(
            &ExcitationBackprop::at(INPUT)
                .allow_input(true)
                .allow_signed(true)
        )
    );
}
