//! Where the reference arrays are, and random matrices.

use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayD};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// The folder with the arrays of chelsea; says so and gives `None` when there is none.
pub fn chelsea() -> Option<PathBuf> {
    Some(elucid_testkit::assets()?.join("reference/googlenet/chelsea"))
}

pub fn read(folder: &Path, name: &str) -> ArrayD<f32> {
    let path = folder.join(name);
    ndarray_npy::read_npy(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Absolute values of normal numbers.
pub fn positive(rows: usize, cols: usize, seed: u64) -> Array2<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, cols), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        value.abs()
    })
}

/// As [`positive`], about half of the entries zero.
pub fn sparse(rows: usize, cols: usize, seed: u64) -> Array2<f64> {
    positive(rows, cols, seed).mapv(|v| (v - 0.67).max(0.0))
}

pub fn norm(a: &Array2<f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The largest absolute difference.
pub fn worst(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}
