//! A method's pass over images, with the attention that it looks at.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_graph::{Activation, INPUT, Layout, TokenAxis};
use elucid_rules::{RuleUse, Rules};
use elucid_vision::Model;
use ndarray::ArrayD;

use super::blocks::{self, AttentionBlock, AttentionKind, attention_blocks};
use super::query::AttentionQuery;
use super::seen;
use crate::attribution::Attribution;
use crate::attributor::Attributor;
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::layer_map::{LayerMap, Takes};
use crate::recorded::Recorded;
use crate::relevance::RelevanceRules;
use crate::saliency::Reduce;
use crate::work::{Context, to_vec};

/// Values `[N, ...]` of which those of each image are changed where they lie.
pub(super) fn in_each_image<const D: usize>(
    values: Tensor<D>,
    change: impl FnMut(&mut [f32]),
) -> Result<Tensor<D>, AttributionError> {
    let (shape, device) = (values.dims(), values.device());
    let of_one: usize = shape[1..].iter().product();
    let mut values = to_vec(&Activation::from(values))?;
    values.chunks_mut(of_one.max(1)).for_each(change);
    Ok(Tensor::from_data(TensorData::new(values, shape), &device))
}

/// What a method that looks at attention works with: images, a target, and the blocks that it is computed from.
pub(super) struct Reader<'w> {
    pub work: Context<'w>,
    pub model: &'w Model,
    /// In the order of the network, one at least.
    pub blocks: Vec<AttentionBlock>,
}

/// One batch of images, run, with what its blocks attend to.
pub(super) struct Seen<'r> {
    pub recorded: Recorded<'r>,
    pub blocks: &'r [AttentionBlock],
    target_layer: &'r str,
    images: usize,
}

impl<'w> Reader<'w> {
    /// # Errors
    ///
    /// [`AttributionError::NeedsModel`] for a closure, [`AttributionError::NoAttention`] for a network that does
    /// not attend.
    pub fn new(method: &'static str, work: &Context<'w>) -> Result<Self, AttributionError> {
        let work = work.at(INPUT, &Rules::new(), Takes::Numbers)?;
        let model = work.model(method)?;
        let all = attention_blocks(model, work.size())?;
        let blocks = blocks::before(model, all, &work.target.layer)?;
        if blocks.is_empty() {
            return Err(AttributionError::NoAttention {
                method,
                network: model.name().to_owned(),
                target: work.target_name.clone(),
            });
        }
        Ok(Self {
            work,
            model,
            blocks,
        })
    }

    /// The last block.
    pub fn last(&self) -> &AttentionBlock {
        let last = self.blocks.last();
        last.expect("a reader has a block")
    }

    /// The axis of tokens that all blocks have in common: queries and keys of each.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Attention`] for the first block that attends otherwise.
    pub fn tokens(&self) -> Result<TokenAxis, AttributionError> {
        let mut axis = None;
        for block in &self.blocks {
            let (AttentionKind::Tokens, Some(keys)) = (block.kind, block.keys) else {
                return Err(block.not_among_tokens());
            };
            match axis.replace(keys) {
                Some(before) if before != keys => return Err(block.other_tokens(before)),
                _ => {}
            }
        }
        axis.ok_or_else(|| self.last().not_among_tokens())
    }

    /// Calls `attribute` for every batch, joins what it returns and the scores, and tells the progress callback.
    pub fn each<T>(
        &self,
        mut attribute: impl FnMut(&Seen<'_>) -> Result<T, AttributionError>,
    ) -> Result<(ArrayD<f32>, Vec<f32>), AttributionError>
    where
        Activation: From<T>,
    {
        self.work.each_recording(self.model, |recorded, rows| {
            // A bias that is a sum of its own is part of its layer, for whoever hands relevance down.
            let recording = recorded.recording.merging_biases();
            let seen = Seen {
                recorded: Recorded {
                    recording,
                    ..recorded
                },
                blocks: &self.blocks,
                target_layer: &self.work.target.layer,
                images: rows.len(),
            };
            Ok(Activation::from(attribute(&seen)?))
        })
    }

    /// What was found: one number for each patch, `[N, 1, h, w]`, at the block called `layer`. `said` is what else
    /// is to be known, and of how many blocks it is true.
    pub fn found(
        mut self,
        method: &dyn Attributor,
        (values, scores): (ArrayD<f32>, Vec<f32>),
        layer: &str,
        said: &[(String, usize)],
    ) -> Result<Attribution, AttributionError> {
        layer.clone_into(&mut self.work.layer);
        self.work.map = LayerMap::with(Layout::ChannelsFirst, false);
        let said = said.iter().map(|(rule, operators)| RuleUse {
            rule: rule.clone(),
            operators: *operators,
        });
        let found = Attribution::new(method, &self.work, values, scores, Reduce::Sum)?;
        Ok(found.with_rule_uses(said.collect()))
    }
}

impl Seen<'_> {
    /// What a block attended to, `[N, heads, queries, keys]`.
    pub fn weights(&self, block: &AttentionBlock) -> Result<Tensor<4>, AttributionError> {
        seen::weights(&self.recorded.recording, block, self.images)
    }

    /// The gradient of the target at what some blocks attended to, each `[N, heads, queries, keys]`.
    pub fn gradients(
        &self,
        blocks: &[&AttentionBlock],
    ) -> Result<Vec<Tensor<4>>, AttributionError> {
        seen::gradients(&self.recorded, self.target_layer, blocks)
    }

    /// What relevance arrives at the weights of some blocks by these rules, each `[N, heads, queries, keys]`, and how
    /// many operators each rule took.
    pub fn relevance(
        &self,
        method: &str,
        rules: &RelevanceRules,
        blocks: &[&AttentionBlock],
    ) -> Result<(Vec<Tensor<4>>, Vec<RuleUse>), AttributionError> {
        seen::relevance(&self.recorded, self.target_layer, method, rules, blocks)
    }

    /// The gradient at one block.
    pub fn gradient(&self, block: &AttentionBlock) -> Result<Tensor<4>, AttributionError> {
        let mut one = self.gradients(&[block])?;
        one.pop().ok_or_else(|| block.refused("it has no gradient"))
    }

    /// How much each token of a block counts, `[N, 1, queries]`, and whose rows these are.
    pub fn rows(
        &self,
        query: AttentionQuery,
        block: &AttentionBlock,
    ) -> Result<(Tensor<3>, &'static str), AttributionError> {
        let sizes = [self.images, self.queries(block)?];
        query.rows(block, sizes, &self.device(), || self.gradient(block))
    }

    /// How many queries a block has.
    pub fn queries(&self, block: &AttentionBlock) -> Result<usize, AttributionError> {
        seen::queries(&self.recorded.recording, block)
    }

    /// The identity for the tokens of a block, `[N, queries, queries]`.
    pub fn identity(&self, block: &AttentionBlock) -> Result<Tensor<3>, AttributionError> {
        let eye = Tensor::<2>::eye(self.queries(block)?, &self.device());
        Ok(eye.unsqueeze::<3>().repeat_dim(0, self.images))
    }

    fn device(&self) -> Device {
        self.recorded.gradient.rows().device()
    }
}

/// What arrives at the first of `matrices`, each `[N, tokens, tokens]`, of rows `[N, R, tokens]` behind the last:
/// `rows A_L ... A_1`. They are made one by one, from the last.
pub(super) fn followed<'b>(
    rows: Tensor<3>,
    blocks: &'b [AttentionBlock],
    mut matrix: impl FnMut(usize, &'b AttentionBlock) -> Result<Tensor<3>, AttributionError>,
) -> Result<Tensor<3>, AttributionError> {
    let mut rows = rows;
    for (i, block) in blocks.iter().enumerate().rev() {
        rows = rows.matmul(matrix(i, block)?);
    }
    Ok(rows)
}

/// Rows `[N, 1, keys]` as a map `[N, 1, h, w]`, without what stands in front of the patches.
pub(super) fn as_map(rows: Tensor<3>, axis: TokenAxis) -> Tensor<4> {
    let [images, _, _] = rows.dims();
    let [height, width] = axis.grid;
    let patches = rows.narrow(2, axis.prefix, height * width);
    patches.reshape([images, 1, height, width])
}

/// The identity, `[N, tokens, tokens]`.
pub(super) fn identity<const D: usize>(
    images: usize,
    tokens: usize,
    like: &Tensor<D>,
) -> Tensor<3> {
    Tensor::<2>::eye(tokens, &like.device())
        .reshape([1, tokens, tokens])
        .repeat_dim(0, images)
}

impl Reader<'_> {
    /// Refuses matrices of all tokens with all tokens that take more memory than is allowed.
    pub fn afford_matrix(&self, axis: TokenAxis) -> Result<(), AttributionError> {
        let tokens = axis.prefix + axis.grid[0] * axis.grid[1];
        let what = format!("attention among {tokens} tokens");
        let images = self.work.count();
        self.work.afford(what, &[images, tokens, tokens, SINGLE])
    }
}
