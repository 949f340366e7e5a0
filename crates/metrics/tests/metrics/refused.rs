//! What metrics refuse, and how they say so.

use crate::common::{noise_image, reason, sum_network};
use burn::tensor::Tensor;
use elucid_attribution::{Attributor, Gradient, Target};
use elucid_metrics::{
    Case, Completeness, Infidelity, InsertionDeletion, Localisation, METRICS, Metric, MetricError,
    MetricOptions, NotApplicable, Outcome, ParameterRandomisation, PixelFlipping, Pointing, Road,
    SensitivityMax, baseline,
};
use ndarray::Array2;

#[test]
fn what_is_missing_is_said() {
    let image = noise_image(3, 8, 8, 2);
    let map = baseline::random(8, 8, 1);
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    for info in METRICS {
        let metric = info.build(&MetricOptions::new()).unwrap();
        assert_eq!(metric.name(), info.name);
        assert_eq!(metric.direction(), info.direction, "{}", info.name);
        assert_eq!(metric.needs(), info.needs, "{}", info.name);
        let outcome = metric.measure(&case).unwrap();
        let needs = info.needs;
        let lacks = needs.truth || needs.model || needs.attribution || needs.attributor;
        if info.name == "sic" {
            // There may be no scale: `information` has pictures that have one.
            continue;
        }
        assert_eq!(outcome.value().is_none(), lacks, "{}: {outcome}", info.name);
        println!("{}: {outcome}", info.name);
    }
    let gradient = Gradient::at_input();
    let case = case.attributor(&gradient);
    let measure = |metric: &dyn Metric| reason(metric.measure(&case).unwrap());
    assert_eq!(
        measure(&ParameterRandomisation::spearman()),
        NotApplicable::NeedsModel
    );
    assert_eq!(measure(&Completeness), NotApplicable::NoPromise);
}

#[test]
fn maps_of_no_numbers_are_not_measured() {
    let image = noise_image(3, 8, 8, 2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut map = baseline::random(8, 8, 1);
        map[[3, 3]] = bad;
        let case = Case::new(&sum_network, &image, 0, map.view())
            .unwrap()
            .boxes(&[[0.0, 0.0, 4.0, 4.0]])
            .unwrap();
        for info in METRICS {
            let looks = !(info.needs.attribution || info.needs.attributor);
            let outcome = info.build(&MetricOptions::new()).unwrap().measure(&case);
            let outcome = outcome.unwrap();
            assert!(outcome.value().is_none(), "{}: {outcome}", info.name);
            if looks {
                assert_eq!(reason(outcome), NotApplicable::NotFinite, "{}", info.name);
            }
        }
    }
}

#[test]
fn constant_maps_give_numbers() {
    let image = noise_image(3, 8, 8, 2);
    for level in [0.0, 1.0, -1.0] {
        let map = Array2::from_elem((8, 8), level);
        let case = Case::new(&sum_network, &image, 0, map.view())
            .unwrap()
            .boxes(&[[0.0, 0.0, 4.0, 4.0]])
            .unwrap();
        for info in METRICS {
            if info.needs.attribution || info.needs.attributor || info.name == "sic" {
                continue;
            }
            let outcome = info.build(&MetricOptions::new()).unwrap().measure(&case);
            match outcome.unwrap() {
                Outcome::Value(value) => assert!(value.is_finite()),
                Outcome::NotApplicable(reason) => assert!(
                    level <= 0.0
                        && matches!(reason, NotApplicable::Zero | NotApplicable::NothingPositive),
                    "{}: {reason}",
                    info.name
                ),
            }
        }
    }
}

#[test]
fn bad_parameters_are_refused() {
    let image = noise_image(3, 8, 8, 2);
    let map = baseline::random(8, 8, 1);
    let gradient = Gradient::at_input();
    let case = Case::new(&sum_network, &image, 0, map.view())
        .unwrap()
        .attributor(&gradient);
    let bad: Vec<(&str, Box<dyn Metric>)> = vec![
        ("tolerance", Box::new(Pointing::exact().tolerance(-1.0))),
        ("tolerance", Box::new(Pointing::exact().tolerance(f64::NAN))),
        ("alpha", Box::new(Localisation::energy(1.5))),
        ("alpha", Box::new(Localisation::value(-0.1))),
        ("alpha", Box::new(Localisation::mean(f64::INFINITY))),
        ("pixels", Box::new(InsertionDeletion::deletion().pixels(0))),
        ("steps", Box::new(InsertionDeletion::insertion().steps(0))),
        (
            "batch size",
            Box::new(InsertionDeletion::deletion().batch_size(0)),
        ),
        ("patch", Box::new(PixelFlipping::samek().patch(0))),
        ("steps", Box::new(PixelFlipping::samek().steps(0))),
        ("batch size", Box::new(PixelFlipping::samek().batch_size(0))),
        (
            "percentage",
            Box::new(Road::combined().percentages([100.0])),
        ),
        (
            "percentage",
            Box::new(Road::combined().percentages([f64::NAN])),
        ),
        (
            "number of percentages",
            Box::new(Road::combined().percentages([])),
        ),
        ("noise", Box::new(Road::combined().noise(-0.1))),
        ("batch size", Box::new(Road::combined().batch_size(0))),
        ("noise", Box::new(Infidelity::noise(0.0))),
        ("square", Box::new(Infidelity::square(0))),
        ("samples", Box::new(Infidelity::noise(0.1).samples(0))),
        ("batch size", Box::new(Infidelity::noise(0.1).batch_size(0))),
        ("radius", Box::new(SensitivityMax::new().radius(-0.1))),
        ("samples", Box::new(SensitivityMax::new().samples(0))),
        ("batch size", Box::new(SensitivityMax::new().batch_size(0))),
        (
            "stages",
            Box::new(ParameterRandomisation::ssim().at_most(0)),
        ),
    ];
    for (name, metric) in bad {
        for error in [metric.check(), metric.measure(&case).map(drop)] {
            match error {
                Err(MetricError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
                other => panic!("{metric:?}: {other:?}"),
            }
        }
    }
    // Large, but not wrong.
    let large: Vec<Box<dyn Metric>> = vec![
        Box::new(
            InsertionDeletion::deletion()
                .pixels(usize::MAX)
                .batch_size(usize::MAX),
        ),
        Box::new(InsertionDeletion::insertion().steps(usize::MAX)),
        Box::new(PixelFlipping::samek().patch(usize::MAX).steps(usize::MAX)),
        Box::new(Infidelity::square(usize::MAX).batch_size(usize::MAX)),
        Box::new(SensitivityMax::new().batch_size(usize::MAX)),
        Box::new(Road::combined().percentages([1e-9, 99.999_999])),
    ];
    for metric in large {
        assert!(
            metric.measure(&case).unwrap().value().is_some(),
            "{metric:?}"
        );
    }
}

#[test]
fn bad_cases_are_refused() {
    let image = noise_image(3, 8, 8, 2);
    let map = baseline::random(8, 8, 1);
    let narrow = baseline::random(8, 7, 1);
    let new = |image: &Tensor<4>| Case::new(&sum_network, image, 0, map.view()).map(drop);
    assert!(matches!(
        Case::new(&sum_network, &image, 0, narrow.view()),
        Err(MetricError::Size {
            what: "map",
            got: [8, 7],
            expected: [8, 8]
        })
    ));
    let two = Tensor::cat(vec![image.clone(), image.clone()], 0);
    assert!(matches!(new(&two), Err(MetricError::Image { .. })));
    assert!(matches!(
        new(&(image.clone() / 0.0)),
        Err(MetricError::Image { .. })
    ));
    for b in [
        [0.0, 0.0, 0.0, 1.0],
        [3.0, 0.0, 2.0, 1.0],
        [8.0, 0.0, 9.0, 1.0],
        [0.0, -2.0, 1.0, 0.0],
        [f32::NAN, 0.0, 1.0, 1.0],
        [0.0, 0.0, f32::INFINITY, 1.0],
    ] {
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        assert!(
            matches!(case.boxes(&[b]), Err(MetricError::Box { .. })),
            "{b:?}"
        );
    }
    let case = Case::new(&sum_network, &image, 2, map.view()).unwrap();
    assert!(matches!(
        InsertionDeletion::deletion().measure(&case),
        Err(MetricError::Class {
            class: 2,
            classes: 2
        })
    ));
    let infinite = |images: Tensor<4>| sum_network(images) / 0.0;
    let case = Case::new(&infinite, &image, 0, map.view()).unwrap();
    assert!(matches!(
        InsertionDeletion::deletion().measure(&case),
        Err(MetricError::Scores { .. })
    ));
    let attribution = Gradient::at_input()
        .attribute(&sum_network, &two, Target::class(0))
        .unwrap();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    assert!(matches!(
        case.attribution(&attribution),
        Err(MetricError::Image { .. })
    ));
}
