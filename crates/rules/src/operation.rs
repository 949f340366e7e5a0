use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, DispatchKindConversion, DispatchTensor,
    backend_extension,
};
use burn::tensor::{Device, Tensor};

use crate::AnyRank;

/// Maps the gradient at an operation's output to the one at its input.
#[derive(Clone)]
pub(crate) struct Pullback(Arc<dyn Fn(Tensor<4>) -> Tensor<4> + Send + Sync>);

impl Pullback {
    pub(crate) fn new(f: impl Fn(Tensor<4>) -> Tensor<4> + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// The gradient at the input, given the one at the output.
    pub(crate) fn at(&self, g: Tensor<4>) -> Tensor<4> {
        (self.0)(g)
    }
}

impl fmt::Debug for Pullback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pullback")
    }
}

/// A function of one tensor with a backward of its own. Both sides see plain tensors.
pub(crate) trait Operation: fmt::Debug + Send + Sync {
    fn forward(&self, x: Tensor<4>) -> Tensor<4>;

    /// The same output, with what the backward needs kept in the pullback.
    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback);
}

/// Runs `operation` as one autodiff node, or without a node when `x` is untracked.
pub(crate) fn run(x: Tensor<4>, operation: Arc<dyn Operation>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::operation(x.into_dispatch(), operation))
}

/// [`run`] on a tensor whose rank need not be the one in its type.
pub(crate) fn run_any_rank<const D: usize>(
    x: Tensor<D>,
    operation: impl Operation + 'static,
) -> Tensor<D> {
    let x = AnyRank::from(x).cast();
    AnyRank::from(run(x, Arc::new(operation))).cast()
}

/// Whether operators have kernels on a device: without, an operation of this crate would panic there. burn
/// may have been built with backends that this crate was not.
pub fn has_kernels(device: &Device) -> bool {
    let device = device.clone().inner();
    match device.as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(_) => true,
        #[allow(unreachable_patterns, reason = "burn may have no other backends")]
        _ => false,
    }
}

/// Moves between a backend's own tensors and `Tensor`, so that an [`Operation`] is written once.
pub trait Lift: Backend {
    fn lift(x: FloatTensor<Self>) -> Tensor<4>;
    fn lower(x: Tensor<4>) -> FloatTensor<Self>;
}

impl<B: Backend> Lift for B
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn lift(x: FloatTensor<Self>) -> Tensor<4> {
        Tensor::from_primitive::<B>(x)
    }

    fn lower(x: Tensor<4>) -> FloatTensor<Self> {
        x.try_into_primitive::<B>()
            .expect("an operation returns a tensor of the backend that its input is on")
    }
}

#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "wgpu"),
    Capture: cfg(feature = "capture"),
    Autodiff
)]
pub(crate) trait OperationBackend: Backend {
    fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
impl OperationBackend for burn::backend::Flex {
    fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        Self::lower(operation.forward(Self::lift(x)))
    }
}

#[cfg(feature = "wgpu")]
impl OperationBackend for burn::backend::Cube {
    fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        Self::lower(operation.forward(Self::lift(x)))
    }
}

/// What the operation computes is recorded, in burn's own operations; its gradient is nobody's there.
#[cfg(feature = "capture")]
impl OperationBackend for burn::backend::Capture {
    fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        Self::lower(operation.forward(Self::lift(x)))
    }
}

#[derive(Debug)]
struct PullbackNode;

impl<B: Backend + Lift> Backward<B, 1> for PullbackNode {
    type State = Pullback;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let pullback = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |g| {
            B::lower(pullback.at(B::lift(g)))
        });
    }
}

impl<B: OperationBackend + Lift, C: CheckpointStrategy> OperationBackend for Autodiff<B, C> {
    fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        match PullbackNode
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (y, pullback) = operation.forward_with_pullback(B::lift(x.into_primitive()));
                prep.finish(pullback, B::lower(y))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::operation(x.into_primitive(), operation)),
        }
    }
}
