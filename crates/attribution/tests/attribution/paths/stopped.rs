//! What work that is stopped leaves.

use burn::tensor::Tensor;
use elucid_attribution::{Attribution, Baseline, IntegratedGradients};
use elucid_testkit::relative_error;
use ndarray::Axis;

use super::{all_quadratures, explain, pair, split};

/// `0..count` as van der Corput's sequence of fractions has them.
fn van_der_corput(count: usize) -> Vec<usize> {
    let size = count.next_power_of_two();
    let fraction = |i: usize| {
        let (mut i, mut value, mut digit) = (i, 0.0, 0.5);
        while i > 0 {
            value += digit * (i % 2) as f64;
            (i, digit) = (i / 2, digit / 2.0);
        }
        value
    };
    let places = (0..size).map(|i| (fraction(i) * size as f64) as usize);
    places.filter(|&place| place < count).collect()
}

/// Stopped after so many points, with a batch of one.
fn stopped(method: IntegratedGradients, points: usize, images: &Tensor<4>) -> Attribution {
    let method = method.batch_size(1).keep_partial(true);
    let method = method.progress(move |p| match p.done >= points {
        true => p.cancel(),
        false => p.continue_(),
    });
    explain(&method, &bent, images)
}

/// `sin(3 x) y^2`
fn bent(x: Tensor<4>) -> Tensor<2> {
    let [x, y] = split(x);
    (x * 3.0).sin() * y.clone() * y
}

#[test]
fn what_is_stopped_is_the_weighted_mean_so_far() {
    let (x, y) = (0.8_f64, 1.5_f64);
    let image = pair(x as f32, y as f32);
    let start = [0.1, -0.4];
    let baselines = || {
        let second = Baseline::constant(start.map(|v| v as f32));
        Baseline::several([Baseline::zero(), second])
    };
    let steps = 7;
    for rule in all_quadratures() {
        let method = || {
            let method = IntegratedGradients::new().quadrature(rule).steps(steps);
            method.baseline(baselines())
        };
        let whole = explain(&method(), &bent, &image);
        let nodes = rule.nodes(steps);
        let points = 2 * nodes.len();
        let kept = explain(&method().keep_partial(true), &bent, &image);
        assert!(relative_error(kept.values(), whole.values()) < 1e-5);
        assert!(kept.planned().is_empty());
        for reached in [1, 3, points - 1] {
            let found = stopped(method(), reached, &Tensor::cat(vec![image.clone(); 2], 0));
            let (mut sum, mut weights) = ([0.0; 2], 0.0);
            for &i in &van_der_corput(points)[..reached] {
                let (at, weight) = nodes[i % nodes.len()];
                let [a, b] = [[0.0, 0.0], start][i / nodes.len()];
                let (u, v) = (a + at * (x - a), b + at * (y - b));
                let gradient = [3.0 * (3.0 * u).cos() * v * v, 2.0 * (3.0 * u).sin() * v];
                sum[0] += weight * gradient[0] * (x - a);
                sum[1] += weight * gradient[1] * (y - b);
                weights += weight;
            }
            let want = sum.map(|sum| (sum / weights) as f32);
            let got = found.values().index_axis(Axis(0), 0);
            let error = relative_error(got.view(), &want);
            assert!(
                error < 1e-5,
                "{rule} of {reached}: {got:?}, expected {want:?}"
            );
            assert_eq!(found.evaluations(), [reached, 0]);
            assert_eq!(found.planned(), [points; 2]);
            let later = found.values().index_axis(Axis(0), 1);
            assert!(later.iter().all(|&v| v == 0.0));
            // What images are worth is known all the same.
            assert_eq!(found.scores()[0], found.scores()[1]);
        }
    }
}

#[test]
fn stopped_adaptive_integration_is_the_trapezoid_so_far() {
    let image = pair(0.8, 1.5);
    let method = || IntegratedGradients::adaptive(1e-9).max_evaluations(200);
    // Before there are intervals everywhere there is nothing.
    let none = stopped(method(), 20, &image);
    assert_eq!((none.evaluations(), none.planned()), (&[0][..], &[200][..]));
    assert!(none.values().iter().all(|&v| v == 0.0));
    let first = stopped(method(), 33, &image);
    let trapezoid = IntegratedGradients::notebook().steps(32);
    let trapezoid = explain(&trapezoid, &bent, &image);
    assert!(relative_error(first.values(), trapezoid.values()) < 1e-5);
    assert_eq!(
        (first.evaluations(), first.tolerance_met()),
        (&[33][..], &[false][..])
    );
    // More of them are nearer.
    let later = stopped(method(), 120, &image);
    let errors = [&first, &later].map(|found| found.completeness_error().unwrap());
    assert!(errors[1] < errors[0], "{errors:?}");
}
