//! Objectives, their algebra, parametrisations and the loop, on networks of a few weights.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock, Mutex};

use burn::tensor::Tensor;
use elucid_graph::{Activation, GraphError, INPUT};
use elucid_optvis::{
    Cppn, FeatureVis, Fourier, Maco, Objective, Objectives, Parametrisation, Pixels, Pyramid,
    Random, Seen, Sheet, Subject, Term, Transforms, VisError,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error, tensor};
use elucid_vision::Model;
use ndarray::{Array1, Array2, Array3, Axis};

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

/// Every objective, fit for [`SMOOTH`] and three pictures of 9 x 12.
fn objectives() -> Vec<Objective> {
    let v = direction();
    let block = Array3::from_shape_fn((5, 2, 3), |(c, y, x)| (c + 2 * y) as f32 - x as f32);
    let other = Array3::from_shape_fn((3, 9, 12), |(c, y, x)| ((c + y * x) % 5) as f32 / 5.0);
    vec![
        Objective::neuron("block", 2),
        Objective::neuron_at("block", 1, [3, 0]),
        Objective::channel("tanh1", 3),
        Objective::channel("flat", 3),
        Objective::direction("block", v.view()),
        Objective::direction_cosine("block", &v, 1.0),
        Objective::direction_cosine("block", &v, 2.5),
        Objective::cosine("block", &v),
        Objective::direction_neuron("block", &v, 1.0),
        Objective::direction_at("block", &v, [1, 4], 0.0),
        Objective::tensor_direction("block", &block, 2.0),
        Objective::class(4),
        Objective::class("4"),
        Objective::deep_dream("block"),
        Objective::total_variation(),
        Objective::l1(0.5),
        Objective::l2(0.5),
        Objective::boundary_complexity(2, 0.5),
        Objective::input_difference(&other),
        Objective::alignment("tanh1", 2.0),
        Objective::diversity("block"),
        Objective::channel_interpolate(("tanh1", 0), ("block", 4)),
    ]
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let x = pictures(3, 9, 12);
    let shape = x.dims();
    let values: Vec<f32> = x.clone().into_data().iter::<f32>().collect();
    for objective in objectives() {
        let found = gradient(&objective, &x);
        let largest = found.iter().fold(0.0, |m: f32, g| m.max(g.abs()));
        assert!(largest > 0.0, "{objective}");
        // The largest entry, and some others.
        let top = (0..found.len()).max_by(|&i, &j| found[i].abs().total_cmp(&found[j].abs()));
        for i in (0..8).map(|i| i * 119 + 5).chain(top) {
            let at = |by: f32| {
                let mut values = values.clone();
                values[i] += by;
                f64::from(number(&objective, &tensor(values, shape)))
            };
            // A wide step is better for rounding; where kinks are, no neighbour may lie within it.
            let kinked = objective.to_string() == "total variation";
            let step = if kinked { 1e-3_f32 } else { 8e-3 };
            let want = (at(step) - at(-step)) / (2.0 * f64::from(step));
            let error = (f64::from(found[i]) - want).abs() / f64::from(largest);
            // Differences of a value lose its last digits.
            let value = number(&objective, &x).abs();
            let rounding = value * 4.0 * f32::EPSILON / step / largest;
            assert!(
                error < 0.02 + f64::from(rounding),
                "{objective}, pixel {i}: {} for {want}",
                found[i]
            );
        }
    }
}

/// Half the distance from the blur counts the blur as a constant: it has no finite difference.
#[test]
fn the_blur_is_a_constant() {
    let x = pictures(1, 5, 6);
    let found = gradient(&Objective::blur(), &x);
    let values: Vec<f32> = x.clone().into_data().iter::<f32>().collect();
    let (mut worst, mut half) = (0.0_f32, 0.0);
    for i in 0..values.len() {
        let (plane, y, column) = (i / 30, i as i64 / 6 % 5, i as i64 % 6);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
            let (y, column) = (y + dy, column + dx);
            if (0..5).contains(&y) && (0..6).contains(&column) {
                let weight = if (dy, dx) == (0, 0) { 1.0 } else { 0.5 };
                sum += weight * values[plane * 30 + (y * 6 + column) as usize];
                weights += weight;
            }
        }
        let apart = values[i] - sum / weights;
        worst = worst.max((found[i] - apart).abs());
        half += 0.5 * apart * apart;
    }
    assert!(worst < 1e-5, "{worst}");
    assert!((number(&Objective::blur(), &x) - half).abs() < 1e-4);
}

#[test]
fn penalties_by_hand() {
    let x = tensor(
        vec![
            0.0, 0.5, 1.0, 0.25, /**/ 0.5, 0.5, 0.5, 0.5, /**/ 0.5, 0.5, 0.5, 1.0,
        ],
        [1, 3, 2, 2],
    );
    let close = |objective: Objective, want: f32| {
        let got = number(&objective, &x);
        assert!((got - want).abs() < 1e-4, "{objective}: {got} for {want}");
    };
    close(Objective::total_variation(), 0.5 + 0.75 + 1.0 + 0.25 + 1.0);
    close(Objective::l1(0.5), 0.5 + 0.5 + 0.25 + 0.5);
    close(Objective::l2(0.5), (0.75_f32 + 0.0625).sqrt());
    let same = Array3::from_elem((3, 2, 2), 0.5);
    close(
        Objective::input_difference(&same),
        (0.8125_f32 / 12.0).sqrt(),
    );
}

#[test]
fn cosines_by_hand() {
    // Two positions: (3, 4) and (0, -2); the direction is (1, 0).
    let network = Onnx::image([-1, 3, 1, 2])
        .tensor(floats("w", &[2, 3, 1, 1], vec![1., 0., 0., 0., 1., 0.]))
        .node("Conv", &["x", "w"], &["y"]);
    let model = Model::from_bytes(network.bytes(), &device(), None).unwrap();
    let x = tensor(vec![3.0, 0.0, 4.0, -2.0, 9.0, 9.0], [1, 3, 1, 2]);
    let close = |objective: Objective, want: f32| {
        let got = value_of(&model, &objective, &x).into_scalar::<f32>();
        assert!((got - want).abs() < 1e-3, "{objective}: {got} for {want}");
    };
    let v = [1.0, 0.0];
    close(Objective::direction("y", &v), 1.5);
    close(Objective::direction_cosine("y", &v, 0.0), 1.5);
    close(Objective::direction_cosine("y", &v, 2.0), 3.0 * 0.36 / 2.0);
    close(Objective::cosine("y", &v), 0.3);
    let w = [0.0, 1.0];
    // A cosine of -1 counts as .1.
    close(
        Objective::direction_cosine("y", &w, 1.0),
        (4.0 * 0.8 - 0.2) / 2.0,
    );
    close(Objective::direction_at("y", &v, [0, 0], 1.0), 1.8);
    close(Objective::neuron("y", 1), -2.0);
    close(Objective::deep_dream("y"), (9.0 + 16.0 + 4.0) / 4.0);
}

#[test]
fn batches_by_hand() {
    let network = Onnx::image([-1, 3, 1, 1])
        .tensor(floats("w", &[2, 3, 1, 1], vec![1., 0., 0., 0., 1., 0.]))
        .node("Conv", &["x", "w"], &["y"]);
    let model = Model::from_bytes(network.bytes(), &device(), None).unwrap();
    let x = tensor(
        vec![1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 3.0, 0.0],
        [3, 3, 1, 1],
    );
    let close = |objective: Objective, want: f32| {
        let got = value_of(&model, &objective, &x).into_scalar::<f32>();
        assert!((got - want).abs() < 1e-4, "{objective}: {got} for {want}");
    };
    // (1, 0), (0, 2), (3, 3)
    let next = (1.0 + 4.0) / 2.0 + (9.0 + 1.0) / 2.0;
    let after = (4.0 + 9.0) / 2.0;
    close(Objective::alignment("y", 2.0), -(next / 2.0 + after / 4.0));
    // Cosines of the Gram matrices: 0, 1/2, 1/2, each pair twice.
    close(Objective::diversity("y"), 2.0 / 3.0);
    let interpolated = Objective::channel_interpolate(("y", 0), ("y", 1));
    close(interpolated, 1.0 + (0.0 + 2.0) / 2.0 + 3.0);
    close(Objective::channel("y", 1), 5.0 / 3.0);
    close(Objective::channel("y", 1).of_item(1), 2.0);
    let both = Objective::channel("y", 0).of_item(0) * 2.0 - Objective::channel("y", 1).of_item(2);
    // What is bound stays bound.
    close(both.clone().of_item(1), 2.0 - 3.0);
    close(-(0.5 * both), 0.5);
}

#[test]
fn the_algebra_is_that_of_numbers() {
    let x = pictures(3, 9, 12);
    let all = objectives();
    let of = |o: &Objective| number(o, &x);
    for pair in all.windows(2) {
        let (a, b) = (of(&pair[0]), of(&pair[1]));
        let close = |got: Objective, want: f32| {
            let found = of(&got);
            assert!(
                (found - want).abs() < 1e-4 * (1.0 + want.abs()),
                "{got}: {found}"
            );
        };
        let (p, q) = (|| pair[0].clone(), || pair[1].clone());
        close(p() + q(), a + b);
        close(p() - q(), a - b);
        close(-p(), -a);
        close(p() * 3.0, 3.0 * a);
        close(0.25 * (p() - q() * 2.0), 0.25 * (a - 2.0 * b));
    }
    let sum: f32 = all.iter().map(of).sum();
    let summed: Objective = all.into_iter().sum();
    assert!((of(&summed) - sum).abs() < 1e-3 * sum.abs());
    let shown = (Objective::channel("block", 1) - 0.5 * Objective::neuron("block", 2)).of_item(3);
    assert_eq!(
        shown.to_string(),
        "channel 1 of block [image 3] - 0.5 * channel 2 of block in the middle [image 3]"
    );
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
fn a_term_of_the_users() {
    for vis in [
        quick(),
        FeatureVis::pixels(9),
        FeatureVis::pyramid(9),
        FeatureVis::cppn(9),
    ] {
        let vis = vis.steps(40).learning_rate(0.05);
        let found = vis.render(&*SMOOTH, Objective::new(Brightness)).unwrap();
        let values = &found.values()[0];
        assert!(values[39] > values[0] + 0.05, "{values:?}");
        let image = found.images().mean().unwrap();
        assert!(image > values[39] - 0.05);
        assert!(found.layers().is_empty());
    }
}

fn parametrisations() -> Vec<Box<dyn Parametrisation>> {
    vec![
        Box::new(Pixels::new()),
        Box::new(Pixels::new().clipped().correlated()),
        Box::new(Fourier::new()),
        Box::new(Fourier::new().clipped().decay(1.5).sd(0.1)),
        Box::new(Pyramid::new()),
        Box::new(Pyramid::new().levels(2).correlated()),
        Box::new(Cppn::new().layers(3).hidden(6)),
        Box::new(Maco::new()),
        Box::new(Maco::new().clipped().decay(0.8)),
    ]
}

fn stacked(each: &[Vec<Activation>]) -> Vec<Activation> {
    (0..each[0].len())
        .map(|i| {
            let rows = each.iter().map(|p| p[i].rows()).collect();
            Activation::from_rows(Tensor::cat(rows, 0), &each[0][i]).unwrap()
        })
        .collect()
}

/// For red, green and blue.
fn sheet(size: [usize; 2]) -> Sheet {
    Sheet::new(size, 3, &device())
}

#[test]
fn canvases_of_any_size_paint_each_image_alone() {
    for parametrisation in parametrisations() {
        for [h, w] in [[8, 8], [7, 7], [6, 11], [11, 6], [1, 5], [5, 1], [1, 1]] {
            let canvas = parametrisation.canvas(&sheet([h, w])).unwrap();
            let start = |seed| canvas.start(&mut Random::new(seed));
            let each: Vec<_> = [3, 4, 5].map(start).into();
            let together = canvas.picture(&stacked(&each)).unwrap();
            let name = parametrisation.name();
            assert_eq!(together.dims(), [3, 3, h, w], "{name}");
            for (i, one) in each.iter().enumerate() {
                let alone = canvas.picture(one).unwrap();
                let row = together.clone().narrow(0, i, 1);
                let (alone, row): (Vec<f32>, Vec<f32>) = (
                    alone.into_data().iter::<f32>().collect(),
                    row.into_data().iter::<f32>().collect(),
                );
                assert!(relative_error(&row, &alone) < 1e-5, "{name} {h} x {w}");
                assert!(alone.iter().all(|v| (0.0..=1.0).contains(v)), "{name}");
            }
            let mut misshapen = each[0].clone();
            misshapen[0] = tensor(vec![0.0; 2], [1, 1, 1, 2]).into();
            for wrong in [&[][..], &misshapen] {
                let refused = canvas.picture(wrong);
                assert!(matches!(refused, Err(VisError::Shape { .. })), "{name}");
            }
        }
    }
}

/// A wave by hand: one frequency of one component, through the colours.
#[test]
fn a_spectrum_is_the_sum_of_its_waves() {
    for [h, w] in [[6, 8], [5, 7], [8, 5]] {
        let parametrisation = Fourier::new().clipped().correlated();
        let canvas = parametrisation.canvas(&sheet([h, w])).unwrap();
        let frequencies = w / 2 + 1;
        for (fy, fx) in [(0, 0), (1, 2), (h - 1, 1), (2, w / 2), (h / 2, 0)] {
            for part in 0..2 {
                let mut values = vec![0.0_f32; 3 * frequencies * 2 * h];
                values[fx * 2 * h + part * h + fy] = 0.1;
                let spectrum = tensor(values, [1, 3, frequencies, 2 * h]);
                let picture = canvas.picture(&[spectrum.into()]).unwrap();
                let picture: Vec<f32> = picture.into_data().iter::<f32>().collect();
                let signed = if 2 * fy > h {
                    fy as f64 - h as f64
                } else {
                    fy as f64
                };
                let distance = (signed / h as f64).hypot(fx as f64 / w as f64);
                let scale = 1.0 / distance.max(1.0 / h.max(w) as f64) / 4.0;
                let double = fx > 0 && 2 * fx != w;
                let norm = if double { 2.0 } else { 1.0 } / ((h * w) as f64).sqrt();
                for (i, got) in picture.iter().take(h * w).enumerate() {
                    let (y, x) = ((i / w) as f64, (i % w) as f64);
                    let turns = fy as f64 * y / h as f64 + fx as f64 * x / w as f64;
                    let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
                    // Where the spectrum stands for itself alone, half of a wave is imaginary.
                    let wave = if part == 0 { cos } else { -sin };
                    let want = (0.5 + 0.1 * scale * norm * wave).clamp(0.0, 1.0);
                    assert!(
                        (f64::from(*got) - want).abs() < 1e-5,
                        "{h} x {w}: {fy}, {fx}"
                    );
                }
                assert!(picture[h * w..].iter().all(|v| *v == 0.5));
            }
        }
    }
}

#[test]
fn maco_keeps_its_magnitudes() {
    let (h, w) = (9, 12);
    let vis = FeatureVis::with(Maco::new().clipped().correlated(), 0)
        .size([h, w])
        .steps(5);
    let before = vis.clone().learning_rate(1e-9);
    let objective = || Objective::channel("block", 1);
    let [before, after] = [before, vis].map(|v| v.render(&*SMOOTH, objective()).unwrap());
    assert!(relative_error(after.images(), before.images()) > 0.02);
    // Undone by the canvas itself: the standard deviation of the image is 1 before clipping, so
    // compare on a sigmoid, which can be inverted.
    let canvas = Maco::new().correlated().canvas(&sheet([h, w])).unwrap();
    let magnitudes = |seed| {
        let picture = canvas
            .picture(&canvas.start(&mut Random::new(seed)))
            .unwrap();
        let values: Vec<f64> = picture.into_data().iter::<f64>().collect();
        let planes: Vec<f64> = values.iter().map(|v| (v / (1.0 - v)).ln()).collect();
        let mean = planes.iter().map(|v| v * v).sum::<f64>() / planes.len() as f64;
        assert!((mean - 1.0).abs() < 1e-3, "{mean}");
        let magnitude = |fy: usize, fx: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in planes[..h * w].iter().enumerate() {
                let turns = (fy * (i / w)) as f64 / h as f64 + (fx * (i % w)) as f64 / w as f64;
                let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
                (re, im) = (re + v * cos, im - v * sin);
            }
            re.hypot(im)
        };
        let near = magnitude(1, 1) * (1.0_f64 / 9.0).hypot(1.0 / 12.0);
        let far = magnitude(3, 4) * (3.0_f64 / 9.0).hypot(4.0 / 12.0);
        (near, far)
    };
    for seed in 0..3 {
        let (near, far) = magnitudes(seed);
        assert!((near / far - 1.0).abs() < 1e-3, "{near} and {far}");
    }
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
fn directions_are_channels_and_classes_are_named() {
    let unit = Array2::from_shape_fn((2, 5), |(i, c)| if c == 3 * i { 1.0 } else { 0.0 });
    let directions = quick().directions(&*SMOOTH, "block", unit.view()).unwrap();
    let channels = quick().channels(&*SMOOTH, "block", &[0, 3]).unwrap();
    assert!(relative_error(directions.images(), channels.images()) < 1e-4);
    assert_eq!(channels.layers(), ["block"]);
    assert_eq!(channels.objectives()[1], "channel 3 of block");
    assert_eq!(
        (channels.parametrisation(), channels.transforms()),
        ("fourier", "none")
    );
    let classes = quick().classes(&*SMOOTH, ["1", "6"]).unwrap();
    let again = quick().classes(&*SMOOTH, [1, 6]).unwrap();
    assert_eq!(classes.images(), again.images());
    assert_eq!(classes.bytes(1).unwrap().dim(), (12, 12, 3));
    assert!(classes.image(2).is_none() && classes.bytes(2).is_none());
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

#[test]
fn objectives_that_do_not_fit_are_refused() {
    let refused = |objective: Objective| quick().render(&*SMOOTH, objective).unwrap_err();
    let unknown = refused(Objective::channel("blok", 0));
    assert!(matches!(
        unknown,
        VisError::Graph(GraphError::UnknownLayer { .. })
    ));
    assert!(unknown.to_string().contains("\"block\""), "{unknown}");
    let message = refused(Objective::channel("block", 5)).to_string();
    assert!(message.contains("channels 0 to 4"), "{message}");
    let short = refused(Objective::direction("block", &[1.0, 2.0]));
    assert!(matches!(
        short,
        VisError::Direction {
            length: 2,
            channels: 5,
            ..
        }
    ));
    for position in [[0, 99], [usize::MAX, 0]] {
        let far = refused(Objective::neuron_at("block", 0, position));
        assert!(matches!(far, VisError::Position { .. }), "{far}");
    }
    let last = refused(Objective::channel("block", 0).of_item(usize::MAX));
    assert!(matches!(last, VisError::Parameter { .. }), "{last}");
    let nan = refused(Objective::direction("block", &[f32::NAN; 5]));
    assert!(matches!(nan, VisError::Parameter { .. }));
    let class = refused(Objective::class(7));
    assert!(class.to_string().contains("0 to 6"), "{class}");
    assert!(matches!(
        quick()
            .images(2)
            .render(&*SMOOTH, Objective::channel("block", 0).of_item(2)),
        Err(VisError::Item { item: 2, images: 2 })
    ));
    let alone = quick()
        .images(1)
        .render(&*SMOOTH, Objective::diversity("block"));
    assert!(matches!(
        alone,
        Err(VisError::TooFewImages { least: 2, .. })
    ));
    let listed = quick().render(&*SMOOTH, [Objective::diversity("block")]);
    assert!(matches!(listed, Err(VisError::TooFewImages { .. })));
    let none = quick().render(&*SMOOTH, Objectives::Each(Vec::new()));
    assert!(matches!(none, Err(VisError::NoObjective)));
    let nothing = quick().render(&*SMOOTH, Objective::default());
    assert!(matches!(nothing, Err(VisError::NoObjective)));
    let infinite = refused(Objective::channel("block", 0) * f32::INFINITY);
    assert!(matches!(infinite, VisError::Parameter { .. }));
    let tiny = quick().transforms(Transforms::none().jitter(12));
    let tiny = tiny.render(&*SMOOTH, Objective::channel("block", 0));
    assert!(matches!(tiny, Err(VisError::Nothing { .. })));
    let huge = refused(Objective::l1(0.5) * 1e38);
    assert!(matches!(huge, VisError::NotFinite { .. }), "{huge}");
}
