//! Elements, channels and directions of any layer.

use elucid_attribution::{Along, Target};
use elucid_testkit::onnx::Onnx;
use elucid_vision::Model;
use ndarray::array;

use super::{WEIGHTS, array, dense, detector, four, gradient, noise, open, raw, refusal, scores};

#[test]
fn elements_of_any_rank_are_named_by_their_indices() {
    let image = noise([2, 3, 2, 4], 5);
    let values = array(&image);
    let found = gradient(&raw(), &image, Target::element("y", &[5, 2]));
    let flat: Vec<f32> = values.iter().copied().collect();
    for of in 0..2 {
        assert_eq!(found.scores()[of], flat[24 * of + 5 * 4 + 2]);
    }
    let one = |i: usize| if i % 24 == 22 { 1.0 } else { 0.0 };
    assert!(found.values().iter().enumerate().all(|(i, &v)| v == one(i)));

    let targets = ["y[0,1]", "y[3,3]"].map(|text| text.parse::<Target>().unwrap());
    let each = gradient(&raw(), &image, Target::each(targets));
    assert_eq!(each.scores(), [flat[1], flat[24 + 15]]);

    for (target, says) in [
        (
            Target::element("y", &[6, 0]),
            "index 6 is outside axis 0, which goes from 0 to 5",
        ),
        (Target::element("y", &[5]), "2 indices behind the batch"),
        (Target::element("yy", &[5, 1]), "yy"),
        (
            Target::along("y", [Along::At(1), Along::Norm]),
            "first axis",
        ),
        (
            Target::along("y", [Along::Weights(vec![1.0].into()), Along::Sum]),
            "6 numbers, not 1",
        ),
    ] {
        let error = refusal(&raw(), &image, target);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn channels_positions_and_directions_of_a_layer() {
    let model = dense();
    let image = noise([1, 3, 4, 4], 6);
    let values = array(&image);
    let (a, b) = (scores(&values, 0, 0), scores(&values, 0, 1));
    let close = |target: Target, want: f32| {
        let got = gradient(&model, &image, target).scores()[0];
        assert!((got - want).abs() < 1e-5, "{got}, not {want}");
    };
    close(Target::channel("z", 1), b.mean().unwrap());
    close("z[1,:,:]".parse().unwrap(), b.sum());
    let direction = 2.0 * a.mean().unwrap() - b.mean().unwrap();
    close(Target::direction("z", &[2.0, -1.0]), direction);
    close("z[norm,1,2]".parse().unwrap(), a[[1, 2]].hypot(b[[1, 2]]));
    close("z[:,1,2]".parse().unwrap(), a[[1, 2]] + b[[1, 2]]);

    let folder = std::env::temp_dir().join(format!("elucid_direction_{}.npy", std::process::id()));
    ndarray_npy::write_npy(&folder, &array![2.0_f64, -1.0]).unwrap();
    let text = format!("z[{},1,2]", folder.display());
    close(text.parse().unwrap(), 2.0 * a[[1, 2]] - b[[1, 2]]);
    std::fs::remove_file(folder).unwrap();
    let missing = "z[missing.npy,1,2]"
        .parse::<Target>()
        .unwrap_err()
        .to_string();
    assert!(missing.contains("missing.npy"), "{missing}");

    let found = gradient(&model, &image, Target::channel("z", 1));
    let want = |c: usize| WEIGHTS[1][c] / 16.0;
    assert!(
        four(&found)
            .indexed_iter()
            .all(|((_, c, ..), &v)| (v - want(c)).abs() < 1e-7)
    );
}

/// Boxes as they are, class rows behind `activation`, and all of it moved about.
fn finished(activation: impl Fn(Onnx) -> Onnx) -> Model {
    let split = detector()
        .node("Reshape", &["x", "shape"], &["raw"])
        .list("four", &[4, 2])
        .node("Split", &["raw", "four"], &["boxes", "classes"])
        .int("axis", 1);
    let joined = activation(split)
        .node("Concat", &["boxes", "p"], &["joined"])
        .int("axis", 1);
    open(
        joined
            .node("Transpose", &["joined"], &["y"])
            .ints("perm", &[0, 2, 1]),
    )
}

#[test]
fn a_probability_among_other_numbers_is_explained_by_its_score() {
    let image = noise([1, 3, 2, 4], 7);
    let flat: Vec<f32> = array(&image).into_iter().collect();
    let sigmoid = finished(|onnx| onnx.node("Sigmoid", &["classes"], &["p"]));
    let softmax = finished(|onnx| onnx.node("Softmax", &["classes"], &["p"]).int("axis", 1));
    for model in [&sigmoid, &softmax] {
        // Class 1 of anchor 2.
        let target = || Target::element("y", &[2, 5]);
        assert_eq!(target().layer_in(model).unwrap(), "classes");
        let found = gradient(model, &image, target());
        assert_eq!(found.scores(), [flat[22]]);
        let one = |i: usize| if i == 22 { 1.0 } else { 0.0 };
        assert!(found.values().iter().enumerate().all(|(i, &v)| v == one(i)));
        // A box is no probability, and a sum of both neither.
        assert_eq!(
            gradient(model, &image, Target::element("y", &[2, 3])).scores(),
            [flat[14]]
        );
        assert_eq!(
            "y[2,:]".parse::<Target>().unwrap().layer_in(model).unwrap(),
            "y"
        );
        let both = gradient(model, &image, "y[:,5]".parse().unwrap());
        let sum: f32 = flat[20..24].iter().sum();
        assert!((both.scores()[0] - sum).abs() < 1e-6);
    }
    let given = gradient(&sigmoid, &image, Target::element("y", &[2, 5]).as_given());
    let p = 1.0 / (1.0 + (-flat[22]).exp());
    assert!((given.scores()[0] - p).abs() < 1e-6);
    let slope = given.values().iter().nth(22).copied().unwrap();
    assert!((slope - p * (1.0 - p)).abs() < 1e-6, "{slope}");

    // The whole output behind one.
    let whole = open(detector().node("Reshape", &["x", "shape"], &["z"]).node(
        "Sigmoid",
        &["z"],
        &["y"],
    ));
    assert_eq!(
        gradient(&whole, &image, Target::element("y", &[0, 1])).scores(),
        [flat[1]]
    );
}
