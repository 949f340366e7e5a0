//! The networks that the program carries.

use burn::tensor::Device;
use elucid_models::photographs;
use elucid_vision::input::decode_image;
use elucid_vision::{Model, ModelError};

/// Logits of ONNX Runtime, by `scripts/inception_v1_small/reference.py`.
const REFERENCE: [(&str, [f32; 14]); 4] = [
    (
        "chelsea",
        [
            -0.0521, -0.3061, 0.2694, -0.4583, -0.1229, 0.3202, -0.3428, -0.7032, -0.3501, -0.7303,
            3.7295, -0.5466, -0.3963, -0.3299,
        ],
    ),
    (
        "dog",
        [
            -0.3734, 3.6593, -1.078, 0.1697, -0.6973, -0.5488, -0.8635, -0.8462, -0.0871, -0.9314,
            -0.1879, -0.1435, 2.7733, -0.8624,
        ],
    ),
    (
        "dog_and_cat",
        [
            -0.9988, 2.8546, -0.0206, -0.3963, -0.4856, -0.9856, -0.6051, -0.2499, -0.6592, -0.865,
            2.8814, -0.2897, 0.0907, -0.2788,
        ],
    ),
    (
        "panda",
        [
            -0.5881, 0.5076, -0.4031, -0.6351, -0.6668, -0.6211, -0.205, -0.4296, -0.3836, -0.3978,
            0.1829, 4.197, -0.0217, -0.5437,
        ],
    ),
];

/// The network, or the error of a build without its feature, which names it.
fn open(network: Result<Model, ModelError>, feature: &str, carried: bool) -> Option<Model> {
    match network {
        Ok(model) => {
            assert!(carried, "{} was not asked for", model.name());
            Some(model)
        }
        Err(error) => {
            assert!(!carried, "{error}");
            let missing = format!("its feature `{feature}` carries it");
            assert!(error.to_string().contains(&missing), "{error}");
            None
        }
    }
}

#[test]
fn the_small_inception_agrees_with_onnx_runtime() {
    let network = Model::embedded(&Device::flex());
    let Some(model) = open(network, "inception", cfg!(feature = "inception")) else {
        return;
    };
    assert_eq!(model.name(), "inception_v1_small");
    assert_eq!(model.graph().parameters(), 1_513_198);
    assert_eq!(model.input_spec().size(), [160, 160]);
    assert_eq!(
        model.layer("mixed4d").unwrap().name(),
        "inception_4d/output"
    );
    for (name, expected) in REFERENCE {
        let bytes = match name {
            "chelsea" => photographs::chelsea(),
            "dog" => photographs::dog(),
            "dog_and_cat" => photographs::dog_and_cat(),
            _ => photographs::panda(),
        };
        let photo = model.prepare(&decode_image(bytes).unwrap()).unwrap();
        let scores = model.classify(&photo).unwrap();
        let logits = scores.logits().row(0);
        assert_eq!(logits.len(), expected.len());
        for (class, (got, want)) in logits.iter().zip(expected).enumerate() {
            let off = (got - want).abs();
            assert!(off < 1e-3, "class {class} of {name}: {got} for {want}");
        }
    }
}

#[test]
fn classes_go_by_the_networks_own_names() {
    let network = Model::embedded(&Device::flex());
    let Some(model) = open(network, "inception", cfg!(feature = "inception")) else {
        return;
    };
    assert_eq!(model.classes().unwrap(), 14);
    let labels = model.labels().unwrap();
    assert_eq!((labels.len(), labels.set()), (14, "inception_v1_small"));
    assert_eq!(model.class("Cat").unwrap(), 10);
    assert_eq!(model.class("13").unwrap(), 13);
    assert_eq!(model.label(11), "giant panda");
    assert_eq!(model.label(14), "class 14");
    let refused = |name: &str| model.class(name).unwrap_err().to_string();
    assert!(refused("14").contains("classes 0 to 13"));
    let message = refused("Egyptian cat");
    assert!(message.contains("no inception_v1_small class"), "{message}");
    assert!(!message.contains("ImageNet"), "{message}");

    let photo = decode_image(photographs::chelsea()).unwrap();
    let photo = model.prepare(&photo).unwrap();
    let guesses = model.classify(&photo).unwrap().top(20);
    assert_eq!(guesses.len(), 14);
    assert_eq!(guesses[0].label, "cat");

    // Other weights change no names.
    let same = model.with_weights(|_, _| None).unwrap();
    assert_eq!(same.labels(), model.labels());
}

#[test]
fn squeezenet_has_imagenets_names() {
    let network = Model::find("squeezenet", &Device::flex(), None);
    let Some(model) = open(network, "squeezenet", cfg!(feature = "squeezenet")) else {
        return;
    };
    assert_eq!(model.labels().unwrap().set(), "ImageNet");
    assert_eq!(model.class("Egyptian cat").unwrap(), 285);
    let message = model.class("Egiptian cat").unwrap_err().to_string();
    assert!(message.contains("no ImageNet class"), "{message}");
    assert!(message.contains("Egyptian cat"), "{message}");
}

/// A file that nobody described has the names that it holds itself, else ImageNet's if it has as many
/// classes, with a remark.
#[test]
fn other_files_have_their_own_names_or_imagenets() {
    for network in elucid_models::Embedded::all() {
        // An unknown field at the end: another file with the same network in it.
        let mut bytes = network.bytes().to_vec();
        bytes.extend([0xa0, 0x06, 0x01]);
        let model = Model::from_bytes(bytes, &Device::flex(), None).unwrap();
        assert_eq!(model.name(), "model");
        let says = |words: &str| model.remarks().iter().any(|r| r.text().contains(words));
        if model.classes().unwrap() == 1000 {
            assert_eq!(model.label(285), "Egyptian cat");
            assert!(says("assumed that 1000 classes have ImageNet's names"));
        } else {
            assert_eq!(model.label(10), "cat");
            assert_eq!(model.class("zebra").unwrap(), 13);
            assert!(!says("names"));
        }
    }
}
