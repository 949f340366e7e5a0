//! The errors that are stated beside the numbers.

use elucid_attribution::{
    Attributor, KernelShap, Lime, Method, MethodOptions, SobolAttribution, Target,
};
use ndarray::{Array1, Array2};

use super::{asked, columns, error, logged, spread_over_stated, stated, values};

/// The inverse of a matrix, by Gauss and Jordan.
fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let n = matrix.nrows();
    let mut left = matrix.clone();
    let mut right = Array2::<f64>::eye(n);
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|&a, &b| left[[a, column]].abs().total_cmp(&left[[b, column]].abs()));
        let pivot = pivot.unwrap();
        for matrix in [&mut left, &mut right] {
            for j in 0..n {
                matrix.swap([pivot, j], [column, j]);
            }
        }
        let scale = left[[column, column]];
        for matrix in [&mut left, &mut right] {
            matrix.row_mut(column).mapv_inplace(|v| v / scale);
        }
        for i in (0..n).filter(|&i| i != column) {
            let factor = left[[i, column]];
            for matrix in [&mut left, &mut right] {
                for j in 0..n {
                    matrix[[i, j]] -= factor * matrix[[column, j]];
                }
            }
        }
    }
    right
}

/// `A^-1 (sum of u u^T) A^-1`
fn sandwich(bread: &Array2<f64>, us: &[Array1<f64>]) -> Array2<f64> {
    let inverse = inverse(bread);
    let mut meat = Array2::<f64>::zeros(bread.raw_dim());
    for u in us {
        for (i, a) in u.iter().enumerate() {
            for (j, b) in u.iter().enumerate() {
                meat[[i, j]] += a * b;
            }
        }
    }
    inverse.dot(&meat).dot(&inverse)
}

/// With the intercept as one of the coefficients.
#[test]
fn lime_states_the_errors_of_the_sandwich() {
    let n = 6;
    let (image, network, log) = logged(n, |z| 2.0 * z[0] * z[1] - z[2] + z[3] * z[4] * z[5]);
    let (samples, ridge, width) = (80, 0.5, 0.4);
    let method = Lime::new().superpixels(columns(n)).samples(samples);
    let method = method.ridge(ridge).kernel_width(width).batch_size(7);
    let found = method
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let whole = f64::from(found.attribution().scores()[0]);
    let rows = asked(&log)
        .into_iter()
        .map(|(z, score)| (z, f64::from(score)));
    let rows: Vec<_> = [(vec![1.0; n], whole)].into_iter().chain(rows).collect();
    assert_eq!(rows.len(), samples);
    let mut bread = Array2::<f64>::zeros((n + 1, n + 1));
    let mut right = Array1::<f64>::zeros(n + 1);
    let row = |z: &[f32]| -> (Array1<f64>, f64) {
        let shown: f64 = z.iter().map(|&z| f64::from(z)).sum();
        let distance = 1.0 - (shown / n as f64).sqrt();
        let x = [1.0].into_iter().chain(z.iter().map(|&z| f64::from(z)));
        (
            x.collect(),
            (-distance * distance / (2.0 * width * width)).exp(),
        )
    };
    for (z, score) in &rows {
        let (x, weight) = row(z);
        for ((i, j), entry) in bread.indexed_iter_mut() {
            *entry += weight * x[i] * x[j];
        }
        right.scaled_add(weight * score, &x);
    }
    for i in 1..=n {
        bread[[i, i]] += ridge;
    }
    let fit = inverse(&bread).dot(&right);
    assert!(error(&values(&found), &fit.to_vec()[1..]) < 1e-6);
    let us: Vec<Array1<f64>> = rows[1..]
        .iter()
        .map(|(z, score)| {
            let (x, weight) = row(z);
            let residual = weight * (score - fit.dot(&x));
            x * residual
        })
        .collect();
    let covariance = sandwich(&bread, &us);
    let count = (samples - 1) as f64;
    let want: Vec<f64> = (1..=n)
        .map(|i| (covariance[[i, i]] * count / (count - n as f64 - 1.0)).sqrt())
        .collect();
    let off = error(&stated(&found), &want);
    assert!(off < 1e-5, "{off:.1e}");
    // As many coefficients as samples leave nothing to tell.
    let few = Lime::new()
        .superpixels(columns(n))
        .samples(n + 2)
        .ridge(1.0);
    let few = few.attribute(&network, &image, Target::class(0));
    assert!(few.unwrap().standard_errors().is_none());
}

/// With the last segment's value as what the others leave of the difference.
#[test]
fn kernel_shap_states_the_errors_of_the_sandwich_of_pairs() {
    let n = 6;
    let (image, network, log) = logged(n, |z| 2.0 * z[0] * z[1] - z[2] + z[3] * z[4] * z[5] + 0.25);
    let samples = 50;
    let method = KernelShap::new().superpixels(columns(n)).samples(samples);
    let found = method.batch_size(7);
    let found = found
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let rows = asked(&log);
    assert_eq!(rows.len(), samples);
    let whole = f64::from(found.attribution().scores()[0]);
    let [none, all] = [0.25, whole];
    let mut bread = Array2::<f64>::zeros((n - 1, n - 1));
    let mut right = Array1::<f64>::zeros(n - 1);
    let row = |(z, score): &(Vec<f32>, f32)| -> (Array1<f64>, f64) {
        let last = f64::from(z[n - 1]);
        let x = z[..n - 1].iter().map(|&z| f64::from(z) - last);
        (x.collect(), f64::from(*score) - none - last * (all - none))
    };
    for one in &rows {
        let (x, y) = row(one);
        for ((i, j), entry) in bread.indexed_iter_mut() {
            *entry += x[i] * x[j];
        }
        right.scaled_add(y, &x);
    }
    let fit = inverse(&bread).dot(&right);
    assert!(error(&values(&found)[..n - 1], &fit.to_vec()) < 1e-6);
    let us: Vec<Array1<f64>> = rows
        .chunks(2)
        .map(|pair| {
            let each = pair.iter().map(|one| {
                let (x, y) = row(one);
                let residual = y - fit.dot(&x);
                x * residual
            });
            each.reduce(|a, b| a + b).unwrap()
        })
        .collect();
    let covariance = sandwich(&bread, &us);
    let pairs = us.len() as f64;
    let factor = pairs / (pairs - (n - 1) as f64);
    let mut want: Vec<f64> = (0..n - 1)
        .map(|i| (factor * covariance[[i, i]]).sqrt())
        .collect();
    want.push((factor * covariance.sum()).sqrt());
    let off = error(&stated(&found), &want);
    assert!(off < 1e-5, "{off:.1e}");

    // Of all coalitions there is no error, and of too few nothing is known.
    let run = |samples| {
        let method = KernelShap::new().superpixels(columns(n)).samples(samples);
        method
            .attribute(&network, &image, Target::class(0))
            .unwrap()
    };
    let exact = run(62);
    assert!(
        exact
            .standard_errors()
            .unwrap()
            .iter()
            .all(|&error| error == 0.0)
    );
    assert!(run(10).standard_errors().is_none());
}

#[test]
fn sobol_states_the_errors_of_a_ratio() {
    let (n, design) = (4, 24);
    let (image, network, log) = logged(n, |u| u[0] * u[1] + u[2].powi(3) - u[3]);
    let method = SobolAttribution::new()
        .superpixels(columns(n))
        .design(design);
    let found = method
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let asked = asked(&log);
    let points: Vec<Vec<f64>> = asked
        .chunks(n + 2)
        .map(|point| point.iter().map(|(_, score)| f64::from(*score)).collect())
        .collect();
    let count = design as f64;
    let mean = points.iter().map(|p| p[0] + p[1]).sum::<f64>() / (2.0 * count);
    let part = |p: &Vec<f64>| ((p[0] - mean).powi(2) + (p[1] - mean).powi(2)) / 2.0;
    let variance = points.iter().map(part).sum::<f64>() / count;
    let want: Vec<f64> = (0..n)
        .map(|i| {
            let change = |p: &Vec<f64>| (p[0] - p[2 + i]).powi(2) / 2.0;
            let index = points.iter().map(change).sum::<f64>() / count / variance;
            let moves = points
                .iter()
                .map(|p| (change(p) - index * part(p)) / variance);
            (moves.map(|m| m * m).sum::<f64>() / (count * (count - 1.0))).sqrt()
        })
        .collect();
    let off = error(&stated(&found), &want);
    assert!(off < 1e-5, "{off:.1e}");
}

#[test]
fn errors_that_are_stated_are_those_over_seeds() {
    let n = 5;
    // Pairs of a coalition and its complement tell products of two exactly, but not those of three.
    let score = |u: &[f32]| 2.0 * u[0] * u[1] + u[2] + 3.0 * u[1] * u[2] * u[3] - 0.5 * u[4];
    let spread = |name: &str, option: &str, value: &str| {
        let run = |seed| {
            let (image, network, _) = logged(n, score);
            let options = MethodOptions::new().seed(seed).batch_size(64);
            let options = options
                .set(option, value)
                .set("segments", &format!("grid:1x{n}"));
            let method = Method::find(name).unwrap().build(&options).unwrap();
            method
                .attribute(&network, &image, Target::class(0))
                .unwrap()
        };
        let ratios = spread_over_stated((0..300).map(run));
        println!("{name}: {ratios:.2?}");
        ratios
    };
    // Variances of 300 runs are known to a tenth. Designs that are more even than independent samples vary less.
    for (name, option, value, least) in [
        ("lime", "samples", "200", 0.7),
        ("kernel-shap", "samples", "28", 0.7),
        ("hsic", "samples", "200", 0.3),
        ("sobol", "design", "32", 0.4),
    ] {
        for ratio in spread(name, option, value) {
            assert!((least..1.6).contains(&ratio), "{name}: {ratio}");
        }
    }
}
