//! Methods that hide groups of pixels, on games small enough to be solved by hand or by trying all
//! that there is.

use std::collections::BTreeSet;
use std::f32::consts::PI;
use std::sync::{Arc, Mutex};

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::{
    Attribution, AttributionError, Attributor, Baseline, HsicAttribution, KernelShap, Lime, Method,
    MethodOptions, Network, SegmentAttribution, Segments, ShapleySampling, SobolAttribution,
    Superpixels, Target,
};
use elucid_models::photographs;
use elucid_testkit::{device, relative_error, tensor};
use ndarray::{Array1, Array2, Axis};

use super::shared::SQUEEZENET as MODEL;

const HEIGHT: usize = 5;
const WIDTH: usize = 7;

/// A map of six segments of different sizes, one of them in two parts, with labels that do not
/// follow each other.
fn labels() -> Array2<usize> {
    let rows = [
        [3, 3, 3, 9, 9, 4, 4],
        [3, 0, 0, 9, 9, 4, 4],
        [7, 0, 0, 7, 7, 7, 4],
        [7, 7, 7, 7, 12, 12, 3],
        [12, 12, 12, 12, 12, 12, 3],
    ];
    Array2::from_shape_fn((HEIGHT, WIDTH), |(y, x)| rows[y][x])
}

fn six() -> Superpixels {
    Superpixels::labels(labels())
}

/// `[1, 2, 5, 7]` of numbers from -1 to 1, another for each `phase`.
fn image(phase: f32) -> Tensor<4> {
    let values = (0..2 * HEIGHT * WIDTH).map(|i| (0.7 * i as f32 + phase).sin());
    tensor(values.collect(), [1, 2, HEIGHT, WIDTH])
}

/// Numbers of each image, computed on the host: nothing here is differentiable.
fn on_host(x: &Tensor<4>, score: impl Fn(&[f32]) -> f32) -> Tensor<2> {
    let rows = x.dims()[0];
    let values: Vec<f32> = x.clone().into_data().iter::<f32>().collect();
    let scores: Vec<f32> = values.chunks(values.len() / rows).map(score).collect();
    Tensor::from_data(TensorData::new(scores, [rows, 1]), &device())
}

/// Products of pixels far apart, squares and sums.
fn rough(values: &[f32]) -> f32 {
    let n = values.len();
    let pairs = (0..n).map(|i| values[i] * values[(5 * i + 11) % n]);
    let triples = (0..n).map(|i| values[i] * values[(i + 8) % n] * values[(3 * i + 2) % n]);
    let sum = (0..n).map(|i| values[i] * (1.3 * i as f32).cos());
    pairs.sum::<f32>() + triples.sum::<f32>() + sum.sum::<f32>()
}

fn rough_network(x: Tensor<4>) -> Tensor<2> {
    on_host(&x, rough)
}

/// The score of every coalition of the six segments, by its bits, without any of the crate's code.
fn worth(image: &Tensor<4>, baselines: &[f32]) -> Vec<f64> {
    let mut known: Vec<usize> = labels().into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let values: Vec<f32> = image.clone().into_data().iter::<f32>().collect();
    let map: Vec<usize> = labels().into_iter().collect();
    let of = |coalition: usize, baseline: f32| {
        let pixels = values.iter().enumerate().map(|(i, &v)| {
            let player = known.iter().position(|&l| l == map[i % map.len()]).unwrap();
            if coalition >> player & 1 == 1 {
                v
            } else {
                baseline
            }
        });
        f64::from(rough(&pixels.collect::<Vec<f32>>()))
    };
    (0..1 << known.len())
        .map(|c| baselines.iter().map(|&b| of(c, b)).sum::<f64>() / baselines.len() as f64)
        .collect()
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            all.push(longer);
        }
    }
    all
}

/// Shapley values by all orders of the six segments.
fn shapley(worth: &[f64]) -> Vec<f64> {
    let orders = permutations(6);
    let mut values = vec![0.0; 6];
    for order in &orders {
        let mut coalition = 0;
        for &player in order {
            let with = coalition | 1 << player;
            values[player] += (worth[with] - worth[coalition]) / orders.len() as f64;
            coalition = with;
        }
    }
    values
}

fn error(got: &[f64], want: &[f64]) -> f64 {
    let largest = want.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
    let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs());
    worst.fold(0.0, f64::max) / largest
}

fn values(found: &SegmentAttribution) -> Vec<f64> {
    found.values()[0].to_vec()
}

#[test]
fn kernel_shap_of_all_coalitions_is_exact() {
    let image = image(0.3);
    for (baseline, numbers) in [
        (Baseline::zero(), vec![0.0]),
        (Baseline::constant([0.4]), vec![0.4]),
        (
            Baseline::several([Baseline::zero(), Baseline::constant([-0.8])]),
            vec![0.0, -0.8],
        ),
    ] {
        let worth = worth(&image, &numbers);
        let want = shapley(&worth);
        let method = KernelShap::new()
            .superpixels(six())
            .baseline(baseline)
            .samples(62);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        let error = error(&values(&found), &want);
        println!("KernelSHAP of all coalitions: {error:.1e}");
        assert!(error < 1e-5, "{error:.1e}");
        let attribution = found.attribution();
        let complete = attribution.completeness()[0];
        assert!((complete.expected - (worth[63] - worth[0])).abs() < 1e-5);
        assert!(attribution.completeness_error().unwrap() < 1e-12);
        assert_eq!(attribution.evaluations(), [64 * numbers.len()]);
        assert!((f64::from(attribution.scores()[0]) - worth[63]).abs() < 1e-5);
        // No chance is left, and more samples change nothing.
        let again = method.seed(7).samples(5000);
        let again = again.attribute_segments(&rough_network, &image, &Target::class(0));
        assert_eq!(again.unwrap().values(), found.values());
    }
}

#[test]
fn sampled_kernel_shap_converges() {
    let image = image(1.0);
    let want = shapley(&worth(&image, &[0.0]));
    let run = |samples, seed| {
        let method = KernelShap::new()
            .superpixels(six())
            .samples(samples)
            .seed(seed);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        assert!(found.attribution().completeness_error().unwrap() < 1e-12);
        error(&values(&found), &want)
    };
    let mean = |samples| (0..20).map(|seed| run(samples, seed)).sum::<f64>() / 20.0;
    let (few, many) = (mean(10), mean(60));
    println!("KernelSHAP of 10 and 60 samples: {few:.2} {many:.2}");
    assert!(many < 0.5 * few && many < 0.25, "{few} {many}");
}

/// The score that a network of one number per segment gives, and what it was asked: images of ones
/// on zeros show what each segment was multiplied by.
type Log = Arc<Mutex<Vec<(Vec<f32>, f32)>>>;

/// A network whose score is `score` of the first pixels of `n` segments, which are the columns of
/// a `1 x n` image of ones.
fn logged(n: usize, score: impl Fn(&[f32]) -> f32) -> (Tensor<4>, impl Network, Log) {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let network = move |x: Tensor<4>| {
        on_host(&x, |row| {
            let found = score(row);
            seen.lock().unwrap().push((row.to_vec(), found));
            found
        })
    };
    (tensor(vec![1.0; n], [1, 1, 1, n]), network, log)
}

/// Each column a segment.
fn columns(n: usize) -> Superpixels {
    Superpixels::labels(Array2::from_shape_fn((1, n), |(_, x)| x))
}

/// What was asked beside all and none, which come first.
fn asked(log: &Log) -> Vec<(Vec<f32>, f32)> {
    let log = log.lock().unwrap();
    assert!(log[0].0.iter().all(|&z| z == 1.0));
    assert!(log[1].0.iter().all(|&z| z == 0.0));
    log[2..].to_vec()
}

#[test]
fn kernel_shap_draws_pairs_of_the_right_sizes() {
    let n = 12;
    let weights: Vec<f32> = (0..n).map(|i| i as f32 - 4.0).collect();
    let planted = weights.clone();
    let (image, network, log) = logged(n, move |z| {
        z.iter().zip(&planted).map(|(z, w)| z * w).sum::<f32>() + 3.0
    });
    let method = KernelShap::new().superpixels(columns(n)).samples(3001);
    let found = method
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let want: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
    assert!(error(&values(&found), &want) < 1e-9);

    let asked = asked(&log);
    assert_eq!(asked.len(), 3001);
    let mut counts = vec![0.0; n];
    for pair in asked.chunks_exact(2) {
        let complement = pair[0].0.iter().zip(&pair[1].0);
        assert!(complement.clone().all(|(a, b)| a + b == 1.0));
        counts[pair[0].0.iter().sum::<f32>() as usize] += 1.0;
    }
    assert_eq!(counts[0], 0.0);
    let mass: f64 = (1..n).map(|s| 1.0 / (s * (n - s)) as f64).sum();
    for (size, &count) in counts.iter().enumerate().skip(1) {
        let p = 1.0 / (size * (n - size)) as f64 / mass;
        let deviation = (1500.0 * p * (1.0 - p)).sqrt();
        let away = (count - 1500.0 * p).abs() / deviation;
        assert!(away < 4.0, "{count} of size {size}: {away} deviations");
    }

    // Fewer samples than segments: numbers all the same, and they add up.
    let few = KernelShap::new().superpixels(columns(n)).samples(4);
    let few = few.attribute(&network, &image, Target::class(0)).unwrap();
    assert!(few.completeness_error().unwrap() < 1e-12);
    assert!(few.values().iter().all(|v| v.abs() < 40.0));
}

#[test]
fn shapley_sampling_adds_up_and_converges() {
    let image = image(2.0);
    let want = shapley(&worth(&image, &[0.0]));
    let run = |permutations, seed, batch_size| {
        let method = ShapleySampling::new()
            .superpixels(six())
            .permutations(permutations)
            .batch_size(batch_size)
            .seed(seed);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        let attribution = found.attribution();
        assert!(attribution.completeness_error().unwrap() < 1e-12);
        assert_eq!(attribution.evaluations(), [5 * permutations + 2]);
        values(&found)
    };
    let mean = |permutations| {
        let errors = (0..10).map(|seed| error(&run(permutations, seed, 8), &want));
        errors.sum::<f64>() / 10.0
    };
    let (few, many) = (mean(10), mean(1000));
    println!("Shapley sampling of 10 and 1000 orders: {few:.3} {many:.3}");
    // A hundred times the orders, a tenth of the error.
    assert!(many < 0.15 * few && many < 0.1, "{few} {many}");
    for batch_size in [1, 2, 5, 6] {
        assert_eq!(run(3, 1, batch_size), run(3, 1, 8));
    }
}

/// For each number the variance over runs over the mean of the variances that runs state.
fn spread_over_stated(runs: impl Iterator<Item = Attribution>) -> Vec<f64> {
    let runs: Vec<Attribution> = runs.collect();
    let count = runs.len() as f64;
    let numbers = runs[0].values().len();
    let of = |run: &Attribution, i: usize| f64::from(run.values().as_slice().unwrap()[i]);
    let stated = |run: &Attribution, i: usize| {
        let errors = run.standard_errors().unwrap();
        f64::from(errors.as_slice().unwrap()[i]).powi(2)
    };
    (0..numbers)
        .map(|i| {
            let mean = runs.iter().map(|run| of(run, i)).sum::<f64>() / count;
            let squares = runs.iter().map(|run| (of(run, i) - mean).powi(2));
            squares.sum::<f64>() / runs.iter().map(|run| stated(run, i)).sum::<f64>()
        })
        .collect()
}

#[test]
fn shapley_sampling_says_how_sure_it_is() {
    let image = image(2.0);
    let run = |permutations, seed| {
        let method = ShapleySampling::new().superpixels(six());
        let method = method.permutations(permutations).seed(seed);
        method
            .attribute(&rough_network, &image, Target::class(0))
            .unwrap()
    };
    // Variances of 200 runs are known to a tenth.
    for ratio in spread_over_stated((0..200).map(|seed| run(20, seed))) {
        assert!((ratio - 1.0).abs() < 0.5, "{ratio}");
    }
    assert!(run(1, 0).standard_errors().is_none());
}

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

fn stated(found: &SegmentAttribution) -> Vec<f64> {
    // Columns: each segment is a pixel.
    let errors = found.attribution().standard_errors().unwrap();
    errors.iter().map(|&error| f64::from(error)).collect()
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

#[test]
fn every_pixel_has_the_number_of_its_segment() {
    let image = image(0.0);
    let found = KernelShap::new()
        .superpixels(six())
        .attribute_segments(&rough_network, &image, &Target::class(0))
        .unwrap();
    let attribution = found.attribution();
    assert_eq!(attribution.values().shape(), [1, 1, HEIGHT, WIDTH]);
    let segments = &found.segments()[0];
    assert_eq!(segments.count(), 6);
    let order = [0, 3, 4, 7, 9, 12];
    for (pixel, &label) in labels().indexed_iter() {
        let segment = segments.labels()[pixel];
        assert_eq!(order[segment], label);
        let want = found.values()[0][segment] as f32;
        assert_eq!(attribution.values()[[0, 0, pixel.0, pixel.1]], want);
    }
}

fn methods(superpixels: &Superpixels) -> Vec<Box<dyn Attributor>> {
    let noise = || Baseline::several([Baseline::noise(-1.0, 1.0), Baseline::blur(1.0)]);
    let lime = Lime::new().samples(9).batch_size(4).baseline(noise());
    let shap = KernelShap::new().samples(9).batch_size(4);
    let shapley = ShapleySampling::new().permutations(2).batch_size(4);
    let sobol = SobolAttribution::new().design(2).batch_size(4);
    let hsic = HsicAttribution::new().samples(9).batch_size(4);
    let parts = || superpixels.clone();
    vec![
        Box::new(lime.superpixels(parts()).seed(1)),
        Box::new(shap.superpixels(parts()).baseline(noise()).seed(2)),
        Box::new(shapley.superpixels(parts()).baseline(noise()).seed(3)),
        Box::new(sobol.superpixels(parts()).baseline(noise()).seed(4)),
        Box::new(hsic.superpixels(parts()).baseline(noise()).seed(5)),
    ]
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let two = |x: Tensor<4>| {
        let more = on_host(&x, |v| v[3] * v[40] - v[20].exp());
        Tensor::cat(vec![on_host(&x, rough), more], 1)
    };
    let images = Tensor::cat(vec![image(0.4), image(2.2) * 3.0], 0);
    let targets = [Target::class(0), Target::difference(1, 0)];
    for superpixels in [six(), Superpixels::slic(8), Superpixels::grid(3)] {
        for method in methods(&superpixels) {
            let name = format!("{} on {superpixels}", method.name());
            let run = |images: &Tensor<4>, target| method.attribute(&two, images, target).unwrap();
            let both = run(&images, Target::each(targets.clone()));
            for (i, target) in targets.iter().enumerate() {
                let alone = run(&images.clone().narrow(0, i, 1), target.clone());
                let row = both.values().index_axis(Axis(0), i);
                let error = relative_error(row, alone.values());
                assert!(error < 1e-5, "{name}, image {i}: {error:.1e}");
                assert!((both.scores()[i] - alone.scores()[0]).abs() < 1e-5);
                assert_eq!(both.evaluations()[i], alone.evaluations()[0], "{name}");
            }
            let again = run(&images, Target::each(targets.clone()));
            assert_eq!(again.values(), both.values(), "{name}");
        }
    }
}

#[test]
fn work_can_be_watched() {
    for (method, evaluations) in [
        ("lime", 7 + 1),
        ("kernel-shap", 7 + 2),
        ("shapley-sampling", 2 * 8 + 2),
        ("sobol", 2 * 11 + 2),
        ("hsic", 7 + 2),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let settings = [
            ("segments", "grid:3"),
            ("samples", "7"),
            ("permutations", "2"),
            ("design", "2"),
            ("baseline", "zero+constant:1"),
        ];
        let found = Method::find(method).unwrap();
        let options = settings
            .into_iter()
            .filter(|(option, _)| found.takes(option))
            .fold(MethodOptions::new(), |o, (option, value)| {
                o.set(option, value)
            })
            .batch_size(3)
            .progress(move |p| {
                log.lock().unwrap().push((p.done, p.total));
                p.continue_()
            });
        let images = Tensor::cat(vec![image(0.4), image(2.2)], 0);
        let built = found.build(&options).unwrap();
        let got = built.attribute(&rough_network, &images, Target::class(0));
        let got = got.unwrap();
        assert_eq!(got.evaluations(), [2 * evaluations; 2], "{method}");
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|(_, total)| *total == 4 * evaluations));
        assert!(seen.is_sorted() && seen[seen.len() - 1].0 == 4 * evaluations);
        assert!(seen.windows(2).all(|w| w[1].0 - w[0].0 <= 3), "{method}");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let shap = || KernelShap::new();
    let on = |superpixels| -> Box<dyn Attributor> { Box::new(shap().superpixels(superpixels)) };
    let narrow = Array2::zeros((HEIGHT, WIDTH - 1));
    let bad: Vec<(&str, Box<dyn Attributor>)> = vec![
        ("samples", Box::new(Lime::new().samples(0))),
        ("kernel-width", Box::new(Lime::new().kernel_width(f64::NAN))),
        ("kernel-width", Box::new(Lime::new().kernel_width(0.0))),
        ("ridge", Box::new(Lime::new().ridge(-1.0))),
        ("ridge", Box::new(Lime::new().ridge(f64::NAN))),
        ("samples", Box::new(shap().samples(0))),
        (
            "permutations",
            Box::new(ShapleySampling::new().permutations(0)),
        ),
        ("design", Box::new(SobolAttribution::new().design(0))),
        ("samples", Box::new(HsicAttribution::new().samples(1))),
        ("samples", Box::new(HsicAttribution::new().samples(10_001))),
        ("batch size", Box::new(shap().batch_size(0))),
        (
            "baseline",
            Box::new(shap().superpixels(six()).baseline(Baseline::several([]))),
        ),
        ("segments", on(Superpixels::grid(0))),
        ("segments", on(Superpixels::grid(HEIGHT + 1))),
        ("segments", on(Superpixels::slic(0))),
        ("segments", on(Superpixels::slic(HEIGHT * WIDTH + 1))),
        ("segments", on(Superpixels::slic_with_compactness(3, 0.0))),
        (
            "segments",
            on(Superpixels::slic_with_compactness(3, f64::NAN)),
        ),
        ("segments", on(Superpixels::labels(narrow))),
    ];
    for (name, method) in bad {
        match method.attribute(&rough_network, &image(0.0), Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    // More segments than a linear model takes.
    let large = tensor(vec![0.0; 65 * 65], [1, 1, 65, 65]);
    let found = Lime::new().superpixels(Superpixels::grid(65)).attribute(
        &rough_network,
        &large,
        Target::class(0),
    );
    assert!(matches!(found, Err(AttributionError::Parameter { .. })));
    // One segment has the whole difference.
    let one = KernelShap::new().superpixels(Superpixels::grid(1));
    let one = one.attribute_segments(&rough_network, &image(0.0), &Target::class(0));
    let one = one.unwrap();
    assert_eq!(one.attribution().evaluations(), [2]);
    assert_eq!(one.attribution().completeness_error(), Some(0.0));
}

#[test]
fn segments_as_text() {
    for (text, want) in [
        ("grid:8", Superpixels::grid(8)),
        (" slic:50", Superpixels::slic(50)),
        ("slic:50:2.5", Superpixels::slic_with_compactness(50, 2.5)),
    ] {
        assert_eq!(text.parse::<Superpixels>().unwrap(), want);
        assert_eq!(want.to_string().parse::<Superpixels>().unwrap(), want);
    }
    for text in [
        "",
        "grid",
        "grid:",
        "grid:-1",
        "slic:5:",
        "slic:5:1:1",
        "felzenszwalb:3",
    ] {
        assert!(text.parse::<Superpixels>().is_err(), "{text}");
        let options = MethodOptions::new().set("segments", text);
        let refused = Method::find("lime").unwrap().build(&options);
        assert!(matches!(refused, Err(AttributionError::OptionValue { .. })));
    }
}

fn photograph(bytes: &[u8], size: [usize; 2]) -> Tensor<4> {
    let spec = MODEL.input_spec().clone().with_size(size).unwrap();
    let picture = elucid_vision::input::decode_image(bytes).unwrap();
    let values = spec.prepare(&picture).unwrap().tensor;
    tensor(values.into_iter().collect(), [1, 3, size[0], size[1]])
}

fn first(superpixels: &Superpixels, network: &dyn Network, image: &Tensor<4>) -> Segments {
    let segments = superpixels.segments(network, image).unwrap();
    let count = segments[0].count();
    let labels: BTreeSet<usize> = segments[0].labels().iter().copied().collect();
    assert_eq!(labels, (0..count).collect());
    let [_, _, height, width] = image.dims();
    assert_eq!(segments[0].labels().dim(), (height, width));
    segments[0].clone()
}

/// Pixels of a segment reach each other by their sides.
fn is_connected(segments: &Segments) -> bool {
    let labels = segments.labels();
    let mut seen = Array2::from_elem(labels.dim(), false);
    let mut parts = 0;
    for (start, &label) in labels.indexed_iter() {
        if seen[start] {
            continue;
        }
        parts += 1;
        let mut open = vec![start];
        while let Some((y, x)) = open.pop() {
            if labels.get((y, x)) != Some(&label) || seen[(y, x)] {
                continue;
            }
            seen[(y, x)] = true;
            open.extend([(y + 1, x), (y, x + 1)]);
            open.extend(y.checked_sub(1).map(|y| (y, x)));
            open.extend(x.checked_sub(1).map(|x| (y, x)));
        }
    }
    parts == segments.count()
}

#[test]
fn grids_are_even() {
    for (cells, height, width) in [(1, 3, 3), (3, 7, 11), (5, 5, 9), (8, 224, 224)] {
        let image = tensor(vec![0.0; height * width], [1, 1, height, width]);
        let segments = first(&Superpixels::grid(cells), &rough_network, &image);
        assert_eq!(segments.count(), cells * cells);
        assert!(is_connected(&segments));
        for (cell, label) in (0..cells * cells).enumerate() {
            let pixels = segments.labels().indexed_iter();
            let of_cell: Vec<(usize, usize)> = pixels
                .filter(|(_, l)| **l == label)
                .map(|(at, _)| at)
                .collect();
            let rows: BTreeSet<usize> = of_cell.iter().map(|at| at.0).collect();
            let columns: BTreeSet<usize> = of_cell.iter().map(|at| at.1).collect();
            assert_eq!(rows.len() * columns.len(), of_cell.len());
            assert!(rows.len().abs_diff(height / cells) <= 1);
            assert!(columns.len().abs_diff(width / cells) <= 1);
            if cell == 0 {
                assert_eq!(of_cell[0], (0, 0));
            }
        }
    }
}

#[test]
fn slic_cuts_photographs_into_connected_segments() {
    let cat = photographs::chelsea();
    for (size, wish) in [
        ([224, 224], 50),
        ([224, 224], 200),
        ([96, 96], 50),
        ([61, 130], 20),
        ([130, 61], 20),
        ([224, 224], 1),
        ([17, 31], 10),
    ] {
        let image = photograph(cat, size);
        let segments = first(&Superpixels::slic(wish), &*MODEL, &image);
        let count = segments.count();
        println!("SLIC of {size:?}: {count} segments, {wish} wished");
        assert!(is_connected(&segments), "{size:?}, {wish}");
        assert!(count * 3 >= wish * 2 && count * 2 <= wish * 3, "{count}");
        let mut sizes = vec![0; count];
        segments.labels().iter().for_each(|&l| sizes[l] += 1);
        let least = (size[0] * size[1]) as f64 / wish as f64 / 4.0;
        assert!(sizes.iter().all(|&s| f64::from(s) > 0.8 * least));
        assert_eq!(first(&Superpixels::slic(wish), &*MODEL, &image), segments);
        // A closure sees no picture, only numbers between the smallest and the largest.
        let other = first(&Superpixels::slic(wish), &rough_network, &image);
        assert!(is_connected(&other));
        assert!(other.count() * 2 >= wish && other.count() <= wish * 2);
    }
}

#[test]
fn slic_follows_edges() {
    // Two colours of a model's picture, and two greys of a closure's image, along a slanted line.
    let side = |y: usize, x: usize| usize::from(2 * y + 3 * x > 130);
    for channels in [1, 3] {
        let values = (0..channels).flat_map(|c| {
            (0..48 * 64).map(move |i| match side(i / 64, i % 64) {
                0 => 0.1 + 0.2 * c as f32,
                _ => 0.9 - 0.3 * c as f32,
            })
        });
        let image = tensor(values.collect(), [1, channels, 48, 64]);
        let segments = first(&Superpixels::slic(12), &rough_network, &image);
        assert!(is_connected(&segments));
        assert!((8..=18).contains(&segments.count()), "{}", segments.count());
        let mut sides = vec![BTreeSet::new(); segments.count()];
        for ((y, x), &label) in segments.labels().indexed_iter() {
            sides[label].insert(side(y, x));
        }
        assert!(sides.iter().all(|sides| sides.len() == 1), "{sides:?}");
        // Colours that weigh nothing leave the squares.
        let square = Superpixels::slic_with_compactness(12, 1e9);
        let square = first(&square, &rough_network, &image);
        assert_eq!(square.count(), 12);
        let mut crossed = vec![BTreeSet::new(); 12];
        for ((y, x), &label) in square.labels().indexed_iter() {
            crossed[label].insert(side(y, x));
        }
        assert!(crossed.iter().any(|sides| sides.len() == 2));
    }
    // Nothing to follow.
    let flat = tensor(vec![0.3; 3 * 40 * 40], [1, 3, 40, 40]);
    assert_eq!(
        first(&Superpixels::slic(16), &rough_network, &flat).count(),
        16
    );
}

#[test]
fn the_cat_is_where_its_score_comes_from() {
    let image = photograph(photographs::chelsea(), [224, 224]);
    let method = KernelShap::new()
        .superpixels(Superpixels::grid(3))
        .samples(200);
    let found = method.attribute(&*MODEL, &image, Target::class(285));
    let found = found.unwrap();
    assert!(found.completeness_error().unwrap() < 1e-9);
    let map = found.map().unwrap();
    let map = map.maps();
    // Its face fills the middle.
    let middle = map[[0, 112, 112]];
    assert!(map.iter().all(|&v| v <= middle), "{middle}");
}

/// Hidden pixels have the mean of their segment: the same as hiding by an image of those means.
#[test]
fn segments_are_hidden_by_their_means() {
    let labels = labels();
    let images = Tensor::cat(vec![image(0.0), image(1.0)], 0);
    let mut means = images
        .clone()
        .into_data()
        .iter::<f32>()
        .collect::<Vec<f32>>();
    for channel in means.chunks_mut(HEIGHT * WIDTH) {
        let whole = channel.to_vec();
        for (pixel, label) in channel.iter_mut().zip(&labels) {
            let segment = whole
                .iter()
                .zip(&labels)
                .filter(|(_, other)| *other == label);
            let (sum, count) = segment.fold((0.0, 0), |(s, n), (v, _)| (s + v, n + 1));
            *pixel = sum / count as f32;
        }
    }
    let means = tensor(means, [2, 2, HEIGHT, WIDTH]);
    let network = |x: Tensor<4>| on_host(&x, rough);
    let shap = KernelShap::new().superpixels(six()).samples(100);
    let of = |method: &dyn Attributor| {
        let found = method.attribute(&network, &images, Target::class(0));
        found.unwrap().values().clone()
    };
    let got = of(&shap.clone().segment_mean());
    let want = of(&shap.clone().baseline(Baseline::image(&means)));
    assert!(relative_error(&got, &want) < 1e-5);
    assert!(relative_error(&of(&shap), &want) > 0.1);
    for name in ["lime", "kernel-shap", "shapley-sampling", "sobol", "hsic"] {
        let build = |baseline| {
            let options = MethodOptions::new().set("baseline", baseline);
            Method::find(name).unwrap().build(&options)
        };
        assert!(build("segment-mean").is_ok(), "{name}");
        let error = build("segment-median").unwrap_err().to_string();
        assert!(error.contains("segment-mean"), "{name}: {error}");
    }
}
