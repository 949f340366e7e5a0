//! Metrics of explanations near an image, against answers worked out by hand and loops.

use std::sync::Mutex;

use burn::tensor::Tensor;
use elucid_attribution::{Gradient, LinearApproximation};
use elucid_metrics::{
    Case, LipschitzEstimate, Metric, NotApplicable, RelativeStability, Scale, SensitivityAverage,
    SensitivityMax,
};
use ndarray::Array2;

use crate::common::{noise_image, numbers, reason, sum_network, tensor, value};

/// Numbers none of which is near 0, so that quotients are no larger than changes make them.
fn away_from_zero(count: usize, seed: u32) -> Vec<f32> {
    let values = numbers(count, seed).into_iter();
    values.map(|v| v + v.signum()).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn a_constant_gradient_moves_nowhere() {
    let image = noise_image(3, 4, 4, 11) + 3.0;
    let map = Array2::zeros((4, 4));
    let gradient = Gradient::at_input();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let with = case.clone().attributor(&gradient);
    let metrics: Vec<Box<dyn Metric>> = vec![
        Box::new(SensitivityAverage::new()),
        Box::new(LipschitzEstimate::new()),
        Box::new(LipschitzEstimate::new().raw()),
        Box::new(RelativeStability::input()),
        Box::new(RelativeStability::output()),
    ];
    for metric in &metrics {
        assert_eq!(value(metric.measure(&with).unwrap()), 0.0, "{metric:?}");
        let none = metric.measure(&case).unwrap();
        assert_eq!(reason(none), NotApplicable::NoAttributor, "{metric:?}");
    }
    let flat = image.clone().zeros_like();
    let flat = Case::new(&sum_network, &flat, 0, map.view()).unwrap();
    for metric in &metrics {
        let outcome = metric.measure(&flat.clone().attributor(&gradient)).unwrap();
        assert_eq!(reason(outcome), NotApplicable::ConstantImage, "{metric:?}");
    }
}

/// Input times gradient of a sum is the image: it moves as far as the image, and in the same proportions.
#[test]
fn what_moves_as_the_image_does() {
    let image = tensor(away_from_zero(48, 5), [1, 3, 4, 4]);
    let map = Array2::zeros((4, 4));
    let products = LinearApproximation::at_input();
    let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
    let case = case.attributor(&products);
    let of = |metric: &dyn Metric| value(metric.measure(&case).unwrap());
    for noise in [0.01, 0.3] {
        let raw = LipschitzEstimate::new().raw().noise(noise);
        assert!((of(&raw) - 1.0).abs() < 1e-6);
        let ris = RelativeStability::input().noise(noise);
        assert!((of(&ris) - 1.0).abs() < 1e-6);
    }
    let max = of(&SensitivityMax::captum());
    let average = of(&SensitivityAverage::new().scale(Scale::Absolute));
    assert!(average < max && average > max / 2.0, "{average} {max}");
    // Both have the same samples: of one, mean and maximum are the same.
    let one = of(&SensitivityAverage::new().samples(1));
    assert_eq!(one, of(&SensitivityMax::new().samples(1)));
    let batches = of(&SensitivityAverage::new().batch_size(3));
    assert!((batches - of(&SensitivityAverage::new())).abs() < 1e-9);
    assert_ne!(batches, of(&SensitivityAverage::new().seed(1)));
    // Twice the numbers are not half as stable.
    let doubled = |images: Tensor<4>| sum_network(images) * 2.0;
    let twice = Case::new(&doubled, &image, 0, map.view()).unwrap();
    let twice = twice.attributor(&products);
    let usual = LipschitzEstimate::new();
    assert!((of(&usual) - value(usual.measure(&twice).unwrap())).abs() < 1e-6);
    let raw = value(usual.raw().measure(&twice).unwrap());
    assert!((raw - 2.0).abs() < 1e-6);
}

/// A score of squares, whose gradient is twice the image: all metrics from the images that the network has seen.
#[test]
fn every_neighbour_counts() {
    let pixels = away_from_zero(12, 8);
    let image = tensor(pixels.clone(), [1, 1, 3, 4]);
    let map = Array2::zeros((3, 4));
    let gradient = Gradient::at_input();
    let seen = Mutex::new(Vec::<Vec<f32>>::new());
    let network = |images: Tensor<4>| {
        let values: Vec<f32> = images.clone().into_data().iter::<f32>().collect();
        for image in values.chunks(12) {
            let mut seen = seen.lock().unwrap();
            if !seen.iter().any(|known| known == image) {
                seen.push(image.to_vec());
            }
        }
        let count = images.dims()[0];
        let squares = images.clone() * images;
        let sums = squares.reshape([count as i32, -1]).sum_dim(1);
        Tensor::cat(vec![sums.clone(), sums.zeros_like()], 1)
    };
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    let case = case.attributor(&gradient);
    let measure = |metric: &dyn Metric| {
        seen.lock().unwrap().clear();
        let found = value(metric.measure(&case).unwrap());
        let mut images = seen.lock().unwrap().clone();
        images.retain(|image| *image != pixels);
        (found, images)
    };
    let doubles = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let own = doubles(&pixels);
    let squares = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>();
    let largest = |x: &[f64]| x.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let distance = |a: &[f64], b: &[f64]| norm(a.iter().zip(b).map(|(a, b)| a - b));
    let relative = |x: &[f64]| norm(x.iter().zip(&own).map(|(x, own)| (own - x) / own));
    type Term<'t> = &'t dyn Fn(&[f64]) -> f64;
    let scaled = |x: &[f64]| x.iter().map(|v| v / largest(x)).collect::<Vec<f64>>();
    let largest_of: [(Box<dyn Metric>, Term<'_>); 4] = [
        (Box::new(LipschitzEstimate::new().raw()), &|x| {
            2.0 * distance(x, &own) / distance(x, &own)
        }),
        (Box::new(LipschitzEstimate::new()), &|x| {
            distance(&scaled(x), &scaled(&own)) / distance(x, &own)
        }),
        (Box::new(RelativeStability::input()), &|x| {
            relative(x) / relative(x)
        }),
        (Box::new(RelativeStability::output()), &|x| {
            relative(x) / (squares(x) - squares(&own)).abs().max(1e-6)
        }),
    ];
    for (metric, term) in largest_of {
        let (found, images) = measure(&*metric);
        assert_eq!(images.len(), 10, "{metric:?}");
        let want = images
            .iter()
            .map(|image| term(&doubles(image)))
            .fold(0.0, f64::max);
        assert!(
            (found - want).abs() < 1e-3 * want,
            "{metric:?}: {found} {want}"
        );
    }
    let (found, images) = measure(&SensitivityAverage::new().samples(7));
    assert_eq!(images.len(), 7);
    let moves = images.iter().map(|image| distance(&doubles(image), &own));
    let want = moves.sum::<f64>() / 7.0 / norm(own.iter().copied());
    assert!((found - want).abs() < 1e-5 * want, "{found} {want}");
}

/// The second class wins as soon as anything moves.
#[test]
fn neighbours_of_another_guess_do_not_count() {
    let pixels = away_from_zero(12, 8);
    let image = tensor(pixels.clone(), [1, 1, 3, 4]);
    let map = Array2::zeros((3, 4));
    let products = LinearApproximation::at_input();
    let nowhere = |images: Tensor<4>| {
        let count = images.dims()[0];
        let own = tensor(pixels.clone(), [1, 1, 3, 4]);
        let moved = (images - own).abs().reshape([count as i32, -1]).sum_dim(1);
        Tensor::cat(vec![moved.zeros_like(), moved], 1)
    };
    let case = Case::new(&nowhere, &image, 1, map.view()).unwrap();
    let case = case.attributor(&products);
    for metric in [RelativeStability::input(), RelativeStability::output()] {
        let outcome = metric.measure(&case).unwrap();
        assert_eq!(reason(outcome), NotApplicable::NoNeighbour);
    }
    // The others ask for no guess; a change that rounding swallows is no neighbour.
    assert!(
        LipschitzEstimate::new()
            .measure(&case)
            .unwrap()
            .value()
            .is_some()
    );
    let tiny = LipschitzEstimate::new()
        .noise(1e-30)
        .measure(&case)
        .unwrap();
    assert_eq!(reason(tiny), NotApplicable::Rounded);
}
