//! Layer-to-layer attribution: coloured against one pass per position, and against definitions.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, LinearApproximation, SpatialAttribution, SpatialMaps, Target,
};
use elucid_rules::{GradRule, OpKind, Rules};
use elucid_testkit::relative_error;
use ndarray::s;

use super::shared::SQUEEZENET as MODEL;

/// Pictures of noise, `[count, 3, height, width]`, the same every time.
fn noise(count: usize, height: usize, width: usize) -> Tensor<4> {
    let mut state = 0x9E37_79B9_u32;
    let values = (0..count * 3 * height * width)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 24) as f32 * 200.0 - 100.0
        })
        .collect();
    elucid_testkit::tensor(values, [count, 3, height, width])
}

fn both_ways(from: &str, to: &str, rules: &Rules, images: &Tensor<4>) -> (usize, usize) {
    let compute = |colouring| {
        let result = SpatialAttribution::between(from, to)
            .rules(rules)
            .colouring(colouring)
            .compute(&*MODEL, images)
            .unwrap();
        (result[0].cotangents(), result[0].maps().clone())
    };
    let ((few, coloured), (many, single)) = (compute(true), compute(false));
    assert_eq!(coloured.dim(), single.dim());
    let error = relative_error(&coloured, &single);
    assert!(
        error < 1e-5,
        "{from} -> {to} under {}: {error:.1e}",
        rules.name()
    );
    assert!(single.iter().any(|&v| v != 0.0), "{from} -> {to} is blank");
    (few, many)
}

/// The maps of the first image.
fn between(from: &str, to: &str, images: &Tensor<4>) -> SpatialMaps {
    let maps = SpatialAttribution::between(from, to);
    maps.compute(&*MODEL, images).unwrap().remove(0)
}

#[test]
fn colouring_changes_nothing() {
    // An odd, oblong size: borders, and a last pooling window that is cut off.
    let images = noise(1, 139, 107);
    for preset in Rules::PRESETS {
        let rules = Rules::preset(preset).unwrap();
        // One block; across a pool; and next to the input, where windows are large.
        let (few, many) = both_ways("fire6/concat", "fire7/concat", &rules, &images);
        assert!(
            few <= 9 && few < many,
            "{few} cotangents for {many} positions"
        );
        let (few, many) = both_ways("fire4/concat", "fire5/concat", &rules, &images);
        assert!(few < many, "{few} cotangents for {many} positions");
        let (few, many) = both_ways("fire3/concat", "fire5/concat", &rules, &images);
        assert!(few < many, "{few} cotangents for {many} positions");
    }
}

/// Adds each gradient's left neighbour: it reaches one column further than the ReLU itself.
#[derive(Debug)]
struct Leaky {
    reach: Option<[usize; 2]>,
}

impl GradRule for Leaky {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x.clamp_min(0.0)
    }

    fn backward(&self, _x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        let width = g.dims()[3];
        let shifted = g.clone().narrow(3, 0, width - 1).pad([(1, 0)], 0.0);
        g + shifted
    }

    fn reach(&self) -> Option<[usize; 2]> {
        self.reach
    }
}

#[test]
fn a_rule_that_reaches_further_is_respected() {
    let images = noise(1, 95, 95);
    let stated = Rules::new().on(
        OpKind::Relu,
        Leaky {
            reach: Some([0, 1]),
        },
    );
    let (few, many) = both_ways("fire6/concat", "fire7/concat", &stated, &images);
    assert!(few < many);
    let unstated = Rules::new().on(OpKind::Relu, Leaky { reach: None });
    let (few, many) = both_ways("fire6/concat", "fire7/concat", &unstated, &images);
    assert_eq!(
        few, many,
        "an unknown reach means one cotangent per position"
    );
}

#[test]
fn one_position_is_the_linear_approximation_of_its_norm() {
    let images = noise(1, 127, 95);
    let maps = between("fire4/concat", "fire6/concat", &images);
    let (h2, w2, ..) = maps.maps().dim();
    for (y, x) in [(0, 0), (h2 - 1, w2 - 1), (h2 / 2, 1)] {
        let target = Target::position("fire6/concat", y, x);
        let linear = LinearApproximation::at("fire4/concat")
            .attribute(&*MODEL, &images, target)
            .unwrap();
        let got = maps.maps().slice(s![y, x, .., ..]);
        let error = relative_error(got, linear.map().unwrap().maps());
        assert!(error < 1e-5, "position ({y}, {x}): {error:.1e}");
        let score = (maps.scores()[[y, x]] - linear.scores()[0]).abs();
        assert!(
            score <= 1e-5 * linear.scores()[0],
            "the explained score at ({y}, {x})"
        );
    }
}

/// From one branch of a block: the others keep the values that the image gives them, as for every other
/// method.
#[test]
fn from_a_layer_inside_a_branch() {
    let images = noise(1, 127, 95);
    for (from, to) in [
        ("fire6/relu_expand1x1", "fire6/concat"),
        ("fire6/relu_expand3x3", "fire7/concat"),
        ("fire6/relu_squeeze1x1", "fire8/concat"),
    ] {
        let (few, many) = both_ways(from, to, &Rules::new(), &images);
        assert!(few <= many, "{from}: {few} cotangents for {many} positions");
        let maps = between(from, to, &images);
        let linear = LinearApproximation::at(from)
            .attribute(&*MODEL, &images, Target::position(to, 2, 1))
            .unwrap();
        let got = maps.maps().slice(s![2, 1, .., ..]);
        let error = relative_error(got, linear.map().unwrap().maps());
        assert!(error < 1e-5, "{from}: {error:.1e}");
    }
}

#[test]
fn a_batch_gives_what_single_images_give() {
    let images = noise(2, 95, 95);
    let compute = |images: &Tensor<4>, batch| {
        SpatialAttribution::between("fire6/concat", "fire7/concat")
            .batch_size(batch)
            .compute(&*MODEL, images)
            .unwrap()
    };
    let together = compute(&images, 4);
    assert_eq!(together.len(), 2);
    for (i, result) in together.iter().enumerate() {
        let alone = compute(&images.clone().narrow(0, i, 1), 1).remove(0);
        let error = relative_error(result.maps(), alone.maps());
        assert!(error < 1e-5, "image {i}: {error:.1e}");
    }
}

#[test]
fn progress_counts_to_the_end_and_cancels() {
    let images = noise(1, 95, 95);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    SpatialAttribution::between("fire6/concat", "fire7/concat")
        .batch_size(2)
        .progress(move |p| {
            log.lock().unwrap().push((p.done, p.total));
            p.continue_()
        })
        .compute(&*MODEL, &images)
        .unwrap();
    let seen = seen.lock().unwrap().clone();
    let total = seen[0].1;
    assert_eq!(
        seen,
        (1..=total).map(|done| (done, total)).collect::<Vec<_>>()
    );
    assert!(total > 1);

    let cancelled = SpatialAttribution::between("fire6/concat", "fire7/concat")
        .batch_size(2)
        .progress(|p| p.cancel())
        .compute(&*MODEL, &images);
    assert!(matches!(
        cancelled,
        Err(AttributionError::Cancelled { done: 1, .. })
    ));
}

#[test]
fn what_cannot_be_computed_is_said() {
    let images = noise(1, 95, 95);
    let error = |from: &str, to: &str| {
        SpatialAttribution::between(from, to)
            .compute(&*MODEL, &images)
            .unwrap_err()
    };
    let backwards = error("fire7/concat", "fire6/concat");
    assert!(matches!(backwards, AttributionError::NoPath { .. }));
    let beside = error("fire6/relu_expand1x1", "fire6/relu_expand3x3");
    assert!(
        matches!(beside, AttributionError::NoPath { .. }),
        "{beside}"
    );
    let flat = error("fire6/concat", "pool10/flatten");
    assert!(
        matches!(flat, AttributionError::NotSpatial { .. }),
        "{flat}"
    );
    let unknown = error("fire6/concta", "fire7/concat");
    assert!(unknown.to_string().contains("fire6/concat"), "{unknown}");
    let batch = SpatialAttribution::between("fire6/concat", "fire7/concat")
        .batch_size(0)
        .compute(&*MODEL, &images);
    assert!(matches!(batch, Err(AttributionError::Parameter { .. })));
}

#[test]
fn a_layer_to_itself_is_the_identity() {
    let images = noise(1, 95, 95);
    let maps = between("fire7/concat", "fire7/concat", &images);
    assert_eq!(maps.cotangents(), 1);
    for ((y, x, i, j), &value) in maps.maps().indexed_iter() {
        let want = if (y, x) == (i, j) {
            maps.scores()[[y, x]]
        } else {
            0.0
        };
        assert!(
            (value - want).abs() <= 1e-4 * want.max(1.0),
            "({y}, {x}) from ({i}, {j})"
        );
    }
}
