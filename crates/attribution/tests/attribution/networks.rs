//! The eight networks of TorchRay's tutorial, and two of them with their batch normalisations, under
//! every method. Their structure is torchvision's, their weights are generated from names.

use std::time::Instant;

use burn::tensor::Tensor;
use elucid_attribution::{
    Attributor, GradCam, Gradient, LinearApproximation, MethodOptions, Target,
};
use elucid_testkit::generated::with_weights;
use elucid_testkit::{assets, device, numbers, relative_error};
use elucid_vision::Model;

use super::shared::{SMALL, without_attention};

/// Options under which methods are quick, for those that have them.
const OWN: &[(&str, &str)] = &[("masks", "2"), ("window", "112"), ("stride", "112")];

fn noise() -> Tensor<4> {
    elucid_testkit::tensor(numbers(3 * 224 * 224, 0x9E37_79B9), [1, 3, 224, 224]) * 2.0
}

fn open(network: &str) -> Option<Model> {
    let file = assets()?.join(format!("models/torchvision/{network}.onnx"));
    Some(Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap())
}

/// Every method gives finite numbers shaped like its layer, and something to see.
fn is_explained(network: &str) {
    let Some(model) = open(network) else { return };
    let image = noise();
    let class = model.classify(&image).unwrap().top(1)[0].index;
    for method in without_attention() {
        let options = SMALL
            .iter()
            .chain(OWN)
            .filter(|(option, _)| method.takes(option))
            .fold(MethodOptions::new(), |options, (name, value)| {
                options.set(name, value)
            });
        let start = Instant::now();
        let attributor = method.build(&options).unwrap();
        let name = format!("{network}, {}", method.name);
        let found = attributor
            .attribute(&model, &image, Target::class(class))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found.values().iter().all(|v| v.is_finite()), "{name}");
        assert!(found.values().iter().any(|&v| v != 0.0), "{name}");
        assert_eq!(found.map().unwrap().upsampled().maps().dim(), (1, 224, 224));
        println!("{name}: {:.2} s", start.elapsed().as_secs_f32());
    }
}

/// Several layers in one pass give what they give one by one.
fn layers_agree(network: &str) {
    let Some(model) = open(network) else { return };
    let image = noise();
    let layers: Vec<&str> = model
        .layers()
        .iter()
        .filter(|layer| layer.is_notable())
        .map(|layer| layer.name())
        .collect();
    assert!(layers.len() > 2, "{network}");
    let together = Gradient::at_input()
        .attribute_at(&layers, &model, &image, Target::class(7))
        .unwrap();
    for (layer, got) in layers.iter().zip(&together) {
        let want = Gradient::at(layer)
            .attribute(&model, &image, Target::class(7))
            .unwrap();
        let error = relative_error(got.values(), want.values());
        assert!(error < 1e-4, "{network}, {layer}: {error:.1e}");
    }
}

macro_rules! networks {
    ($($network:ident)*) => {$(
        #[test]
        fn $network() {
            is_explained(stringify!($network));
        }
    )*};
}

networks! {
    alexnet densenet121 densenet201 mobilenet_v2 mobilenet_v2_bn resnet18 resnet18_bn resnet50
    vgg11 wide_resnet101_2
}

#[test]
fn several_layers_in_one_pass() {
    for network in ["alexnet", "resnet18_bn", "densenet121", "mobilenet_v2"] {
        layers_agree(network);
    }
}

/// A transformer's blocks have no positions, but it has a gradient at its input.
#[test]
fn vit_b_16() {
    let Some(model) = open("vit_b_16") else {
        return;
    };
    let image = noise();
    for (name, option) in [
        ("gradient", None),
        ("integrated-gradients", Some(("steps", "2"))),
        ("smooth-grad", Some(("samples", "2"))),
    ] {
        let method = elucid_attribution::Method::find(name).unwrap();
        let options = option.map_or(MethodOptions::new(), |(option, value)| {
            MethodOptions::new().set(option, value)
        });
        let found = method.build(&options).unwrap();
        let found = found.attribute(&model, &image, Target::class(7)).unwrap();
        assert_eq!(found.values().shape(), [1, 3, 224, 224]);
        assert!(found.values().iter().all(|v| v.is_finite()), "{name}");
        assert!(found.values().iter().any(|&v| v != 0.0), "{name}");
    }
    let linear = LinearApproximation::at_input().attribute(&model, &image, Target::class(7));
    assert_eq!(linear.unwrap().map().unwrap().maps().dim(), (1, 224, 224));
    // The only layer with positions is the embedding of the patches.
    let cam = GradCam::at_features().attribute(&model, &image, Target::class(7));
    assert_eq!(cam.unwrap().map().unwrap().maps().dim(), (1, 14, 14));
}
