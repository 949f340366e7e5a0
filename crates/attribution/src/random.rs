//! Random numbers that are the same for the same seed, on every machine and in every version.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// A generator; each image of a batch has its own, so that a batch gives what its images give one
/// by one.
#[derive(Debug, Clone)]
pub(crate) struct Random(Pcg64);

impl Random {
    /// The generator of image `image` under `seed`: every image of a batch sees the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// Generator `number` of many under one seed, none of which needs those before it.
    pub fn stream(seed: u64, number: u64) -> Self {
        let first = Self::new(seed).0.random::<u64>();
        Self::new(first.wrapping_add(number))
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        self.0.random::<f32>()
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    /// A whole number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// Standard normal numbers as one row `[1, count]`.
    pub fn normal_row(&mut self, count: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..count)
            .map(|_| StandardNormal.sample(&mut self.0))
            .collect();
        Tensor::from_data(TensorData::new(values, [1, count]), device)
    }

    /// Uniform numbers in `[0, 1)` as one row `[1, count]`.
    pub fn uniform_row(&mut self, count: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..count).map(|_| self.uniform()).collect();
        Tensor::from_data(TensorData::new(values, [1, count]), device)
    }
}
