//! The deconvnet: the gradient, with each ReLU applied to the gradient itself.
//!
//! At a ReLU, the gradient `g` at its output becomes `max(g, 0)`, whatever its input was; likewise at
//! a ReLU6 or any other `Clip`. Max-pools pass it to where the maximum was, as the paper's switches
//! do and as their true gradient does; everything else keeps its true gradient. The result is
//! `[N, ...]`, shaped like the layer, signed, and its usual map the largest absolute value over
//! channels.
//!
//! Source: Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014,
//! <https://arxiv.org/abs/1311.2901>; as a gradient: Simonyan, Vedaldi and Zisserman, *Deep inside
//! convolutional networks* (2013). The paper starts from one unit's activation; here, as in Captum
//! and TorchRay, from the gradient of the target.
//!
//! Captum and TorchRay miss the same ReLUs as in guided backpropagation: those called as functions,
//! and ReLU6. A network that has no ReLU at all between layer and target is refused, with the
//! activations it has ([`AttributionError::NoRectifier`](crate::AttributionError::NoRectifier)); other activations keep their true gradient,
//! and the result says how many did ([`Attribution::rule_uses`](crate::Attribution::rule_uses)).

use crate::rectified::rectified;

rectified! {
    /// The deconvnet: the gradient, with each ReLU applied to the gradient instead.
    #[doc(alias = "Deconvolution")]
    DeconvNet by "deconvnet",
    "deconvnet", "Deconvnet", "Zeiler and Fergus 2014", also &["deconvolution"]
}
