//! Random numbers that are the same for the same seed, on every machine and in every version.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// A generator: PCG 64, which is promised to give the same numbers in every version.
#[derive(Debug, Clone)]
pub struct Random(Pcg64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        self.0.random::<f32>()
    }

    /// A whole number below `count`, which is taken for 1 when it is 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// From the standard normal distribution.
    pub fn normal(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    /// Normal numbers of standard deviation `sd`.
    pub fn normals<const D: usize>(
        &mut self,
        sd: f32,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| sd * self.normal()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Uniform numbers from `-bound` to `bound`.
    pub fn uniforms<const D: usize>(
        &mut self,
        bound: f32,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count)
            .map(|_| bound * (2.0 * self.uniform() - 1.0))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}
