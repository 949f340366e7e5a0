//! Boxes of a detector.

use burn::tensor::Tensor;
use elucid_attribution::{BoxFormat, Detection, Rise, Target};
use elucid_testkit::onnx::Onnx;
use elucid_testkit::{device, tensor};
use elucid_vision::Model;

use super::{gradient, open, raw, refusal};

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
