//! CAMs of GoogLeNet on one photograph, against arrays that Captum and PyTorch computed.

#[path = "../../graph/tests/common/reference.rs"]
mod common;

use burn::tensor::Tensor;
use common::{assets, device, read_npy, relative_error};
use elucid_attribution::{Attributor, DeconvNet, GradCam, GuidedBackprop, HiResCam, Target};
use elucid_graph::Model;

/// Largest deviation allowed, relative to the reference's largest value.
const TOLERANCE: f32 = 1e-4;

#[test]
fn maps_of_captum() {
    let Some(assets) = assets() else { return };
    let folder = assets.join("reference/googlenet/chelsea");
    let model = Model::open(assets.join("models/googlenet.onnx"), &device()).unwrap();
    let (_, values) = read_npy(&folder.join("input.npy"));
    let input: Tensor<4> = common::tensor(values, [1, 3, 224, 224]);
    let check = |file: String, got: Vec<f32>| {
        let (_, want) = read_npy(&folder.join(&file));
        assert_eq!(got.len(), want.len(), "{file}");
        let error = relative_error(&got, &want);
        println!("{file}: {error:.1e}");
        assert!(error < TOLERANCE, "{file} deviates by {error:.1e}");
    };
    for class in [282, 285] {
        let attribute = |method: &dyn Attributor| {
            method
                .attribute(&model, &input, Target::class(class))
                .unwrap()
        };
        for (layer, size) in [("inception_4d", 14), ("inception_5b", 7)] {
            let raw = attribute(&GradCam::at(layer)).map().unwrap();
            assert_eq!(raw.maps().dim(), (1, size, size));
            let flat = |map: &elucid_attribution::Saliency| map.maps().iter().copied().collect();
            check(format!("{class}/gradcam_{layer}.npy"), flat(&raw));
            let up = raw.upsampled();
            assert_eq!(up.maps().dim(), (1, 224, 224));
            check(format!("{class}/gradcam_{layer}_up.npy"), flat(&up));
        }
        let features = attribute(&GradCam::at_features());
        assert_eq!(features.layer(), "inception_5b/output");
        // Behind this layer there are a pool over all positions and a dense layer only.
        let hires = attribute(&HiResCam::at_features());
        let error = relative_error(features.map().unwrap().maps(), hires.map().unwrap().maps());
        assert!(
            error < 1e-5,
            "HiResCAM is Grad-CAM at the last layer: {error:.1e}"
        );

        let pixels = |method: &dyn Attributor| attribute(method).values().iter().copied().collect();
        let guided = pixels(&GuidedBackprop::at_input());
        check(format!("{class}/guided_backprop.npy"), guided);
        let deconvnet = pixels(&DeconvNet::at_input());
        check(format!("{class}/deconvnet.npy"), deconvnet);
    }
}
