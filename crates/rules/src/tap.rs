use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

use crate::{GradRule, OpKind, Operator};

/// The identity, which records the gradient that passes it.
///
/// This is how to read the gradient at a middle layer: burn keeps gradients at leaves only.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elucid_rules::{Tap, apply};
///
/// let device = Device::flex();
/// let x = Tensor::<4>::ones([1, 1, 2, 2], &device).autodiff().require_grad();
/// let tap = Tap::new();
/// let middle = apply(x * 3.0, tap.clone());
/// (middle * 5.0).sum().backward();
/// let gradient = tap.take().expect("the backward pass went through the tap");
/// assert_eq!(gradient.into_data().try_to_vec::<f32>().unwrap(), [5.0; 4]);
/// ```
#[derive(Debug, Default)]
pub struct Tap(Mutex<Option<Tensor<4>>>);

impl Tap {
    /// A tap that has recorded nothing.
    #[allow(
        clippy::new_ret_no_self,
        reason = "a tap is read after it was given away"
    )]
    pub fn new() -> Arc<Tap> {
        Arc::default()
    }

    /// The gradient recorded last, without autodiff; `None` if no backward pass came by since the
    /// last call.
    pub fn take(&self) -> Option<Tensor<4>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl GradRule for Tap {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn backward(&self, _x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(g.clone());
        g
    }

    /// Operators that are the identity already.
    fn reach(&self) -> Option<[usize; 2]> {
        Some([0, 0])
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        matches!(op.kind(), OpKind::Identity | OpKind::Dropout)
    }
}
