//! Targets that are no scores of a whole picture, against gradients worked out by hand: numbers of
//! outputs and layers, regions of dense maps, detected boxes, likeness.

use burn::tensor::Tensor;
use elucid_attribution::{
    Along, Attribution, AttributionError, Attributor, BoxFormat, DeepLift, DenseMap, Detection,
    GradCam, Gradient, IntegratedGradients, Lrp, MethodOptions, Occlusion, Region, Rise, Target,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, tensor};
use elucid_vision::Model;
use ndarray::{Array2, Array4, array};

use super::shared::{SMALL, without_attention};

fn open(onnx: Onnx) -> Model {
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

fn noise(shape: [usize; 4], seed: u32) -> Tensor<4> {
    let mut state = 0x9E37_79B9_u32 ^ seed.wrapping_mul(0x85EB_CA6B);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values = (0..shape.iter().product()).map(|_| next()).collect();
    tensor(values, shape)
}

fn array(x: &Tensor<4>) -> Array4<f32> {
    let values = x.clone().into_data().iter::<f32>().collect();
    Array4::from_shape_vec(x.dims(), values).unwrap()
}

fn gradient(model: &Model, image: &Tensor<4>, target: Target) -> Attribution {
    let found = Gradient::at_input().attribute(model, image, target);
    found.unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(model: &Model, image: &Tensor<4>, target: Target) -> String {
    let found = Gradient::at_input().attribute(model, image, target);
    found.expect_err("it is refused").to_string()
}

fn four(attribution: &Attribution) -> Array4<f32> {
    attribution.values().clone().into_dimensionality().unwrap()
}

const WEIGHTS: [[f32; 3]; 2] = [[1.0, -2.0, 0.5], [-0.25, 3.0, 1.5]];

/// Two classes for each of 4 x 4 pixels, each of which sees its own pixel only.
fn segmenter() -> Onnx {
    Onnx::image([-1, 3, 4, 4])
        .tensor(floats("w", &[2, 3, 1, 1], WEIGHTS.concat()))
        .node("Conv", &["x", "w"], &["z"])
}

fn dense() -> Model {
    open(segmenter().node("Softmax", &["z"], &["y"]).int("axis", 1))
}

/// Scores of a class at each pixel, by loops.
fn scores(image: &Array4<f32>, of: usize, class: usize) -> Array2<f32> {
    Array2::from_shape_fn((4, 4), |(y, x)| {
        (0..3)
            .map(|c| WEIGHTS[class][c] * image[[of, c, y, x]])
            .sum()
    })
}

/// The gradient is the class's weights in the pixels, and exactly 0 elsewhere; the score is the sum.
fn is_sum_over(
    found: &Attribution,
    of: usize,
    image: &Array4<f32>,
    class: usize,
    pixels: &Array2<bool>,
) {
    let values = four(found);
    for ((y, x), &inside) in pixels.indexed_iter() {
        for c in 0..3 {
            let want = if inside { WEIGHTS[class][c] } else { 0.0 };
            assert_eq!(values[[of, c, y, x]], want, "({c}, {y}, {x})");
        }
    }
    let map = scores(image, of, class);
    let want: f32 = map
        .indexed_iter()
        .filter(|(at, _)| pixels[*at])
        .map(|(_, v)| v)
        .sum();
    let got = found.scores()[of];
    assert!((got - want).abs() < 1e-5, "{got}, not {want}");
}

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

/// Numbers of a picture `[1, 3, 2, 4]` in a row are what a detector says: 6 for each of 4 anchors.
fn detector() -> Onnx {
    Onnx::image([-1, 3, 2, 4]).list("shape", &[-1, 6, 4])
}

fn raw() -> Model {
    open(detector().node("Reshape", &["x", "shape"], &["y"]))
}

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

/// Four anchors, as numbers first: centres, sizes, two classes.
fn anchors() -> Vec<f32> {
    let rows: [[f32; 4]; 6] = [
        [10.0, 12.0, 40.0, 30.0],
        [10.0, 11.0, 40.0, 30.0],
        [8.0, 8.0, 10.0, 60.0],
        [8.0, 10.0, 10.0, 60.0],
        [0.9, 0.2, 0.3, 0.5],
        [0.05, 0.7, 0.6, 0.5],
    ];
    rows.concat()
}

const BOX: [f32; 4] = [7.25, 6.5, 15.5, 15.25];

/// What an anchor's numbers are worth, by loops in double precision.
fn worth(numbers: &[f32], anchor: usize, cosine: bool, class: usize) -> f64 {
    let at = |row: usize| f64::from(numbers[4 * row + anchor]);
    let [left, right] = [at(0) - at(2) / 2.0, at(0) + at(2) / 2.0];
    let [top, bottom] = [at(1) - at(3) / 2.0, at(1) + at(3) / 2.0];
    let [xmin, ymin, xmax, ymax] = BOX.map(f64::from);
    let within =
        (right.min(xmax) - left.max(xmin)).max(0.0) * (bottom.min(ymax) - top.max(ymin)).max(0.0);
    let all = (right - left) * (bottom - top) + (xmax - xmin) * (ymax - ymin) - within;
    let class = match cosine {
        true => at(4 + class) / at(4).hypot(at(5)),
        false => at(4 + class),
    };
    within / all * class
}

fn best(numbers: &[f32], cosine: bool, class: usize) -> f64 {
    (0..4)
        .map(|a| worth(numbers, a, cosine, class))
        .fold(f64::MIN, f64::max)
}

#[test]
fn a_detected_box_is_the_best_anchor() {
    let model = raw();
    let numbers = anchors();
    let image = tensor(numbers.clone(), [1, 3, 2, 4]);
    for (class, cosine) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut detection = Detection::at("y", class, BOX);
        if cosine {
            detection = detection.similar();
        }
        let found = gradient(&model, &image, Target::detection(detection));
        let want = best(&numbers, cosine, class);
        assert!(
            (f64::from(found.scores()[0]) - want).abs() < 1e-5,
            "{class} {cosine}"
        );
        for (i, &slope) in found.values().iter().enumerate() {
            let moved = |by: f32| {
                let mut numbers = numbers.clone();
                numbers[i] += by;
                best(&numbers, cosine, class)
            };
            let want = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!(
                (f64::from(slope) - want).abs() < 1e-3,
                "{i}: {slope}, not {want}"
            );
        }
    }
}

#[test]
fn boxes_are_read_as_they_are_written() {
    let numbers = anchors();
    let want = best(&numbers, false, 0);
    let close = |model: &Model, numbers: Vec<f32>, shape, detection: Detection, want: f64| {
        let image = tensor(numbers, shape);
        let found = gradient(model, &image, Target::detection(detection));
        assert!(
            (f64::from(found.scores()[0]) - want).abs() < 1e-5,
            "{}",
            found.scores()[0]
        );
    };
    let at = |class: usize| Detection::at("y", class, BOX);

    let turned: Vec<f32> = (0..24).map(|i| numbers[4 * (i % 6) + i / 6]).collect();
    let first = Onnx::image([-1, 3, 2, 4]).list("shape", &[-1, 4, 6]).node(
        "Reshape",
        &["x", "shape"],
        &["y"],
    );
    let format = BoxFormat::new().anchors_last(false);
    close(
        &open(first),
        turned,
        [1, 3, 2, 4],
        at(0).written(format),
        want,
    );

    let mut corners = numbers.clone();
    for a in 0..4 {
        let [x, y, w, h] = [0, 1, 2, 3].map(|row| numbers[4 * row + a]);
        let sides = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
        (0..4).for_each(|row| corners[4 * row + a] = sides[row]);
    }
    let format = "xyxy".parse().unwrap();
    close(&raw(), corners, [1, 3, 2, 4], at(0).written(format), want);

    // The input is 4 wide and 2 high.
    let mut fractions = numbers.clone();
    for a in 0..4 {
        for row in 0..4 {
            fractions[4 * row + a] /= if row % 2 == 0 { 4.0 } else { 2.0 };
        }
    }
    let format = "normalised".parse().unwrap();
    close(&raw(), fractions, [1, 3, 2, 4], at(0).written(format), want);

    // The fifth number is the objectness, and the sixth the only class; both are logits.
    let chance = |v: f32| 1.0 / (1.0 + f64::from(-v).exp());
    let product = |a: usize| {
        let overlap = worth(&numbers, a, false, 0) / f64::from(numbers[16 + a]);
        overlap * chance(numbers[16 + a]) * chance(numbers[20 + a])
    };
    let want = (0..4).map(product).fold(0.0, f64::max);
    let format = "objectness,logits".parse().unwrap();
    close(
        &raw(),
        numbers.clone(),
        [1, 3, 2, 4],
        at(0).written(format),
        want,
    );

    let image = tensor(numbers, [1, 3, 2, 4]);
    for (detection, says) in [
        (at(2), "only 0 to 1"),
        (
            Detection::at("y", 0, [100.0, 100.0, 110.0, 110.0]),
            "no anchor overlaps",
        ),
        (Detection::at("y", 0, [5.0, 5.0, 5.0, 6.0]), "XMIN"),
        (Detection::at("x", 0, BOX), "[N, F, A]"),
        (at(0).anywhere().of_any_class(), "left out"),
        (at(0).similar_to(&[1.0]), "2 classes"),
    ] {
        let error = refusal(&raw(), &image, Target::detection(detection));
        assert!(error.contains(says), "{error}");
    }
}

/// D-RISE against the mean of masks, each weighted by what a detector says behind it.
#[test]
fn d_rise_weighs_masks_by_the_best_detection() {
    let numbers = anchors();
    let image = tensor(numbers.clone(), [1, 3, 2, 4]);
    let grids = ndarray::Array3::from_shape_fn((6, 2, 2), |(i, y, x)| {
        f32::from(u8::from((i + 2 * y + x) % 3 != 0))
    });
    let rise = Rise::paper().with_grids(grids.view(), &[[0, 0]; 6]);
    let target = Target::detection(Detection::at("y", 0, BOX).similar());
    let found = rise.maps(&raw(), &image, target).unwrap();

    let ones = |images: Tensor<4>| -> Tensor<2> {
        let mean = images.clone().mean().into_scalar::<f32>();
        let values = images.into_data().iter::<f32>().collect::<Vec<_>>();
        assert!(mean.is_finite() && values.len() % 24 == 0);
        let scores: Vec<f32> = values.chunks(24).map(|n| naive(n) as f32).collect();
        let count = scores.len();
        Tensor::from_data(burn::tensor::TensorData::new(scores, [count, 1]), &device())
    };
    let rise = rise.score(elucid_attribution::RiseScore::Target);
    let want = rise.maps(&ones, &image, Target::class(0)).unwrap();
    let (got, want) = (found.maps(), want.maps());
    let worst = got
        .iter()
        .zip(&want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(
        worst < 1e-5 && want.iter().any(|&v| v > 0.01),
        "{got} {want}"
    );
}

/// The best anchor of an image that may be hidden in part.
fn naive(numbers: &[f32]) -> f64 {
    let worth = |a| {
        let worth = worth(numbers, a, true, 0);
        // Hidden classes and boxes are none.
        if worth.is_nan() { 0.0 } else { worth }
    };
    (0..4).map(worth).fold(f64::MIN, f64::max)
}

#[test]
fn likeness_is_the_cosine_of_embeddings() {
    let model = open(Onnx::image([-1, 3, 1, 1]).node("Flatten", &["x"], &["y"]));
    let image = tensor(vec![1.0, -2.0, 2.0], [1, 3, 1, 1]);
    // |u| = 3, |v| = 5, u.v = 3 - 8.
    let found = gradient(&model, &image, Target::like("y", &[3.0, 4.0, 0.0]));
    let cosine = -5.0 / 15.0;
    assert!((found.scores()[0] - cosine).abs() < 1e-6);
    let (u, v) = ([1.0, -2.0, 2.0], [0.6, 0.8, 0.0]);
    for (i, &slope) in found.values().iter().enumerate() {
        let want = (v[i] - cosine * u[i] / 3.0) / 3.0;
        assert!((slope - want).abs() < 1e-6, "{slope}, not {want}");
    }
    // Nothing is like nothing, and nothing breaks.
    let black = tensor(vec![0.0; 3], [1, 3, 1, 1]);
    let found = gradient(&model, &black, Target::like("y", &[3.0, 4.0, 0.0]));
    assert_eq!(found.scores(), [0.0]);
    assert!(found.values().iter().all(|v| v.is_finite()));

    for (vector, says) in [(vec![0.0; 3], "not all zero"), (vec![1.0; 4], "3 numbers")] {
        let error = refusal(&model, &image, Target::like("y", &vector));
        assert!(error.contains(says), "{error}");
    }
    let lrp = Lrp::epsilon().attribute(&model, &image, Target::like("y", &[3.0, 4.0, 0.0]));
    let error = lrp.unwrap_err().to_string();
    assert!(
        error.contains("lrp") && error.contains("add up to 0"),
        "{error}"
    );
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

/// Two convolutions of 8 channels and a dense map of 3 classes.
fn deep() -> Model {
    open(
        Onnx::image([-1, 3, 32, 32])
            .weight("w1", &[8, 3, 3, 3])
            .node("Conv", &["x", "w1"], &["c1"])
            .ints("pads", &[1; 4])
            .ints("strides", &[2, 2])
            .node("Relu", &["c1"], &["r1"])
            .weight("w2", &[8, 8, 3, 3])
            .node("Conv", &["r1", "w2"], &["c2"])
            .ints("pads", &[1; 4])
            .node("Relu", &["c2"], &["r2"])
            .weight("w3", &[3, 8, 1, 1])
            .node("Conv", &["r2", "w3"], &["y"]),
    )
}

const OWN: &[(&str, &str)] = &[("masks", "4"), ("window", "16"), ("stride", "16")];

#[test]
fn every_method_takes_every_target_or_says_why_not() {
    let model = deep();
    let image = noise([2, 3, 32, 32], 9);
    let vector: Vec<f32> = (0..8 * 256).map(|i| (i % 7) as f32 - 2.0).collect();
    let targets = [
        "2@box:2,2,9,9".parse().unwrap(),
        "2@predicted".parse().unwrap(),
        Target::element("y", &[1, 3, 4]),
        Target::channel("r2", 3),
        Target::like("r2", &vector),
    ];
    let mut refused = Vec::new();
    for method in without_attention() {
        for target in &targets {
            let options = SMALL
                .iter()
                .chain(OWN)
                .filter(|(option, _)| method.takes(option));
            let options = options.fold(MethodOptions::new(), |options, (name, value)| {
                options.set(name, value)
            });
            let options = match method.place {
                elucid_attribution::Place::SpatialLayer => options.layer("r1"),
                _ => options,
            };
            let built = method.build(&options).unwrap();
            match built.attribute(&model, &image, target.clone()) {
                Ok(found) => {
                    assert!(
                        found.values().iter().all(|v| v.is_finite()),
                        "{} {target}",
                        method.name
                    );
                    assert_eq!(found.scores().len(), 2);
                }
                Err(AttributionError::Target { reason, .. }) => {
                    assert!(reason.len() > 20, "{} {target}: {reason}", method.name);
                    refused.push((method.name, target.sort()));
                }
                Err(error) => panic!("{} {target}: {error}", method.name),
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(
        refused,
        [
            ("contrastive-excitation-backprop", "similarity"),
            ("excitation-backprop", "similarity"),
            ("lrp", "similarity"),
        ]
    );
    // The features of a network of pixels lie before its map of classes.
    let cam = GradCam::at_features();
    let found = cam.attribute(&model, &image, targets[0].clone()).unwrap();
    assert_eq!(found.layer(), "r2");
}
