use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use elucid_kernels::relu::gated;

use crate::host::Host;
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

/// Redirected rectifiers: a sample that gets no gradient at all gets one that leads it back.
///
/// A dead unit cannot be optimised: where `x <= 0` for every unit that matters, the gradient is 0
/// everywhere. This rule is the true gradient for every sample (row of the batch) that gets any of
/// it through the operator. For a sample that gets none, a blocked gradient passes where a step
/// *down* the gradient would bring the unit nearer to its active range:
///
/// | operator | gradient at the input of such a sample |
/// | --- | --- |
/// | ReLU | `g`, but 0 where `x <= 0` and `g > 0` |
/// | `Clip { min, max }` (ReLU6) | `g`, but 0 where `x <= min` and `g > 0` and where `x >= max` and `g < 0` |
///
/// `g` is the gradient of a loss that is *minimised*; who maximises differentiates the negative.
/// Feature visualisation uses it for its first steps. Lucid lets `x = 0` count as active, here it
/// is blocked as the true gradient has it, and redirected like the rest.
///
/// Source: the overrides of Lucid, described in Olah, Mordvintsev and Schubert, *Feature
/// Visualization*, Distill 2017, <https://distill.pub/2017/feature-visualization>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedirectedRelu;

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
            return self.gate_on_host(&x, &g, false);
        }
        if self.min.is_finite() {
            g = g.mask_fill(x.clone().lower_equal_scalar(self.min), 0.0);
        }
        if self.max.is_finite() {
            g = g.mask_fill(x.greater_equal_scalar(self.max), 0.0);
        }
        g
    }

    fn gate_on_host(&self, x: &Host, g: &Host, positive_only: bool) -> Tensor<4> {
        let bounds = [self.min, self.max];
        let d = gated(x.planes(), g.planes(), bounds, positive_only);
        g.tensor(d, g.dims())
    }

    /// `max(g, 0)` where `min < x < max`, else 0.
    fn gate_positive(&self, x: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        match (Host::view(&x), Host::view(&g)) {
            (Some(x), Some(g)) => self.gate_on_host(&x, &g, true),
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

#[derive(Debug)]
struct RedirectedRectifier(Rectifier);

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

impl GradRule for RedirectedRectifier {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.forward(x)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        let gated = self.0.gate(x.clone(), g.clone());
        let [n, c, h, w] = g.dims();
        // The largest, not the norm: squares of small gradients would vanish.
        let passed = gated.clone().abs().reshape([n, c * h * w]).max_dim(1);
        let nothing = passed.equal_scalar(0.0).reshape([n, 1, 1, 1]);
        let Rectifier { min, max } = self.0;
        let mut redirected = g.clone();
        if min.is_finite() {
            let away = x.clone().lower_equal_scalar(min);
            let away = away.bool_and(g.clone().greater_scalar(0.0));
            redirected = redirected.mask_fill(away, 0.0);
        }
        if max.is_finite() {
            let away = x.greater_equal_scalar(max);
            let away = away.bool_and(g.lower_scalar(0.0));
            redirected = redirected.mask_fill(away, 0.0);
        }
        gated.mask_where(nothing.expand([n, c, h, w]), redirected)
    }

    /// What passes for a sample hangs on all of its positions.
    fn reach(&self) -> Option<[usize; 2]> {
        None
    }

    fn name(&self) -> String {
        Rule::name(&RedirectedRelu)
    }
}

fn rectifier(rule: &dyn Rule, op: &Operator<'_>) -> Result<Rectifier, RuleError> {
    Rectifier::of(op).ok_or_else(|| RuleError::Unsupported {
        rule: rule.name(),
        kind: op.kind(),
        supported: SUPPORTED.to_vec(),
    })
}

/// A rule for rectifiers, its name, and what it becomes at one.
macro_rules! of_rectifiers {
    ($rule:ident, $name:literal, $bound:ident) => {
        impl Rule for $rule {
            fn name(&self) -> String {
                $name.to_owned()
            }

            fn applies_to(&self, op: &Operator<'_>) -> bool {
                SUPPORTED.contains(&op.kind())
            }

            fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
                Ok(Arc::new($bound(rectifier(&*self, op)?)))
            }
        }
    };
}

of_rectifiers!(GuidedRelu, "guided ReLU", GuidedRectifier);
of_rectifiers!(DeconvRelu, "deconvnet ReLU", DeconvRectifier);
of_rectifiers!(RedirectedRelu, "redirected ReLU", RedirectedRectifier);
