//! Methods that look at what a transformer attends to.
//!
//! They see every block of a network that attends ([`attention_blocks`]): a softmax between two products, however it
//! is written, or the operators `Attention`, `com.microsoft.Attention` and `com.microsoft.MultiHeadAttention`, whose
//! weights are no value of the network and are computed again. All give one number for each patch, `[N, 1, h, w]`;
//! tokens in front of the patches, class tokens and registers, have no place in the picture and are left out.
//! [`AttentionMaps`] gives the weights themselves.
//!
//! | method | map, for the row `q` of the token that the target reads |
//! | --- | --- |
//! | [`AttentionMap`] | `A_q` of one block; no target |
//! | [`AttentionRollout`] | `(Â_L ... Â_1)_q`, `Â` the heads' mean and the identity; no target |
//! | [`GradientAttention`] | `mean over heads of relu(g A)_q` of the last block, or Grad-CAM with heads for channels |
//! | [`Chefer`] | `((I + Ā_L) ... (I + Ā_1))_q`, `Ā` the mean over heads of `relu(g A)` |
//! | [`CheferCvpr`] | the same with relevance `R^A` by an LRP of its own in the place of `A` |
//!
//! `A` are weights `[heads, queries, keys]`, `g` the gradient of the target's raw score there. Blocks that attend within
//! windows have no such map, and are refused by name; [`AttentionMaps`] leaves them out and says which.
//!
//! Memory: all activations of a batch between the input and the target, the weights among them.

/// The public `matrix` of a method whose function `whole` gives, of each image, what each token has from each.
macro_rules! matrix {
    ($(#[$meta:meta])*) => {
        $(#[$meta])*
        ///
        /// # Errors
        ///
        /// As [`Attributor::attribute`](crate::Attributor::attribute), and
        /// [`AttributionError::TooLarge`](crate::AttributionError::TooLarge).
        pub fn matrix(
            &self,
            network: &dyn crate::Network,
            images: &dyn elucid_graph::ImageBatch,
            target: &crate::Target,
        ) -> Result<ndarray::Array3<f32>, crate::AttributionError> {
            crate::Configurable::check_options(self)?;
            let work = crate::Context::new(network, images, target, &self.setup)?;
            crate::attention::rollout::in_three(self.whole(&work)?)
        }
    };
}

pub mod attention_map;
mod blocks;
pub mod chefer;
pub mod chefer_cvpr;
pub mod gradient_attention;
mod maps;
mod query;
mod reader;
mod refusals;
pub mod rollout;
mod seen;

pub use self::attention_map::AttentionMap;
pub use self::blocks::{AttentionBlock, AttentionKind, attention_blocks};
pub use self::chefer::Chefer;
pub use self::chefer_cvpr::CheferCvpr;
pub use self::gradient_attention::{GradientAttention, GradientWeights};
pub use self::maps::{AttentionMaps, BlockAttention};
pub use self::query::AttentionQuery;
pub use self::rollout::{AttentionRollout, HeadFusion};
pub(crate) use self::{
    attention_map::METHOD as ATTENTION, chefer::METHOD as CHEFER,
    chefer_cvpr::METHOD as CHEFER_CVPR, gradient_attention::METHOD as GRADIENT_ATTENTION,
    rollout::METHOD as ROLLOUT,
};
