use std::any::type_name;
use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::operation::{self, Operation, Pullback};
use crate::operator_rule::{BoundRule, Site, check_one_input};
use crate::{Operator, RuleError};

/// One operator's output together with a backward that replaces the true one.
///
/// Both functions are plain tensor code without autodiff inside, so a rule runs on every backend.
/// Tensors are `[N, C, H, W]`; what an operator of another rank reads is viewed so: vectors as images
/// of one pixel, `[N, C, L]` as `[N, C, L, 1]`. Operators with several inputs that depend on the image,
/// and those with weights, are for an [`OperatorRule`](crate::OperatorRule).
///
/// A `GradRule` is also a [`Rule`]: give it to [`Rules::on`](crate::Rules::on), or run it by
/// hand with [`apply`].
pub trait GradRule: Debug + Send + Sync {
    /// The output `y` for the input `x`: what the replaced operator computes.
    fn forward(&self, x: Tensor<4>) -> Tensor<4>;

    /// The gradient at the input, shaped like `x`, given the input `x`, the output `y` and the
    /// gradient `g` at the output.
    fn backward(&self, x: Tensor<4>, y: Tensor<4>, g: Tensor<4>) -> Tensor<4>;

    /// The operators that a pattern of layer names may attach this rule to: activations unless
    /// overridden. Naming the operator, as [`Rules::on`](crate::Rules::on) does, ignores this.
    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.algebra().is_activation()
    }

    /// How many rows and columns beyond the operator's own window the gradient at one output
    /// position may spread, on each side; `None` when that is not known.
    ///
    /// Layer-to-layer attribution serves several positions by one backward pass when their
    /// gradients cannot meet. A rule that does not say how far it reaches is served one position
    /// at a time; one that understates it gives wrong numbers. An element-wise rule says
    /// `Some([0, 0])`.
    fn reach(&self) -> Option<[usize; 2]> {
        None
    }

    /// A name for messages and reports: the type's unless overridden.
    fn name(&self) -> String {
        short_type_name::<Self>()
    }
}

/// The last part of a type's path.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let path = type_name::<T>();
    let end = path.find('<').unwrap_or(path.len());
    let start = path[..end].rfind("::").map_or(0, |at| at + 2);
    path[start..].to_owned()
}

#[derive(Debug)]
struct RuleOperation(Arc<dyn GradRule>);

impl Operation for RuleOperation {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.forward(x)
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let rule = self.0.clone();
        let y = rule.forward(x.clone());
        let kept = y.clone();
        let pullback = Pullback::new(move |g| rule.backward(x.clone(), kept.clone(), g));
        (y, pullback)
    }
}

/// `rule.forward(x)` as one autodiff node whose backward is `rule.backward`.
///
/// `x` is `[N, C, H, W]` on any device. Nothing is kept and no node is added when `x` does not
/// require a gradient.
pub fn apply(x: Tensor<4>, rule: Arc<dyn GradRule>) -> Tensor<4> {
    operation::run(x, Arc::new(RuleOperation(rule)))
}

/// A way to replace gradients that becomes a [`GradRule`] once it knows the operator.
///
/// Implement [`GradRule`] instead unless the backward depends on the operator's attributes, as
/// that of a pooling rule does.
pub trait Rule: Debug + Send + Sync {
    /// A name for messages and reports.
    fn name(&self) -> String;

    /// The operators that a pattern of layer names may attach this rule to.
    fn applies_to(&self, op: &Operator<'_>) -> bool;

    /// Whether operators with this rule simply keep their true gradient, so that nothing need be
    /// bound.
    fn is_true(&self) -> bool {
        false
    }

    /// The rule for one operator.
    ///
    /// # Errors
    ///
    /// [`RuleError::Unsupported`] when the rule has no backward for `op`.
    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError>;

    /// The rule where it is to stand: [`Rule::bind`] unless overridden, for operators of which one
    /// input depends on the image and which have no weights.
    ///
    /// # Errors
    ///
    /// As [`Rule::bind`], and [`RuleError::DoesNotFit`] for other operators.
    fn place(self: Arc<Self>, site: &Site<'_>) -> Result<BoundRule, RuleError> {
        let bound = Arc::clone(&self).bind(&site.operator)?;
        check_one_input(self.name(), site)?;
        Ok(BoundRule::OneInput(bound))
    }
}

impl<R: GradRule + 'static> Rule for R {
    fn name(&self) -> String {
        GradRule::name(self)
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        GradRule::applies_to(self, op)
    }

    fn bind(self: Arc<Self>, _op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Ok(self)
    }
}

impl<R: Rule + ?Sized> Rule for Arc<R> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        (**self).applies_to(op)
    }

    fn is_true(&self) -> bool {
        (**self).is_true()
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Arc::clone(&*self).bind(op)
    }

    fn place(self: Arc<Self>, site: &Site<'_>) -> Result<BoundRule, RuleError> {
        Arc::clone(&*self).place(site)
    }
}
