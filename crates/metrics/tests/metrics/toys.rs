//! Metrics against answers worked out by hand.

use crate::common::{noise_image, of_map, reason, sum_network, tensor, value};
use burn::tensor::{Tensor, activation};
use elucid_attribution::{Attribution, Attributor, Gradient, LinearApproximation, Target};
use elucid_metrics::pixel_flipping::Filling;
use elucid_metrics::similarity::{spearman, ssim};
use elucid_metrics::{
    AttributionLocalisation, Case, ClassMean, Complexity, Direction, Infidelity, InsertionDeletion,
    Localisation, LocalisationAuc, MassAccuracy, Metric, MetricError, NotApplicable, PixelFlipping,
    Pointing, RandomLogit, RankAccuracy, Road, SensitivityMax, Sparseness, Threshold, Ties, TopK,
    baseline, localisation,
};
use ndarray::{Array2, array};

fn peak(height: usize, width: usize, y: usize, x: usize) -> Array2<f32> {
    let mut map = Array2::zeros((height, width));
    map[[y, x]] = 1.0;
    map
}

#[test]
fn pointing_within_less_than_fifteen_pixels() {
    // The object is the column of pixels x = 0; distances are whole numbers.
    let column = [[0.0, 0.0, 1.0, 40.0]];
    let hit = |metric: Pointing, x| value(of_map(&metric, &peak(40, 40, 20, x), &column));
    assert_eq!(hit(Pointing::torchray(), 0), 1.0);
    assert_eq!(hit(Pointing::torchray(), 14), 1.0);
    assert_eq!(hit(Pointing::torchray(), 15), 0.0, "below 15, not up to it");
    assert_eq!(hit(Pointing::torchray().tolerance(15.1), 15), 1.0);
    assert_eq!(hit(Pointing::exact(), 0), 1.0);
    assert_eq!(hit(Pointing::exact(), 1), 0.0);
    // 9^2 + 12^2 = 225 lies outside, 9^2 + 11^2 inside.
    let corner = [[0.0, 0.0, 1.0, 1.0]];
    let at = |y, x| value(of_map(&Pointing::torchray(), &peak(40, 40, y, x), &corner));
    assert_eq!((at(9, 12), at(9, 11)), (0.0, 1.0));
    assert_eq!(
        value(of_map(
            &Pointing::torchray().tolerance(1e300),
            &peak(9, 9, 8, 8),
            &corner
        )),
        1.0
    );
}

#[test]
fn pointing_at_several_places_at_once() {
    let map = Array2::from_elem((4, 4), 0.0);
    let left = [[0.0, 0.0, 1.0, 4.0]];
    let right = [[3.0, 0.0, 4.0, 4.0]];
    let first = Pointing::exact();
    let share = first.ties(Ties::Share);
    assert_eq!(value(of_map(&first, &map, &left)), 0.0);
    assert_eq!(value(of_map(&first, &map, &right)), 0.0);
    assert_eq!(value(of_map(&share, &map, &left)), 0.25);
    assert_eq!(value(of_map(&share, &map, &right)), 0.25);
}

#[test]
fn a_pixel_belongs_to_a_box_by_its_centre() {
    let hit = |b, x| value(of_map(&Pointing::exact(), &peak(1, 6, 0, x), &[b]));
    // Centres 0.5, 1.5, 2.5 and so on; half-open.
    let b = [1.5, 0.0, 3.5, 1.0];
    assert_eq!([0, 1, 2, 3].map(|x| hit(b, x)), [0.0, 1.0, 1.0, 0.0]);
    let between = [1.6, 0.2, 2.4, 0.4];
    assert_eq!([1, 2, 3].map(|x| hit(between, x)), [0.0, 1.0, 0.0]);
    let cut = [-5.0, -5.0, 1.0, 99.0];
    assert_eq!([0, 1].map(|x| hit(cut, x)), [1.0, 0.0]);
}

#[test]
fn accuracy_is_a_mean_over_classes() {
    let mut mean = ClassMean::new();
    assert_eq!(mean.mean(), None);
    for (class, hit) in [(7, 1.0), (7, 1.0), (7, 0.0), (3, 0.0)] {
        mean.add(class, hit);
    }
    assert_eq!(mean.mean(), Some((2.0 / 3.0 + 0.0) / 2.0));
    assert_eq!(
        mean.per_class().collect::<Vec<_>>(),
        [(3, 0.0), (7, 2.0 / 3.0)]
    );
}

#[test]
fn thresholds() {
    let map = array![[5.0, 1.0], [3.0, 1.0]];
    let kept = |rule: Threshold, alpha| rule.apply(map.view(), alpha);
    // Sums from the largest: 5, 8, 9, 10.
    assert_eq!(kept(Threshold::Energy, 0.9), array![[5.0, 0.0], [3.0, 0.0]]);
    assert_eq!(kept(Threshold::Energy, 0.8), array![[5.0, 0.0], [0.0, 0.0]]);
    assert_eq!(kept(Threshold::Energy, 0.5), Array2::<f32>::zeros((2, 2)));
    // 1 + 0.5 (5 - 1) = 3.
    assert_eq!(kept(Threshold::Value, 0.5), array![[5.0, 0.0], [3.0, 0.0]]);
    assert_eq!(kept(Threshold::Value, 0.51), array![[5.0, 0.0], [0.0, 0.0]]);
    // The mean is 2.5.
    assert_eq!(kept(Threshold::Mean, 1.2), array![[5.0, 0.0], [3.0, 0.0]]);
    assert_eq!(kept(Threshold::Mean, 1.3), array![[5.0, 0.0], [0.0, 0.0]]);
    let signed = array![[5.0, -100.0], [3.0, 0.0]];
    assert_eq!(
        Threshold::Mean.apply(signed.view(), 2.0),
        array![[5.0, 0.0], [0.0, 0.0]]
    );
}

#[test]
fn boxes_from_maps() {
    let mut map = Array2::<f32>::zeros((6, 8));
    map[[2, 3]] = 1.0;
    map[[4, 5]] = 0.5;
    let found = |alpha| localisation::box_from_map(map.view(), Threshold::Value, alpha, [6, 8]);
    assert_eq!(found(0.4), [3.0, 2.0, 6.0, 5.0]);
    assert_eq!(found(0.6), [3.0, 2.0, 4.0, 3.0]);
    let nothing = Array2::<f32>::zeros((6, 8));
    for rule in [Threshold::Energy, Threshold::Value, Threshold::Mean] {
        let found = localisation::box_from_map(nothing.view(), rule, 0.5, [6, 8]);
        assert_eq!(found, [0.0, 0.0, 8.0, 6.0]);
    }
    // One cell of 2 x 2 at 8 x 8: its weight is 1/8 at pixel 5, and 0 from pixel 6 on.
    let cell = array![[1.0, 0.0], [0.0, 0.0]];
    let found = localisation::box_from_map(cell.view(), Threshold::Value, 0.5, [8, 8]);
    assert_eq!(found, [0.0, 0.0, 6.0, 6.0]);
}

#[test]
fn overlaps() {
    assert_eq!(
        localisation::iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]),
        2.0 / 6.0
    );
    assert_eq!(
        localisation::iou([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 3.0, 2.0]),
        0.0
    );
    assert_eq!(localisation::iou([0.0; 4], [0.0; 4]), 0.0);
    // The box from the map is [0, 0, 2, 2]; one half is enough.
    let mut map = Array2::<f32>::zeros((4, 4));
    map[[0, 0]] = 1.0;
    map[[1, 1]] = 1.0;
    let error = |boxes: &[[f32; 4]]| value(of_map(&Localisation::value(0.5), &map, boxes));
    let half = [0.0, 0.0, 2.0, 4.0];
    let less = [0.0, 0.0, 4.0, 4.0];
    assert_eq!((error(&[half]), error(&[less])), (0.0, 1.0));
    assert_eq!(error(&[less, half]), 0.0, "the best of several");
    assert_eq!(
        value(of_map(&Localisation::value(0.5).iou(), &map, &[less])),
        0.25
    );
    assert_eq!(Localisation::mean(1.0).direction(), Direction::Smaller);
    assert_eq!(Localisation::mean(1.0).iou().direction(), Direction::Larger);
}

#[test]
fn thresholding_comes_before_resizing() {
    let raw = array![[1.0, 0.4], [0.4, 0.4]];
    let image = noise_image(1, 8, 8, 3);
    let map = Array2::zeros((8, 8));
    let case = Case::new(&sum_network, &image, 0, map.view())
        .unwrap()
        .raw_map(raw.view())
        .boxes(&[[0.0, 0.0, 6.0, 6.0]])
        .unwrap();
    // Resized first, the cell would end where values fall below 0.7 (at 4 pixels, not at 6).
    let overlap = Localisation::value(0.5).iou().measure(&case).unwrap();
    assert_eq!(value(overlap), 1.0);
}

#[test]
fn mass_and_rank() {
    let map = array![[4.0, -3.0], [1.0, 0.0]];
    let left = [[0.0, 0.0, 1.0, 2.0]];
    let top = [[0.0, 0.0, 2.0, 1.0]];
    assert_eq!(value(of_map(&MassAccuracy, &map, &left)), 1.0);
    assert_eq!(value(of_map(&MassAccuracy, &map, &top)), 0.8);
    assert_eq!(value(of_map(&RankAccuracy, &map, &left)), 1.0);
    assert_eq!(value(of_map(&RankAccuracy, &map, &top)), 0.5);
    let constant = Array2::from_elem((2, 2), 1.0);
    let corner = [[0.0, 0.0, 1.0, 1.0]];
    assert_eq!(value(of_map(&MassAccuracy, &constant, &corner)), 0.25);
    assert_eq!(value(of_map(&RankAccuracy, &constant, &corner)), 0.25);
    let nothing = Array2::zeros((2, 2));
    assert_eq!(
        reason(of_map(&MassAccuracy, &nothing, &top)),
        NotApplicable::NothingPositive
    );
    assert_eq!(value(of_map(&RankAccuracy, &nothing, &top)), 0.5);
}

#[test]
fn masks_stand_for_boxes() {
    let map = array![[4.0, 2.0], [1.0, 3.0]];
    let image = noise_image(3, 2, 2, 3);
    let mask = array![[true, false], [false, true]];
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let with = case.clone().mask(mask.view()).unwrap();
    assert_eq!(value(MassAccuracy.measure(&with).unwrap()), 0.7);
    // The box around the mask, and that around 4 and 3.
    let measure = |case: &Case<'_>| Localisation::mean(1.0).iou().measure(case).unwrap();
    assert_eq!(value(measure(&with)), 1.0);
    assert_eq!(reason(measure(&case)), NotApplicable::NoTruth);
    // Boxes that are known count where boxes are compared, and nowhere else.
    let both = with.clone().boxes(&[[0.0, 0.0, 1.0, 2.0]]).unwrap();
    assert_eq!(value(measure(&both)), 0.5);
    assert_eq!(value(MassAccuracy.measure(&both).unwrap()), 0.7);
    let empty = array![[false, false], [false, false]];
    let with = case.clone().mask(empty.view()).unwrap();
    assert_eq!(
        reason(RankAccuracy.measure(&with).unwrap()),
        NotApplicable::EmptyMask
    );
    let narrow = Array2::from_elem((1, 2), true);
    assert!(matches!(
        case.mask(narrow.view()),
        Err(MetricError::Size { what: "mask", .. })
    ));
}

#[test]
fn pixels_that_are_ignored_do_not_count() {
    let map = array![[4.0, 2.0], [1.0, 9.0]];
    let image = noise_image(3, 2, 2, 3);
    let (object, void) = (
        array![[true, false], [false, true]],
        array![[false, false], [false, true]],
    );
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let case = case.mask(object.view()).unwrap();
    let case = case.ignoring(void.view()).unwrap();
    for (metric, expected) in [
        (&MassAccuracy as &dyn Metric, 4.0 / 7.0),
        (&RankAccuracy, 1.0),
        (&AttributionLocalisation::new().weighted(), 12.0 / 7.0),
        (&TopK::of(2), 0.5),
        (&TopK::of(9), 1.0 / 3.0),
        (&TopK::of(2).concept_influence(), 1.5),
        (&LocalisationAuc, 1.0),
        (&Pointing::exact(), 1.0),
        // The tight box around what counts of the object, and the whole image.
        (&Localisation::mean(0.1).iou(), 0.25),
    ] {
        let found = value(metric.measure(&case).unwrap());
        assert!((found - expected).abs() < 1e-12, "{metric:?}: {found}");
    }
    let all = Array2::from_elem((2, 2), true);
    let blind = case.clone().ignoring(all.view()).unwrap();
    for metric in [&MassAccuracy as &dyn Metric, &Pointing::exact()] {
        let found = reason(metric.measure(&blind).unwrap());
        assert_eq!(found, NotApplicable::EmptyMask);
    }
    let narrow = Array2::from_elem((1, 2), true);
    let error = case.ignoring(narrow.view()).unwrap_err().to_string();
    assert!(
        error.contains("[1, 2]") && error.contains("[2, 2]"),
        "{error}"
    );
}

#[test]
fn sparse_and_complex() {
    let one = array![[0.0, -2.0], [0.0, 0.0]];
    let all = Array2::from_elem((2, 2), 3.0);
    let nothing = Array2::zeros((2, 2));
    // Sorted 0 0 1 3 of 4: 1 - 2 (1/4 * 3/2 + 3/4 * 1/2) / 4 = 5/8.
    let some = array![[1.0, 0.0], [-3.0, 0.0]];
    let gini = |map| of_map(&Sparseness, map, &[]);
    assert_eq!(value(gini(&one)), 0.75);
    assert_eq!(value(gini(&all)), 0.0);
    assert_eq!(value(gini(&some)), 0.625);
    assert_eq!(reason(gini(&nothing)), NotApplicable::Zero);
    let entropy = |map| of_map(&Complexity, map, &[]);
    assert_eq!(value(entropy(&one)), 0.0);
    assert!((value(entropy(&all)) - 4_f64.ln()).abs() < 1e-12);
    let want = -(0.25 * 0.25_f64.ln() + 0.75 * 0.75_f64.ln());
    assert!((value(entropy(&some)) - want).abs() < 1e-12);
    assert_eq!(reason(entropy(&nothing)), NotApplicable::Zero);
}

/// The softmax of `[x, 0]`.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn deletion_of_four_pixels() {
    // The score is the sum: 1 + 2 + 3 - 4.
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let map = array![[0.4, 0.1], [0.4, 0.2]];
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    // Order: upper left, lower left (equal, later), lower right, upper right.
    let sums = [2.0, 1.0, -2.0, 2.0, 0.0];
    let want: Vec<f64> = sums.map(sigmoid).to_vec();
    for batch_size in [1, 2, 100] {
        let deletion = InsertionDeletion::deletion()
            .pixels(1)
            .batch_size(batch_size);
        let curve = deletion.curve(&case).unwrap().unwrap();
        assert_eq!(curve.fractions, [0.0, 0.25, 0.5, 0.75, 1.0]);
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(
            curve.scores.iter().zip(&want).all(close),
            "{curve:?} {want:?}"
        );
        let area = (want[0] / 2.0 + want[1] + want[2] + want[3] + want[4] / 2.0) / 4.0;
        assert!((value(deletion.measure(&case).unwrap()) - area).abs() < 1e-6);
    }
    // Three at once leaves a last step of one pixel, which counts as much.
    let curve = InsertionDeletion::deletion().pixels(3).curve(&case);
    let curve = curve.unwrap().unwrap();
    assert_eq!(curve.fractions, [0.0, 0.75, 1.0]);
    let area = (want[0] + 2.0 * want[3] + want[4]) / 4.0;
    assert!((curve.area() - area).abs() < 1e-6);
    let steps = |n| {
        InsertionDeletion::deletion()
            .steps(n)
            .curve(&case)
            .unwrap()
            .unwrap()
    };
    assert_eq!(steps(2).fractions, [0.0, 0.5, 1.0]);
    assert_eq!(steps(1000).fractions.len(), 5);
    // RISE's step is larger than this image, of which a row is a step unless it is asked for.
    let count = |metric: InsertionDeletion| metric.curve(&case).unwrap().unwrap().scores.len();
    assert_eq!(count(InsertionDeletion::deletion().pixels(224)), 2);
    assert_eq!(count(InsertionDeletion::deletion()), 3);
}

#[test]
fn insertion_ends_at_the_image() {
    let image = noise_image(3, 9, 7, 5);
    let map = baseline::random(9, 7, 3);
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let curve = |metric: InsertionDeletion| metric.curve(&case).unwrap().unwrap();
    let inserted = curve(InsertionDeletion::insertion().pixels(5));
    let deleted = curve(InsertionDeletion::deletion().pixels(5));
    assert_eq!(inserted.scores.last(), deleted.scores.first());
    assert!(
        (deleted.scores.last().unwrap() - 0.5).abs() < 1e-9,
        "nothing is left"
    );
    assert_eq!(inserted.scores.len(), 63_usize.div_ceil(5) + 1);
}

#[test]
fn flipping_by_hand() {
    let image = tensor((1..=16).map(|v| v as f32).collect(), [1, 1, 4, 4]);
    // Upper left, lower right; the others tie.
    let mut map = Array2::<f32>::zeros((4, 4));
    map[[0, 0]] = 8.0;
    map[[3, 3]] = 4.0;
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let flipping = PixelFlipping::samek().patch(2).filling(Filling::Zero);
    // Sums of the quarters: 1 2 5 6 = 14, 3 4 7 8 = 22, 9 10 13 14 = 46, 11 12 15 16 = 54.
    let curve = flipping.curve(&case).unwrap().unwrap();
    assert_eq!(curve.scores, [136.0, 122.0, 68.0, 46.0, 0.0]);
    let want = (0.0 + 14.0 + 68.0 + 90.0 + 136.0) / 5.0;
    assert!((value(flipping.measure(&case).unwrap()) - want).abs() < 1e-9);
    let two = flipping.steps(2).batch_size(2).measure(&case).unwrap();
    assert!((value(two) - (14.0 + 68.0) / 3.0).abs() < 1e-9);
    let mean = flipping
        .filling(Filling::Mean)
        .curve(&case)
        .unwrap()
        .unwrap();
    assert_eq!(
        mean.scores,
        [136.0, 136.0 - 14.0 + 34.0, 136.0, 148.0, 136.0]
    );
    let uneven = flipping.patch(3).curve(&case).unwrap().unwrap();
    assert_eq!(uneven.fractions.last(), Some(&1.0));
    let noisy = |seed| {
        let metric = flipping.filling(Filling::Uniform).seed(seed);
        value(metric.measure(&case).unwrap())
    };
    assert_eq!(noisy(1), noisy(1));
    assert_ne!(noisy(1), noisy(2));
}

#[test]
fn imputation_of_a_row() {
    // One row: neighbours are those beside, so what is removed lies on straight lines, and what has
    // a known pixel on one side only is that pixel.
    let image = tensor(vec![0.0, 9.0, 9.0, 3.0, 9.0, 9.0], [1, 1, 1, 6]);
    let map = array![[0.0, 3.0, 4.0, 0.0, 2.0, 1.0]];
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let road = Road::most_relevant_first()
        .noise(0.0)
        .percentages([100.0 * 4.0 / 6.0]);
    // 0 1 2 3 3 3
    let got = value(road.measure(&case).unwrap());
    assert!((got - sigmoid(12.0)).abs() < 1e-7, "{got}");
    // Of the least relevant, in the order 3, 0, 5, 4: 9 9 9 9 9 9.
    let least = Road::least_relevant_first()
        .noise(0.0)
        .percentages([100.0 * 4.0 / 6.0]);
    let got = value(least.measure(&case).unwrap());
    assert!((got - sigmoid(54.0)).abs() < 1e-7, "{got}");
}

#[test]
fn a_linear_score_has_no_infidelity() {
    let network = |images: Tensor<4>| {
        let weights = tensor((0..12).map(|v| v as f32 / 10.0).collect(), [1, 3, 2, 2]);
        let count = images.dims()[0];
        let first = (images * weights).reshape([count as i32, -1]).sum_dim(1);
        Tensor::cat(vec![first.clone(), first.zeros_like()], 1)
    };
    let image = noise_image(3, 2, 2, 11) + 1.0;
    let map = Array2::zeros((2, 2));
    let gradient = Gradient::at_input();
    let products = LinearApproximation::at_input();
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    let with = |method| case.clone().attributor(method);
    for metric in [Infidelity::noise(0.5), Infidelity::square(1)] {
        let of = |metric: Infidelity, method| value(metric.measure(&with(method)).unwrap());
        assert!(of(metric, &gradient) < 1e-10);
        assert!(
            of(metric, &products) > 1e-3,
            "no gradient, but a contribution"
        );
        assert!(of(metric.contributions(), &products) < 1e-10);
        assert_eq!(of(metric, &gradient), of(metric.batch_size(3), &gradient));
    }
    let doubled = |images: Tensor<4>| network(images) * 2.0;
    let case = Case::new(&doubled, &image, 0, map.view()).unwrap();
    let attribution = gradient
        .attribute(&network, &image, Target::class(0))
        .unwrap();
    let case = case.attribution(&attribution).unwrap();
    // Half of what it should be: (I . g)^2 is left, and nothing after scaling.
    assert!(value(Infidelity::noise(0.5).measure(&case).unwrap()) > 1e-3);
    assert!(value(Infidelity::noise(0.5).normalised().measure(&case).unwrap()) < 1e-10);
}

#[test]
fn a_constant_gradient_is_not_sensitive() {
    let image = noise_image(3, 4, 4, 11);
    let map = Array2::zeros((4, 4));
    let gradient = Gradient::at_input();
    let products = LinearApproximation::at_input();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let sensitivity = |metric: SensitivityMax, method| {
        value(metric.measure(&case.clone().attributor(method)).unwrap())
    };
    assert_eq!(sensitivity(SensitivityMax::new(), &gradient), 0.0);
    // Input times one: |r| / |x|, at most radius * sqrt(48) / |x|.
    let captum = sensitivity(SensitivityMax::captum(), &products);
    let length: f32 = (image.clone() * image.clone()).sum().into_scalar();
    let bound = 0.02 * (48.0 / f64::from(length)).sqrt();
    assert!(
        captum > 0.3 * bound && captum < bound,
        "{captum} of {bound}"
    );
    let more = sensitivity(SensitivityMax::captum().samples(50), &products);
    assert!(more >= captum, "the first of the samples are the same");
    let batches = sensitivity(SensitivityMax::captum().batch_size(3), &products);
    assert!((batches - captum).abs() < 1e-9);
    // The score of the second class is zero, and so is its gradient.
    let zero = Case::new(&sum_network, &image, 1, map.view()).unwrap();
    let outcome = SensitivityMax::new().measure(&zero.attributor(&products));
    assert_eq!(reason(outcome.unwrap()), NotApplicable::Zero);
    let flat = image.clone().zeros_like();
    let flat = Case::new(&sum_network, &flat, 0, map.view()).unwrap();
    let outcome = SensitivityMax::new().measure(&flat.attributor(&gradient));
    assert_eq!(reason(outcome.unwrap()), NotApplicable::ConstantImage);
}

#[test]
fn rank_correlations() {
    let a = array![[1.0, 2.0], [3.0, 4.0]];
    assert_eq!(spearman(a.view(), a.view()).unwrap(), 1.0);
    assert_eq!(spearman(a.view(), (-&a).view()).unwrap(), -1.0);
    assert_eq!(spearman(a.view(), a.mapv(f32::exp).view()).unwrap(), 1.0);
    assert_eq!(
        spearman(a.view(), Array2::zeros((2, 2)).view()).unwrap(),
        0.0
    );
    // 1 - 6 (1 + 1) / (4 * 15) = 0.8.
    let b = array![[2.0, 1.0], [3.0, 4.0]];
    assert!((spearman(a.view(), b.view()).unwrap() - 0.8).abs() < 1e-12);
    // Ranks 1.5 1.5 3 4: covariance 4.5, deviations 5 and 4.5.
    let tied = array![[1.0, 1.0], [3.0, 4.0]];
    let want = 4.5 / (5.0_f64 * 4.5).sqrt();
    assert!((spearman(a.view(), tied.view()).unwrap() - want).abs() < 1e-12);
    assert!(matches!(
        spearman(a.view(), Array2::zeros((2, 3)).view()),
        Err(MetricError::Size { .. })
    ));
}

#[test]
fn structural_similarities() {
    let a = baseline::random(20, 15, 1);
    let b = baseline::random(20, 15, 2);
    assert!((ssim(a.view(), a.view()).unwrap() - 1.0).abs() < 1e-12);
    assert!((ssim(a.view(), (&a * 5.0 + 2.0).view()).unwrap() - 1.0).abs() < 1e-5);
    let different = ssim(a.view(), b.view()).unwrap();
    assert!(different.abs() < 0.2, "{different}");
    // A window of one pixel: the luminance term alone, of 0 and 1.
    let (x, y) = (array![[0.0, 1.0]], array![[1.0, 0.0]]);
    let want = 1e-4 / (1.0 + 1e-4);
    assert!((ssim(x.view(), y.view()).unwrap() - want).abs() < 1e-12);
}

#[test]
fn classes_that_share_a_map() {
    // Both classes are the sum, so the gradient is the same.
    let network = |images: Tensor<4>| sum_network(images).narrow(1, 0, 1).repeat(&[1, 2]);
    let image = noise_image(3, 8, 8, 2);
    let map = Array2::zeros((8, 8));
    let products = LinearApproximation::at_input();
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    let case = case.attributor(&products);
    assert!((value(RandomLogit::ssim().measure(&case).unwrap()) - 1.0).abs() < 1e-12);
    assert_eq!(value(RandomLogit::spearman().measure(&case).unwrap()), 1.0);
    let one = |images: Tensor<4>| sum_network(images).narrow(1, 0, 1);
    let case = Case::new(&one, &image, 0, map.view()).unwrap();
    let outcome = RandomLogit::ssim().measure(&case.attributor(&products));
    assert_eq!(reason(outcome.unwrap()), NotApplicable::OneClass);
}

#[test]
fn presented_as_asked() {
    let image = noise_image(3, 8, 8, 2);
    let map = Array2::zeros((8, 8));
    let products = LinearApproximation::at_input();
    let network = |images: Tensor<4>| activation::relu(sum_network(images));
    let flat = |_: &Attribution| Ok(baseline::centre(8, 8));
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    let case = case.attributor(&products).present(&flat);
    assert_eq!(value(RandomLogit::spearman().measure(&case).unwrap()), 1.0);
    let wrong = |_: &Attribution| Ok(baseline::centre(8, 9));
    let case = case.present(&wrong);
    let outcome = RandomLogit::spearman().measure(&case);
    assert!(matches!(
        outcome,
        Err(MetricError::Size { what: "map", .. })
    ));
}
