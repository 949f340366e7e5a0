//! Chefer's relevance of 2021 at CVPR: attention's own relevance weighted by its gradient, block by block.
//!
//! As [`Chefer`](crate::Chefer), with relevance `R^A` in the place of the weights: `Ā_l = mean_h(relu(g_l R^A_l))`, and the
//! map is the row of `(I + Ā_L) ... (I + Ā_1)` of the token that the target reads, rows not divided, without what stands
//! in front of the patches. `R^A` is an LRP of its own, [`RelevanceRules::chefer_cvpr`](crate::RelevanceRules::chefer_cvpr):
//!
//! - it starts with the gradient where the target is computed, 1 at the logit of a class, not with the score;
//! - layers with weights by [`ZPlus::without_bias`](crate::relevance::ZPlus::without_bias);
//! - both factors of a product get half, by `x ((R / y) ...)`; gates of activations nothing;
//! - normalisations, activations, the softmax and scales hand on what arrives;
//! - sums of branches by [`Branches`](crate::relevance::Branches), image by image.
//!
//! Division is by `y + 1e-9`, and gives 0 where `y` is 0. In single precision relevance over products of queries and keys
//! near 0 is ill-conditioned: maps are exact to some 1e-5 of their largest number.
//!
//! A mean over patches instead of a class token is no part of the paper: here each patch gets its share of the mean.
//!
//! Source: Chefer, Gur and Wolf, *Transformer Interpretability Beyond Attention Visualization*, CVPR 2021,
//! <https://arxiv.org/abs/2012.09838>.
//!
//! **Patents.** iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer): look into it before
//! commercial use.

use burn::tensor::Tensor;
use elucid_graph::{Activation, ImageBatch};
use elucid_rules::RuleUse;
use ndarray::{Array4, ArrayD};

use super::blocks::AttentionBlock;
use super::gradient_attention::cared;
use super::maps::in_four;
use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, Seen, as_map, followed, identity};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::relevance::RelevanceRules;
use crate::target::Target;
use crate::work::{Context, join};

method! {
    /// Chefer's relevance (CVPR 2021): attention's own relevance weighted by its gradient, block by block.
    ///
    /// iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer).
    pub struct CheferCvpr {
        query: AttentionQuery = AttentionQuery::Readout,
        rules: RelevanceRules = RelevanceRules::chefer_cvpr(),
    }
    /// For the token that the target reads.
    new
}

/// What was found of a batch: `g R^A` is not multiplied yet.
struct Handed {
    relevance: Vec<Tensor<4>>,
    gradients: Vec<Tensor<4>>,
    uses: Vec<RuleUse>,
}

impl CheferCvpr {
    setup_builders!(batch_size, progress);

    matrix! {
        /// The whole product for each image, `[N, tokens, tokens]`.
    }

    fn whole(&self, work: &Context<'_>) -> Result<ArrayD<f32>, AttributionError> {
        let reader = Self::reader(work)?;
        reader.afford_matrix(reader.tokens()?)?;
        let (values, _) = self.each(&reader, |seen, handed| {
            handed.followed(seen.blocks, seen.identity(reader.last())?)
        })?;
        Ok(values)
    }

    /// The relevance `R^A` of each block's weights, `[N, heads, tokens, tokens]`, in the order of the network.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`], and [`AttributionError::TooLarge`].
    pub fn relevance(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: &Target,
    ) -> Result<Vec<Array4<f32>>, AttributionError> {
        let work = Context::new(network, images, target, &self.setup)?;
        let reader = Self::reader(&work)?;
        let mut parts: Vec<Vec<Array4<f32>>> = vec![Vec::new(); reader.blocks.len()];
        let axis = reader.tokens()?;
        let tokens = axis.prefix + axis.grid[0] * axis.grid[1];
        let heads = reader.blocks.iter().map(|block| block.heads).sum();
        let what = format!("relevance of {heads} heads among {tokens} tokens");
        let factors = [reader.work.count(), heads, tokens, tokens, SINGLE];
        reader.work.afford(what, &factors)?;
        self.each(&reader, |seen, handed| {
            for (parts, relevance) in parts.iter_mut().zip(&handed.relevance) {
                parts.push(in_four(&relevance.clone().into())?);
            }
            let count = seen.recorded.scores.len();
            Ok(Tensor::<3>::zeros([count, 1, 1], &reader.work.device()))
        })?;
        parts.iter().map(|parts| join(parts)).collect()
    }

    fn reader<'w>(work: &Context<'w>) -> Result<Reader<'w>, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        reader.work.target.check_handed_down(METHOD.name)?;
        Ok(reader)
    }

    /// Calls `attribute` for every batch, with relevance and gradients of all blocks.
    fn each<T>(
        &self,
        reader: &Reader<'_>,
        mut attribute: impl FnMut(&Seen<'_>, &Handed) -> Result<T, AttributionError>,
    ) -> Result<(ArrayD<f32>, Vec<f32>), AttributionError>
    where
        Activation: From<T>,
    {
        reader.each(|seen| {
            let blocks: Vec<&AttentionBlock> = seen.blocks.iter().collect();
            let gradients = seen.gradients(&blocks)?;
            let (relevance, uses) = seen.relevance(METHOD.name, &self.rules, &blocks)?;
            let handed = Handed {
                relevance,
                gradients,
                uses,
            };
            attribute(seen, &handed)
        })
    }
}

impl Handed {
    /// `rows (I + Ā_L) ... (I + Ā_1)`.
    fn followed(
        &self,
        blocks: &[AttentionBlock],
        rows: Tensor<3>,
    ) -> Result<Tensor<3>, AttributionError> {
        followed(rows, blocks, |i, _| {
            let (relevance, gradient) = (self.relevance[i].clone(), self.gradients[i].clone());
            let [images, _, tokens, _] = relevance.dims();
            let eye = identity(images, tokens, &relevance);
            Ok(cared(relevance, gradient) + eye)
        })
    }
}

crate::options!(CheferCvpr {
    {
        /// Whose relevance: that of the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose relevance is shown", QUERIES
    }
});

impl Attributor for CheferCvpr {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a block that attends within windows or among other tokens than those
    /// before it, [`AttributionError::Uncovered`] for operators that its rules say nothing about,
    /// [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target, and gradients and relevance of all
    /// weights.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let reader = Self::reader(work)?;
        let axis = reader.tokens()?;
        let (mut whose, mut uses) = ("", Vec::new());
        let found = self.each(&reader, |seen, handed| {
            let none = || reader.last().refused("it has no gradient");
            let gradient = handed.gradients.last().ok_or_else(none)?;
            let [images, _, tokens, _] = gradient.dims();
            let (sizes, device) = ([images, tokens], gradient.device());
            let rows = self
                .query
                .rows(reader.last(), sizes, &device, || Ok(gradient.clone()));
            let (rows, said) = rows?;
            (whose, uses) = (said, handed.uses.clone());
            Ok(as_map(handed.followed(seen.blocks, rows)?, axis))
        })?;
        let said = [(whose.to_owned(), reader.blocks.len())];
        let layer = reader.last().name.clone();
        let found = reader.found(self, found, &layer, &said)?;
        let said = found.rule_uses().to_vec();
        Ok(found.with_rules(self.rules.name(), [said, uses].concat()))
    }
}

pub(crate) const METHOD: Method = Method::of::<CheferCvpr>(
    "chefer-cvpr",
    "Chefer's relevance with LRP",
    "Chefer et al. 2021 (CVPR)",
)
.at(Place::Tokens);
