//! Tensors of burn's CPU backend as the slices that `elucid-kernels` works on.

use burn::tensor::Tensor;
use elucid_kernels::Planes;

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

    pub(crate) fn planes(&self) -> Planes<'_> {
        Planes::new(self.values(), self.dims)
    }
}
