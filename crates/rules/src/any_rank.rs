//! A tensor whose rank is known only at run time.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Gradients, Tensor};

use crate::host::{Strided, computes_on_host};
use crate::operation::{Operation, Pullback, run_any_rank};

/// A tensor whose rank is known only at run time, which burn keeps in the type: what operators of any
/// rank read and make, and the gradients there.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elucid_rules::AnyRank;
///
/// let x = AnyRank::from(Tensor::<3>::ones([2, 3, 4], &Device::flex()));
/// assert_eq!(x.shape(), [2, 3, 4]);
/// assert!(x.tensor::<3>().is_some() && x.tensor::<4>().is_none());
/// assert_eq!(x.reshape([6, 4]).sum_dim(1).dims(), [6, 1]);
/// ```
#[derive(Debug, Clone)]
pub struct AnyRank(DispatchTensor);

impl AnyRank {
    /// Sizes of the dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    /// How many numbers there are.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// As burn's tensor of rank `D`; `None` when its rank is another.
    pub fn tensor<const D: usize>(&self) -> Option<Tensor<D>> {
        (self.shape().len() == D).then(|| self.cast())
    }

    /// The same numbers in another shape.
    ///
    /// # Panics
    ///
    /// When that has another number of elements.
    pub fn reshape<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        self.clone().view(&shape).cast()
    }

    /// The same numbers in another shape, of rank 8 at most.
    ///
    /// # Panics
    ///
    /// When that has another number of elements or a higher rank.
    pub fn view(self, shape: &[usize]) -> Self {
        if self.shape() == shape {
            return self;
        }
        let x = self.cast::<1>();
        if computes_on_host(&x) && !shape.is_empty() {
            let (from, to) = (self.shape(), shape.to_vec());
            drop(self);
            return run_any_rank(x, Reshape { from, to }).into();
        }
        // A tensor of the wrong static rank would fail burn's shape check.
        match self.shape().len() {
            0 | 1 => reshaped(self.cast::<1>(), shape),
            2 => reshaped(self.cast::<2>(), shape),
            3 => reshaped(self.cast::<3>(), shape),
            4 => reshaped(self.cast::<4>(), shape),
            5 => reshaped(self.cast::<5>(), shape),
            6 => reshaped(self.cast::<6>(), shape),
            7 => reshaped(self.cast::<7>(), shape),
            _ => reshaped(self.cast::<8>(), shape),
        }
    }

    /// A function of each number. The rank in the tensor's type need not be its own, so that the
    /// function must not look at axes; what it returns has the same shape.
    pub fn map(self, f: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        f(self.cast()).into()
    }

    /// A function of each number and the one at the same place of `other`, which has the same shape.
    /// As for [`AnyRank::map`], the function must not look at axes.
    pub fn zip(self, other: Self, f: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>) -> Self {
        f(self.cast(), other.cast()).into()
    }

    /// Zeros of the same shape on the same device, without autodiff.
    pub fn zeros_like(&self) -> Self {
        self.clone().detached().map(|x| x.zeros_like())
    }

    /// Whether gradients flow to what it was computed from.
    pub fn is_tracked(&self) -> bool {
        self.cast::<1>().is_tracked()
    }

    /// The same numbers outside of any autodiff graph.
    pub fn detached(self) -> Self {
        self.map(Tensor::without_autodiff)
    }

    /// The same numbers as the leaf of a new autodiff graph.
    pub fn require_grad(self) -> Self {
        self.detached().map(|x| x.autodiff().require_grad())
    }

    /// The gradient at this leaf; `None` when what was differentiated does not depend on it.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Self> {
        self.cast::<1>().grad(gradients).map(Self::from)
    }

    /// burn's tensor with a rank in its type that need not be its own.
    pub(crate) fn cast<const D: usize>(&self) -> Tensor<D> {
        Tensor::from_dispatch(self.0.clone())
    }

    /// burn's dynamically typed tensor.
    pub fn into_dispatch(self) -> DispatchTensor {
        self.0
    }

    /// Of burn's dynamically typed tensor.
    pub fn from_dispatch(tensor: DispatchTensor) -> Self {
        Self(tensor)
    }
}

/// In main memory: on all threads, where numbers have to be moved for it.
#[derive(Debug, Clone)]
struct Reshape {
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Operation for Reshape {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Strided::expected(x).reshaped(&self.to).into_tensor()
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let from = self.from.clone();
        let back = Pullback::new(move |g| Strided::expected(g).reshaped(&from).into_tensor());
        (self.forward(x), back)
    }
}

impl<const D: usize> From<Tensor<D>> for AnyRank {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

fn reshaped<const D: usize>(x: Tensor<D>, shape: &[usize]) -> AnyRank {
    fn to<const D: usize, const D2: usize>(x: Tensor<D>, shape: &[usize]) -> AnyRank {
        let mut sizes = [1; D2];
        sizes[D2 - shape.len()..].copy_from_slice(shape);
        x.reshape(sizes).into()
    }
    match shape.len() {
        // burn has no rank 0: a scalar is one number in one dimension.
        0 | 1 => to::<D, 1>(x, shape),
        2 => to::<D, 2>(x, shape),
        3 => to::<D, 3>(x, shape),
        4 => to::<D, 4>(x, shape),
        5 => to::<D, 5>(x, shape),
        6 => to::<D, 6>(x, shape),
        7 => to::<D, 7>(x, shape),
        _ => to::<D, 8>(x, shape),
    }
}
