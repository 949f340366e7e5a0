//! Relevance and DeepLIFT on torchvision's networks, with weights generated from their names.

use std::path::Path;

use elucid_attribution::{
    Attribution, Attributor, DeepLift, ExcitationBackprop, FEATURES, Lrp, Target,
};
use elucid_models::photographs;
use elucid_testkit::generated::with_weights;
use elucid_testkit::{assets, device};
use elucid_vision::Model;

fn open(assets: &Path, network: &str) -> Model {
    let file = assets.join(format!("models/torchvision/{network}.onnx"));
    Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap()
}

/// The first layer whose numbers are 0 or more.
fn first_activation(model: &Model) -> &str {
    let mut layers = model.layers().iter();
    let first = layers.find(|layer| layer.algebra().is_activation());
    first.unwrap().name()
}

fn explain(model: &Model, method: &dyn Attributor) -> Attribution {
    let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
    let cat = model.prepare(&picture).unwrap();
    let started = std::time::Instant::now();
    let result = method
        .attribute(model, cat.tensor(), Target::class(285))
        .unwrap();
    println!("{result}\n{:?}", started.elapsed());
    assert!(result.values().iter().all(|v| v.is_finite()));
    assert!(result.values().iter().any(|&v| v != 0.0));
    result
}

macro_rules! networks {
    ($($network:ident at $lowest:expr;)*) => {$(
        #[test]
        fn $network() {
            let Some(assets) = assets() else { return };
            let model = open(&assets, stringify!($network));
            let lowest: fn(&Model) -> &str = $lowest;
            for layer in [FEATURES, lowest(&model)] {
                let mass = explain(&model, &ExcitationBackprop::at(layer)).completeness()[0];
                assert!(mass.error() < 1e-4, "{} at {layer}", mass.sum);
            }
            let relevance = explain(&model, &Lrp::epsilon_plus());
            assert_eq!(relevance.values().shape(), [1, 3, 224, 224]);
            let complete = explain(&model, &DeepLift::at_input()).completeness_error();
            assert!(complete.unwrap() < 1e-4, "{complete:?}");
        }
    )*};
}

networks! {
    alexnet at first_activation;
    densenet121 at first_activation;
    // Below its last activation there are bottlenecks, whose numbers are signed.
    mobilenet_v2 at |_| FEATURES;
    mobilenet_v2_bn at |_| FEATURES;
    resnet18 at first_activation;
    resnet18_bn at first_activation;
    vgg11 at first_activation;
}
