//! Chefer's relevance: attention weighted by its gradient, block by block.
//!
//! With `Ā_l = mean_h(relu(g_l A_l))`, entry by entry, where `A_l` are the weights of block `l` and `g_l` the gradient
//! of the target's score there: `R = I` at first, and `R <- R + Ā_l R` from the first block to the last. The map is
//! the row of the token that the target reads ([`AttentionQuery`]), without what stands in front of the patches: so
//! the 1 that the identity puts at the class token is not drawn. Where patches are read, each keeps its own 1 over
//! their number.
//!
//! **Decoders.** In a network whose queries are no part of the picture, as DETR's, there are three matrices: `R_ii`
//! of patches, as above; `R_qq = I` of queries; `R_qi = 0` of both. Blocks among queries: `R_qq <- R_qq + Ā R_qq` and
//! `R_qi <- R_qi + Ā R_qi`. Blocks from queries to patches: `R_qi <- R_qi + R̄_qqᵀ Ā R̄_ii`, where `R̄` is `R - I` with each
//! row divided by its sum, plus `I`. The map is the row of `R_qi` that the target reads: that of the box which is
//! explained. A block among learned queries that have not seen the picture yet is a constant, of which a file keeps
//! nothing: it is not there.
//!
//! Source: Chefer, Gur and Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal and
//! Encoder-Decoder Transformers*, ICCV 2021, <https://arxiv.org/abs/2103.15679>, equations 5 to 10. Equation 11, for two
//! streams that attend to each other, has no use here: patches that attend to queries are refused. What the same
//! authors' CVPR paper does is [`CheferCvpr`](crate::CheferCvpr).

use burn::tensor::Tensor;
use elucid_graph::{INPUT, ImageBatch, TokenAxis};
use ndarray::Array3;

use super::blocks::{AttentionBlock, AttentionKind};
use super::gradient_attention::cared;
use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, Seen, as_map, followed, identity};
use super::rollout::in_three;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders, stated};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::options::Configurable;
use crate::target::Target;

/// Chefer's relevance (ICCV 2021): attention weighted by its gradient, block by block, in encoders and decoders.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Chefer {
    pub(crate) setup: Setup,
    query: AttentionQuery,
}

impl Chefer {
    /// For the token that the target reads.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            query: AttentionQuery::Readout,
        }
    }

    setup_builders!(batch_size, progress);

    /// The whole of `R` for each image: `[N, tokens, tokens]`, or of a decoder `R_qi`, `[N, queries, patches]`.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`], and [`AttributionError::TooLarge`].
    pub fn matrix(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: &Target,
    ) -> Result<Array3<f32>, AttributionError> {
        let reader = Reader::new(METHOD.name, &self.setup, network, images, target)?;
        let form = Form::of(&reader)?;
        reader.afford_matrix(form.axis())?;
        let (values, _) = reader.each(|seen| {
            let cared = Cared::of(seen)?;
            let [images, _, queries, _] = cared.last.dims();
            cared.relevance(identity(images, queries, &cared.last), form)
        })?;
        in_three(values)
    }
}

impl Default for Chefer {
    fn default() -> Self {
        Self::new()
    }
}

crate::options!(Chefer {
    {
        /// Whose relevance: that of the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose relevance is shown", QUERIES
    }
});

/// How the blocks of a network stand to each other.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// All attend among the same tokens.
    Encoder(TokenAxis),
    /// Queries attend to these patches.
    Decoder(TokenAxis),
}

impl Form {
    fn of(reader: &Reader<'_>) -> Result<Self, AttributionError> {
        let crosses = |block: &&AttentionBlock| block.kind == AttentionKind::Cross;
        let Some(cross) = reader.blocks.iter().find(crosses) else {
            return reader.tokens().map(Self::Encoder);
        };
        let patches = cross.keys.ok_or_else(|| cross.not_among_tokens())?;
        for block in &reader.blocks {
            match (block.kind, block.keys) {
                (AttentionKind::Elsewhere, _) => return Err(block.not_among_tokens()),
                (AttentionKind::Tokens | AttentionKind::Cross, Some(keys)) if keys != patches => {
                    return Err(block.other_tokens(patches));
                }
                _ => {}
            }
        }
        match reader.last().kind {
            AttentionKind::Tokens => Err(reader
                .last()
                .refused("the last block attends among patches")),
            _ => Ok(Self::Decoder(patches)),
        }
    }

    fn axis(self) -> TokenAxis {
        match self {
            Self::Encoder(axis) | Self::Decoder(axis) => axis,
        }
    }
}

/// `Ā` of each block, `[N, queries, keys]`.
struct Cared<'s> {
    blocks: &'s [AttentionBlock],
    matrices: Vec<Tensor<3>>,
    /// The weights of the last block, and their gradient.
    last: Tensor<4>,
    gradient: Tensor<4>,
}

impl<'s> Cared<'s> {
    fn of(seen: &Seen<'s>) -> Result<Self, AttributionError> {
        let blocks: Vec<&AttentionBlock> = seen.blocks.iter().collect();
        let gradients = seen.gradients(&blocks)?;
        let (mut matrices, mut last) = (Vec::with_capacity(blocks.len()), None);
        for (block, gradient) in blocks.iter().zip(gradients) {
            let weights = seen.weights(block)?;
            matrices.push(cared(weights.clone(), gradient.clone()));
            last = Some((weights, gradient));
        }
        let none = || AttributionError::Attention {
            block: String::new(),
            reason: "there is none".to_owned(),
        };
        let (last, gradient) = last.ok_or_else(none)?;
        Ok(Self {
            blocks: seen.blocks,
            matrices,
            last,
            gradient,
        })
    }

    /// Rows of `R`, `[N, R, keys]`, that are sums of its rows as `rows` `[N, R, queries]` say.
    fn relevance(&self, rows: Tensor<3>, form: Form) -> Result<Tensor<3>, AttributionError> {
        match form {
            Form::Encoder(_) => followed(rows, self.blocks, |i, _| {
                let [images, tokens, _] = self.matrices[i].dims();
                Ok(self.matrices[i].clone() + identity(images, tokens, &self.last))
            }),
            Form::Decoder(axis) => self.decoded(rows, axis),
        }
    }

    /// The same of a decoder.
    fn decoded(&self, rows: Tensor<3>, axis: TokenAxis) -> Result<Tensor<3>, AttributionError> {
        let [images, _, queries, _] = self.last.dims();
        let patches = axis.prefix + axis.grid[0] * axis.grid[1];
        let mut of_patches = identity(images, patches, &self.last);
        let mut of_queries = identity(images, queries, &self.last);
        let mut between = Tensor::zeros([images, queries, patches], &self.last.device());
        for (block, matrix) in self.blocks.iter().zip(&self.matrices) {
            let matrix = matrix.clone();
            let [_, rows, _] = matrix.dims();
            if block.kind != AttentionKind::Tokens && rows != queries {
                return Err(block.refused(format!(
                    "it has {rows} queries, and the last block has {queries}"
                )));
            }
            match block.kind {
                AttentionKind::Tokens => {
                    of_patches = of_patches.clone() + matrix.matmul(of_patches);
                }
                AttentionKind::Cross => {
                    let from = with_rows_of_one(of_queries.clone()).swap_dims(1, 2);
                    let to = with_rows_of_one(of_patches.clone());
                    between = between + from.matmul(matrix).matmul(to);
                }
                _ => {
                    between = between.clone() + matrix.clone().matmul(between);
                    of_queries = of_queries.clone() + matrix.matmul(of_queries);
                }
            }
        }
        Ok(rows.matmul(between))
    }
}

/// `R - I` with each row divided by its sum, plus `I`; a row of zeros stays one.
fn with_rows_of_one(relevance: Tensor<3>) -> Tensor<3> {
    let [images, tokens, _] = relevance.dims();
    let eye = identity(images, tokens, &relevance);
    let rest = relevance - eye.clone();
    let sums = rest.clone().sum_dim(2);
    let none = sums.clone().equal_scalar(0.0);
    rest / sums.mask_fill(none, 1.0) + eye
}

impl Attributor for Chefer {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    stated!();

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a block that attends within windows or among other tokens than those
    /// before it, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target, and the gradients of all weights.
    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let reader = Reader::new(METHOD.name, &self.setup, network, images, &target)?;
        let form = Form::of(&reader)?;
        let mut whose = "";
        let found = reader.each(|seen| {
            let cared = Cared::of(seen)?;
            let gradient = || Ok(cared.gradient.clone());
            let (rows, said) = self.query.rows(reader.last(), &cared.last, gradient)?;
            whose = said;
            Ok(as_map(cared.relevance(rows, form)?, form.axis()))
        })?;
        let said = [(whose.to_owned(), reader.blocks.len())];
        let layer = reader.last().name.clone();
        reader.found(self, found, &layer, &said)
    }
}

pub(crate) const METHOD: Method = Method::new(
    "chefer",
    "Chefer's relevance",
    "Chefer et al. 2021 (ICCV)",
    |options| options.apply(Chefer::new()),
)
.at(Place::Tokens)
.needs_model()
.options(Chefer::OPTIONS);
