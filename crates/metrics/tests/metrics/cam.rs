//! Average drop and its kin, and ADCC, against answers worked out by hand and loops.

use elucid_attribution::LinearApproximation;
use elucid_metrics::{
    Adcc, AverageDrop, Case, Coherency, Hidden, MapSize, Metric, NotApplicable, baseline,
};
use ndarray::{Array2, array};
use proptest::prelude::*;

use crate::common::{noise_image, noise_map, numbers, of_map, reason, sum_network, tensor, value};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The score is the sum: of the image 2, of what the map shows 1 + 0 + 3 - 4/3 or 0 + 2 + 0 - 8/3.
#[test]
fn what_the_map_shows_of_four_pixels() {
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let measure = |map: &Array2<f32>| {
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let metrics = [
            AverageDrop::drop(),
            AverageDrop::increase(),
            AverageDrop::gain(),
        ];
        metrics.map(|metric| value(metric.measure(&case).unwrap()))
    };
    let close = |got: [f64; 3], want: [f64; 3]| {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    };
    let whole = sigmoid(2.0);
    let gain = (sigmoid(8.0 / 3.0) - whole) / (1.0 - whole);
    close(measure(&array![[4.0, 1.0], [4.0, 2.0]]), [0.0, 1.0, gain]);
    let drop = (whole - sigmoid(-2.0 / 3.0)) / whole;
    close(measure(&array![[-1.0, 2.0], [-1.0, 1.0]]), [drop, 0.0, 0.0]);
    // Everything is nothing: a sum of 0.
    let drop = (whole - 0.5) / whole;
    close(measure(&Array2::from_elem((2, 2), 7.0)), [drop, 0.0, 0.0]);
}

#[test]
fn other_pixels_than_zeros_are_left() {
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let map = array![[1.0, 0.0], [0.0, 0.0]];
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    // The mean is 1/2: 1 + 3/2.
    let drop = AverageDrop::gain()
        .baseline(Hidden::Mean)
        .measure(&case)
        .unwrap();
    let (whole, left) = (sigmoid(2.0), sigmoid(2.5));
    assert!((value(drop) - (left - whole) / (1.0 - whole)).abs() < 1e-6);
    let one = |images| sum_network(images).narrow(1, 0, 1);
    let case = Case::new(&one, &image, 0, map.view()).unwrap();
    for metric in [
        AverageDrop::drop(),
        AverageDrop::increase(),
        AverageDrop::gain(),
    ] {
        let outcome = metric.measure(&case).unwrap();
        assert_eq!(reason(outcome), NotApplicable::NoProbability);
    }
}

/// Input times gradient of a sum is the image. The map 5/7 6/7 1 0 shows 5 12 21 0 sevenths; deviations of the map are
/// proportional to 1/2 3/2 5/2 -9/2, of what it shows to -9/2 5/2 23/2 -19/2: 73 / sqrt(29 * 249).
#[test]
fn adcc_of_four_pixels() {
    let image = tensor(vec![1.0, 2.0, 3.0, -4.0], [1, 1, 2, 2]);
    let map = array![[1.0, 2.0], [3.0, -4.0]];
    let method = LinearApproximation::at_input();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let outcome = Coherency.measure(&case).unwrap();
    assert_eq!(reason(outcome), NotApplicable::NoAttributor);
    let case = case.attributor(&method);
    let coherency = (1.0 + 73.0 / (29.0_f64 * 249.0).sqrt()) / 2.0;
    let got = value(Coherency.measure(&case).unwrap());
    assert!((got - coherency).abs() < 1e-6, "{got} {coherency}");
    let size = value(MapSize.measure(&case).unwrap());
    assert!((size - 18.0 / 28.0).abs() < 1e-6, "{size}");
    // What is shown has a sum of 38/7, more than 2: no drop.
    let adcc = 3.0 / (1.0 / coherency + 1.0 / (1.0 - 18.0 / 28.0) + 1.0);
    let got = value(Adcc.measure(&case).unwrap());
    assert!((got - adcc).abs() < 1e-6, "{got} {adcc}");
    let constant = Array2::from_elem((2, 2), 1.0);
    assert_eq!(value(of_map(&MapSize, &constant, &[])), 0.0);
    let case = Case::new(&sum_network, &image, 0, constant.view()).unwrap();
    let got = value(Coherency.measure(&case.attributor(&method)).unwrap());
    assert_eq!(got, 0.5, "nothing is correlated with a constant");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn shown_pixel_by_pixel((c, h, w, seed) in (1..=3_usize, 1..=6_usize, 1..=6_usize, 1..u32::MAX)) {
        let image = noise_image(c, h, w, seed);
        let pixels = numbers(c * h * w, seed);
        let map = noise_map(h, w, seed);
        let low = map.iter().copied().fold(f32::MAX, f32::min);
        let high = map.iter().copied().fold(f32::MIN, f32::max);
        let (mut whole, mut left) = (0.0, 0.0);
        for channel in 0..c {
            for y in 0..h {
                for x in 0..w {
                    let pixel = f64::from(pixels[(channel * h + y) * w + x]);
                    whole += pixel;
                    if high > low {
                        left += pixel * f64::from(map[[y, x]] - low) / f64::from(high - low);
                    }
                }
            }
        }
        let (whole, left) = (sigmoid(whole), sigmoid(left));
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let measure = |metric: AverageDrop| value(metric.measure(&case).unwrap());
        let drop = ((whole - left) / whole).max(0.0);
        let gain = ((left - whole) / (1.0 - whole)).max(0.0);
        prop_assert!((measure(AverageDrop::drop()) - drop).abs() < 1e-4 * drop.max(1.0));
        prop_assert!((measure(AverageDrop::gain()) - gain).abs() < 1e-4 * gain.max(1.0));
        if (whole - left).abs() > 1e-5 {
            prop_assert_eq!(measure(AverageDrop::increase()), f64::from(u8::from(left > whole)));
        }
        prop_assert!(map.len() == 1 || value(MapSize.measure(&case).unwrap()) > 0.0);
    }
}

#[test]
fn adcc_lies_below_its_parts_mean() {
    let image = noise_image(3, 8, 8, 5);
    let method = LinearApproximation::at_input();
    for seed in 1..10 {
        let map = baseline::random(8, 8, seed);
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let case = case.attributor(&method);
        let of = |metric: &dyn Metric| value(metric.measure(&case).unwrap());
        let parts = [
            of(&Coherency),
            1.0 - of(&MapSize),
            1.0 - of(&AverageDrop::drop()),
        ];
        let adcc = of(&Adcc);
        let smallest = parts.iter().copied().fold(f64::MAX, f64::min);
        assert!(smallest <= adcc + 1e-9 && adcc <= parts.iter().sum::<f64>() / 3.0 + 1e-9);
    }
}
