//! Metrics that compare the map with what hiding does to the score, against answers worked out by hand and loops.

use burn::tensor::Tensor;
use elucid_attribution::Superpixels;
use elucid_metrics::{
    Case, Correlation, FaithfulnessCorrelation, FaithfulnessEstimate, Hidden, Irof, Metric,
    Monotonicity, MonotonicityCorrelation, NotApplicable, SensitivityN,
};
use ndarray::{Array2, array};
use proptest::prelude::*;

use crate::common::{noise_image, noise_map, numbers, reason, sum_network, tensor, value};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Without some pixels a sum falls by their sum: the image itself foretells that, and its negative the opposite.
#[test]
fn a_map_that_foretells_every_fall() {
    let values = numbers(6 * 6, 9);
    let image = tensor(values.clone(), [1, 1, 6, 6]);
    let map = Array2::from_shape_vec((6, 6), values).unwrap();
    let metrics: Vec<Box<dyn Metric>> = vec![
        Box::new(FaithfulnessCorrelation::bhatt().pixels(5)),
        Box::new(FaithfulnessCorrelation::bhatt()),
        Box::new(FaithfulnessCorrelation::xplique().grid(3, 0.4)),
        Box::new(FaithfulnessCorrelation::xplique()),
        Box::new(FaithfulnessEstimate::new()),
        Box::new(FaithfulnessEstimate::new().steps(6)),
        Box::new(SensitivityN::new()),
    ];
    for metric in metrics {
        let of = |map: &Array2<f32>| {
            let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
            value(metric.measure(&case).unwrap())
        };
        assert!((of(&map) - 1.0).abs() < 1e-4, "{metric:?}: {}", of(&map));
        assert!((of(&-&map) + 1.0).abs() < 1e-4, "{metric:?}");
        assert_eq!(of(&Array2::from_elem((6, 6), 3.0)), 0.0, "{metric:?}");
        // A score that stays: of the second class.
        let case = Case::new(&sum_network, &image, 1, map.view()).unwrap();
        assert_eq!(value(metric.measure(&case).unwrap()), 0.0, "{metric:?}");
    }
}

/// Sums of the map 4 3 2 1, falls 1 2 3 -4: deviations 3/2 1/2 -1/2 -3/2 and 1/2 3/2 5/2 -9/2, 7 / sqrt(5 * 29).
#[test]
fn estimate_of_four_pixels() {
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let map = array![[4.0, 3.0], [2.0, 1.0]];
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let of = |metric: FaithfulnessEstimate| value(metric.measure(&case).unwrap());
    let four = 7.0 / (5.0_f64 * 29.0).sqrt();
    for metric in [
        FaithfulnessEstimate::new(),
        FaithfulnessEstimate::new().steps(4),
    ] {
        assert!((of(metric) - four).abs() < 1e-9);
        assert!((of(metric.batch_size(3)) - four).abs() < 1e-9);
    }
    // Two groups lie on a line: 7 and 3, falls 3 and -1.
    assert!((of(FaithfulnessEstimate::new().steps(2)) - 1.0).abs() < 1e-9);
    // Falls of the probability, of a score of 2.
    let falls = [1.0, 2.0, 3.0, -4.0].map(|x| sigmoid(2.0) - sigmoid(2.0 - x));
    let want = Correlation::Pearson.of(&[4.0, 3.0, 2.0, 1.0], &falls);
    assert!((of(FaithfulnessEstimate::new().probability()) - want).abs() < 1e-6);
    // Hidden by the mean, 1/2, falls are 1/2 less: the same line.
    let mean = FaithfulnessEstimate::new().baseline(Hidden::Mean);
    assert!((of(mean) - four).abs() < 1e-6);
}

/// From nothing, -4, 3, 2 and 1 come back: sums of -4, -1, 1, 2. The other way round 1, 3, 6, 2.
#[test]
fn monotonicity_of_four_pixels() {
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let of = |metric: Monotonicity, map: &Array2<f32>| {
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        value(metric.measure(&case).unwrap())
    };
    let rising = array![[4.0, 3.0], [2.0, 1.0]];
    let falling = array![[1.0, 2.0], [3.0, 4.0]];
    assert_eq!(of(Monotonicity::new(), &rising), 1.0);
    assert_eq!(of(Monotonicity::new().share(), &rising), 1.0);
    assert_eq!(of(Monotonicity::new(), &falling), 0.0);
    assert_eq!(of(Monotonicity::new().share(), &falling), 2.0 / 3.0);
    assert_eq!(of(Monotonicity::new().share().steps(1), &falling), 1.0);
    let case = Case::new(&sum_network, &image, 0, falling.view()).unwrap();
    for batch_size in [1, 3] {
        let metric = Monotonicity::new().batch_size(batch_size);
        let curve = metric.curve(&case).unwrap().unwrap();
        assert_eq!(curve.fractions, [0.25, 0.5, 0.75, 1.0]);
        for (got, sum) in curve.scores.iter().zip([1.0, 3.0, 6.0, 2.0]) {
            assert!((got - sigmoid(sum)).abs() < 1e-6);
        }
    }
    // Of an image of negative numbers each one that comes back lowers the score.
    let image = tensor(vec![-1.0, -2.0, -3.0, -4.0], [1, 1, 2, 2]);
    let case = Case::new(&sum_network, &image, 0, rising.view()).unwrap();
    let share = Monotonicity::new().share().measure(&case).unwrap();
    assert_eq!(value(share), 0.0);
}

/// A pixel of -1 or 1 that is drawn anew changes by a mean square of 4/3 either way, and the score by that times the square of
/// its weight: more, the larger the weight.
#[test]
fn monotonicity_correlation_of_weighted_pixels() {
    let weights = [1.0_f32, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
    let network = |images: Tensor<4>| {
        let count = images.dims()[0];
        let weighted = images * tensor(weights.to_vec(), [1, 1, 2, 4]);
        let score = weighted.reshape([count as i32, -1]).sum_dim(1);
        Tensor::cat(vec![score.clone(), score.zeros_like()], 1)
    };
    let image = tensor(
        vec![1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0],
        [1, 1, 2, 4],
    );
    let of = |metric: MonotonicityCorrelation, map: Vec<f32>| {
        let map = Array2::from_shape_vec((2, 4), map).unwrap();
        let case = Case::new(&network, &image, 0, map.view()).unwrap();
        value(metric.measure(&case).unwrap())
    };
    let metric = MonotonicityCorrelation::new().samples(100);
    // Signs do not count.
    let map: Vec<f32> = (1..=8)
        .map(|v| if v % 2 == 0 { v as f32 } else { -v as f32 })
        .collect();
    assert_eq!(of(metric, map.clone()), 1.0);
    let reversed = map.iter().map(|v| 9.0 - v.abs()).collect();
    assert_eq!(of(metric, reversed), -1.0);
    assert_eq!(of(metric, vec![1.0; 8]), 0.0);
    // Which numbers are drawn depends on the seed and on nothing else.
    let few = MonotonicityCorrelation::new().samples(1).steps(4);
    let shuffled = vec![3.0, 1.0, 2.0, 7.0, 4.0, 6.0, 5.0, 8.0];
    assert_eq!(
        of(few.seed(1), shuffled.clone()),
        of(few.seed(1).batch_size(3), shuffled)
    );
}

/// Quarters of 14, 22, 46 and 54 twentieths, upper left, lower right, then the two that tie: r = p / p_0.
#[test]
fn irof_of_four_quarters() {
    let image = tensor((1..=16).map(|v| v as f32 / 20.0).collect(), [1, 1, 4, 4]);
    let mut map = Array2::<f32>::zeros((4, 4));
    map[[0, 0]] = 8.0;
    map[[3, 3]] = 4.0;
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let irof = Irof::new()
        .segments(Superpixels::grid(2))
        .baseline(Hidden::Zero);
    let want = [136.0, 122.0, 68.0, 46.0, 0.0].map(|sum| sigmoid(sum / 20.0));
    let curve = irof.curve(&case).unwrap().unwrap();
    assert_eq!(curve.fractions, [0.0, 0.25, 0.5, 0.75, 1.0]);
    for (got, want) in curve.scores.iter().zip(want) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
    let area = (want[0] / 2.0 + want[1] + want[2] + want[3] + want[4] / 2.0) / 4.0;
    let got = value(irof.measure(&case).unwrap());
    assert!((got - (1.0 - area / want[0])).abs() < 1e-6);
    assert_eq!(
        got,
        value(irof.clone().batch_size(2).measure(&case).unwrap())
    );
    // Overwritten by their own mean, flat images stay what they are.
    let flat = Case::new(&sum_network, &(image.clone() * 0.0 + 0.25), 0, map.view()).unwrap();
    assert!(value(Irof::new().measure(&flat).unwrap()).abs() < 1e-6);
    let one = |images| sum_network(images).narrow(1, 0, 1);
    let case = Case::new(&one, &image, 0, map.view()).unwrap();
    assert_eq!(
        reason(irof.measure(&case).unwrap()),
        NotApplicable::NoProbability
    );
    irof.segments(Superpixels::slic(0)).check().unwrap_err();
}

#[test]
fn sizes_of_sets_go_up_evenly_in_logarithms() {
    let image = noise_image(1, 10, 10, 3);
    let map = Array2::from_shape_fn((10, 10), |(y, x)| (y * 10 + x) as f32);
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let sizes = |metric: SensitivityN| metric.curve(&case).unwrap().unwrap().fractions;
    // 81 to the power of 0, 1/4, 1/2, 3/4 and 1.
    let metric = SensitivityN::new().sizes(5).most(0.81);
    assert_eq!(sizes(metric), [0.01, 0.03, 0.09, 0.27, 0.81]);
    // Each number once.
    assert_eq!(
        sizes(metric.sizes(1000).most(0.05)),
        [0.01, 0.02, 0.03, 0.04, 0.05]
    );
    assert_eq!(sizes(metric.sizes(1)), [0.01]);
    let of = |metric: SensitivityN| metric.curve(&case).unwrap().unwrap();
    assert_eq!(of(metric.seed(3)), of(metric.seed(3).batch_size(5)));
    assert_ne!(of(metric.seed(3)).scores, of(metric.seed(4)).scores);
}

/// A network that is not linear, and by loops what it makes of any pixels.
fn squares(images: Tensor<4>) -> Tensor<2> {
    let count = images.dims()[0];
    let squares = images.clone() * images;
    let sums = squares.reshape([count as i32, -1]).sum_dim(1);
    Tensor::cat(vec![sums.clone(), sums.zeros_like()], 1)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// Every single pixel hidden alone: the estimate, and the sets of one pixel, by loops.
    #[test]
    fn single_pixels((c, h, w, seed) in (1..=3_usize, 2..=5_usize, 2..=5_usize, 1..u32::MAX)) {
        let image = noise_image(c, h, w, seed);
        let pixels = numbers(c * h * w, seed);
        let map = noise_map(h, w, seed);
        let (mut foretold, mut falls) = (Vec::new(), Vec::new());
        for (i, &weight) in map.iter().enumerate() {
            foretold.push(f64::from(weight));
            falls.push((0..c).map(|c| f64::from(pixels[c * h * w + i]).powi(2)).sum::<f64>());
        }
        let n = foretold.len() as f64;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
        let (ma, mb) = (mean(&foretold), mean(&falls));
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            foretold.iter().zip(&falls).map(|(a, b)| f(a - ma, b - mb)).sum()
        };
        let length = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
        prop_assume!(length > 1e-6);
        let want = sum(&|a, b| a * b) / length;
        let case = Case::new(&squares, &image, 0, map.view()).unwrap();
        let estimate = FaithfulnessEstimate::new().steps(h * w);
        let got = value(estimate.measure(&case).unwrap());
        prop_assert!((got - want).abs() < 1e-3, "{} {}", got, want);
        // So many sets that the correlation of single pixels is that of all of them.
        let drawn = FaithfulnessCorrelation::bhatt().pixels(1).samples(4000).batch_size(500);
        let got = value(drawn.measure(&case).unwrap());
        prop_assert!((got - want).abs() < 0.1, "{} {}", got, want);
    }
}
