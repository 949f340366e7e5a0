//! The generated forward pass, the captured one and our own import of the file: the same numbers.

use burn::tensor::{Device, Distribution, Tensor};
use burn_import_example::{captured, generated};
use elucid::prelude::*;

/// The largest difference, relative to the largest number.
fn far(a: Tensor<2>, b: &Tensor<2>) -> f32 {
    let largest: f32 = b.clone().abs().max().into_scalar();
    let worst: f32 = (a - b.clone()).abs().max().into_scalar();
    worst / largest
}

#[test]
fn three_ways_to_one_network() {
    let device = Device::flex();
    let own = Model::embedded(&device).expect("the embedded network");
    let net = generated(&device);
    let model = captured(&net, &own).expect("a capture");
    for images in [1, 3] {
        let x = Tensor::<4>::random(
            [images, 3, 160, 160],
            Distribution::Uniform(-2.0, 2.0),
            &device,
        );
        let scores = |model: &Model| {
            let pass = model.pass().input(&x).fetch([LOGITS]).expect("a pass");
            pass.get(LOGITS)
                .and_then(|v| v.tensor::<2>())
                .expect("scores")
        };
        let ours = scores(&own);
        assert!(far(scores(&model), &ours) < 1e-5);
        // The file has two outputs: the scores, and their softmax.
        let (generated, _) = net.forward(x.clone());
        assert!(far(generated, &ours) < 1e-5);
        let layer = |model: &Model| {
            let pass = model.pass().input(&x).fetch(["mixed4d"]).expect("a pass");
            pass.get("mixed4d").map(|v| v.rows()).expect("a layer")
        };
        assert!(far(layer(&model), &layer(&own)) < 1e-5);
    }
}
