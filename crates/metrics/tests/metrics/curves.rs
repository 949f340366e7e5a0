//! The curves that values are made of.

use elucid_metrics::{Case, Curve, METRICS, Metric, MetricOptions, Road};
use ndarray::Array2;

use crate::common::{noise_image, numbers, sum_network, value};

const SIDE: usize = 12;

/// What a metric makes of its curves, where that is a sum of their scores.
fn made_of(name: &str, curves: &[(&'static str, Curve)]) -> Option<f64> {
    let mean = |curve: &Curve| curve.scores.iter().sum::<f64>() / curve.scores.len() as f64;
    let (_, first) = &curves[0];
    Some(match name {
        "insertion" | "deletion" | "insertion-fast" | "deletion-fast" => first.area(),
        "irof" => 1.0 - first.area() / first.scores[0],
        "pixel-flipping" => first.scores[0] - mean(first),
        "sensitivity-n" => mean(first),
        "road" => (mean(&curves[1].1) - mean(first)) / 2.0,
        _ => return None,
    })
}

#[test]
fn tracing_measures_the_same_and_shows_what_it_is_made_of() {
    let image = noise_image(3, SIDE, SIDE, 5);
    let map = Array2::from_shape_vec((SIDE, SIDE), numbers(SIDE * SIDE, 9)).unwrap();
    let (mut with, mut checked) = (Vec::new(), 0);
    for info in METRICS {
        let metric = info.build(&MetricOptions::new().batch_size(3)).unwrap();
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let (measured, traced) = (metric.measure(&case).unwrap(), metric.trace(&case).unwrap());
        assert_eq!(measured, traced.outcome, "{}", info.name);
        let is_curved = metric.curve_axes().is_some() && measured.value().is_some();
        assert_eq!(is_curved, !traced.curves.is_empty(), "{}", info.name);
        if !is_curved {
            continue;
        }
        with.push(info.name);
        for (name, curve) in &traced.curves {
            assert_eq!(curve.fractions.len(), curve.scores.len(), "{name}");
            let rises = curve.fractions.windows(2).all(|pair| pair[0] <= pair[1]);
            assert!(rises && curve.fractions.len() > 1, "{name}");
        }
        if let Some(made) = made_of(info.name, &traced.curves) {
            let value = value(traced.outcome);
            assert!(
                (made - value).abs() < 1e-12,
                "{}: {made} {value}",
                info.name
            );
            checked += 1;
        }
    }
    for name in [
        "insertion",
        "deletion-fast",
        "road",
        "irof",
        "sensitivity-n",
    ] {
        assert!(with.contains(&name), "{name} in {with:?}");
    }
    assert!(checked >= 8, "{with:?}");
}

#[test]
fn road_has_a_curve_for_each_order() {
    let image = noise_image(1, SIDE, SIDE, 5);
    let map = Array2::from_shape_vec((SIDE, SIDE), numbers(SIDE * SIDE, 9)).unwrap();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let names = |road: Road| -> Vec<&'static str> {
        let curves = road.trace(&case).unwrap().curves;
        curves.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(Road::combined()), ["most", "least"]);
    assert_eq!(names(Road::most_relevant_first()), ["most"]);
    assert_eq!(names(Road::least_relevant_first()), ["least"]);
    let quarters = Road::most_relevant_first().percentages([50.0, 25.0]);
    let curves = quarters.trace(&case).unwrap().curves;
    assert_eq!(curves[0].1.fractions, [0.25, 0.5], "upwards");
}

#[test]
fn where_there_is_no_value_there_is_no_curve() {
    let image = noise_image(1, SIDE, SIDE, 5);
    let map = Array2::from_elem((SIDE, SIDE), f32::NAN);
    for info in METRICS.iter().filter(|info| info.name != "completeness") {
        let metric = info.build(&MetricOptions::new()).unwrap();
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let traced = metric.trace(&case).unwrap();
        assert_eq!(traced.outcome.value(), None, "{}", info.name);
        assert!(traced.curves.is_empty(), "{}", info.name);
    }
}
