//! Gradient times attention, in the last block.
//!
//! With `a` the weights `A[h, q, j]` of the last block that the target is computed from, of the token `q` that the
//! target reads to the patches `j`, and `g` the gradient of the target's score there:
//!
//! - `element`, the default: `map[j] = mean_h(relu(g[h, j] a[h, j]))`;
//! - `head`: `map[j] = relu(mean_h(a[h, j] mean_k(g[h, k])))`, Grad-CAM with heads for channels.
//!
//! They differ where heads disagree, and are called by one name in the literature; say which. Where the target
//! reads several tokens, the first takes the mean of their maps, and the second the mean over them, too, in
//! both places. The map is positive: of `head` it may be 0 everywhere.
//!
//! Source: Chefer, Gur and Wolf, *Transformer Interpretability Beyond Attention Visualization*, CVPR 2021,
//! <https://arxiv.org/abs/2012.09838>, which compares itself with the second (GradCAM); its authors' ICCV paper has
//! the first in every block ([`Chefer`](crate::Chefer)).

use burn::tensor::{Tensor, activation::relu};
use elucid_graph::TokenAxis;

use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, as_map};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::options::words;
use crate::work::Context;

words! {
    /// What is weighted by a gradient.
    pub enum GradientWeights: "weights", WEIGHTS = "element or head", default Element {
        /// Each entry by its own, before the mean over heads.
        Element = "element",
        /// Each head by the mean of its own, as Grad-CAM does channels.
        Head = "head",
    }
}

method! {
    /// Gradient times attention in the last block of a transformer.
    pub struct GradientAttention {
        weights: GradientWeights = GradientWeights::Element,
        query: AttentionQuery = AttentionQuery::Readout,
    }
    /// Entry by entry.
    new
}

impl GradientAttention {
    setup_builders!(batch_size, progress);

    /// The map of weights and their gradient `[N, heads, queries, keys]`, of which rows count so much,
    /// `[N, 1, queries]`.
    fn map(
        &self,
        weights: Tensor<4>,
        gradient: Tensor<4>,
        rows: Tensor<3>,
        axis: TokenAxis,
    ) -> Tensor<4> {
        let [images, _, queries, keys] = weights.dims();
        if self.weights == GradientWeights::Element {
            return as_map(rows.matmul(cared(weights, gradient)), axis);
        }
        let patches = keys - axis.prefix;
        let rows = rows.reshape([images, 1, queries, 1]);
        let of_rows = (gradient * rows.clone()).narrow(3, axis.prefix, patches);
        let mean = of_rows.sum_dim(2).mean_dim(3);
        let read = (weights * rows).sum_dim(2);
        let map = relu((read * mean).mean_dim(1));
        as_map(map.reshape([images, 1, keys]), axis)
    }
}

/// `mean over heads of relu(g A)`, `[N, queries, keys]`.
pub(super) fn cared(weights: Tensor<4>, gradient: Tensor<4>) -> Tensor<3> {
    let [images, _, queries, keys] = weights.dims();
    let mean = relu(weights * gradient).mean_dim(1);
    mean.reshape([images, queries, keys])
}

crate::options!(GradientAttention {
    {
        /// What is weighted by a gradient: each entry by its own unless other is said.
        weights: GradientWeights as "weights", "what is weighted by a gradient", WEIGHTS
    }
    {
        /// Whose attention: the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose attention is shown", QUERIES
    }
});

impl Attributor for GradientAttention {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a last block whose keys have no known place in the picture,
    /// [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        let block = reader.last().clone();
        let axis = block.keys.ok_or_else(|| block.not_among_tokens())?;
        let mut whose = "";
        let found = reader.each(|seen| {
            let (weights, gradient) = (seen.weights(&block)?, seen.gradient(&block)?);
            let [images, _, queries, _] = weights.dims();
            let (sizes, device) = ([images, queries], weights.device());
            let rows = self
                .query
                .rows(&block, sizes, &device, || Ok(gradient.clone()));
            let (rows, said) = rows?;
            whose = said;
            Ok(self.map(weights, gradient, rows, axis))
        })?;
        reader.found(self, found, &block.name, &[(whose.to_owned(), 1)])
    }
}

pub(crate) const METHOD: Method = Method::of::<GradientAttention>(
    "gradient-attention",
    "Gradient times attention",
    "Chefer et al. 2021",
)
.at(Place::Tokens);
