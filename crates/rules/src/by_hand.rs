//! Operators with a replaced gradient, for a forward pass that is written by hand.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::{Operator, Pool2d, Rule, RuleError, apply};

fn under(
    x: Tensor<4>,
    op: &Operator<'_>,
    rule: impl Rule + 'static,
) -> Result<Tensor<4>, RuleError> {
    let rule = Arc::new(rule).bind(op)?;
    Ok(apply(x, rule))
}

/// `max(x, 0)` whose gradient is the rule's: `[N, C, H, W]`, on any backend.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elucid_rules::{GuidedRelu, relu};
///
/// let x = Tensor::<4>::from_data([[[[-1.0, 2.0, 3.0]]]], &Device::flex()).autodiff().require_grad();
/// let y = relu(x.clone(), GuidedRelu)?;
/// let weights = Tensor::from_data([[[[1.0, -1.0, 1.0]]]], &Device::flex()).autodiff();
/// let gradient = x.grad(&(y * weights).sum().backward()).unwrap();
/// assert_eq!(gradient.into_data().try_to_vec::<f32>().unwrap(), [0.0, 0.0, 1.0]);
/// # Ok::<(), elucid_rules::RuleError>(())
/// ```
///
/// # Errors
///
/// [`RuleError`] for a rule that has no gradient for a ReLU.
pub fn relu(x: Tensor<4>, rule: impl Rule + 'static) -> Result<Tensor<4>, RuleError> {
    under(x, &Operator::Relu, rule)
}

/// `min(max(x, min), max)`, as ReLU6, whose gradient is the rule's.
///
/// # Errors
///
/// [`RuleError`] for a rule that has no gradient for it.
pub fn clip(
    x: Tensor<4>,
    [min, max]: [f32; 2],
    rule: impl Rule + 'static,
) -> Result<Tensor<4>, RuleError> {
    under(x, &Operator::Clip { min, max }, rule)
}

/// The maximum of each window, whose gradient is the rule's, as that of
/// [`SmoothMaxPool`](crate::SmoothMaxPool): `[N, C, H, W]` to `[N, C, H', W']`.
///
/// # Errors
///
/// [`RuleError`] for a rule that has no gradient for it.
///
/// # Panics
///
/// When `pool` does not fit `x`: [`Pool2d::output_size`] tells beforehand.
pub fn max_pool(
    x: Tensor<4>,
    pool: &Pool2d,
    rule: impl Rule + 'static,
) -> Result<Tensor<4>, RuleError> {
    under(x, &Operator::MaxPool(pool), rule)
}
