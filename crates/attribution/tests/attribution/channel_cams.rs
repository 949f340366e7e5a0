//! CAMs that need no gradient, against loops and against answers by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use elucid_attribution::{
    AblationCam, AttributionError, Attributor, FEATURES, Method, MethodOptions, Network, ScoreCam,
    ScoreWeights, Target,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::onnx::Onnx;
use elucid_testkit::{device, numbers, relative_error};
use elucid_vision::Model;
use ndarray::{Array4, Axis, Ix2, Ix4};

use super::shared::{SQUEEZENET as MODEL, naive_resize, noise, pooled_network, refused_option};

fn array(x: Tensor<4>) -> Array4<f32> {
    let array = elucid_graph::Activation::from(x).to_array().unwrap();
    array.into_dimensionality::<Ix4>().unwrap()
}

fn tensor(x: &Array4<f32>) -> Tensor<4> {
    let (n, c, h, w) = x.dim();
    elucid_testkit::tensor(x.iter().copied().collect(), [n, c, h, w])
}

/// The logits of one image, with a layer's value in the place of its own if there is one.
fn logits(model: &Model, image: &Array4<f32>, layer: Option<(&str, &Array4<f32>)>) -> Vec<f32> {
    let mut pass = model.pass().feed(INPUT, tensor(image));
    if let Some((layer, value)) = layer {
        pass = pass.feed(layer, tensor(value));
    }
    let fetched = pass.fetch([LOGITS]).unwrap();
    let logits = fetched.get(LOGITS).unwrap().to_array().unwrap();
    let logits = logits.into_dimensionality::<Ix2>().unwrap();
    logits.row(0).to_vec()
}

/// The scores of `image` `[1, C, H, W]` under every channel of `x` as a mask; `None` for a channel
/// of one number.
fn scores_under(
    model: &Model,
    image: &Array4<f32>,
    x: &Array4<f32>,
    score: &dyn Fn(&[f32]) -> f32,
) -> Vec<Option<f32>> {
    let (_, _, height, width) = image.dim();
    let channels = x.index_axis(Axis(0), 0);
    let channels = channels.outer_iter().map(|channel| {
        let mask = naive_resize(channel, height, width);
        let low = mask.iter().copied().fold(f32::INFINITY, f32::min);
        let high = mask.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (high > low).then(|| {
            let mask = mask.mapv(|v| (v - low) / (high - low));
            score(&logits(model, &(image * &mask), None))
        })
    });
    channels.collect()
}

#[test]
fn both_as_loops() {
    let images = noise(2, 48, 40);
    let layer = "fire2/squeeze1x1";
    let full = Network::layer(&*MODEL, layer).unwrap();
    let fetched = MODEL.pass().input(&images).fetch([&full]).unwrap();
    let x = fetched.get(&full).unwrap().tensor::<4>().unwrap();
    // Differences of classes, so that a score of either sign is met.
    let targets = [(285, 7), (7, 812)];
    let target = || Target::each(targets.map(|(a, b)| Target::difference(a, b)));
    let attribute = |method: &dyn Attributor| method.attribute(&*MODEL, &images, target()).unwrap();
    let by_score = |weights| attribute(&ScoreCam::at(layer).weights(weights).batch_size(5));
    let (softmax, increase, score) = (
        by_score(ScoreWeights::Softmax),
        by_score(ScoreWeights::Increase),
        by_score(ScoreWeights::Score),
    );
    let ablation = attribute(&AblationCam::at(layer).batch_size(5));
    let relative = attribute(&AblationCam::at(layer).relative(true));
    for (image, (a, b)) in targets.into_iter().enumerate() {
        let of = |t: &Tensor<4>| array(t.clone().narrow(0, image, 1));
        let (photo, x) = (of(&images), of(&x));
        let difference = |logits: &[f32]| logits[a] - logits[b];
        let own = difference(&logits(&MODEL, &photo, None));
        let nothing = difference(&logits(&MODEL, &Array4::zeros(photo.dim()), None));
        let under = scores_under(&MODEL, &photo, &x, &difference);
        let sum: f32 = under.iter().flatten().map(|s| s.exp()).sum();
        let without = |channel: usize| {
            let mut x = x.clone();
            x.index_axis_mut(Axis(1), channel).fill(0.0);
            difference(&logits(&MODEL, &photo, Some((&full, &x))))
        };
        let dropped: Vec<f32> = (0..x.dim().1).map(|c| own - without(c)).collect();
        let weight = |score: &Option<f32>, f: &dyn Fn(f32) -> f32| score.map_or(0.0, f);
        let of_scores =
            |f: &dyn Fn(f32) -> f32| under.iter().map(|s| weight(s, f)).collect::<Vec<f32>>();
        let relative_weights = dropped.iter().map(|w| w / own).collect();
        for (name, got, weights) in [
            ("softmax", &softmax, of_scores(&|s| s.exp() / sum)),
            ("increase", &increase, of_scores(&|s| s - nothing)),
            ("score", &score, of_scores(&|s| s)),
            ("ablation", &ablation, dropped.clone()),
            ("relative", &relative, relative_weights),
        ] {
            let mut want = x.clone();
            for (channel, weight) in weights.into_iter().enumerate() {
                want.index_axis_mut(Axis(1), channel)
                    .mapv_inplace(|v| v * weight);
            }
            let error = relative_error(got.values().index_axis(Axis(0), image), &want);
            println!("{name}, image {image}: {error:.1e}");
            assert!(error < 1e-4, "{name}, image {image}: {error:.1e}");
            assert!((got.scores()[image] - own).abs() < 1e-4, "{name}");
        }
        let scored = under.iter().flatten().count();
        assert_eq!(score.evaluations()[image], scored);
        assert_eq!(softmax.evaluations()[image], scored);
        assert_eq!(increase.evaluations()[image], scored + 1);
    }
}

/// Behind the ReLU the image itself; each class scores the mean of a channel.
fn means() -> Model {
    let onnx = Onnx::image([-1, 3, 2, 2])
        .node("Relu", &["x"], &["relu"])
        .node("GlobalAveragePool", &["relu"], &["pool"])
        .node("Flatten", &["pool"], &["y"]);
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

#[test]
fn by_hand() {
    let model = means();
    // As masks, the channels are (0 1 / 0 0), (1 0 / 0 1/2) and none: the last is of one number.
    let pixels = vec![1.0, 3.0, 1.0, 1.0, 4.0, 0.0, 0.0, 2.0, 5.0, 5.0, 5.0, 5.0];
    let image = elucid_testkit::tensor(pixels, [1, 3, 2, 2]);
    let attribute = |method: &dyn Attributor, class| {
        let got = method
            .attribute(&model, &image, Target::class(class))
            .unwrap();
        (
            got.values().iter().copied().collect::<Vec<f32>>(),
            got.evaluations()[0],
        )
    };
    let by_score = |weights, class| attribute(&ScoreCam::at("relu").weights(weights), class);
    let want = |weights: [f32; 3]| {
        let [a, b, c] = weights;
        let zero = 0.0;
        vec![
            a,
            3.0 * a,
            a,
            a,
            4.0 * b,
            zero,
            zero,
            2.0 * b,
            5.0 * c,
            5.0 * c,
            5.0 * c,
            5.0 * c,
        ]
    };
    let near = |(got, evaluations): (Vec<f32>, usize), weights, expected| {
        assert!(relative_error(&got, &want(weights)) < 1e-6, "{got:?}");
        assert_eq!(evaluations, expected);
    };
    // Class 0 is the mean of channel 0: 3/4 under the first mask, (1 + 1/2)/4 under the second.
    near(by_score(ScoreWeights::Score, 0), [0.75, 0.375, 0.0], 2);
    near(by_score(ScoreWeights::Increase, 0), [0.75, 0.375, 0.0], 3);
    let first = 1.0 / (1.0 + (-0.375_f32).exp());
    near(
        by_score(ScoreWeights::Softmax, 0),
        [first, 1.0 - first, 0.0],
        2,
    );
    // Class 2 is 5 times the mean of the mask.
    near(by_score(ScoreWeights::Score, 2), [1.25, 1.875, 0.0], 2);
    // The second channel varies most.
    let one = ScoreCam::at("relu")
        .weights(ScoreWeights::Score)
        .channels(1);
    near(attribute(&one, 0), [0.0, 0.375, 0.0], 1);
    // A class loses all of its score with its own channel, and nothing with others.
    let ablation = |class| attribute(&AblationCam::at("relu"), class);
    near(ablation(0), [1.5, 0.0, 0.0], 4);
    near(ablation(2), [0.0, 0.0, 5.0], 4);
    near(
        attribute(&AblationCam::at("relu").relative(true), 1),
        [0.0, 1.0, 0.0],
        4,
    );
    near(
        attribute(&AblationCam::at("relu").channels(1), 2),
        [0.0, 0.0, 5.0],
        2,
    );
    near(
        attribute(&AblationCam::at("relu").channels(1), 1),
        [0.0, 0.0, 0.0],
        2,
    );

    // Nothing is active: nothing to show, and nothing to evaluate but the image.
    let dark = image.clone() * -1.0;
    for (method, evaluations) in [
        (&ScoreCam::at("relu") as &dyn Attributor, 0),
        (&AblationCam::at("relu").relative(true), 1),
    ] {
        let got = method.attribute(&model, &dark, Target::class(0)).unwrap();
        assert!(got.values().iter().all(|&v| v == 0.0));
        assert_eq!(got.evaluations(), [evaluations]);
    }
}

#[test]
fn behind_a_global_average_pool_ablation_is_cam_times_the_mean() {
    let dense = numbers(12, 5);
    let model = pooled_network(&dense, Some([0.0; 3]));
    let images = noise(2, 7, 5);
    let fetched = model.pass().input(&images).fetch(["relu"]).unwrap();
    let x = array(fetched.get("relu").unwrap().tensor::<4>().unwrap());
    for class in 0..3 {
        let mut want = x.clone();
        for (n, c) in ndarray::indices((2, 4)) {
            let mut channel = want.index_axis_mut(Axis(0), n);
            let mut channel = channel.index_axis_mut(Axis(0), c);
            let mean = channel.mean().unwrap();
            channel *= dense[class * 4 + c] * mean;
        }
        let got = AblationCam::at_features()
            .attribute(&model, &images, Target::class(class))
            .unwrap();
        assert!(relative_error(got.values(), &want) < 1e-4, "class {class}");
    }
}

#[test]
fn one_image_for_each_channel_and_no_more() {
    let seen = AtomicUsize::new(0);
    let network = |x: Tensor<4>| {
        seen.fetch_add(x.dims()[0], Ordering::Relaxed);
        x.mean_dim(2).mean_dim(3).reshape([-1, 3])
    };
    let images = noise(2, 6, 6);
    for method in [
        &ScoreCam::at(INPUT).batch_size(2) as &dyn Attributor,
        &AblationCam::at(INPUT).batch_size(2),
    ] {
        seen.store(0, Ordering::Relaxed);
        method
            .attribute(&network, &images, Target::class(1))
            .unwrap();
        // Three channels and the image itself.
        assert_eq!(seen.load(Ordering::Relaxed), 2 * 4, "{}", method.name());
    }
}

#[test]
fn options_and_layers_that_do_not_fit() {
    let images = noise(1, 48, 48);
    let refused = |method: &dyn Attributor| {
        let target = Target::class(1);
        method.attribute(&*MODEL, &images, target).unwrap_err()
    };
    for method in [
        &ScoreCam::at_features().channels(0) as &dyn Attributor,
        &AblationCam::at_features().channels(0),
        &ScoreCam::at_features().batch_size(0),
    ] {
        assert!(matches!(
            refused(method),
            AttributionError::Parameter { .. }
        ));
    }
    for method in [
        &ScoreCam::at("pool10/flatten") as &dyn Attributor,
        &AblationCam::at("pool10/flatten"),
    ] {
        assert!(matches!(
            refused(method),
            AttributionError::NotSpatial { .. }
        ));
        let network = |x: Tensor<4>| x.mean_dim(2).mean_dim(3).reshape([-1, 3]);
        let error = Method::find(method.name())
            .unwrap()
            .build(&MethodOptions::new().layer(FEATURES))
            .unwrap()
            .attribute(&network, &images, Target::class(1))
            .unwrap_err();
        assert!(matches!(error, AttributionError::NeedsModel { .. }));
    }
    assert!(refused_option("score-cam", "weights", "soft").contains("softmax, increase or score"));
    assert!(refused_option("score-cam", "channels", "-1").contains("a number"));
    assert!(refused_option("ablation-cam", "relative", "maybe").contains("true or false"));
}
