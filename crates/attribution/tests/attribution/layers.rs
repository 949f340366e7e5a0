//! Gradients at several layers from one recorded pass, against one pass per layer.

use burn::tensor::Tensor;
use elucid_attribution::{AttributionError, Attributor, Gradient, Target};
use elucid_graph::{INPUT, LOGITS};
use elucid_models::photographs;
use elucid_rules::Rules;
use elucid_testkit::{device, relative_error};
use elucid_vision::Model;

fn open() -> (Model, Tensor<4>) {
    let model = Model::find("squeezenet", &device(), None).unwrap();
    let read = |bytes| {
        let picture = elucid_vision::input::decode_image(bytes).unwrap();
        model.prepare(&picture).unwrap().tensor().clone()
    };
    let cat = read(photographs::chelsea());
    let images = Tensor::cat(vec![cat.clone(), cat.flip([3])], 0);
    (model, images)
}

#[test]
fn one_pass_gives_what_several_give() {
    let (model, images) = open();
    let layers = [
        INPUT,
        "conv1",
        "fire4/concat",
        "fire9/relu_expand3x3",
        LOGITS,
    ];
    for preset in ["true", "guided", "smooth-blur"] {
        let rules = Rules::preset(preset).unwrap();
        let target = Target::each([Target::class(285), Target::difference(281, 7)]);
        let together = Gradient::at_input()
            .rules(&rules)
            .attribute_at(layers, &model, &images, target.clone())
            .unwrap();
        for (layer, got) in layers.iter().zip(&together) {
            let want = Gradient::at(layer)
                .rules(&rules)
                .attribute(&model, &images, target.clone())
                .unwrap();
            assert_eq!(got.layer(), want.layer());
            assert_eq!(got.values().shape(), want.values().shape());
            let error = relative_error(got.values(), want.values());
            assert!(error < 1e-5, "{preset}, {layer}: {error:.1e}");
            assert_eq!(got.scores(), want.scores());
        }
    }
}

#[test]
fn one_target_for_each_image() {
    let (model, images) = open();
    let (a, b) = (Target::class(285), Target::probability("tiger cat"));
    let both = Gradient::at_input()
        .attribute(&model, &images, Target::each([a.clone(), b.clone()]))
        .unwrap();
    for (i, target) in [a, b].into_iter().enumerate() {
        let one = images.clone().narrow(0, i, 1);
        let alone = Gradient::at_input()
            .attribute(&model, &one, target)
            .unwrap();
        let row = both.values().index_axis(ndarray::Axis(0), i);
        let error = relative_error(row, alone.values());
        assert!(error < 1e-5, "image {i}: {error:.1e}");
    }
    let few = Target::each([Target::class(285)]);
    let refused = Gradient::at_input().attribute(&model, &images, few);
    assert!(matches!(refused, Err(AttributionError::Target { .. })));
}

#[test]
fn a_closure_can_be_explained() {
    let (model, images) = open();
    let network = |x: Tensor<4>| {
        let pass = model.pass().input(&x).fetch([LOGITS]).unwrap();
        pass.get(LOGITS).unwrap().tensor::<2>().unwrap()
    };
    let explain = |target: Target| {
        let got = Gradient::at_input().attribute(&network, &images, target.clone());
        let want = Gradient::at_input().attribute(&model, &images, target);
        (got.unwrap(), want.unwrap())
    };
    let (got, want) = explain(Target::class(285));
    assert!(relative_error(got.values(), want.values()) < 1e-6);
    let refused = |method: Gradient, target| {
        method
            .attribute(&network, &images, target)
            .unwrap_err()
            .to_string()
    };
    let at_input = Gradient::at_input;
    assert!(refused(at_input(), Target::label("tabby")).contains("needs a model"));
    assert!(refused(at_input(), Target::class(1000)).contains("class 1000"));
    assert!(refused(Gradient::at("conv1"), Target::class(1)).contains("needs a model"));
    let guided = at_input().rules(&Rules::preset("guided").unwrap());
    assert!(refused(guided, Target::class(1)).contains("needs a model"));
}

#[test]
fn images_that_are_none_are_refused() {
    let (model, images) = open();
    let refused = |images: Tensor<4>| {
        let result = Gradient::at_input().attribute(&model, &images, Target::class(1));
        match result {
            Err(AttributionError::Images { reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(images.clone() * f32::NAN).contains("image 0"));
    assert!(refused(images.clone() / 0.0).contains("not finite"));
}
