//! Relevance and DeepLIFT on GoogLeNet and one photograph: what is conserved and complete.
//! `reference_programs.rs` compares the numbers themselves.

use elucid_attribution::relevance::RelevanceRules;
use elucid_attribution::{Attributor, Baseline, DeepLift, ExcitationBackprop, Lrp, Target};
use elucid_testkit::relative_error;

use super::shared::Chelsea;

const CLASSES: [usize; 2] = [282, 285];

/// TorchRay has no rule for LRN; the reference at pool2 lies above both of GoogLeNet's, so that the
/// layers below it are checked by their mass alone.
#[test]
fn excitation_backprop_keeps_its_mass() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    for class in CLASSES {
        for layer in [
            "loss3/classifier",
            "pool5",
            "inception_5b",
            "inception_5a",
            "pool4",
            "inception_4e",
            "inception_4d",
            "inception_4c",
            "inception_4b",
            "inception_4a",
            "pool3",
            "inception_3b",
            "inception_3a",
            "pool2",
            "conv2/norm2",
            "conv2/relu_3x3",
            "conv2/relu_3x3_reduce",
            "pool1/norm1",
            "pool1/3x3_s2",
            "conv1/relu_7x7",
            "conv1/7x7_s2",
        ] {
            let result = ExcitationBackprop::at(layer)
                .attribute(&chelsea.model, &chelsea.input, Target::class(class))
                .unwrap();
            let mass = result.completeness()[0];
            println!("{class} at {layer}: {:.7}", mass.sum);
            assert_eq!(mass.expected, 1.0);
            assert!(mass.error() < 1e-5, "{} at {layer}", mass.sum);
        }
    }
}

/// Without bounds given, those of pixels are taken from the model's description of its input.
#[test]
fn the_box_of_pixels_is_that_of_the_input() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let mean = [104.0_f32, 117.0, 123.0];
    let (low, high) = (mean.map(|m| -m), mean.map(|m| 255.0 - m));
    let attribute = |method: Lrp| {
        method
            .attribute(&chelsea.model, &chelsea.input, Target::class(285))
            .unwrap()
    };
    let given = attribute(Lrp::epsilon_gamma_box(&low, &high));
    let found = attribute(Lrp::new(RelevanceRules::epsilon_gamma_pixels()));
    assert!(relative_error(found.values(), given.values()) < 1e-6);
}

#[test]
fn deep_lift_is_complete() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    for class in CLASSES {
        let result = DeepLift::at_input()
            .attribute(&chelsea.model, &chelsea.input, Target::class(class))
            .unwrap();
        let error = result.completeness_error().unwrap();
        println!("{result}, {error:.1e}");
        assert!(error < 1e-4);
    }
}

/// Below LRN, pools and nine blocks of branches, against other baselines.
#[test]
fn deep_lift_is_complete_at_other_layers_and_baselines() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let baseline = chelsea.input.clone().flip([3]) * 0.5;
    for layer in ["pool1/3x3_s2", "inception_4d", "pool5"] {
        let result = DeepLift::at(layer)
            .baseline(Baseline::image(&baseline))
            .attribute(&chelsea.model, &chelsea.input, Target::difference(282, 7))
            .unwrap();
        let error = result.completeness_error().unwrap();
        println!("{result}, {error:.1e}");
        assert!(error < 1e-4);
    }
}
