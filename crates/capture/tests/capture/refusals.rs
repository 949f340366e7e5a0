//! What cannot be captured is an error that says what, where, and what would be right.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Distribution, Tensor};
use elucid_capture::{Beside, CaptureError, Captured};
use elucid_rules::{GuidedRelu, Pool2d, SmoothMaxPool, max_pool, relu as relu_under};
use elucid_testkit::device;

use super::common::{bound, flat, images};

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    fc: Linear,
}

const IMAGE: [usize; 3] = [3, 8, 8];

fn net() -> Net {
    Net {
        conv: Conv2dConfig::new([3, 4], [3, 3]).init(&device()),
        fc: LinearConfig::new(4, 5).init(&device()),
    }
}

impl Net {
    fn features(&self, x: Tensor<4>) -> Tensor<2> {
        relu(self.conv.forward(x)).mean_dims(&[2, 3]).flatten(1, 3)
    }
}

#[track_caller]
fn refused(forward: impl Fn(&Net, Tensor<4>) -> Tensor<2>) -> CaptureError {
    Captured::of(&net(), IMAGE, forward).expect_err("an error")
}

/// Where a pass stops, and what is said of it.
#[track_caller]
fn forward_error(forward: impl Fn(&Net, Tensor<4>) -> Tensor<2>) -> (String, String) {
    match refused(forward) {
        CaptureError::Forward { at, reason } => (at, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn numbers_that_are_read() {
    let (at, reason) = forward_error(|m, x| {
        let y = m.features(x);
        match y.clone().sum().into_scalar::<f32>() > 0.0 {
            true => m.fc.forward(y),
            false => -m.fc.forward(y),
        }
    });
    assert_eq!(at, "after \"conv\"");
    assert!(
        reason.contains("reads numbers") && reason.contains("mask_where"),
        "{reason}"
    );
}

#[test]
fn tensors_of_another_device() {
    let (at, reason) = forward_error(|m, x| {
        let y = m.fc.forward(m.features(x));
        y + Tensor::<2>::ones([1, 5], &device())
    });
    assert_eq!(at, "after \"fc\"");
    assert!(reason.contains("&x.device()"), "{reason}");
    let (_, reason) = forward_error(|m, x| m.fc.forward(m.features(x)).to_device(&device()));
    assert!(reason.contains("moves a tensor"), "{reason}");
    let (_, reason) = forward_error(|m, x| {
        m.features(x);
        Tensor::<2>::ones([1, 5], &device())
    });
    assert!(reason.contains("input's device"), "{reason}");
}

#[test]
fn panics_of_the_pass_itself() {
    let (at, reason) = forward_error(|m, x| {
        let y = m.features(x);
        assert!(y.dims()[1] == 3, "four channels are too many");
        y
    });
    assert_eq!(at, "after \"conv\"");
    assert!(reason.contains("four channels are too many"), "{reason}");
    let (at, _) = forward_error(|_, _| panic!("at once"));
    assert_eq!(at, "before any parameter is used");
    // Two shapes that burn does not bring together.
    let (_, reason) = forward_error(|m, x| m.fc.forward(flat(x)));
    assert!(reason.contains("panics"), "{reason}");
}

#[test]
fn chance_and_what_has_no_counterpart_at_once() {
    let error = refused(|m, x| {
        let y = m.features(x);
        let noise = y.random_like(Distribution::Default);
        m.fc.forward(y + noise).cumprod(1)
    });
    let CaptureError::Unsupported(obstacles) = error else {
        panic!("{error}");
    };
    let told: Vec<(&str, &str)> = obstacles
        .iter()
        .map(|o| (o.operation.as_str(), o.after.as_str()))
        .collect();
    assert_eq!(told, [("Random", "conv"), ("CumProd", "fc")]);
    assert!(
        obstacles[0].reason.contains("random numbers"),
        "{:?}",
        obstacles[0]
    );
}

#[test]
fn nothing_that_follows_from_the_images() {
    let error = refused(|m, x| m.fc.forward(Tensor::ones([x.dims()[0], 4], &x.device())));
    assert!(matches!(error, CaptureError::Inputs { .. }), "{error}");
}

#[backend_extension(Flex: cfg(feature = "flex"))]
trait Unlisted: Backend {
    fn unlisted(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
impl Unlisted for burn::backend::Flex {
    fn unlisted(x: FloatTensor<Self>) -> FloatTensor<Self> {
        x
    }
}

#[test]
fn extension_operations_that_cannot_be_recorded() {
    let (at, reason) = forward_error(|m, x| {
        let y = m.features(x);
        m.fc.forward(Tensor::from_dispatch(Dispatch::unlisted(y.into_dispatch())))
    });
    assert_eq!(at, "after \"conv\"");
    assert!(
        reason.contains("list") && reason.contains("`Capture`"),
        "{reason}"
    );
}

#[test]
fn replaced_gradients_inside_a_pass_are_what_they_compute() {
    let net = net();
    let forward = |m: &Net, x: Tensor<4>| {
        let x = relu_under(m.conv.forward(x), GuidedRelu).expect("a rule for it");
        let pool = Pool2d::new([2, 2]).stride([2, 2]);
        let x = max_pool(x, &pool, SmoothMaxPool::blurred()).expect("a rule for it");
        m.fc.forward(x.mean_dims(&[2, 3]).flatten(1, 3))
    };
    let graph = Captured::of(&net, IMAGE, forward)
        .and_then(|c| c.graph())
        .expect("a graph");
    assert!(graph.value("conv/relu").is_some());
    let bound = bound(graph, [8, 8], &device());
    let x = images(2, IMAGE);
    let values = bound.pass().input(&x).fetch(["fc"]).expect("a pass");
    let got = values
        .get("fc")
        .and_then(|v| v.tensor::<2>())
        .expect("scores");
    let far: f32 = (got - forward(&net, x)).abs().max().into_scalar();
    assert!(far < 1e-5, "{far}");
}

#[test]
fn names_of_inputs() {
    let forward = |m: &Net, x: Tensor<4>, beside: &elucid_capture::Inputs| {
        m.fc.forward(m.features(x) + beside.float::<2>("states"))
    };
    let beside = [Beside::new("state", [4])];
    let error = Captured::with_inputs(&net(), IMAGE, &beside, forward).expect_err("an error");
    let text = error.to_string();
    assert!(
        text.contains("\"states\"") && text.contains("\"state\""),
        "{text}"
    );
    let beside = [Beside::new("states", [2, 2])];
    let error = Captured::with_inputs(&net(), IMAGE, &beside, forward).expect_err("an error");
    assert!(error.to_string().contains("3 axes"), "{error}");
    let beside = [Beside::new("input", [4])];
    let error = Captured::with_inputs(&net(), IMAGE, &beside, forward).expect_err("an error");
    assert!(matches!(error, CaptureError::Inputs { .. }), "{error}");
}

/// A panic leaves nothing behind: neither a device that is taken, nor marks.
#[test]
fn a_failed_capture_is_over() {
    for _ in 0..3 {
        forward_error(|_, _| panic!("again"));
        Captured::of(&net(), IMAGE, |m, x| m.fc.forward(m.features(x))).expect("a capture");
    }
    let inner = |m: &Net, x: Tensor<4>| {
        // One capture inside another, as a module that explains itself might.
        let own = Captured::of(&net(), IMAGE, |m, x| m.fc.forward(m.features(x)));
        assert!(own.is_ok());
        elucid_capture::layer("marked", m.fc.forward(m.features(x)))
    };
    let graph = Captured::of(&net(), IMAGE, inner)
        .and_then(|c| c.graph())
        .expect("a graph");
    assert!(graph.value("marked").is_some());
}
