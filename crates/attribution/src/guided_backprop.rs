//! Guided backpropagation: the gradient, of which each ReLU passes positive parts only.
//!
//! At a ReLU with input `x`, the gradient `g` at its output becomes `max(g, 0) [x > 0]`; at a ReLU6
//! or any other `Clip`, `max(g, 0) [min < x < max]`. Everything else keeps its true gradient. The
//! result is `[N, ...]`, shaped like the layer, signed (the first convolution's weights are), and
//! its usual map the largest absolute value over channels.
//!
//! Source: Springenberg, Dosovitskiy, Brox and Riedmiller, *Striving for Simplicity: The All
//! Convolutional Net*, ICLR workshop 2015, <https://arxiv.org/abs/1412.6806>. The method finds edges
//! more than reasons: Adebayo et al., *Sanity checks for saliency maps* (2018), show that it hardly
//! changes when the weights of the upper layers are random.
//!
//! Other programs find ReLUs by the module or the function that was called. Captum's is the plain
//! gradient, without a warning, where ReLU is called as a function, and up to 35 % wrong where a
//! ReLU's input has a second reader; TorchRay's is the plain gradient in a network of ReLU6. Here the
//! rule belongs to the operator in the file, whoever reads its input, and however ReLU is written:
//! `Relu`, `Clip`, or `Max` with zero. TorchRay lets `x = 0` pass, against its documentation.
//!
//! The paper has no formula for other activations, which keep their true gradient; the result says how
//! many did ([`Attribution::rule_uses`](crate::Attribution::rule_uses)). A network that has no ReLU at all between layer and target is
//! refused, with the activations it has ([`AttributionError::NoRectifier`](crate::AttributionError::NoRectifier)): its guided backpropagation
//! would be the plain gradient. Who wants them treated alike says so: [`Gradient`](crate::Gradient) under
//! rules that put [`GuidedActivation`](elucid_rules::GuidedActivation) on them.

use crate::rectified::rectified;

rectified! {
    /// Guided backpropagation: the gradient, of which each ReLU passes positive parts only.
    GuidedBackprop by "guided",
    "guided-backprop", "Guided backpropagation", "Springenberg et al. 2015",
    also &["guided-backpropagation"]
}
