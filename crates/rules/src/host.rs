//! Tensors of burn's CPU backend as the slices that `elucid-kernels` works on.

#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;
use elucid_kernels::Planes;
#[cfg(feature = "flex")]
use elucid_kernels::packed::packed;

/// Whether a tensor holds `f32` on burn's CPU backend, outside of any autodiff graph.
#[cfg(feature = "flex")]
fn is_on_host<const D: usize>(x: &Tensor<D>) -> bool {
    use burn::backend::DispatchDevice;

    matches!(x.device().as_dispatch(), DispatchDevice::Flex(_)) && x.dtype() == DType::F32
}

/// Whether the numbers of a tensor, or of the one that is tracked, are `f32` on burn's CPU backend.
#[cfg(feature = "flex")]
pub(crate) fn computes_on_host<const D: usize>(x: &Tensor<D>) -> bool {
    use burn::backend::DispatchDevice;

    let device = x.device().inner();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_)) && x.dtype() == DType::F32
}

#[cfg(not(feature = "flex"))]
pub(crate) fn computes_on_host<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// The numbers of an `f32` tensor in main memory where they lie, with steps between them, whatever its rank, which need not
/// be that of the tensor's type. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Strided {
    #[cfg(feature = "flex")]
    tensor: burn::backend::flex::FlexTensor,
    #[cfg(not(feature = "flex"))]
    never: std::convert::Infallible,
}

#[cfg(feature = "flex")]
impl Strided {
    /// `None` on other backends, and for other kinds of numbers.
    pub(crate) fn of<const D: usize>(x: Tensor<D>) -> Option<Self> {
        use burn::backend::Flex;

        if !is_on_host(&x) {
            return None;
        }
        let tensor = x.try_into_primitive::<Flex>().ok()?;
        // No kernel reads backwards.
        let forwards = tensor.layout().has_positive_strides();
        Some(Self {
            tensor: if forwards {
                tensor
            } else {
                tensor.to_contiguous()
            },
        })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.tensor.layout().shape().as_slice()
    }

    /// From an index to the next, for each axis.
    pub(crate) fn steps(&self) -> Vec<usize> {
        let strides = self.tensor.layout().strides().iter();
        strides.map(|stride| stride.unsigned_abs()).collect()
    }

    /// Whether they lie side by side, in order.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.tensor.layout().is_contiguous()
    }

    /// The same, side by side, and nothing beside it.
    pub(crate) fn contiguous(self) -> Self {
        let count: usize = self.shape().iter().product();
        if self.is_contiguous() && self.tensor.storage::<f32>().len() == count {
            return self;
        }
        let values = match count {
            0 => Vec::new(),
            _ => packed(self.values(), self.shape(), &self.steps()),
        };
        let tensor = Self::tensor(values, self.shape());
        Self { tensor }
    }

    /// The same numbers under another shape, of as many: where they lie, if they lie side by side.
    pub(crate) fn reshaped(self, shape: &[usize]) -> Self {
        let here = match self.is_contiguous() {
            true => self,
            false => self.contiguous(),
        };
        let shape = burn::tensor::Shape::from(shape.to_vec());
        Self {
            tensor: here.tensor.reshape(shape),
        }
    }

    /// So many slices along an axis, where they lie.
    pub(crate) fn narrow(&self, axis: usize, start: usize, count: usize) -> Self {
        Self {
            tensor: self.tensor.narrow(axis, start, count),
        }
    }

    /// Those from the first on.
    pub(crate) fn values(&self) -> &[f32] {
        &self.tensor.storage()[self.tensor.layout().start_offset()..]
    }

    /// All numbers of the tensor in their place, unless somebody else holds them, too.
    fn in_place(&mut self) -> Option<&mut [f32]> {
        self.tensor.try_storage_mut()
    }

    pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<burn::backend::Flex>(self.tensor)
    }

    /// A tensor beside this one.
    pub(crate) fn made<const D: usize>(values: Vec<f32>, shape: &[usize]) -> Tensor<D> {
        Tensor::from_primitive::<burn::backend::Flex>(Self::tensor(values, shape))
    }

    fn tensor(values: Vec<f32>, shape: &[usize]) -> burn::backend::flex::FlexTensor {
        use burn::backend::flex::{FlexTensor, Layout};
        use burn::tensor::{Bytes, Shape};

        let layout = Layout::contiguous(Shape::from(shape.to_vec()));
        FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
    }
}

#[cfg(not(feature = "flex"))]
impl Strided {
    pub(crate) fn of<const D: usize>(_: Tensor<D>) -> Option<Self> {
        None
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self.never {}
    }

    pub(crate) fn steps(&self) -> Vec<usize> {
        match self.never {}
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn contiguous(self) -> Self {
        match self.never {}
    }

    pub(crate) fn reshaped(self, _: &[usize]) -> Self {
        match self.never {}
    }

    pub(crate) fn narrow(&self, _: usize, _: usize, _: usize) -> Self {
        match self.never {}
    }

    pub(crate) fn values(&self) -> &[f32] {
        match self.never {}
    }

    fn in_place(&mut self) -> Option<&mut [f32]> {
        match self.never {}
    }

    pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
        match self.never {}
    }

    pub(crate) fn made<const D: usize>(_: Vec<f32>, _: &[usize]) -> Tensor<D> {
        unreachable!("made of numbers that lie in main memory")
    }
}

impl Strided {
    /// Those of a tensor behind a node that runs in main memory only.
    pub(crate) fn expected(x: Tensor<4>) -> Self {
        Self::of(x).expect("numbers in main memory, with gradients behind the node only")
    }
}

/// Those of a tensor, side by side.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(Strided);

impl Numbers {
    /// `None` on other backends, and for other kinds of numbers.
    pub(crate) fn of<const D: usize>(x: Tensor<D>) -> Option<Self> {
        Strided::of(x).map(|x| Self(x.contiguous()))
    }

    /// Those of a tensor behind a node that runs in main memory only.
    pub(crate) fn expected(x: Tensor<4>) -> Self {
        Self(Strided::expected(x).contiguous())
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.0.values()
    }

    /// A tensor of this shape.
    pub(crate) fn made<const D: usize>(&self, values: Vec<f32>) -> Tensor<D> {
        Strided::made(values, self.0.shape())
    }

    /// A tensor of another shape.
    pub(crate) fn shaped<const D: usize>(&self, values: Vec<f32>, shape: &[usize]) -> Tensor<D> {
        Strided::made(values, shape)
    }

    pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
        self.0.into_tensor()
    }

    /// The numbers in their place, unless somebody else holds them, too.
    pub(crate) fn in_place(&mut self) -> Option<&mut [f32]> {
        self.0.in_place()
    }

    /// What `f` makes of the numbers, in their place unless somebody else holds them, too.
    pub(crate) fn changed(mut self, f: impl FnOnce(&mut [f32])) -> Tensor<4> {
        if let Some(values) = self.in_place() {
            f(values);
            return self.into_tensor();
        }
        let mut values = self.values().to_vec();
        f(&mut values);
        self.made(values)
    }

    /// The same in one sweep: what somebody else holds, too, is made `anew`.
    pub(crate) fn changed_or_made(
        mut self,
        f: impl FnOnce(&mut [f32]),
        anew: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Tensor<4> {
        match self.in_place() {
            Some(values) => {
                f(values);
                self.into_tensor()
            }
            None => self.made(anew(self.values())),
        }
    }
}

/// Those of a tensor `[N, C, H, W]`, side by side.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    numbers: Numbers,
    dims: [usize; 4],
}

impl Host {
    /// `None` on other backends, and for other kinds of numbers.
    pub(crate) fn view(x: &Tensor<4>) -> Option<Self> {
        Some(Self {
            numbers: Numbers::of(x.clone())?,
            dims: x.dims(),
        })
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.numbers.values()
    }

    /// A tensor beside this one.
    pub(crate) fn tensor(&self, values: Vec<f32>, dims: [usize; 4]) -> Tensor<4> {
        Strided::made(values, &dims)
    }

    pub(crate) fn dims(&self) -> [usize; 4] {
        self.dims
    }

    pub(crate) fn planes(&self) -> Planes<'_> {
        Planes::new(self.values(), self.dims)
    }
}
