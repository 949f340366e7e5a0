//! Normalisations and softmax of rows against loops in double precision.

use elucid_kernels::rows::{Standardise, scale_and_shift, softmax, softmax_backward};

use crate::numbers;

fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= 2e-6 * largest, "number {i}: {got}, want {want}");
    }
}

fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn naive(x: &[f64], how: &Standardise) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(how.row) {
        let count = row.len() as f64;
        let mean = match how.centred {
            true => row.iter().sum::<f64>() / count,
            false => 0.0,
        };
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        for v in row {
            let at = y.len() / how.segment % how.scale.len();
            let normal = (v - mean) / (variance + f64::from(how.epsilon)).sqrt();
            y.push(normal * f64::from(how.scale[at]) + f64::from(how.bias[at]));
        }
    }
    y
}

/// The derivative along each of a few directions, by central differences in double precision.
fn check_gradient(x: &[f32], d: &[f32], f: impl Fn(&[f64]) -> f64) {
    for seed in 1..4 {
        let direction = doubles(&numbers(x.len(), seed));
        let moved = |by: f64| -> Vec<f64> {
            x.iter()
                .zip(&direction)
                .map(|(x, d)| f64::from(*x) + by * d)
                .collect()
        };
        let want = (f(&moved(1e-4)) - f(&moved(-1e-4))) / 2e-4;
        let got = dot(&doubles(d), &direction);
        let size = dot(&doubles(d), &doubles(d)).sqrt() * dot(&direction, &direction).sqrt();
        assert!(
            (got - want).abs() <= 1e-6 * size,
            "{got}, want {want}, of {size}"
        );
    }
}

#[test]
fn rows_are_standardised_as_by_loops() {
    // Rows, their length, factors and the length of segments: tokens, groups of channels, one for each
    // group, images with several groups, longer than a task and than a sum in single precision.
    let cases = [
        (5, 7, 7, 1),
        (3, 192, 192, 1),
        (2, 3, 3, 1),
        (6, 20, 6, 10),
        (6, 12, 3, 12),
        (4, 9, 3, 9),
        (2, 40_000, 8, 10_000),
        (3, 17_001, 17_001, 1),
    ];
    for (rows, row, factors, segment) in cases {
        for centred in [true, false] {
            let (scale, bias) = (numbers(factors, 3), numbers(factors, 4));
            let how = Standardise {
                row,
                centred,
                epsilon: 1e-3,
                scale: &scale,
                bias: &bias,
                segment,
            };
            let x = numbers(rows * row, 5);
            close(&how.forward(&x), &naive(&doubles(&x), &how));
            let g = numbers(rows * row, 6);
            let mut d = g.clone();
            how.backward(&x, &mut d);
            check_gradient(&x, &d, |x| dot(&naive(x, &how), &doubles(&g)));
        }
    }
}

fn naive_softmax(x: &[f64], row: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(row) {
        let sum: f64 = row.iter().map(|v| v.exp()).sum();
        y.extend(row.iter().map(|v| v.exp() / sum));
    }
    y
}

#[test]
fn softmax_is_that_of_loops() {
    for (rows, row) in [(1, 1), (3, 5), (7, 197), (2, 16), (2, 33_000)] {
        let x: Vec<f32> = numbers(rows * row, 7).iter().map(|v| v * 6.0).collect();
        let mut y = x.clone();
        softmax(&mut y, row);
        close(&y, &naive_softmax(&doubles(&x), row));
        let g = numbers(rows * row, 8);
        let mut d = g.clone();
        softmax_backward(&y, &mut d, row);
        check_gradient(&x, &d, |x| dot(&naive_softmax(x, row), &doubles(&g)));
    }
}

#[test]
fn a_softmax_of_large_numbers_and_of_masked_ones() {
    let mut y = [1e30, 0.0, f32::NEG_INFINITY, 1e30];
    softmax(&mut y, 4);
    assert_eq!(y, [0.5, 0.0, 0.0, 0.5]);
    let mut y = [f32::NAN, 1.0];
    softmax(&mut y, 2);
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn segments_are_scaled_and_shifted_in_turn() {
    for (segments, segment, factors) in [(6, 5, 3), (1, 1, 1), (8, 20_001, 4), (7, 49, 7)] {
        let (scale, bias) = (numbers(factors, 1), numbers(factors, 2));
        let x = numbers(segments * segment, 3);
        let want: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let at = i / segment % factors;
                f64::from(*x) * f64::from(scale[at]) + f64::from(bias[at])
            })
            .collect();
        let mut y = x;
        scale_and_shift(&mut y, &scale, Some(&bias), segment);
        close(&y, &want);
    }
}
