//! Methods that hide groups of pixels, on games small enough to be solved by hand or by trying all
//! that there is.

mod errors;
mod methods;
mod segments;
mod sensitivity;
mod shapley;

use std::sync::{Arc, Mutex};

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::{Attribution, Network, SegmentAttribution, Superpixels};
use elucid_testkit::{device, tensor};
use ndarray::Array2;

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

fn stated(found: &SegmentAttribution) -> Vec<f64> {
    // Columns: each segment is a pixel.
    let errors = found.attribution().standard_errors().unwrap();
    errors.iter().map(|&error| f64::from(error)).collect()
}
