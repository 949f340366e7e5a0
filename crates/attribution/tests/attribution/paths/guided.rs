//! Guided integrated gradients against the published algorithm.

use burn::tensor::Tensor;
use elucid_attribution::{Baseline, GuidedIntegratedGradients, IntegratedGradients, Quadrature};
use elucid_testkit::{relative_error, tensor};

use super::{assert_close, curved, explain, pair, split, wave};

#[test]
fn guided_moves_small_gradients_first() {
    // x y + x at (0, 0) has the gradient (1, 0): y moves first and earns nothing, then x, whose
    // gradient has become 2.
    let network = |x: Tensor<4>| {
        let [x, y] = split(x);
        x.clone() * y + x
    };
    let method = GuidedIntegratedGradients::new().steps(2).max_distance(1.0);
    let got = explain(&method, &network, &pair(1.0, 1.0));
    assert_close(&got, &[2.0, 0.0], 1e-7);
    assert_eq!(got.completeness_error(), Some(0.0));
    assert_eq!(got.evaluations(), [2]);
    // No distance from the straight path: integrated gradients by the left rule, whose first step
    // is at 0.
    let straight = GuidedIntegratedGradients::new().steps(10).max_distance(0.0);
    let left = IntegratedGradients::new()
        .quadrature(Quadrature::Left)
        .steps(10);
    let image = pair(1.3, -0.4);
    let want = explain(&left, &network, &image);
    let got = explain(&straight, &network, &image);
    assert!(relative_error(got.values(), want.values()) < 1e-6);
}

/// The derivative of [`curved`].
fn curved_gradient(x: &[f64]) -> Vec<f64> {
    let term = |i: usize, j: usize| match (x.get(i), x.get(j)) {
        (Some(a), Some(b)) => (a * b).cos() * b,
        _ => 0.0,
    };
    (0..x.len())
        .map(|k| 1.0 + x[k] + term(k, k + 1) + term(k, k.wrapping_sub(1)))
        .collect()
}

/// Algorithm 1 of the paper step by step, on values and without sorting once for a step.
fn guided_naively(
    start: &[f64],
    end: &[f64],
    steps: usize,
    fraction: f64,
    distance: f64,
) -> Vec<f64> {
    let count = start.len();
    let at = |alpha: f64, k: usize| start[k] + alpha * (end[k] - start[k]);
    let left = |x: &[f64]| -> f64 { (0..count).map(|k| (end[k] - x[k]).abs()).sum() };
    let whole = left(start);
    let mut x = start.to_vec();
    let mut attribution = vec![0.0; count];
    for step in 1..=steps {
        let gradient = curved_gradient(&x);
        let alpha = step as f64 / steps as f64;
        let (low, high) = ((alpha - distance).max(0.0), (alpha + distance).min(1.0));
        let target = whole * (1.0 - alpha);
        let mut done = false;
        while !done {
            let before = x.clone();
            for k in 0..count {
                if (x[k] - start[k]).abs() < (at(low, k) - start[k]).abs() {
                    x[k] = at(low, k);
                }
            }
            let arrived = |x: &[f64], k: usize| (x[k] - at(high, k)).abs() < 1e-12;
            let size: Vec<f64> = (0..count)
                .map(|k| {
                    if arrived(&x, k) {
                        f64::INFINITY
                    } else {
                        gradient[k].abs()
                    }
                })
                .collect();
            let mut sorted = size.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[(fraction * (count - 1) as f64).floor() as usize];
            let chosen: Vec<usize> = (0..count)
                .filter(|&k| size[k] <= threshold && size[k].is_finite())
                .collect();
            let reach: f64 = chosen.iter().map(|&k| (at(high, k) - x[k]).abs()).sum();
            let surplus = left(&x) - target;
            let gamma = surplus / reach;
            done = surplus < 1e-12 || chosen.is_empty() || gamma <= 1.0;
            for k in chosen {
                if surplus >= 1e-12 {
                    x[k] += gamma.min(1.0) * (at(high, k) - x[k]);
                }
            }
            for k in 0..count {
                attribution[k] += gradient[k] * (x[k] - before[k]);
            }
        }
    }
    attribution
}

#[test]
fn guided_is_the_published_algorithm() {
    for (count, steps, fraction, distance) in [
        (40, 200, 0.25, 0.02),
        (40, 30, 0.1, 0.2),
        (41, 7, 0.5, 1.0),
        (7, 12, 1.0, 0.3),
        (2, 5, 0.01, 0.05),
    ] {
        let (end, start) = (wave(count, 1.0), wave(count, 2.0));
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let want = guided_naively(&wide(&start), &wide(&end), steps, fraction, distance);
        let want: Vec<f32> = want.into_iter().map(|v| v as f32).collect();
        let method = GuidedIntegratedGradients::new()
            .steps(steps)
            .fraction(fraction)
            .max_distance(distance)
            .baseline(Baseline::image(&tensor(start, [1, count, 1, 1])));
        let got = explain(&method, &curved, &tensor(end, [1, count, 1, 1]));
        let error = relative_error(got.values(), &want);
        assert!(error < 1e-4, "{count} numbers, {steps} steps: {error:.1e}");
    }
}
