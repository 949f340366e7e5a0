//! Wherever a method takes a probability, it is the one that the network's own head makes.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_attribution::{
    Attributor, Gradient, MeaningfulPerturbation, Rise, RiseScore, Side, Target,
};
use elucid_vision::{Model, Opening, Probabilities};

const SHAPE: [usize; 4] = [1, 3, 8, 9];

/// Scores that are sums over the picture, read in this way.
fn model(classes: usize, by: Probabilities) -> Model {
    let numbers = SHAPE.iter().product::<usize>();
    let weight = (0..numbers * classes).map(|i| ((i * 29 + 7) % 41) as f32 / 40.0 - 0.4);
    let graph = elucid_testkit::dense(SHAPE, weight.collect());
    let opening = Opening::new().scores(by);
    opening.graph(graph, &Device::flex()).unwrap()
}

fn picture() -> Tensor<4> {
    let numbers = SHAPE.iter().product();
    let pixels: Vec<f32> = (0..numbers).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_data(TensorData::new(pixels, SHAPE), &Device::flex())
}

fn rise(score: RiseScore) -> Rise {
    Rise::paper().masks(40).score(score)
}

fn map(model: &Model, method: &Rise, target: Target) -> Vec<f32> {
    let found = method.attribute(model, &picture(), target).unwrap();
    found.values().iter().copied().collect()
}

#[track_caller]
fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }
    let spread = want
        .iter()
        .fold(0.0_f32, |most, v| most.max((v - want[0]).abs()));
    assert!(spread > 1e-3, "a constant map shows nothing");
}

#[test]
fn rise_weighs_masks_by_the_sigmoid_and_no_by_what_is_left() {
    let yes = model(1, Probabilities::Sigmoid);
    let probability = rise(RiseScore::Probability);
    let of_yes = map(&yes, &probability, Target::class(0));
    close(
        &of_yes,
        &map(&yes, &rise(RiseScore::Sigmoid), Target::class(0)),
    );
    // p and 1 - p are weights that add up to those of a network that is always sure.
    let of_no = map(&yes, &probability, Target::difference(Side::None, 0));
    let sure = |x: Tensor<4>| Tensor::<2>::ones([x.dims()[0], 1], &x.device());
    let always = rise(RiseScore::Target).attribute(&sure, &picture(), Target::class(0));
    let always: Vec<f32> = always.unwrap().values().iter().copied().collect();
    let sum: Vec<f32> = of_yes.iter().zip(&of_no).map(|(a, b)| a + b).collect();
    close(&sum, &always);
    assert!(of_yes.iter().zip(&of_no).any(|(a, b)| (a - b).abs() > 1e-3));
    // Labels: each by its own sigmoid, whatever the others.
    let labels = model(3, Probabilities::Sigmoid);
    let all = probability.all_classes(&labels, &picture()).unwrap();
    for class in 0..3 {
        let one = map(&labels, &probability, Target::class(class));
        close(
            &one,
            &map(&labels, &rise(RiseScore::Sigmoid), Target::class(class)),
        );
        let of_all = all.maps().index_axis(ndarray::Axis(0), 0);
        let of_all = of_all.index_axis(ndarray::Axis(0), class);
        close(&of_all.iter().copied().collect::<Vec<f32>>(), &one);
    }
}

#[test]
fn numbers_are_weighed_as_they_are() {
    for classes in [1, 3] {
        let model = model(classes, Probabilities::None);
        let target = || Target::class(classes - 1);
        let got = map(&model, &rise(RiseScore::Probability), target());
        close(&got, &map(&model, &rise(RiseScore::Target), target()));
        let error = Gradient::at_input()
            .attribute(&model, &picture(), Target::probability(0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("not logits of probabilities"), "{error}");
    }
    // A closure of one number: its softmax would be 1 whatever the picture.
    let sum = |x: Tensor<4>| {
        let images = x.dims()[0];
        x.reshape([images, 216]).sum_dim(1)
    };
    let of = |score| {
        rise(score)
            .attribute(&sum, &picture(), Target::class(0))
            .unwrap()
    };
    let got: Vec<f32> = of(RiseScore::Probability)
        .values()
        .iter()
        .copied()
        .collect();
    let want: Vec<f32> = of(RiseScore::Target).values().iter().copied().collect();
    close(&got, &want);
}

#[test]
fn the_gradient_of_a_sigmoid_is_p_times_its_rest() {
    let yes = model(1, Probabilities::Sigmoid);
    let gradient = |target| {
        let found = Gradient::at_input()
            .attribute(&yes, &picture(), target)
            .unwrap();
        let values: Vec<f32> = found.values().iter().copied().collect();
        (values, found.scores()[0])
    };
    let (of_logit, z) = gradient(Target::class(0));
    let (of_probability, p) = gradient(Target::probability(0));
    assert!((p - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);
    let want: Vec<f32> = of_logit.iter().map(|g| g * p * (1.0 - p)).collect();
    close(&of_probability, &want);
}

/// A mask that hides what speaks for yes takes the sigmoid down; of a softmax of one number it could
/// take nothing.
#[test]
fn meaningful_perturbation_lowers_the_sigmoid() {
    let yes = model(1, Probabilities::Sigmoid);
    let method = MeaningfulPerturbation::new()
        .iterations(20)
        .jitter(0)
        .scale(1);
    let found = method.masks(&yes, &picture(), Target::class(0)).unwrap();
    let losses = &found.losses()[0];
    assert!(losses.iter().all(|loss| loss.is_finite()));
    assert!(losses.iter().any(|loss| (loss - losses[0]).abs() > 1e-4));
}
