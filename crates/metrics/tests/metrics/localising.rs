//! Metrics of where the map lies, and of how much of it there is, against answers worked out by hand and loops.

use elucid_metrics::{
    AttributionLocalisation, Case, EffectiveComplexity, LocalisationAuc, Metric, NotApplicable,
    RankAccuracy, Relevance, TopK, baseline,
};
use ndarray::{Array2, array};
use proptest::prelude::*;

use crate::common::{noise_image, numbers, of_map, reason, sum_network, value};

const LEFT: [[f32; 4]; 1] = [[0.0, 0.0, 1.0, 2.0]];
const TOP: [[f32; 4]; 1] = [[0.0, 0.0, 2.0, 1.0]];

#[test]
fn pairs_of_pixels_in_order() {
    let map = array![[4.0, 3.0], [2.0, 1.0]];
    assert_eq!(value(of_map(&LocalisationAuc, &map, &TOP)), 1.0);
    assert_eq!(value(of_map(&LocalisationAuc, &-&map, &TOP)), 0.0);
    // 4 and 2 against 3 and 1: three pairs of four.
    assert_eq!(value(of_map(&LocalisationAuc, &map, &LEFT)), 0.75);
    let constant = Array2::from_elem((2, 2), 1.0);
    assert_eq!(value(of_map(&LocalisationAuc, &constant, &TOP)), 0.5);
    // 2 and 1 against 2 and 0: a tie and two.
    let tied = array![[2.0, 2.0], [1.0, 0.0]];
    assert_eq!(value(of_map(&LocalisationAuc, &tied, &LEFT)), 0.625);
    let all = [[0.0, 0.0, 2.0, 2.0]];
    assert_eq!(
        reason(of_map(&LocalisationAuc, &map, &all)),
        NotApplicable::FullMask
    );
}

#[test]
fn the_most_salient_pixels() {
    let map = array![[4.0, 3.0], [2.0, 1.0]];
    let of = |k, boxes: &[[f32; 4]]| value(of_map(&TopK::of(k), &map, boxes));
    assert_eq!(
        [1, 2, 3, 4].map(|k| of(k, &LEFT)),
        [1.0, 0.5, 2.0 / 3.0, 0.5]
    );
    assert_eq!(of(1000, &LEFT), 0.5, "there are four pixels");
    // A half of the image: twice as much.
    let concept = TopK::of(1).concept_influence();
    assert_eq!(value(of_map(&concept, &map, &LEFT)), 2.0);
    // Of a constant map each pixel is as likely as any other.
    let constant = Array2::from_elem((2, 2), 1.0);
    let corner = [[0.0, 0.0, 1.0, 1.0]];
    assert_eq!(value(of_map(&TopK::of(3), &constant, &corner)), 0.25);
    let tied = array![[4.0, 2.0], [2.0, 1.0]];
    assert_eq!(value(of_map(&TopK::of(2), &tied, &LEFT)), 0.75);
}

#[test]
fn shares_of_the_relevance() {
    let map = array![[4.0, -3.0], [1.0, 0.0]];
    let absolute = AttributionLocalisation::new();
    assert_eq!(value(of_map(&absolute, &map, &LEFT)), 0.625);
    assert_eq!(value(of_map(&absolute.weighted(), &map, &LEFT)), 1.25);
    let positive = absolute.relevance(Relevance::Positive);
    assert_eq!(value(of_map(&positive, &map, &LEFT)), 1.0);
    assert_eq!(value(of_map(&positive, &map, &TOP)), 0.8);
    // A uniform map has no more than its share.
    let constant = Array2::from_elem((2, 2), -2.0);
    let corner = [[0.0, 0.0, 1.0, 1.0]];
    assert_eq!(value(of_map(&absolute, &constant, &corner)), 0.25);
    assert_eq!(value(of_map(&absolute.weighted(), &constant, &corner)), 1.0);
    let outcome = of_map(&positive, &constant, &corner);
    assert_eq!(reason(outcome), NotApplicable::NothingPositive);
    let nothing = Array2::zeros((2, 2));
    assert_eq!(
        reason(of_map(&absolute, &nothing, &corner)),
        NotApplicable::Zero
    );
}

#[test]
fn pixels_that_are_not_next_to_nothing() {
    let map = array![[1.0, 0.0], [-4.0, 2e-5]];
    let of = |metric: EffectiveComplexity, map: &Array2<f32>| value(of_map(&metric, map, &[]));
    let usual = EffectiveComplexity::new();
    assert_eq!(of(usual, &map), 2.0, "4e-5 is not surpassed");
    assert_eq!(of(usual.eps(1e-6), &map), 3.0);
    assert_eq!(of(usual.eps(0.25), &map), 1.0);
    assert_eq!(of(usual.eps(1.0), &map), 0.0);
    assert_eq!(of(usual.eps(0.0), &map), 3.0);
    assert_eq!(of(usual.share(), &map), 0.5);
    assert_eq!(of(usual, &Array2::zeros((2, 2))), 0.0);
    assert_eq!(of(usual, &Array2::from_elem((3, 2), -1.0)), 6.0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn every_pair_and_every_pixel((h, w, seed, ties) in (2..=9_usize, 2..=9_usize, 1..u32::MAX, any::<bool>()), k in 1..=90_usize) {
        let map = Array2::from_shape_vec((h, w), numbers(h * w, seed)).unwrap();
        let map = match ties {
            true => map.mapv(|v| (v * 3.0).round()),
            false => map,
        };
        let mask = baseline::random(h, w, u64::from(seed)).mapv(|v| v > 0.5);
        let object = mask.iter().filter(|&&inside| inside).count();
        prop_assume!(object > 0 && object < h * w);
        let image = noise_image(1, h, w, 7);
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let case = case.mask(mask.view()).unwrap();
        let of = |metric: &dyn Metric| value(metric.measure(&case).unwrap());
        let pixels: Vec<(f32, bool)> = map.iter().copied().zip(mask.iter().copied()).collect();
        let (mut won, mut pairs) = (0.0, 0.0);
        for &(a, _) in pixels.iter().filter(|(_, inside)| *inside) {
            for &(b, _) in pixels.iter().filter(|(_, inside)| !*inside) {
                pairs += 1.0;
                won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
            }
        }
        prop_assert!((of(&LocalisationAuc) - won / pairs).abs() < 1e-9);
        // Every pixel is among the k largest with a chance that its ties share.
        let k = k.min(pixels.len());
        let mut expected = 0.0;
        for &(a, _) in pixels.iter().filter(|(_, inside)| *inside) {
            let above = pixels.iter().filter(|(b, _)| *b > a).count();
            let tied = pixels.iter().filter(|(b, _)| *b == a).count();
            expected += (k.saturating_sub(above) as f64 / tied as f64).min(1.0);
        }
        let got = of(&TopK::of(k));
        prop_assert!((got - expected / k as f64).abs() < 1e-9, "{} {}", got, expected);
        prop_assert!((of(&TopK::of(object)) - of(&RankAccuracy)).abs() < 1e-12);
        let least = 0.1 * map.iter().fold(0.0_f64, |most, v| most.max(f64::from(v.abs())));
        let above = map.iter().filter(|v| f64::from(v.abs()) > least).count();
        prop_assert_eq!(of(&EffectiveComplexity::new().eps(0.1)), above as f64);
    }
}
