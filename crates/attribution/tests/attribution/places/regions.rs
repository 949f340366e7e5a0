//! Regions of a segmentation.

use elucid_attribution::{
    Attributor, DeepLift, DenseMap, IntegratedGradients, Lrp, Occlusion, Region, Target,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::tensor;
use ndarray::{Array2, Array4, array};

use super::{
    WEIGHTS, array, dense, four, gradient, is_sum_over, noise, open, refusal, scores, segmenter,
};

#[test]
fn a_box_and_a_mask_are_sums_over_their_pixels() {
    let model = dense();
    let image = noise([1, 3, 4, 4], 1);
    let values = array(&image);
    let inside = Array2::from_shape_fn((4, 4), |(y, x)| (2..4).contains(&y) && x < 3);
    for target in [
        Target::region(1, Region::bounds(0, 2, 3, 4)),
        "1@box:0,2,3,4".parse().unwrap(),
        Target::region(1, Region::mask(inside.clone())),
    ] {
        is_sum_over(&gradient(&model, &image, target), 0, &values, 1, &inside);
    }
    // The left upper quarter of a mask of another size.
    let quarter = Target::region(0, Region::mask(array![[true, false], [false, false]]));
    let inside = Array2::from_shape_fn((4, 4), |(y, x)| y < 2 && x < 2);
    is_sum_over(&gradient(&model, &image, quarter), 0, &values, 0, &inside);
}

#[test]
fn channels_last_and_one_class_are_maps_too() {
    let image = noise([1, 3, 4, 4], 2);
    let values = array(&image);
    let last = segmenter()
        .node("Transpose", &["z"], &["y"])
        .ints("perm", &[0, 2, 3, 1]);
    let last = open(last);
    let map = DenseMap::of(&last).unwrap();
    assert_eq!((map.classes(), map.size()), (2, [4, 4]));
    let inside = Array2::from_shape_fn((4, 4), |(y, x)| y < 1 && x > 1);
    let target = || Target::region(1, Region::bounds(2, 0, 4, 1));
    is_sum_over(&gradient(&last, &image, target()), 0, &values, 1, &inside);

    let one = Onnx::image([-1, 3, 4, 4])
        .tensor(floats("w", &[1, 3, 1, 1], WEIGHTS[1].to_vec()))
        .node("Conv", &["x", "w"], &["z"])
        .list("axis", &[1])
        .node("Squeeze", &["z", "axis"], &["y"]);
    let positive = scores(&values, 0, 1).mapv(|v| v > 0.0);
    let found = gradient(&open(one), &image, Target::region(0, Region::predicted()));
    let got = four(&found);
    for ((y, x), &inside) in positive.indexed_iter() {
        assert_eq!(got[[0, 1, y, x]], if inside { 3.0 } else { 0.0 });
    }
}

/// The region is that of each image as it is, whatever a method does to the image.
#[test]
fn what_is_predicted_is_found_once_in_each_image() {
    let model = dense();
    let image = noise([2, 3, 4, 4], 3);
    let values = array(&image);
    let predicted = |of| {
        let (a, b) = (scores(&values, of, 0), scores(&values, of, 1));
        Array2::from_shape_fn((4, 4), |at| b[at] > a[at])
    };
    let found = gradient(&model, &image, Target::region(1, Region::predicted()));
    for of in 0..2 {
        is_sum_over(&found, of, &values, 1, &predicted(of));
    }
    assert_ne!(predicted(0), predicted(1));

    let black = IntegratedGradients::new().steps(4);
    let found = black
        .attribute(&model, &image, "1@predicted".parse().unwrap())
        .unwrap();
    for (image, score) in found.values().outer_iter().zip(found.scores()) {
        assert!(
            (image.sum() - score).abs() < 1e-4,
            "{}, not {score}",
            image.sum()
        );
    }
}

#[test]
fn a_component_is_the_part_around_its_pixel() {
    let model = dense();
    // Class 1 gets 3 where the green is 1, class 0 gets 2 where it is -1.
    let green = array![
        [1.0, 1.0, -1.0, 1.0],
        [-1.0, 1.0, -1.0, -1.0],
        [-1.0, -1.0, 1.0, 1.0],
        [1.0, -1.0, -1.0, 1.0_f32],
    ];
    let image = Array4::from_shape_fn(
        (1, 3, 4, 4),
        |(_, c, y, x)| {
            if c == 1 { green[[y, x]] } else { 0.0 }
        },
    );
    let picture = tensor(image.iter().copied().collect(), [1, 3, 4, 4]);
    let inside = array![[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]].mapv(|v| v == 1);
    for target in [
        Target::region(1, Region::component(1, 1)),
        "1@at:0,0".parse().unwrap(),
    ] {
        is_sum_over(&gradient(&model, &picture, target), 0, &image, 1, &inside);
    }
    let other = refusal(&model, &picture, Target::region(1, Region::component(1, 0)));
    assert!(other.contains("class 0 is predicted"), "{other}");
}

#[test]
fn regions_that_are_none_are_refused_with_what_would_be_right() {
    let model = dense();
    let image = noise([1, 3, 4, 4], 4);
    for (text, says) in [
        ("1@box:0,0,5,4", "0,0,4,4"),
        ("1@box:2,0,2,4", "nothing in it"),
        ("2@box:0,0,1,1", "only 0 to 1"),
        ("cat@box:0,0,1,1", "from 0 to 1"),
        ("1@at:4,0", "4 rows"),
    ] {
        let error = refusal(&model, &image, text.parse().unwrap());
        assert!(error.contains(says), "{text}: {error}");
    }
    for (text, says) in [
        ("1@box:0,0,5", "XMIN,YMIN,XMAX,YMAX"),
        ("1@box:0,0,-5,1", "whole pixels"),
        ("1@at:1", "ROW,COLUMN"),
        ("none@predicted", "a class before the @"),
        ("1@nowhere.png", "there is no file nowhere.png"),
        ("1@elsewhere", "CLASS@predicted"),
        ("out[-1]", "from 0"),
    ] {
        let error = text.parse::<Target>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    // A vector has no pixels.
    let flat = open(segmenter().node("Flatten", &["z"], &["y"]));
    let error = refusal(&flat, &image, Target::region(1, Region::predicted()));
    assert!(error.contains("not [N, K, H, W]"), "{error}");
}

#[test]
fn what_is_handed_down_begins_with_the_region() {
    let model = dense();
    let image = noise([1, 3, 4, 4], 8);
    let values = array(&image);
    let target = || Target::region(1, Region::bounds(1, 0, 3, 2));
    let want = |c: usize, y: usize, x: usize| match y < 2 && (1..3).contains(&x) {
        true => WEIGHTS[1][c] * values[[0, c, y, x]],
        false => 0.0,
    };
    let methods: [&dyn Attributor; 2] = [&Lrp::epsilon(), &DeepLift::at_input()];
    for method in methods {
        let found = method.attribute(&model, &image, target()).unwrap();
        for ((_, c, y, x), &got) in four(&found).indexed_iter() {
            assert!(
                (got - want(c, y, x)).abs() < 1e-4,
                "{}: {got}",
                method.name()
            );
        }
        assert!((found.values().sum() - found.scores()[0]).abs() < 1e-4);
    }
    let window = Occlusion::new().window(1).stride(1);
    let found = window.attribute(&model, &image, target()).unwrap();
    for ((_, _, y, x), &got) in four(&found).indexed_iter() {
        let want: f32 = (0..3).map(|c| want(c, y, x)).sum();
        assert!((got - want).abs() < 1e-4, "({y}, {x}): {got}, not {want}");
    }
}
