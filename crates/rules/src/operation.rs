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

/// Maps the gradient at the output of an operation on two tensors to those at the inputs that are live.
#[derive(Clone)]
pub(crate) struct Pullbacks(Arc<dyn Fn(Tensor<4>) -> [Option<Tensor<4>>; 2] + Send + Sync>);

impl Pullbacks {
    pub(crate) fn new(
        f: impl Fn(Tensor<4>) -> [Option<Tensor<4>>; 2] + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(f))
    }
}

impl fmt::Debug for Pullbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pullbacks")
    }
}

/// A function of two tensors with a backward of its own. Both sides see plain tensors.
pub(crate) trait Binary: fmt::Debug + Send + Sync {
    fn forward(&self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4>;

    /// The same output, with what the backward to the `live` inputs needs kept in the pullbacks.
    fn forward_with_pullbacks(
        &self,
        a: Tensor<4>,
        b: Tensor<4>,
        live: [bool; 2],
    ) -> (Tensor<4>, Pullbacks);
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

/// Runs an operation on two tensors, whose rank need not be the one in their type, as one autodiff node, or without a node
/// when none is tracked.
pub(crate) fn run_binary<const D: usize>(
    [a, b]: [Tensor<D>; 2],
    operation: impl Binary + 'static,
) -> Tensor<D> {
    let [a, b] = [a, b].map(|x| AnyRank::from(x).cast::<4>().into_dispatch());
    let y = Dispatch::binary(a, b, Arc::new(operation));
    AnyRank::from(Tensor::<4>::from_dispatch(y)).cast()
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

    fn binary(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        operation: Arc<dyn Binary>,
    ) -> FloatTensor<Self>;
}

/// What a backend does with an operation: it computes.
macro_rules! computes {
    () => {
        fn operation(x: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
            Self::lower(operation.forward(Self::lift(x)))
        }

        fn binary(
            a: FloatTensor<Self>,
            b: FloatTensor<Self>,
            operation: Arc<dyn Binary>,
        ) -> FloatTensor<Self> {
            Self::lower(operation.forward(Self::lift(a), Self::lift(b)))
        }
    };
}

#[cfg(feature = "flex")]
impl OperationBackend for burn::backend::Flex {
    computes!();
}

#[cfg(feature = "wgpu")]
impl OperationBackend for burn::backend::Cube {
    computes!();
}

/// What the operation computes is recorded, in burn's own operations; its gradient is nobody's there.
#[cfg(feature = "capture")]
impl OperationBackend for burn::backend::Capture {
    computes!();
}

#[derive(Debug)]
struct PullbackNode;

impl<B: Backend + Lift> Backward<B, 2> for PullbackNode {
    type State = Pullbacks;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let g = B::lift(grads.consume::<B>(&ops.node));
        let gradients = (ops.state.0)(g);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, B::lower(gradient));
            }
        }
    }
}

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

    fn binary(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        operation: Arc<dyn Binary>,
    ) -> FloatTensor<Self> {
        match PullbackNode
            .prepare::<C>([a.node(), b.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let live = [a.is_tracked(), b.is_tracked()];
                let [a, b] = [a, b].map(|x| B::lift(x.into_primitive()));
                let (y, pullbacks) = operation.forward_with_pullbacks(a, b, live);
                prep.finish(pullbacks, B::lower(y))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::binary(a.into_primitive(), b.into_primitive(), operation))
            }
        }
    }
}
