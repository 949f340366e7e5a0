//! LIME, Sobol indices and HSIC against their formulas.

use std::collections::BTreeSet;
use std::f32::consts::PI;

use burn::tensor::Tensor;
use elucid_attribution::{HsicAttribution, Lime, Network, SobolAttribution, Target};
use ndarray::{Array2, Axis};

use super::{asked, columns, error, logged, stated, values};

#[test]
fn lime_recovers_what_is_linear() {
    let planted: Vec<f32> = (0..20).map(|i| (i as f32 * 1.9).sin() * 5.0).collect();
    let want: Vec<f64> = planted.iter().map(|&w| f64::from(w)).collect();
    let (image, network, log) = logged(20, move |z| {
        z.iter().zip(&planted).map(|(z, w)| z * w).sum::<f32>() - 8.0
    });
    let method = Lime::new().superpixels(columns(20));
    let run = |method: Lime| {
        let found = method.attribute_segments(&network, &image, &Target::class(0));
        values(&found.unwrap())
    };
    let exact = error(&run(method.clone().samples(100).ridge(0.0)), &want);
    println!("planted linear model: {exact:.1e}");
    assert!(exact < 1e-6, "{exact:.1e}");
    assert_eq!(asked(&log).len(), 99);
    // By default weights are a little smaller.
    let shrunk = error(&run(method), &want);
    assert!((1e-4..0.02).contains(&shrunk), "{shrunk:.1e}");
}

/// At the least sum of squares, residuals have nothing in common with the variables.
#[test]
fn lime_minimises_what_it_says() {
    let n = 7;
    for (width, ridge) in [(0.25, 1.0), (0.1, 0.3), (2.0, 40.0)] {
        let (image, network, log) = logged(n, |z| {
            z[0] * z[1] * 3.0 - (z[2] + z[5]).powi(2) + z[6] * z[3] + 10.0
        });
        let method = Lime::new()
            .superpixels(columns(n))
            .samples(60)
            .kernel_width(width)
            .ridge(ridge);
        let w = values(
            &method
                .attribute_segments(&network, &image, &Target::class(0))
                .unwrap(),
        );
        // The whole image is a sample too.
        let mut samples = asked(&log);
        let whole = log.lock().unwrap()[0].clone();
        samples.push(whole);
        let weighted: Vec<(f64, Vec<f64>, f64)> = samples
            .into_iter()
            .map(|(z, y)| {
                let z: Vec<f64> = z.into_iter().map(f64::from).collect();
                let shown: f64 = z.iter().sum();
                let cosine = shown / (shown.sqrt() * (n as f64).sqrt()).max(1e-300);
                let k = (-(1.0 - cosine).powi(2) / (2.0 * width * width)).exp();
                (k, z, f64::from(y))
            })
            .collect();
        let linear = |z: &[f64]| z.iter().zip(&w).map(|(z, w)| z * w).sum::<f64>();
        let total: f64 = weighted.iter().map(|(k, ..)| k).sum();
        let rests = weighted.iter().map(|(k, z, y)| k * (y - linear(z)));
        let intercept = rests.sum::<f64>() / total;
        for i in 0..n {
            let common = weighted
                .iter()
                .map(|(k, z, y)| k * (y - intercept - linear(z)) * z[i]);
            let slope = common.sum::<f64>() - ridge * w[i];
            assert!(slope.abs() < 1e-6 * total, "width {width}: {slope:.1e}");
        }
    }
}

#[test]
fn sobol_indices_of_known_functions() {
    let run = |network: &dyn Network, image: &Tensor<4>, n| {
        let method = SobolAttribution::new()
            .superpixels(columns(n))
            .design(20_000)
            .batch_size(1000);
        values(
            &method
                .attribute_segments(network, image, &Target::class(0))
                .unwrap(),
        )
    };
    // The standard deviation of an estimate from 20000 points is 0.006 at most: four of them.
    let tolerance = 0.025;
    // Ishigami's function and its published indices.
    let (image, network, _) = logged(3, |u| {
        let [a, b, c] = [u[0], u[1], u[2]].map(|u| PI * (2.0 * u - 1.0));
        a.sin() + 7.0 * b.sin().powi(2) + 0.1 * c.powi(4) * a.sin()
    });
    let got = run(&network, &image, 3);
    println!("Ishigami: {got:.4?}");
    for (got, want) in got.iter().zip([0.5576, 0.4424, 0.2437]) {
        assert!((got - want).abs() < tolerance, "{got} {want}");
    }
    // Additive: shares of the variance.
    let weights = [1.0_f32, -2.0, 0.0, 0.5, 4.0];
    let (image, network, _) = logged(5, move |u| {
        u.iter().zip(weights).map(|(u, w)| u * w).sum::<f32>()
    });
    let whole: f32 = weights.iter().map(|w| w * w).sum();
    let got = run(&network, &image, 5);
    for (got, w) in got.iter().zip(weights) {
        let want = f64::from(w * w / whole);
        assert!((got - want).abs() < tolerance, "{got} {want}");
    }
    assert!(got[2].abs() < 1e-9);
    // Sobol's g-function, a product: a_i of 0, 1 and 4.5.
    let a = [0.0_f32, 1.0, 4.5];
    let (image, network, _) = logged(3, move |u| {
        let factors = u.iter().zip(a);
        factors
            .map(|(u, a)| ((4.0 * u - 2.0).abs() + a) / (1.0 + a))
            .product()
    });
    let partial = a.map(|a| 1.0 / (3.0 * f64::from(1.0 + a).powi(2)));
    let variance: f64 = partial.iter().map(|v| 1.0 + v).product::<f64>() - 1.0;
    for (i, got) in run(&network, &image, 3).into_iter().enumerate() {
        let others = (0..3).filter(|&j| j != i).map(|j| 1.0 + partial[j]);
        let want = partial[i] * others.product::<f64>() / variance;
        assert!((got - want).abs() < tolerance, "{got} {want}");
    }
}

/// Jansen's formula from what the network was asked, and the design.
#[test]
fn sobol_is_jansens_estimate_on_a_latin_hypercube() {
    let (n, design) = (5, 16);
    let (image, network, log) = logged(n, |u| u[0] * u[1] + u[2].powi(3) - u[4]);
    let method = SobolAttribution::new()
        .superpixels(columns(n))
        .design(design)
        .batch_size(3);
    let found = method
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let asked = asked(&log);
    assert_eq!(asked.len(), design * (n + 2));
    assert_eq!(found.attribution().evaluations(), [design * (n + 2) + 2]);
    let points: Vec<_> = asked.chunks(n + 2).collect();
    for column in 0..n {
        for which in 0..2 {
            let taken: BTreeSet<usize> = points
                .iter()
                .map(|p| (p[which].0[column] * design as f32) as usize)
                .collect();
            assert_eq!(taken, (0..design).collect());
        }
    }
    let scores: Vec<f64> = points
        .iter()
        .flat_map(|p| [f64::from(p[0].1), f64::from(p[1].1)])
        .collect();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let variance = scores.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / scores.len() as f64;
    let want: Vec<f64> = (0..n)
        .map(|i| {
            let changes = points.iter().map(|p| {
                let mut mixed = p[0].0.clone();
                mixed[i] = p[1].0[i];
                assert_eq!(mixed, p[2 + i].0);
                f64::from(p[0].1 - p[2 + i].1).powi(2)
            });
            changes.sum::<f64>() / design as f64 / (2.0 * variance)
        })
        .collect();
    assert!(error(&values(&found), &want) < 1e-6);
}

#[test]
fn hsic_is_its_formula_and_finds_the_relevant() {
    let relevant = [3, 17, 30];
    let (image, network, log) = logged(36, move |z| {
        2.0 * z[3] - 3.0 * z[17] * z[30] + 0.05 * z.iter().sum::<f32>()
    });
    for samples in [2, 3, 81, 500] {
        log.lock().unwrap().clear();
        let method = HsicAttribution::new()
            .superpixels(columns(36))
            .samples(samples);
        let found = method
            .attribute_segments(&network, &image, &Target::class(0))
            .unwrap();
        let got = values(&found);
        let asked = asked(&log);
        assert_eq!(asked.len(), samples);
        let (want, errors): (Vec<f64>, Vec<f64>) = hsic(&asked).into_iter().unzip();
        let off = error(&got, &want);
        assert!(off < 1e-9, "{samples} samples: {off:.1e}");
        if samples > 2 {
            let off = error(&stated(&found), &errors);
            assert!(off < 1e-5, "{samples} samples: {off:.1e}");
        }
        for player in 0..36 {
            let shown: f32 = asked.iter().map(|(z, _)| z[player]).sum();
            assert_eq!(shown as usize, samples / 2);
        }
        if samples == 500 {
            let mut order: Vec<usize> = (0..36).collect();
            order.sort_by(|&a, &b| got[b].total_cmp(&got[a]));
            let mut first = order[..3].to_vec();
            first.sort_unstable();
            assert_eq!(first, relevant);
            let (least, next) = (got[order[2]], got[order[3]]);
            println!("HSIC: {least:.4} of a relevant segment, {next:.4} of any other");
            assert!(least > 2.0 * next, "{least} {next}");
        }
    }
}

/// By matrices, with the standard errors.
fn hsic(samples: &[(Vec<f32>, f32)]) -> Vec<(f64, f64)> {
    let p = samples.len();
    let mut distances: Vec<f64> = (0..p)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| (f64::from(samples[i].1) - f64::from(samples[j].1)).abs())
        .collect();
    distances.sort_by(f64::total_cmp);
    let width = distances[distances.len() / 2];
    let h = Array2::from_shape_fn((p, p), |(i, j)| {
        f64::from(u8::from(i == j)) - 1.0 / p as f64
    });
    let l = Array2::from_shape_fn((p, p), |(i, j)| {
        let away = f64::from(samples[i].1) - f64::from(samples[j].1);
        (-away * away / (2.0 * width * width)).exp()
    });
    let hlh = h.dot(&l).dot(&h);
    (0..samples[0].0.len())
        .map(|player| {
            let k = Array2::from_shape_fn((p, p), |(i, j)| {
                0.5 - f64::from((samples[i].0[player] - samples[j].0[player]).abs())
            });
            let value = k.dot(&hlh).diag().sum() / (p as f64 - 1.0).powi(2);
            let parts = (h.dot(&k).dot(&h) * &hlh).sum_axis(Axis(1)) / p as f64;
            let scale = (p as f64 / (p as f64 - 1.0)).powi(2);
            (value, scale * 2.0 * parts.std(1.0) / (p as f64).sqrt())
        })
        .collect()
}
