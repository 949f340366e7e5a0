//! Random numbers that are the same for the same seed, on every machine and in every version.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// A generator: PCG 64, which is promised to give the same numbers in every version.
///
/// In methods each image of a batch has its own, so that a batch gives what its images give one by one.
#[derive(Debug, Clone)]
pub struct Random(Pcg64);

impl Random {
    /// The generator of a seed.
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

    /// A whole number below `count`, which is taken for 1 when it is 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// From the standard normal distribution.
    pub fn normal(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    /// The same in double precision: another number than [`Random::normal`] draws.
    pub fn normal_double(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Normal numbers of standard deviation `sd`.
    pub fn normals<const D: usize>(
        &mut self,
        sd: f32,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        self.tensor(shape, device, |random| sd * random.normal())
    }

    /// Uniform numbers from `-bound` to `bound`.
    pub fn uniforms<const D: usize>(
        &mut self,
        bound: f32,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        self.tensor(shape, device, |random| {
            bound * (2.0 * random.uniform() - 1.0)
        })
    }

    /// Standard normal numbers as one row `[1, count]`.
    pub(crate) fn normal_row(&mut self, count: usize, device: &Device) -> Tensor<2> {
        self.normals(1.0, [1, count], device)
    }

    /// Uniform numbers in `[0, 1)` as one row `[1, count]`.
    pub(crate) fn uniform_row(&mut self, count: usize, device: &Device) -> Tensor<2> {
        self.tensor([1, count], device, Self::uniform)
    }

    /// One number after the other, in the order of a row-major array.
    fn tensor<const D: usize>(
        &mut self,
        shape: [usize; D],
        device: &Device,
        mut draw: impl FnMut(&mut Self) -> f32,
    ) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| draw(self)).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}
