//! Numbers of images, other inputs, and parameters that change.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use elucid_capture::{CaptureError, Captured};
use elucid_graph::LOGITS;
use elucid_testkit::device;
use elucid_vision::{InputSpec, Model, ModelError, Opening};

use super::common::{NEAR, difference, images};

const IMAGE: [usize; 3] = [3, 8, 8];

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([3, 4], [3, 3]).init(device),
            norm: BatchNormConfig::new(4).init(device),
            fc: LinearConfig::new(4, 5).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(x)));
        self.fc.forward(x.mean_dims(&[2, 3]).flatten(1, 3))
    }
}

fn spec() -> InputSpec {
    InputSpec::plain([8, 8], 3).expect("a preparation")
}

fn scores(model: &Model, x: &Tensor<4>) -> Vec<f32> {
    let values = model.pass().input(x).fetch([LOGITS]).expect("a pass");
    let array = values
        .get(LOGITS)
        .and_then(|v| v.to_array())
        .expect("scores");
    array.into_iter().collect()
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter().collect()
}

/// Every parameter a little larger.
struct More;

impl ModuleMapper for More {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|x| x * 1.25 + 0.125)
    }
}

#[test]
fn the_module_is_left_as_it_is() {
    for device in [device(), device().autodiff()] {
        let net = Net::new(&device);
        let x = images(2, IMAGE);
        let before = numbers(net.valid().forward(x.clone()));
        let devices = net.devices();
        for _ in 0..2 {
            Model::capture(&net, spec(), |m, x| m.forward(x)).expect("a model");
            assert_eq!(net.devices(), devices);
            assert_eq!(net.norm.running_mean.value().device(), devices[0]);
        }
        assert_eq!(numbers(net.valid().forward(x)), before);
    }
}

#[test]
fn training_goes_on_between_captures() {
    let net = Net::new(&device().autodiff());
    let model = Model::capture(&net, spec(), |m, x| m.forward(x)).expect("a model");
    // A step of training moves the running statistics.
    let x = images(3, IMAGE);
    net.forward(x.clone().autodiff()).sum().backward();
    let net = net.map(&mut More);
    let want = numbers(net.valid().forward(x.clone()));
    assert!(difference(&scores(&model, &x), &want) > 1e-2);
    let refreshed = model.refresh(&net).expect("the same network");
    assert!(difference(&scores(&refreshed, &x), &want) < NEAR);
    // And again, from a model that was refreshed.
    let net = net.map(&mut More);
    let again = refreshed.refresh(&net).expect("the same network");
    let want = numbers(net.valid().forward(x.clone()));
    assert!(difference(&scores(&again, &x), &want) < NEAR);
    assert_eq!(again.name(), "Net");
}

#[test]
fn other_parameters_are_refused() {
    let net = Net::new(&device());
    let captured = Captured::of(&net, IMAGE, |m, x| m.forward(x)).expect("a capture");
    let mut wider = Net::new(&device());
    wider.fc = LinearConfig::new(4, 6).init(&device());
    let Err(CaptureError::Parameter { path, reason }) = captured.refreshed(&wider) else {
        panic!("another shape");
    };
    assert_eq!(path, "fc.bias");
    assert!(reason.contains("[6]") && reason.contains("[5]"), "{reason}");
    let other: Linear = LinearConfig::new(4, 5).init(&device());
    let error = captured
        .refreshed(&other)
        .expect_err("another module")
        .to_string();
    assert!(error.contains("conv.bias"), "{error}");
    let embedded = Model::embedded(&device()).expect("a model");
    assert!(matches!(
        embedded.refresh(&net),
        Err(ModelError::Pictures { .. })
    ));
}

#[test]
fn labels_and_what_was_said_stay() {
    let net = Net::new(&device());
    let labels = elucid_models::Labels::parse("letters", "a\nb\nc\nd\ne");
    let model = Model::capture(&net, spec(), |m, x| m.forward(x)).expect("a model");
    let model = model.with_labels(labels).expect("five names");
    assert_eq!(model.refresh(&net).expect("a model").label(3), "d");
}

/// Where the pass does something else for every number of images, it is captured for one.
#[test]
fn one_image_at_a_time() {
    let net = Net::new(&device());
    let forward = |m: &Net, x: Tensor<4>| {
        let images = x.dims()[0];
        m.forward(x) * (1.0 / images as f32)
    };
    let model = Model::capture(&net, spec(), forward).expect("a model");
    let remarks: Vec<&str> = model.remarks().iter().map(|r| r.text()).collect();
    assert!(
        remarks.iter().any(|r| r.contains("one image at a time")),
        "{remarks:?}"
    );
    let x = images(3, IMAGE);
    let each: Vec<f32> = (0..3)
        .flat_map(|i| numbers(forward(&net, x.clone().narrow(0, i, 1))))
        .collect();
    assert!(difference(&scores(&model, &x), &each) < NEAR);
    assert_eq!(
        model.refresh(&net).expect("a model").remarks().len(),
        remarks.len()
    );
}

/// A pass that loops over its images has as many operations as images.
#[test]
fn a_loop_over_the_batch() {
    let net = Net::new(&device());
    let forward = |m: &Net, x: Tensor<4>| {
        let images = x.dims()[0];
        let rows: Vec<Tensor<2>> = (0..images)
            .map(|i| m.forward(x.clone().narrow(0, i, 1)))
            .collect();
        Tensor::cat(rows, 0)
    };
    let captured = Captured::of(&net, IMAGE, forward).expect("a capture");
    assert!(
        captured
            .one_by_one()
            .is_some_and(|r| r.contains("operations"))
    );
    let model = Model::capture(&net, spec(), forward).expect("a model");
    let x = images(3, IMAGE);
    assert!(difference(&scores(&model, &x), &numbers(net.forward(x.clone()))) < NEAR);
}

#[test]
fn another_size_is_another_capture_with_the_same_names() {
    let net = Net::new(&device());
    let names = |size: usize| {
        let captured = Captured::of(&net, [3, size, size], |m, x| m.forward(x)).expect("a capture");
        let graph = captured.graph().expect("a graph");
        let names = graph.nodes().iter().map(|n| n.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(8), names(13));
}

#[derive(Module, Debug)]
struct Words {
    embedding: Embedding,
    net: Net,
}

#[test]
fn integers_beside_the_images() {
    let net = Words {
        embedding: EmbeddingConfig::new(7, 5).init(&device()),
        net: Net::new(&device()),
    };
    let forward = |m: &Words, x: Tensor<4>, ids: Tensor<2, Int>| {
        let words = m.embedding.forward(ids).mean_dim(1).squeeze_dim::<2>(1);
        m.net.forward(x) * words
    };
    let ids = ndarray::arr1(&[2.0, 6.0, 0.0]).into_dyn();
    let model = Opening::new()
        .prepared_by(spec())
        .feed("ids", ids)
        .capture_with(&net, |m, x, beside| forward(m, x, beside.int("ids")))
        .expect("a model");
    let x = images(3, IMAGE);
    let ids = Tensor::<2, Int>::from_ints([[2, 6, 0]], &device()).repeat_dim(0, 3);
    let want = numbers(forward(&net, x.clone(), ids));
    assert!(difference(&scores(&model, &x), &want) < NEAR);
}

#[test]
fn half_precision_is_computed_in_single() {
    let net = Net::new(&device());
    let half = net.valid().cast_to_half();
    let captured = Captured::of(&half, IMAGE, |m, x| {
        m.forward(x.cast(burn::tensor::DType::F16))
            .cast(burn::tensor::DType::F32)
    });
    let graph = captured.and_then(|c| c.graph()).expect("a graph");
    let model = Model::from_graph(graph, &device(), Some(spec())).expect("a model");
    let x = images(2, IMAGE);
    // What differs is the rounding of the weights.
    assert!(difference(&scores(&model, &x), &numbers(net.forward(x.clone()))) < 5e-3);
}

trait Half {
    fn cast_to_half(self) -> Self;
}

impl<M: Module> Half for M {
    fn cast_to_half(self) -> Self {
        struct ToHalf;
        impl ModuleMapper for ToHalf {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|x| x.cast(burn::tensor::DType::F16))
            }
        }
        self.map(&mut ToHalf)
    }
}
