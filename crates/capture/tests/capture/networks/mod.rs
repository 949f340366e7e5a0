//! Whole networks: the values and gradients of burn's own forward and backward pass at every named layer,
//! and every method of the table.

pub mod zoo;

use std::cell::RefCell;

use burn::backend::DispatchTensor;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use elucid_attribution::{METHODS, Method, MethodOptions, Place, Target, attention_blocks};
use elucid_graph::{Activation, LOGITS};
use elucid_testkit::device;
use elucid_vision::{InputSpec, Model, Opening};

use super::common::{NEAR, difference, images};
use zoo::CLASSES;

const IMAGE: [usize; 3] = [3, 32, 32];

/// The class that is explained.
const CLASS: usize = 2;

thread_local! {
    /// The value that is looked at, and whether it becomes a leaf.
    static PROBE: RefCell<Option<(String, Option<DispatchTensor>)>> = const { RefCell::new(None) };
}

/// Lets a test see a value of burn's own pass, as the leaf of a new autodiff graph; nothing otherwise.
pub fn probe<const D: usize>(name: &str, x: Tensor<D>) -> Tensor<D> {
    PROBE.with_borrow_mut(|probe| match probe {
        Some((wanted, seen)) if wanted == name => {
            let leaf = x.without_autodiff().autodiff().require_grad();
            *seen = Some(leaf.clone().into_dispatch());
            leaf
        }
        _ => x,
    })
}

/// What burn has at a layer, and the gradient of the class there.
fn burns<M: Module>(
    module: &M,
    layer: &str,
    x: &Tensor<4>,
    forward: &impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> [Vec<f32>; 2] {
    PROBE.set(Some((layer.to_owned(), None)));
    let tracked = module.valid().to_device(&device().autodiff());
    let y = forward(&tracked, x.clone().autodiff());
    let gradients = y.narrow(1, CLASS, 1).sum().backward();
    let seen = PROBE.take().and_then(|(_, seen)| seen);
    let leaf = Activation::from(Tensor::<1>::from_dispatch(
        seen.unwrap_or_else(|| panic!("no probe \"{layer}\"")),
    ));
    let gradient = leaf.gradient(&gradients).expect("a gradient");
    [&leaf, &gradient].map(|v| v.to_array().expect("numbers").into_iter().collect())
}

/// The same of the captured network.
fn ours(model: &Model, layer: &str, x: &Tensor<4>) -> [Vec<f32>; 2] {
    let values = model.pass().input(x).fetch([layer]).expect("a pass");
    let value = values.get(layer).expect("a value").clone();
    let leaf = value.clone().require_grad();
    let rest = model
        .pass()
        .input(x)
        .feed(layer, leaf.clone())
        .fetch([LOGITS]);
    let scores = rest.expect("the rest");
    let scores = scores
        .get(LOGITS)
        .and_then(|s| s.tensor::<2>())
        .expect("scores");
    let gradients = scores.narrow(1, CLASS, 1).sum().backward();
    let gradient = leaf.gradient(&gradients).expect("a gradient");
    [&value, &gradient].map(|v| v.to_array().expect("numbers").into_iter().collect())
}

/// Options under which methods are quick.
const SMALL: &[(&str, &str)] = &[
    ("steps", "3"),
    ("samples", "2"),
    ("masks", "3"),
    ("window", "12"),
    ("stride", "10"),
    ("cells", "2"),
    ("iterations", "2"),
    ("segments", "grid:2"),
    ("permutations", "1"),
    ("design", "2"),
    ("channels", "3"),
];

fn options(method: &Method) -> MethodOptions {
    let small = SMALL.iter().filter(|(name, _)| method.takes(name));
    small.fold(MethodOptions::new(), |options, (name, value)| {
        options.set(name, value)
    })
}

/// Every method at its own place, and at `layer` where it takes one. What does not apply, with its reason.
fn methods(model: &Model, layer: &str, x: &Tensor<4>) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    let attends =
        attention_blocks(model, [IMAGE[1], IMAGE[2]]).is_ok_and(|found| !found.is_empty());
    for method in METHODS {
        // Of networks without attention nobody expects any.
        if method.place == Place::Tokens && !attends {
            continue;
        }
        let mut places = Vec::new();
        if method.place != Place::SpatialLayer {
            places.push(options(method));
        }
        if method.place.takes_layer() {
            places.push(options(method).layer(layer));
        }
        for options in places {
            let built = method.build(&options).expect("a method");
            match built.attribute(model, x, Target::class(CLASS)) {
                Ok(got) => {
                    let is_finite = got.values().iter().all(|v| v.is_finite());
                    assert!(is_finite, "{} at {}", method.name, got.layer());
                }
                Err(error) => refused.push((method.name.to_owned(), error.to_string())),
            }
        }
    }
    refused
}

/// Values and gradients at layers, classes, and all methods, of which these do not apply.
fn check<M: Module>(
    module: &M,
    model: &Model,
    layers: &[&str],
    explained: &str,
    do_not_apply: &[&str],
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) {
    assert_eq!(model.classes().expect("classes"), CLASSES);
    assert!(
        model
            .remarks()
            .iter()
            .all(|r| !r.text().contains("one at a time"))
    );
    for count in [1, 3] {
        let x = images(count, IMAGE);
        let values = model.pass().input(&x).fetch([LOGITS]).expect("a pass");
        let got = values
            .get(LOGITS)
            .and_then(|v| v.to_array())
            .expect("scores");
        let got: Vec<f32> = got.into_iter().collect();
        let want: Vec<f32> = forward(module, x.clone()).into_data().iter().collect();
        let far = difference(&got, &want);
        assert!(far < NEAR, "{far:e} from burn's scores at {count} images");
        for layer in layers {
            let [value, gradient] = ours(model, layer, &x);
            let [burns_value, burns_gradient] = burns(module, layer, &x, &forward);
            let far = difference(&value, &burns_value);
            assert!(
                far < NEAR,
                "{layer}: {far:e} from burn's value at {count} images"
            );
            let largest = burns_gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            assert!(largest > 0.0, "{layer}: no gradient");
            let scaled = |g: &[f32]| g.iter().map(|g| g / largest).collect::<Vec<_>>();
            let far = difference(&scaled(&gradient), &scaled(&burns_gradient));
            assert!(
                far < NEAR,
                "{layer}: {far:e} from burn's gradient at {count} images"
            );
        }
    }
    let mut refused = methods(model, explained, &images(1, IMAGE));
    refused.dedup_by(|a, b| a.0 == b.0);
    let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, do_not_apply, "{refused:#?}");
}

fn spec() -> InputSpec {
    InputSpec::plain([IMAGE[1], IMAGE[2]], IMAGE[0]).expect("a preparation")
}

macro_rules! network {
    ($test:ident, $net:ident, $layer:literal, $do_not_apply:expr) => {
        #[test]
        fn $test() {
            let net = zoo::$net::new();
            let forward = |m: &zoo::$net, x| m.forward(x);
            let model = Model::capture(&net, spec(), forward).expect("a model");
            check(
                &net,
                &model,
                zoo::$net::LAYERS,
                $layer,
                &$do_not_apply,
                forward,
            );
        }
    };
}

network!(inception_v1, InceptionV1, "inception_4a", []);
network!(res_net, ResNet, "layer2.0", []);
// No rectifier behind the layer, but HardSwish, which goes below 0.
network!(
    mobile_net,
    MobileNet,
    "blocks.1",
    [
        "guided-backprop",
        "deconvnet",
        "excitation-backprop",
        "contrastive-excitation-backprop"
    ]
);
network!(dense_net, DenseNet, "transition", []);
network!(vgg, Vgg, "features.3", []);
// The transposed convolutions have no rectifier behind them.
network!(
    u_net,
    UNet,
    "middle",
    ["excitation-backprop", "contrastive-excitation-backprop"]
);
// No rectifier, and layer normalisation, which is for the composite attn-lrp and not for the usual one.
network!(
    conv_next,
    ConvNext,
    "stages.1.0",
    [
        "guided-backprop",
        "deconvnet",
        "guided-grad-cam",
        "excitation-backprop",
        "contrastive-excitation-backprop",
        "lrp"
    ]
);
// No rectifier, and attention and layer normalisation, which are for the composite attn-lrp.
network!(
    vision_transformer,
    VisionTransformer,
    "blocks.0",
    [
        "guided-backprop",
        "deconvnet",
        "guided-grad-cam",
        "excitation-backprop",
        "contrastive-excitation-backprop",
        "lrp"
    ]
);
network!(shared_weights, Shared, "second", []);

#[test]
fn two_inputs() {
    let net = zoo::TwoInputs::new();
    let state = [0.7, -1.1];
    let model = Opening::new()
        .prepared_by(spec())
        .feed(
            "state",
            ndarray::ArrayD::from_shape_vec(vec![2], state.to_vec()).expect("two"),
        )
        .capture_with(&net, |m, x, beside| m.forward(x, beside.float("state")))
        .expect("a model");
    assert_eq!(model.feeds().len(), 1);
    let held = |m: &zoo::TwoInputs, x: Tensor<4>| {
        let row = Tensor::<2>::from_data(TensorData::new(state.to_vec(), [1, 2]), &x.device());
        let rows = row.repeat_dim(0, x.dims()[0]);
        m.forward(x, rows)
    };
    check(&net, &model, zoo::TwoInputs::LAYERS, "joined", &[], held);
    // A closure over what is held fixed is the same network.
    let closed = Model::capture(&net, spec(), held).expect("a model");
    check(&net, &closed, zoo::TwoInputs::LAYERS, "joined", &[], held);
}
