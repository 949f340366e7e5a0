use std::sync::Arc;

use burn::tensor::{Tensor, activation};

use crate::cpu::{self, Host};
use crate::{GradRule, OpKind, Operator, Rule, RuleError};

const SUPPORTED: [OpKind; 2] = [OpKind::Relu, OpKind::Clip];

/// Guided backpropagation: only positive gradients pass, and only where the unit was active.
///
/// | operator | gradient at the input |
/// | --- | --- |
/// | ReLU | `max(g, 0) * [x > 0]` |
/// | `Clip { min, max }` (ReLU6) | `max(g, 0) * [min < x < max]` |
///
/// At `x = 0` the gradient is 0, as the paper's formula and the true gradient have it. TorchRay's
/// documentation says the same while its code lets `x = 0` pass; most other programs never see
/// the ReLU of `Clip` and return the plain gradient there.
///
/// Source: Springenberg, Dosovitskiy, Brox and Riedmiller, *Striving for Simplicity: The All
/// Convolutional Net*, ICLR workshop 2015, <https://arxiv.org/abs/1412.6806>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuidedRelu;

/// The deconvnet: only positive gradients pass, whatever the unit's input was.
///
/// For ReLU and for `Clip` (ReLU6) alike the gradient at the input is `max(g, 0)`. The method
/// treats the backward signal as a signal of its own that goes through the rectifier again; a
/// rectifier's upper bound concerns the forward signal's size and has no part in that.
///
/// Source: Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014,
/// <https://arxiv.org/abs/1311.2901>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeconvRelu;

/// A bounded rectifier: `min(max(x, min), max)`.
#[derive(Debug, Clone, Copy)]
struct Rectifier {
    min: f32,
    max: f32,
}

impl Rectifier {
    fn of(op: &Operator<'_>) -> Option<Self> {
        match *op {
            Operator::Relu => Some(Self {
                min: 0.0,
                max: f32::INFINITY,
            }),
            Operator::Clip { min, max } => Some(Self { min, max }),
            _ => None,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { min, max } = *self;
        // Shader languages have no literal for an infinite bound.
        match (min.is_finite(), max.is_finite()) {
            (true, false) if min == 0.0 => activation::relu(x),
            (true, true) => x.clamp(min, max),
            (true, false) => x.clamp_min(min),
            (false, true) => x.clamp_max(max),
            (false, false) => x,
        }
    }

    /// `g` where `min < x < max`, else 0.
    fn gate(&self, x: Tensor<4>, mut g: Tensor<4>) -> Tensor<4> {
        if let (Some(x), Some(g)) = (Host::view(&x), Host::view(&g)) {
            return cpu::relu::gated(&x, &g, [self.min, self.max], false);
        }
        if self.min.is_finite() {
            g = g.mask_fill(x.clone().lower_equal_scalar(self.min), 0.0);
        }
        if self.max.is_finite() {
            g = g.mask_fill(x.greater_equal_scalar(self.max), 0.0);
        }
        g
    }

    /// `max(g, 0)` where `min < x < max`, else 0.
    fn gate_positive(&self, x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        match (Host::view(&x), Host::view(&g)) {
            (Some(x), Some(g)) => cpu::relu::gated(&x, &g, [self.min, self.max], true),
            _ => self.gate(x, activation::relu(g)),
        }
    }
}

/// The true gradient, by the conventions of this module.
#[derive(Debug)]
pub(crate) struct TrueRectifier(Rectifier);

#[derive(Debug)]
struct GuidedRectifier(Rectifier);

#[derive(Debug)]
struct DeconvRectifier(Rectifier);

impl TrueRectifier {
    pub(crate) fn bind(op: &Operator<'_>) -> Option<Self> {
        Rectifier::of(op).map(Self)
    }
}

impl GradRule for TrueRectifier {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.forward(x)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        self.0.gate(x, g)
    }

    fn reach(&self) -> Option<[usize; 2]> {
        Some([0, 0])
    }
}

impl GradRule for GuidedRectifier {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.forward(x)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        self.0.gate_positive(x, g)
    }

    fn reach(&self) -> Option<[usize; 2]> {
        Some([0, 0])
    }

    fn name(&self) -> String {
        Rule::name(&GuidedRelu)
    }
}

impl GradRule for DeconvRectifier {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.forward(x)
    }

    fn backward(&self, _x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        activation::relu(g)
    }

    fn reach(&self) -> Option<[usize; 2]> {
        Some([0, 0])
    }

    fn name(&self) -> String {
        Rule::name(&DeconvRelu)
    }
}

fn rectifier(rule: &dyn Rule, op: &Operator<'_>) -> Result<Rectifier, RuleError> {
    Rectifier::of(op).ok_or_else(|| RuleError::Unsupported {
        rule: rule.name(),
        kind: op.kind(),
        supported: SUPPORTED.to_vec(),
    })
}

impl Rule for GuidedRelu {
    fn name(&self) -> String {
        "guided ReLU".to_owned()
    }

    fn applies_to(&self, kind: OpKind) -> bool {
        SUPPORTED.contains(&kind)
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Ok(Arc::new(GuidedRectifier(rectifier(&*self, op)?)))
    }
}

impl Rule for DeconvRelu {
    fn name(&self) -> String {
        "deconvnet ReLU".to_owned()
    }

    fn applies_to(&self, kind: OpKind) -> bool {
        SUPPORTED.contains(&kind)
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Ok(Arc::new(DeconvRectifier(rectifier(&*self, op)?)))
    }
}
