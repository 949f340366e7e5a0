//! What a result says of the rules behind it, and what is refused instead of silently not done.

use burn::tensor::Tensor;
use elucid_attribution::relevance::{Flat, Gamma, RelevanceRules};
use elucid_attribution::{
    Attribution, AttributionError, Attributor, ExcitationBackprop, Gradient, GuidedBackprop,
    GuidedGradCam, Lrp, Target,
};
use elucid_graph::GraphError;
use elucid_rules::{Algebra, GuidedActivation, OpKind, RuleError, Rules, Which};
use elucid_testkit::device;
use elucid_testkit::onnx::Onnx;
use elucid_vision::Model;

/// Five layers with weights; ReLU, HardSwish, Clip and ReLU behind the convolutions.
fn network() -> Model {
    let mut file = Onnx::image([-1, 3, 4, 4])
        .opset(14)
        .weight("w", &[3, 3, 1, 1]);
    let mut at = "x".to_owned();
    for (layer, activation) in (1..).zip(["Relu", "HardSwish", "Clip", "Relu"]) {
        let (conv, bent) = (format!("conv{layer}"), format!("act{layer}"));
        file = file
            .node("Conv", &[&at, "w"], &[&conv])
            .node(activation, &[&conv], &[&bent]);
        at = bent;
    }
    let file = file
        .node("Flatten", &[&at], &["flat"])
        .weight("dense", &[48, 2])
        .node("Gemm", &["flat", "dense"], &["y"]);
    Model::from_bytes(file.bytes(), &device(), None).unwrap()
}

fn image() -> Tensor<4> {
    let values = (0..48).map(|i| ((i * 31 + 5) % 47) as f32 / 20.0 - 1.0);
    elucid_testkit::tensor(values.collect(), [1, 3, 4, 4])
}

fn explain(method: &dyn Attributor) -> Result<Attribution, AttributionError> {
    method.attribute(&network(), &image(), Target::class(1))
}

fn uses(method: &dyn Attributor) -> Vec<(String, usize)> {
    let found = explain(method).unwrap();
    let uses = found.rule_uses().iter();
    uses.map(|used| (used.rule.clone(), used.operators))
        .collect()
}

fn counted(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected
        .iter()
        .map(|(rule, n)| ((*rule).to_owned(), *n))
        .collect()
}

#[test]
fn gradients_say_how_many_operators_each_rule_took() {
    assert!(uses(&Gradient::at_input()).is_empty());
    // Its Clip has no bounds: there is none to rectify by, and it is the identity.
    let guided = counted(&[("guided ReLU", 3), ("true gradient of HardSwish", 1)]);
    assert_eq!(uses(&GuidedBackprop::at_input()), guided);
    assert_eq!(uses(&GuidedGradCam::with_cam_at("act4")), guided);
    let above = counted(&[("guided ReLU", 1)]);
    assert_eq!(uses(&GuidedBackprop::at("act3")), above);
    // What the text says.
    let text = explain(&GuidedBackprop::at("act3")).unwrap().to_string();
    assert!(text.contains("by guided ReLU at 1"), "{text}");
    // All of them alike, if that is asked for.
    let activations = [Algebra::Activation, Algebra::Gate];
    let rules = Rules::new().on_operators(activations, GuidedActivation);
    let all = Gradient::at_input().rules(&rules);
    assert_eq!(uses(&all), counted(&[("guided activation", 4)]));
    // An entry that is about something, and above the layer about nothing.
    let rules = Rules::new().on_operators(Which::named("act1"), GuidedActivation);
    let none = Gradient::at("act2").rules(&rules);
    assert_eq!(uses(&none), counted(&[("guided activation", 0)]));
}

#[test]
fn relevance_says_how_many_operators_each_rule_took() {
    let expected = [
        ("pass", 4),
        ("winner", 1),
        ("flat", 1),
        ("z+", 3),
        ("epsilon 0.000001", 1),
    ];
    let mut found = uses(&Lrp::epsilon_plus_flat());
    found.sort();
    let mut expected = counted(&expected);
    expected.sort();
    let counts = |uses: &[(String, usize)]| uses.iter().map(|(_, n)| n).sum::<usize>();
    assert_eq!(counts(&found), counts(&expected), "{found:?}");
    let epsilon = found.iter().find(|(rule, _)| rule.starts_with("epsilon"));
    assert_eq!(epsilon.unwrap().1, 1);
    // Layers 1 to 5 lie at 0, 1/5 to 4/5 of the depth: 7/16 is between the third and the fourth, 13/16
    // behind the fifth.
    let found = uses(&Lrp::composite_lrp());
    let of = |word: &str| {
        let fits = found.iter().filter(|(rule, _)| rule.contains(word));
        fits.map(|(_, n)| n).sum::<usize>()
    };
    assert_eq!(of("gamma"), 2, "{found:?}");
    assert_eq!(of("of the output's size"), 2, "{found:?}");
    let rules = RelevanceRules::new()
        .on(
            Which::All(vec![Algebra::Convolution.into(), Which::LastLayers(3)]),
            Gamma::new(0.5),
        )
        .then(RelevanceRules::epsilon());
    let found = uses(&Lrp::new(rules));
    let gamma = found.iter().find(|(rule, _)| rule.contains("gamma"));
    assert_eq!(gamma.unwrap().1, 2, "{found:?}");
    let top = uses(&ExcitationBackprop::at("act4"));
    let total = top.iter().map(|(_, n)| n).sum::<usize>();
    assert_eq!(total, 2, "{top:?}");
}

#[test]
fn a_relevance_rule_that_is_about_nothing_is_refused() {
    let refused = |rules: RelevanceRules, words: &[&str]| {
        let rules = rules.then(RelevanceRules::epsilon());
        let methods: [Box<dyn Attributor>; 2] = [
            Box::new(Lrp::new(rules.clone())),
            Box::new(ExcitationBackprop::at("act1").relevance_rules(rules)),
        ];
        for method in methods {
            let error = explain(&*method).unwrap_err();
            let AttributionError::Graph(GraphError::Rule(RuleError::MatchesNothing { .. })) = error
            else {
                panic!("{error}");
            };
            for word in words {
                assert!(error.to_string().contains(word), "{word}: {error}");
            }
        }
    };
    let named = RelevanceRules::new().on_layers("comv2", Flat);
    refused(named, &["`comv2`", "near: conv2", "Clip, Conv, Flatten"]);
    let kind = RelevanceRules::new().on(OpKind::Softmax, Flat);
    refused(kind, &["Softmax", "HardSwish"]);
    let deep = RelevanceRules::new().on(Which::Depth(1.0, 2.0), Flat);
    refused(deep, &["1.00 to 2.00 of the depth"]);
    // The composites are for whatever a network has.
    for name in RelevanceRules::COMPOSITES {
        let rules = RelevanceRules::composite(name).unwrap();
        assert!(explain(&Lrp::new(rules)).is_ok(), "{name}");
    }
}
