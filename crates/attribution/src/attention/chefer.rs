//! Chefer's relevance: attention weighted by its gradient, block by block.
//!
//! With `Ā_l = mean_h(relu(g_l A_l))`, entry by entry, where `A_l` are the weights of block `l` and `g_l` the gradient
//! of the target's score there: `R = I` at first, and `R <- R + Ā_l R` from the first block to the last. The map is
//! the row of the token that the target reads ([`AttentionQuery`]), without what stands in front of the patches: so
//! the 1 that the identity puts at the class token is not drawn. Where patches are read, each keeps its own 1 over
//! their number.
//!
//! **Decoders.** In a network whose queries are no part of the picture, as DETR's, there are four matrices: `R_ii`
//! of patches, as above; `R_qq = I` of queries; `R_qi = 0` of what queries have from patches, and `R_iq = 0` of the
//! reverse.
//!
//! | block | from `Ā` | equations |
//! | --- | --- | --- |
//! | among patches | `R_ii <- R_ii + Ā R_ii`, `R_iq <- R_iq + Ā R_iq` | 6, 7 |
//! | among queries | `R_qq <- R_qq + Ā R_qq`, `R_qi <- R_qi + Ā R_qi` | 6, 7 |
//! | from queries to patches | `R_qi <- R_qi + R̄_qqᵀ Ā R̄_ii`, `R_qq <- R_qq + Ā R_iq` | 10, 11 |
//! | from patches to queries | `R_iq <- R_iq + R̄_iiᵀ Ā R̄_qq`, `R_ii <- R_ii + Ā R_qi` | 10, 11 |
//!
//! `R̄` is `R - I` with each row divided by its sum, plus `I` (equations 8 and 9). What stands on the right is what was
//! before the block; of two blocks from either stream to the other that do not depend on each other both see what
//! was before them. The map is the row of `R_qi` that the target reads, that of the box which is explained; where the
//! last block attends from patches, the row of `R_ii`. Without a block from patches to queries, as in DETR, `R_iq` stays 0
//! and equation 11 adds nothing. A block among learned queries that have not seen the picture yet is a constant, of
//! which a file keeps nothing: it is not there.
//!
//! Source: Chefer, Gur and Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal and
//! Encoder-Decoder Transformers*, ICCV 2021, <https://arxiv.org/abs/2103.15679>, equations 5 to 11. What the same
//! authors' CVPR paper does is [`CheferCvpr`](crate::CheferCvpr).

use burn::tensor::Tensor;
use elucid_graph::TokenAxis;
use ndarray::ArrayD;

use super::blocks::{self, AttentionBlock, AttentionKind};
use super::gradient_attention::cared;
use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, Seen, as_map, followed, identity};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::work::Context;

method! {
    /// Chefer's relevance (ICCV 2021): attention weighted by its gradient, block by block, in encoders and decoders.
    pub struct Chefer {
        query: AttentionQuery = AttentionQuery::Readout,
    }
    /// For the token that the target reads.
    new
}

impl Chefer {
    setup_builders!(batch_size, progress);

    matrix! {
        /// The whole of `R` for each image: `[N, tokens, tokens]`, or of a decoder that ends with queries `R_qi`,
        /// `[N, queries, patches]`.
    }

    fn whole(&self, work: &Context<'_>) -> Result<ArrayD<f32>, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        let form = Form::of(&reader)?;
        reader.afford_matrix(form.axis)?;
        let (values, _) = reader.each(|seen| {
            let cared = Cared::of(seen)?;
            cared.relevance(seen.identity(reader.last())?, &form)
        })?;
        Ok(values)
    }
}

crate::options!(Chefer {
    {
        /// Whose relevance: that of the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose relevance is shown", QUERIES
    }
});

/// How the blocks of a network stand to each other.
#[derive(Debug, Clone)]
struct Form {
    /// The patches that blocks attend among, from or to.
    axis: TokenAxis,
    /// Of a decoder, for each block whether it sees what was before the block in front of it.
    beside: Option<Vec<bool>>,
}

impl Form {
    fn of(reader: &Reader<'_>) -> Result<Self, AttributionError> {
        use AttentionKind::{Back, Cross, Elsewhere, Queries, Tokens};
        let blocks = &reader.blocks;
        let crosses = |block: &&AttentionBlock| matches!(block.kind, Cross | Back);
        let Some(cross) = blocks.iter().find(crosses) else {
            let axis = reader.tokens()?;
            return Ok(Self { axis, beside: None });
        };
        let of_picture = |block: &AttentionBlock| match block.kind {
            Back => block.queries,
            _ => block.keys,
        };
        let axis = of_picture(cross).ok_or_else(|| cross.not_among_tokens())?;
        for block in blocks {
            match (block.kind, of_picture(block)) {
                (Elsewhere, _) => return Err(block.not_among_tokens()),
                (Tokens | Cross | Back, Some(own)) if own != axis => {
                    return Err(block.other_tokens(axis));
                }
                (Tokens | Cross | Back | Queries, _) => {}
            }
        }
        let comes_back = blocks.iter().any(|block| block.kind == Back);
        if reader.last().kind == Tokens && !comes_back {
            let last = reader.last();
            return Err(last.refused("the last block attends among patches"));
        }
        let mut beside = vec![false];
        for pair in blocks.windows(2) {
            let is_reverse = matches!([pair[0].kind, pair[1].kind], [Cross, Back] | [Back, Cross]);
            let before = || blocks::before(reader.model, vec![pair[0].clone()], &pair[1].name);
            let is_beside = is_reverse && !beside.last().is_some_and(|&is| is);
            beside.push(is_beside && before()?.is_empty());
        }
        Ok(Self {
            axis,
            beside: Some(beside),
        })
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
    fn relevance(&self, rows: Tensor<3>, form: &Form) -> Result<Tensor<3>, AttributionError> {
        match &form.beside {
            None => followed(rows, self.blocks, |i, _| {
                let [images, tokens, _] = self.matrices[i].dims();
                Ok(self.matrices[i].clone() + identity(images, tokens, &self.last))
            }),
            Some(beside) => self.decoded(rows, form.axis, beside),
        }
    }

    /// The same of a decoder.
    fn decoded(
        &self,
        rows: Tensor<3>,
        axis: TokenAxis,
        beside: &[bool],
    ) -> Result<Tensor<3>, AttributionError> {
        let [images, ..] = self.last.dims();
        let patches = axis.prefix + axis.grid[0] * axis.grid[1];
        let queries = self.queries()?;
        let mut before = Streams::new(images, queries, patches, &self.last);
        let mut now = before.clone();
        let steps = self.blocks.iter().zip(&self.matrices).zip(beside);
        for ((block, matrix), &is_beside) in steps {
            if !is_beside {
                before = now.clone();
            }
            now.attend(&before, block.kind, matrix);
        }
        Ok(match self.blocks.last().map(|block| block.kind) {
            Some(AttentionKind::Tokens | AttentionKind::Back) => {
                rows.clone() + rows.matmul(now.patches)
            }
            _ => rows.matmul(now.to_patches),
        })
    }

    /// How many queries there are that are no part of the picture.
    fn queries(&self) -> Result<usize, AttributionError> {
        let mut found = None;
        for (block, matrix) in self.blocks.iter().zip(&self.matrices) {
            let [_, rows, columns] = matrix.dims();
            let queries = match block.kind {
                AttentionKind::Tokens => continue,
                AttentionKind::Back => columns,
                _ => rows,
            };
            let before = *found.get_or_insert(queries);
            if queries != before {
                return Err(block.refused(format!(
                    "it has {queries} queries, and a block before it has {before}"
                )));
            }
        }
        Ok(found.unwrap_or(0))
    }
}

/// What patches and queries that are no part of the picture have from each other, `[N, rows, columns]`.
///
/// The identity is left out of `R_ii` and `R_qq`: what stands beside its 1 may be small, and is divided by its sum.
#[derive(Debug, Clone)]
struct Streams {
    /// `R_ii - I`
    patches: Tensor<3>,
    /// `R_qq - I`
    queries: Tensor<3>,
    /// `R_qi`
    to_patches: Tensor<3>,
    /// `R_iq`; `None` while it is 0.
    to_queries: Option<Tensor<3>>,
}

impl Streams {
    fn new(images: usize, queries: usize, patches: usize, like: &Tensor<4>) -> Self {
        Self {
            patches: Tensor::zeros([images, patches, patches], &like.device()),
            queries: Tensor::zeros([images, queries, queries], &like.device()),
            to_patches: Tensor::zeros([images, queries, patches], &like.device()),
            to_queries: None,
        }
    }

    /// Adds what a block with this `Ā` adds to what was before it.
    fn attend(&mut self, before: &Self, kind: AttentionKind, matrix: &Tensor<3>) {
        let through = |from: &Tensor<3>| matrix.clone().matmul(from.clone());
        let add = |to: &mut Tensor<3>, more: Tensor<3>| *to = to.clone() + more;
        let between = |from: &Tensor<3>, to: &Tensor<3>| {
            let from = with_rows_of_one(from.clone()).swap_dims(1, 2);
            from.matmul(matrix.clone())
                .matmul(with_rows_of_one(to.clone()))
        };
        let back = before.to_queries.as_ref();
        match kind {
            AttentionKind::Tokens => {
                add(&mut self.patches, matrix.clone() + through(&before.patches));
                if let (Some(back), Some(own)) = (back, &mut self.to_queries) {
                    add(own, through(back));
                }
            }
            AttentionKind::Cross => {
                let more = between(&before.queries, &before.patches);
                add(&mut self.to_patches, more);
                if let Some(back) = back {
                    add(&mut self.queries, through(back));
                }
            }
            AttentionKind::Back => {
                let more = between(&before.patches, &before.queries);
                self.to_queries = Some(match self.to_queries.take() {
                    Some(own) => own + more,
                    None => more,
                });
                add(&mut self.patches, through(&before.to_patches));
            }
            _ => {
                add(&mut self.queries, matrix.clone() + through(&before.queries));
                add(&mut self.to_patches, through(&before.to_patches));
            }
        }
    }
}

/// `R - I` with each row divided by its sum, plus `I`; a row of zeros stays one.
fn with_rows_of_one(rest: Tensor<3>) -> Tensor<3> {
    let [images, tokens, _] = rest.dims();
    let eye = identity(images, tokens, &rest);
    let sums = rest.clone().sum_dim(2);
    let none = sums.clone().equal_scalar(0.0);
    rest / sums.mask_fill(none, 1.0) + eye
}

impl Attributor for Chefer {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a block that attends within windows or among other tokens than those
    /// before it, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target, and the gradients of all weights.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        let form = Form::of(&reader)?;
        let mut whose = "";
        let found = reader.each(|seen| {
            let cared = Cared::of(seen)?;
            let gradient = || Ok(cared.gradient.clone());
            let [images, _, queries, _] = cared.last.dims();
            let (sizes, device) = ([images, queries], cared.last.device());
            let (rows, said) = self.query.rows(reader.last(), sizes, &device, gradient)?;
            whose = said;
            Ok(as_map(cared.relevance(rows, &form)?, form.axis))
        })?;
        let said = [(whose.to_owned(), reader.blocks.len())];
        let layer = reader.last().name.clone();
        reader.found(self, found, &layer, &said)
    }
}

pub(crate) const METHOD: Method =
    Method::of::<Chefer>("chefer", "Chefer's relevance", "Chefer et al. 2021 (ICCV)")
        .at(Place::Tokens);
