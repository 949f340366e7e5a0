//! A captured network on the device that `ELUCID_TEST_DEVICE` names, against the CPU: as it is, that is the
//! CPU itself; the gate runs it on wgpu.

use burn::module::Module;
use burn::tensor::Tensor;
use elucid_attribution::{METHODS, MethodOptions, Target};
use elucid_graph::LOGITS;
use elucid_testkit::array;
use elucid_vision::{InputSpec, Model};

use super::common::{difference, images};
use super::networks::zoo::InceptionV1;

const IMAGE: [usize; 3] = [3, 32, 32];

/// Behind this layer nothing decides, so that rounding cannot turn a gradient elsewhere.
const LAYER: &str = "inception_4a";

fn capture(net: &InceptionV1) -> Model {
    let spec = InputSpec::plain([IMAGE[1], IMAGE[2]], IMAGE[0]).expect("a preparation");
    Model::capture(net, spec, |m, x| m.forward(x)).expect("a model")
}

fn numbers(model: &Model, layer: &str, x: &Tensor<4>) -> Vec<f32> {
    let values = model.pass().input(x).fetch([layer]).expect("a pass");
    let array = values
        .get(layer)
        .and_then(|v| v.to_array())
        .expect("numbers");
    array.into_iter().collect()
}

#[test]
fn a_captured_inception_sees_the_same() {
    let net = InceptionV1::new();
    let device = array::device();
    let moved = net.valid().to_device(&device);
    let (cpu, gpu) = (capture(&net), capture(&moved));
    assert_eq!(gpu.device(), &device);
    let x = images(2, IMAGE);
    let there = x.clone().to_device(&device);
    let burns: Vec<f32> = moved.forward(there.clone()).into_data().iter().collect();
    assert!(difference(&numbers(&gpu, LOGITS, &there), &burns) < 1e-4);
    for layer in InceptionV1::LAYERS {
        let far = difference(&numbers(&gpu, layer, &there), &numbers(&cpu, layer, &x));
        assert!(far < 1e-4, "{layer}: {far:e}");
    }
    for name in [
        "gradient",
        "grad-cam",
        "layer-cam",
        "integrated-gradients",
        "lrp",
    ] {
        let method = METHODS.iter().find(|m| m.name == name).expect("a method");
        let built = method
            .build(&MethodOptions::new().layer(LAYER))
            .expect("a method");
        let [ours, theirs] = [(&cpu, &x), (&gpu, &there)].map(|(model, x)| {
            let found = built.attribute(model, x, Target::class(1)).expect("a map");
            found.values().iter().copied().collect::<Vec<f32>>()
        });
        let largest = ours.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let scaled = |v: &[f32]| v.iter().map(|v| v / largest).collect::<Vec<_>>();
        let far = difference(&scaled(&theirs), &scaled(&ours));
        assert!(far < 1e-3, "{name}: {far:e}");
    }
}
