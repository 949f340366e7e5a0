//! Performance information curves: every image that the network sees, by loops.

use std::sync::Mutex;

use burn::tensor::Tensor;
use elucid_metrics::{Case, InformationCurve, Metric, NotApplicable};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use ndarray::Array2;

use crate::common::{noise_image, numbers, reason, sum_network, tensor, value};

const SIDE: usize = 12;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A bright square on a dark slope: its pixels are what raises the sum.
fn picture() -> Vec<f32> {
    let noise = numbers(SIDE * SIDE, 4);
    let pixel = |i: usize| {
        let (y, x) = (i / SIDE, i % SIDE);
        match (3..7).contains(&y) && (4..9).contains(&x) {
            true => 0.3 + 0.05 * noise[i],
            false => 0.001 * x as f32 + 0.01 * noise[i],
        }
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

fn bytes(pixels: &[f32], low: f32, high: f32) -> f64 {
    let grey: Vec<u8> = pixels
        .iter()
        .map(|v| (255.0 * (v - low) / (high - low)).round().clamp(0.0, 255.0) as u8)
        .collect();
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive)
        .write_image(&grey, SIDE as u32, SIDE as u32, ExtendedColorType::L8)
        .unwrap();
    file.len() as f64
}

#[test]
fn curves_of_the_images_that_were_seen() {
    let pixels = picture();
    let image = tensor(pixels.clone(), [1, 1, SIDE, SIDE]);
    let map = Array2::from_shape_vec((SIDE, SIDE), pixels.clone()).unwrap();
    let seen = Mutex::new(Vec::<Vec<f32>>::new());
    let network = |images: Tensor<4>| {
        let values: Vec<f32> = images.clone().into_data().iter::<f32>().collect();
        let mut seen = seen.lock().unwrap();
        seen.extend(values.chunks(SIDE * SIDE).map(<[f32]>::to_vec));
        let score = sum_network(images);
        // The best guess turns half way between nothing and the square.
        score - tensor(vec![4.0, 0.0], [1, 1, 1, 2]).reshape([1, 2])
    };
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    let percentages = [30.0, 5.0, 10.0];
    let softmax = InformationCurve::softmax()
        .percentages(percentages)
        .batch_size(2);
    let curve = softmax.curve(&case).unwrap().unwrap();
    let images = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(
        images.len(),
        5,
        "the filled one, three percentages, the true one"
    );
    assert_eq!(images[4], pixels);
    let low = pixels.iter().copied().fold(f32::MAX, f32::min);
    let high = pixels.iter().copied().fold(f32::MIN, f32::max);
    // Known pixels are the true ones, others the mean of their neighbours.
    let mut order: Vec<usize> = (0..pixels.len()).collect();
    order.sort_by(|&a, &b| pixels[b].total_cmp(&pixels[a]));
    let mut known_before = 0;
    for (image, percent) in images.iter().zip([0.0, 5.0, 10.0, 30.0]) {
        let count = (percent / 100.0 * (SIDE * SIDE) as f64).round() as usize;
        for &at in &order[..count] {
            assert_eq!(image[at], pixels[at]);
        }
        let mut known = 0;
        for at in 0..pixels.len() {
            if image[at] == pixels[at] {
                known += 1;
                continue;
            }
            let (y, x) = ((at / SIDE) as i64, (at % SIDE) as i64);
            let (mut sum, mut weights) = (0.0, 0.0);
            for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                let inside = |v: i64| (0..SIDE as i64).contains(&v);
                if (dy, dx) == (0, 0) || !inside(y + dy) || !inside(x + dx) {
                    continue;
                }
                let weight = if dy == 0 || dx == 0 {
                    1.0 / 6.0
                } else {
                    1.0 / 12.0
                };
                sum += weight * f64::from(image[((y + dy) as usize) * SIDE + (x + dx) as usize]);
                weights += weight;
            }
            let want = sum / weights;
            assert!(
                (f64::from(image[at]) - want).abs() < 1e-3,
                "{at}: {} {want}",
                image[at]
            );
        }
        assert!(known >= count + usize::from(count == 0) && known >= known_before);
        known_before = known;
    }
    let sums = images
        .iter()
        .map(|image| image.iter().map(|&v| f64::from(v)).sum::<f64>() - 4.0);
    let p: Vec<f64> = sums.map(sigmoid).collect();
    let size: Vec<f64> = images.iter().map(|image| bytes(image, low, high)).collect();
    let part = |v: f64, from: f64, to: f64| ((v - from) / (to - from)).clamp(0.0, 1.0);
    let points = |performance: &dyn Fn(usize) -> f64| {
        let mut points: Vec<(f64, f64)> = (0..4)
            .map(|i| (part(size[i], size[0], size[4]), performance(i)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.insert(0, (0.0, 0.0));
        points.push((1.0, 1.0));
        for i in 1..points.len() {
            points[i].1 = points[i].1.max(points[i - 1].1);
        }
        points
    };
    let area = |points: &[(f64, f64)]| -> f64 {
        points
            .windows(2)
            .map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0)
            .sum()
    };
    let want = points(&|i| part(p[i], p[0], p[4]));
    for (got, want) in curve.fractions.iter().zip(&curve.scores).zip(&want) {
        assert!(
            (got.0 - want.0).abs() < 1e-12 && (got.1 - want.1).abs() < 1e-5,
            "{got:?} {want:?}"
        );
    }
    let got = value(softmax.measure(&case).unwrap());
    assert!((got - area(&want)).abs() < 1e-5);
    let accuracy = InformationCurve::accuracy().percentages(percentages);
    let got = value(accuracy.measure(&case).unwrap());
    let want = points(&|i| f64::from(u8::from(p[i] >= 0.5)));
    assert!(
        want.iter().any(|point| point.1 == 0.0) && want[3].1 == 1.0,
        "{want:?}"
    );
    assert!((got - area(&want)).abs() < 1e-9);
    // The square first is better than last, and what is drawn follows from the seed.
    let reversed = -&map;
    let last = Case::new(&network, &image, 0, reversed.view()).unwrap();
    assert!(value(softmax.measure(&last).unwrap()) < value(softmax.measure(&case).unwrap()));
    let of = |metric: &InformationCurve| value(metric.measure(&case).unwrap());
    assert_eq!(of(&softmax), of(&softmax.clone().batch_size(4)));
    assert_ne!(of(&softmax), of(&softmax.clone().seed(1)));
}

#[test]
fn colours_and_any_number_of_channels() {
    for channels in [2, 3] {
        let image = noise_image(channels, 8, 8, 9) * 0.1 + 0.05;
        let map = Array2::from_shape_fn((8, 8), |(y, x)| (y * 8 + x) as f32);
        let case = Case::new(&sum_network, &image, 0, map.view()).unwrap();
        let found = value(InformationCurve::accuracy().measure(&case).unwrap());
        assert!((0.0..=1.0).contains(&found), "{found}");
    }
}

#[test]
fn without_a_scale_there_is_no_curve() {
    let map = Array2::from_shape_fn((8, 8), |(y, x)| (y * 8 + x) as f32);
    let of = |image: &Tensor<4>, class| {
        let case = Case::new(&sum_network, image, class, map.view()).unwrap();
        InformationCurve::softmax().measure(&case).unwrap()
    };
    let flat = noise_image(1, 8, 8, 9) * 0.0 + 1.0;
    assert_eq!(reason(of(&flat, 0)), NotApplicable::NothingGained);
    // What gains the one class loses the other.
    let image = noise_image(1, 8, 8, 9);
    let outcomes = [0, 1].map(|class| of(&image, class).value().is_some());
    assert!(outcomes[0] != outcomes[1], "{outcomes:?}");
}
