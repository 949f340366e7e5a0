//! Objectives: their numbers by hand, their gradients by differences.

use elucid_graph::GraphError;
use elucid_optvis::{FeatureVis, Objective, Objectives, Transforms, VisError};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error, tensor};
use elucid_vision::Model;
use ndarray::{Array2, Array3};

use super::{Brightness, SMOOTH, direction, gradient, number, pictures, quick, value_of};

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

/// The first two channels of a picture of one row.
fn two_channels(width: i64) -> Model {
    let network = Onnx::image([-1, 3, 1, width])
        .tensor(floats("w", &[2, 3, 1, 1], vec![1., 0., 0., 0., 1., 0.]))
        .node("Conv", &["x", "w"], &["y"]);
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

#[test]
fn cosines_by_hand() {
    // Two positions: (3, 4) and (0, -2); the direction is (1, 0).
    let model = two_channels(2);
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
    let model = two_channels(1);
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
