//! A tensor whose rank is known only at run time.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use elucid_kernels::among_threads;
use elucid_rules::AnyRank;
use ndarray::{ArcArray, ArrayD, IxDyn};

use crate::error::GraphError;
use crate::host::{ElementType, HostTensor};

/// The tensor of one layer, on the device that computed it.
///
/// Most layers of a vision network are `[N, C, H, W]`, its scores `[N, K]`; [`Activation::tensor`]
/// gives burn's tensor of that rank.
#[derive(Debug, Clone)]
pub struct Activation(DispatchTensor);

impl Activation {
    /// Sizes of the dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    /// As burn's tensor of rank `D`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the rank is another.
    pub fn tensor<const D: usize>(&self) -> Result<Tensor<D>, GraphError> {
        let shape = self.shape();
        if shape.len() == D {
            Ok(self.cast())
        } else {
            Err(GraphError::Shape {
                what: "the activation".to_owned(),
                expected: format!("{D} dimensions"),
                got: shape,
            })
        }
    }

    /// The values on the host, row-major.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the device cannot hand the values over.
    pub fn to_array(&self) -> Result<ArrayD<f32>, GraphError> {
        let shape = self.shape();
        let unreadable = |got| GraphError::Shape {
            what: "a tensor read back from the device".to_owned(),
            expected: "values that can be read as f32".to_owned(),
            got,
        };
        let values = self
            .cast::<1>()
            .without_autodiff()
            .try_into_vec_as::<f32>()
            .map_err(|_| unreadable(shape.clone()))?;
        ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| unreadable(shape))
    }

    /// One row of numbers for each image, `[N, everything else]`: what arithmetic over a batch
    /// needs, whatever the layer's rank.
    pub fn rows(&self) -> Tensor<2> {
        let shape = self.shape();
        let images = shape.first().copied().unwrap_or(1);
        let rest = shape.iter().skip(1).product::<usize>();
        self.clone().into_view(&[images, rest]).into_cast()
    }

    /// The inverse of [`Activation::rows`]: as many images as there are rows, each shaped like
    /// those of `like`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when a row has another number of elements than an image of `like`.
    pub fn from_rows(rows: Tensor<2>, like: &Activation) -> Result<Self, GraphError> {
        let mut shape = like.shape();
        let [images, elements] = rows.dims();
        if let Some(first) = shape.first_mut() {
            *first = images;
        }
        if shape.iter().product::<usize>() != images * elements {
            return Err(GraphError::Shape {
                what: "rows of numbers".to_owned(),
                expected: format!(
                    "rows of {} numbers",
                    shape.iter().skip(1).product::<usize>()
                ),
                got: vec![images, elements],
            });
        }
        Ok(rows.into_view(&shape))
    }

    /// Zeros of the same shape on the same device.
    pub fn zeros_like(&self) -> Self {
        self.cast::<1>().without_autodiff().zeros_like().into()
    }

    /// The same values as the leaf of a new autodiff graph: what a pass computes from it is
    /// differentiable with respect to it.
    pub fn require_grad(self) -> Self {
        self.into_cast::<1>()
            .without_autodiff()
            .autodiff()
            .require_grad()
            .into()
    }

    /// The gradient at this leaf, of what [`backward`] differentiated; `None` when what was differentiated does not depend on it.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Self> {
        self.cast::<1>().grad(gradients).map(Self::from)
    }

    /// burn keeps the rank in the type only; its tensors know their shape themselves.
    pub(crate) fn cast<const D: usize>(&self) -> Tensor<D> {
        Tensor::from_dispatch(self.0.clone())
    }

    /// burn's tensor with a rank in its type that need not be its own: for what is done element by
    /// element, which looks at no axis.
    pub(crate) fn untyped(self) -> Tensor<1> {
        self.into_cast()
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        self.cast::<1>().device()
    }

    /// The same numbers on `device`, in the precision that it computes in, and tracked if they were.
    pub(crate) fn taken_to(self, device: &Device) -> Self {
        let (there, precision) = (device.clone().inner(), device.settings().float_dtype);
        let mut numbers = self.untyped();
        if numbers.device().inner() != there {
            numbers = numbers.to_device(&there);
        }
        if numbers.dtype() != precision.into() {
            numbers = numbers.cast(precision);
        }
        numbers.into()
    }

    pub(crate) fn into_cast<const D: usize>(self) -> Tensor<D> {
        Tensor::from_dispatch(self.0)
    }

    /// A function of each number, given as burn's tensor. The rank in its type need not be its own, so
    /// that the function must not look at axes; what it returns has the same shape.
    pub fn map(self, f: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        f(self.untyped()).into()
    }

    /// An array of numbers on a device. It must not be empty.
    pub fn from_array(array: &ArcArray<f32, IxDyn>, device: &Device) -> Self {
        Self::from_host(array.iter().copied().collect(), array.shape(), device)
    }

    /// What is known on the host, on a device; `None` when there is nothing in it, which burn has no
    /// tensors for.
    pub(crate) fn of_host(host: &HostTensor, device: &Device) -> Option<Self> {
        (!host.is_empty()).then(|| Self::from_host(host.floats(), host.shape(), device))
    }

    /// The values on the host, as elements of `kind` in `shape`.
    pub(crate) fn to_host(&self, kind: ElementType, shape: &[usize]) -> Result<HostTensor, String> {
        let values = self
            .cast::<1>()
            .without_autodiff()
            .try_into_vec_as::<f32>()
            .map_err(|_| "a tensor cannot be read back from the device".to_owned())?;
        HostTensor::of_numbers(kind, shape, values)
    }

    pub(crate) fn from_host(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        Tensor::<1>::from_data(
            TensorData::new(values, [shape.iter().product::<usize>()]),
            device,
        )
        .into_view(shape)
    }
}

impl<const D: usize> From<Tensor<D>> for Activation {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

impl From<AnyRank> for Activation {
    fn from(tensor: AnyRank) -> Self {
        Self(tensor.into_dispatch())
    }
}

impl From<Activation> for AnyRank {
    fn from(activation: Activation) -> Self {
        Self::from_dispatch(activation.0)
    }
}

/// Evaluates an expression with `$x` bound to the tensor at its own rank, from 1 to 8.
macro_rules! at_rank {
    (@each $activation:ident, $x:ident => $body:expr; $($rank:pat => $D:literal),*) => {
        match $activation.shape().len() {
            $($rank => {
                let $x = $activation.into_cast::<$D>();
                Activation::from($body)
            })*
        }
    };
    ($activation:expr, $x:ident => $body:expr) => {{
        let activation = $activation;
        $crate::activation::at_rank!(
            @each activation, $x => $body;
            0 | 1 => 1, 2 => 2, 3 => 3, 4 => 4, 5 => 5, 6 => 6, 7 => 7, _ => 8
        )
    }};
}
pub(crate) use at_rank;

/// The largest rank that is computed with.
pub(crate) const MAX_RANK: usize = 8;

/// Views of any rank.
pub(crate) trait IntoView {
    fn into_view(self, shape: &[usize]) -> Activation;
}

impl<const D: usize> IntoView for Tensor<D> {
    fn into_view(self, shape: &[usize]) -> Activation {
        AnyRank::from(self).view(shape).into()
    }
}

impl IntoView for Activation {
    fn into_view(self, shape: &[usize]) -> Activation {
        AnyRank::from(self).view(shape).into()
    }
}

/// The gradients of what was computed from leaves of an autodiff graph, of its sum where it has several numbers.
///
/// It is burn's own, called where the kernels do their work.
pub fn backward<const D: usize>(y: &Tensor<D>) -> Gradients {
    among_threads(|| y.backward())
}
