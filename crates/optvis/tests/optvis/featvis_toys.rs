//! Objectives, their algebra, parametrisations and the loop, on networks of a few weights.

mod objectives;
mod parametrisations;

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock, Mutex};

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT};
use elucid_optvis::{
    Cppn, FeatureVis, Fourier, Maco, Objective, Pixels, Pyramid, Seen, Subject, Term, Transforms,
    VisError,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error, tensor};
use elucid_vision::Model;
use ndarray::{Array1, Axis};

/// Smooth, and of any size: conv, tanh, conv, sigmoid, mean, classes.
static SMOOTH: LazyLock<Model> = LazyLock::new(|| {
    let network = Onnx::image([-1, 3, -1, -1])
        .weight("w1", &[4, 3, 3, 3])
        .node("Conv", &["x", "w1"], &["conv1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Tanh", &["conv1"], &["tanh1"])
        .weight("w2", &[5, 4, 3, 3])
        .node("Conv", &["tanh1", "w2"], &["conv2"])
        .ints("strides", &[2, 2])
        .node("Sigmoid", &["conv2"], &["block"])
        .node("GlobalAveragePool", &["block"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .weight("w3", &[7, 5])
        .node("Gemm", &["flat", "w3"], &["y"])
        .int("transB", 1);
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
});

/// Its classifier takes 12 x 12 pixels only.
fn fixed() -> Model {
    let network = Onnx::image([-1, 3, 12, 12])
        .weight("w1", &[2, 3, 3, 3])
        .node("Conv", &["x", "w1"], &["conv"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["conv"], &["relu"])
        .node("Flatten", &["relu"], &["flat"])
        .weight("w2", &[3, 288])
        .node("Gemm", &["flat", "w2"], &["y"])
        .int("transB", 1);
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

/// Pictures without two equal pixels, `[count, 3, h, w]`.
fn pictures(count: usize, h: usize, w: usize) -> Tensor<4> {
    let total = count * 3 * h * w;
    let values = (0..total)
        .map(|i| 0.1 + 0.8 * ((i * 7919 + 13) % total) as f32 / total as f32)
        .collect();
    tensor(values, [count, 3, h, w])
}

/// The objective's value for pictures, which the network sees as they are.
fn value(objective: &Objective, pictures: &Tensor<4>) -> Tensor<1> {
    let model = &*SMOOTH;
    value_of(model, objective, pictures)
}

fn value_of(model: &Model, objective: &Objective, pictures: &Tensor<4>) -> Tensor<1> {
    let subject = Subject::of(model, std::slice::from_ref(objective), None).unwrap();
    let layers = objective.layers();
    let activations: Vec<(String, Activation)> = match layers.is_empty() {
        true => Vec::new(),
        false => {
            let pass = model.pass().feed(INPUT, pictures.clone());
            let fetched = pass.fetch(&layers).unwrap();
            let value = |layer: String| (layer.clone(), fetched.get(&layer).unwrap().clone());
            layers.into_iter().map(value).collect()
        }
    };
    let seen = Seen::new(&subject, pictures, &activations);
    objective.value(&seen).unwrap()
}

fn number(objective: &Objective, pictures: &Tensor<4>) -> f32 {
    value(objective, pictures).into_scalar::<f32>()
}

fn gradient(objective: &Objective, pictures: &Tensor<4>) -> Vec<f32> {
    let leaf = pictures.clone().autodiff().require_grad();
    let gradients = value(objective, &leaf).backward();
    let found = leaf.grad(&gradients).unwrap();
    found.into_data().iter::<f32>().collect()
}

fn direction() -> Array1<f32> {
    Array1::from(vec![0.5, -1.0, 2.0, 0.3, -0.2])
}

#[derive(Debug)]
struct Brightness;

impl Term for Brightness {
    fn name(&self) -> String {
        "brightness".to_owned()
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        Ok(seen.pictures().mean())
    }
}

fn quick() -> FeatureVis {
    FeatureVis::fourier(12)
        .steps(6)
        .transforms(Transforms::none())
}

#[test]
fn a_seed_gives_the_same_bits() {
    for transforms in [Transforms::none(), Transforms::lucid()] {
        let vis = FeatureVis::fourier(24).steps(4).transforms(transforms);
        let run = |seed| {
            vis.clone()
                .seed(seed)
                .channels(&*SMOOTH, "block", &[1, 2])
                .unwrap()
        };
        assert_eq!(run(5).images(), run(5).images());
        assert_ne!(run(5).images(), run(6).images());
        assert_eq!(run(5).values(), run(5).values());
    }
}

#[test]
fn batches_are_what_their_images_are_one_by_one() {
    for transforms in [Transforms::none(), Transforms::lucid()] {
        let vis = FeatureVis::fourier(20)
            .size([20, 26])
            .steps(8)
            .transforms(transforms)
            .seed(3)
            .keep_at([2, 8]);
        let channels = [0, 3, 1, 4, 2];
        let found = vis
            .clone()
            .batch_size(5)
            .channels(&*SMOOTH, "block", &channels);
        let found = found.unwrap();
        assert_eq!(found.seeds(), [3, 4, 5, 6, 7]);
        assert_eq!(found.kept()[1].images, *found.images());
        let chunks = vis
            .clone()
            .batch_size(2)
            .channels(&*SMOOTH, "block", &channels);
        let chunks = chunks.unwrap();
        assert!(relative_error(chunks.images(), found.images()) < 1e-4);
        assert!(relative_error(&chunks.kept()[0].images, &found.kept()[0].images) < 1e-4);
        for (i, &channel) in channels.iter().enumerate() {
            let alone = vis.clone().seeds([3 + i as u64]);
            let alone = alone.channels(&*SMOOTH, "block", &[channel]).unwrap();
            let want = found.images().index_axis(Axis(0), i);
            let error = relative_error(alone.images(), want);
            assert!(error < 1e-4, "image {i}: {error:.1e}");
            assert!(relative_error(&alone.values()[0], &found.values()[i]) < 1e-4);
        }
        // A joint objective of bound terms is the same as a list.
        let bound = channels.iter().enumerate();
        let joint: Objective = bound
            .map(|(i, &c)| Objective::channel("block", c).of_item(i))
            .sum();
        let joint = vis.render(&*SMOOTH, joint).unwrap();
        assert_eq!(joint.len(), 5);
        assert_eq!(joint.values().len(), 1);
        assert!(relative_error(joint.images(), found.images()) < 1e-4);
    }
}

#[test]
fn objectives_rise() {
    for vis in [
        quick(),
        FeatureVis::pixels(12),
        FeatureVis::maco(12),
        FeatureVis::pyramid(12),
    ] {
        let vis = vis.steps(60).transforms(Transforms::none());
        let objective = Objective::channel("block", 2);
        let found = vis.render(&*SMOOTH, objective).unwrap();
        let values = &found.values()[0];
        assert!(values[59] > values[0] + 0.02, "{values:?}");
    }
}

#[test]
fn the_network_sees_its_own_size_only_where_it_must() {
    let model = fixed();
    let vis = FeatureVis::fourier(20)
        .steps(3)
        .transforms(Transforms::none());
    let cut = vis.clone().channels(&model, "relu", &[0]).unwrap();
    assert_eq!(cut.network_size(), None);
    let classes = vis.clone().classes(&model, [2]).unwrap();
    assert_eq!(classes.network_size(), Some([12, 12]));
    assert_eq!(classes.images().dim(), (1, 3, 20, 20));
    let native = vis.size([12, 12]).classes(&model, [2]).unwrap();
    assert_eq!(native.network_size(), None);
}

/// The unit is dead at every picture: only redirected gradients bring it back.
#[test]
fn redirected_rectifiers_wake_the_dead() {
    let network = Onnx::image([-1, 3, 8, 8])
        .tensor(floats("w", &[1, 3, 1, 1], vec![1.0; 3]))
        .tensor(floats("b", &[1], vec![-1.0]))
        .node("Conv", &["x", "w", "b"], &["conv"])
        .node("Relu", &["conv"], &["y"]);
    let model = Model::from_bytes(network.bytes(), &device(), None).unwrap();
    let vis = quick().size([8, 8]).steps(30).learning_rate(0.2);
    let objective = || Objective::channel("y", 0);
    // ImageNet's normalisation: mid grey sums to about .47.
    let dead = vis
        .clone()
        .redirected_relu(0)
        .render(&model, objective())
        .unwrap();
    assert_eq!(dead.values()[0][29], 0.0);
    let alive = vis.redirected_relu(16).render(&model, objective()).unwrap();
    assert!(alive.values()[0][29] > 0.5, "{:?}", alive.values());
}

#[test]
fn what_has_settled_stops() {
    let objective = || Objective::new(Brightness) * 1.0;
    let vis_of_steps = |steps| {
        FeatureVis::pixels(6)
            .transforms(Transforms::none())
            .steps(steps)
            .learning_rate(0.3)
    };
    let vis = vis_of_steps(400);
    let long = vis.clone().render(&*SMOOTH, objective()).unwrap();
    assert_eq!(long.steps(), [400]);
    let vis = vis.stop_when_settled(10, 1e-3).keep_at([5, 400]);
    let short = vis.render(&*SMOOTH, objective()).unwrap();
    let steps = short.steps()[0];
    assert!((20..300).contains(&steps), "{steps}");
    assert_eq!(short.kept()[1].images, *short.images());
    assert_ne!(short.kept()[0].images, *short.images());
    // A window that is never full, and any number of steps until it is settled.
    let never = vis_of_steps(8).stop_when_settled(usize::MAX / 2 + 1, 0.0);
    assert_eq!(never.render(&*SMOOTH, objective()).unwrap().steps(), [8]);
    let until = vis_of_steps(usize::MAX)
        .stop_when_settled(5, 1e-3)
        .batch_size(1);
    let until = until.render(&*SMOOTH, [objective(), objective()]).unwrap();
    assert!(until.steps().iter().all(|&steps| steps < 1000));

    // One that settles at once does not stop or change another.
    let list = || {
        vec![
            Objective::channel("block", 1) * 1e-30,
            Objective::channel("block", 2),
        ]
    };
    let vis = quick().steps(24);
    let all = vis.clone().render(&*SMOOTH, list()).unwrap();
    let some = vis
        .stop_when_settled(3, 0.0)
        .render(&*SMOOTH, list())
        .unwrap();
    assert_eq!(all.steps(), [24, 24]);
    assert!(
        some.steps()[0] < 24 && some.steps()[1] == 24,
        "{:?}",
        some.steps()
    );
    let second = |v: &elucid_optvis::Visualisation| v.images().index_axis(Axis(0), 1).to_owned();
    assert!(relative_error(&second(&some), &second(&all)) < 1e-6);
}

#[test]
fn work_reports_and_can_be_cancelled() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let vis = quick().batch_size(2).progress(move |p| {
        log.lock().unwrap().push((p.done, p.total));
        p.continue_()
    });
    vis.channels(&*SMOOTH, "block", &[0, 1, 2]).unwrap();
    let want: Vec<_> = (1..=12).map(|done| (done, 12)).collect();
    assert_eq!(*seen.lock().unwrap(), want);
    let vis = quick().progress(|p| match p.done {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let refused = vis.channels(&*SMOOTH, "block", &[0]);
    assert!(matches!(refused, Err(VisError::Cancelled(c)) if (c.done, c.total) == (3, 6)));
}

#[test]
fn settings_out_of_range_are_refused() {
    let new = || FeatureVis::fourier(12);
    for (name, vis) in [
        ("size", new().size([0, 12])),
        ("size", new().size([12, 5000])),
        ("steps", new().steps(0)),
        ("learning rate", new().learning_rate(0.0)),
        ("learning rate", new().learning_rate(f32::NAN)),
        ("batch size", new().batch_size(0)),
        ("step to keep", new().keep_at([0])),
        ("step to keep", new().keep_at([513])),
        ("window", new().stop_when_settled(0, 0.1)),
        ("tolerance", new().stop_when_settled(5, f32::NAN)),
        ("number of images", new().images(0)),
        ("number of images", new().images(usize::MAX)),
        ("number of seeds", new().seeds([1, 2])),
        ("scale", new().transforms(Transforms::none().scale([-1.0]))),
        (
            "standard deviation",
            FeatureVis::with(Fourier::new().sd(0.0), 12),
        ),
        (
            "standard deviation",
            FeatureVis::with(Pixels::new().sd(f32::NAN), 12),
        ),
        (
            "decay",
            FeatureVis::with(Maco::new().decay(f32::INFINITY), 12),
        ),
        (
            "number of levels",
            FeatureVis::with(Pyramid::new().levels(0), 12),
        ),
        ("layers", FeatureVis::with(Cppn::new().layers(0), 12)),
    ] {
        match vis.render(&*SMOOTH, Objective::channel("block", 0)) {
            Err(VisError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}
