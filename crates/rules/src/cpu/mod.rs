//! Kernels on plain slices for burn's CPU backend, which computes these operators tap by tap.

pub(crate) mod conv;
mod gemm;
pub(crate) mod lrn;
pub(crate) mod pool;
pub(crate) mod relu;

use burn::tensor::Tensor;
use rayon::prelude::*;

/// A contiguous `f32` tensor `[N, C, H, W]` in main memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    #[cfg(feature = "flex")]
    tensor: burn::backend::flex::FlexTensor,
    #[cfg(not(feature = "flex"))]
    never: std::convert::Infallible,
    dims: [usize; 4],
}

#[cfg(feature = "flex")]
impl Host {
    /// `None` on other backends, and for other kinds of numbers.
    pub(crate) fn view(x: &Tensor<4>) -> Option<Self> {
        use burn::backend::{DispatchDevice, Flex};
        use burn::tensor::DType;

        let on_cpu = matches!(x.device().as_dispatch(), DispatchDevice::Flex(_));
        if !on_cpu || x.dtype() != DType::F32 {
            return None;
        }
        let dims = x.dims();
        let tensor = x.clone().try_into_primitive::<Flex>().ok()?;
        Some(Self {
            tensor: tensor.to_contiguous(),
            dims,
        })
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }

    /// A tensor beside this one.
    pub(crate) fn tensor(&self, values: Vec<f32>, dims: [usize; 4]) -> Tensor<4> {
        use burn::backend::Flex;
        use burn::backend::flex::{FlexTensor, Layout};
        use burn::tensor::{Bytes, DType, Shape};

        let tensor = FlexTensor::new(
            Bytes::from_elems(values),
            Layout::contiguous(Shape::from(dims)),
            DType::F32,
        );
        Tensor::from_primitive::<Flex>(tensor)
    }
}

#[cfg(not(feature = "flex"))]
impl Host {
    pub(crate) fn view(_: &Tensor<4>) -> Option<Self> {
        None
    }

    pub(crate) fn values(&self) -> &[f32] {
        match self.never {}
    }

    pub(crate) fn tensor(&self, _: Vec<f32>, _: [usize; 4]) -> Tensor<4> {
        match self.never {}
    }
}

impl Host {
    pub(crate) fn dims(&self) -> [usize; 4] {
        self.dims
    }
}

/// How many threads work on the CPU backend: those of rayon's global pool, as many as there are
/// logical processors unless `RAYON_NUM_THREADS` says otherwise.
pub fn cpu_threads() -> usize {
    rayon::current_num_threads()
}

/// Below this many elements a task costs more to hand out than to do.
const TASK: usize = 1 << 14;

/// Runs `f` compiled for the widest vectors that this processor has, found at run time: what is
/// inlined into `f` is, so kernels, their helpers and `f` itself are to be `inline(always)`.
#[inline(always)]
pub fn vectorised(f: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::Simd;
        use pulp::x86::{V3, V4};

        if let Some(simd) = V4::try_new() {
            return Simd::vectorize(simd, f);
        }
        if let Some(simd) = V3::try_new() {
            return Simd::vectorize(simd, f);
        }
    }
    f()
}

/// Calls `f(scratch, i, chunk)` for each chunk of `len` elements, on all threads.
fn for_each_chunk<S: Send>(
    values: &mut [f32],
    len: usize,
    scratch: impl Fn() -> S + Send + Sync,
    f: impl Fn(&mut S, usize, &mut [f32]) + Send + Sync,
) {
    if values.is_empty() {
        return;
    }
    values
        .par_chunks_mut(len)
        .enumerate()
        .with_min_len(TASK.div_ceil(len))
        .for_each_init(scratch, |scratch, (i, chunk)| {
            vectorised(
                #[inline(always)]
                || f(scratch, i, chunk),
            )
        });
}
