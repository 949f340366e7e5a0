//! Attention: what a block attends to, as it is.
//!
//! `map[j] = A[q, j]` of one block, with `A = softmax(scale q kᵀ + bias)`: of one head or the mean of all, and
//! of the patches `j` only. `q` is the token that the target reads behind the block, the class token of most vision
//! transformers; the mean of the rows of the patches where they are what is read; or any patch
//! ([`AttentionQuery`]).
//!
//! With a `mass`, the smallest set of patches is kept whose attention reaches this share of all patches', and the
//! rest is 0: Caron et al., *Emerging Properties in Self-Supervised Vision Transformers* (DINO), ICCV 2021,
//! <https://arxiv.org/abs/2104.14294>, who take 0.6 and each head of the last block by itself. Their program draws
//! what is kept as a mask; here it keeps its weights.
//!
//! **It says nothing of the class.** The same map belongs to every target; a score is reported all the same. Nor
//! does attention to a token say what is taken from it: Jain and Wallace, *Attention is not Explanation* (2019).
//! [`Chefer`](crate::Chefer) weighs it by gradients.

use burn::tensor::Tensor;
use elucid_graph::INPUT;

use super::blocks::AttentionBlock;
use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, as_map, in_each_image};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::options::{Configurable, Setting};
use crate::work::Context;

/// Attention: what one block of a transformer attends to. It looks at no target.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct AttentionMap {
    pub(crate) setup: Setup,
    block: Option<String>,
    head: Option<usize>,
    query: AttentionQuery,
    mass: Option<f32>,
}

impl AttentionMap {
    /// The mean of all heads of the last block.
    pub fn last() -> Self {
        Self {
            setup: Setup::at(INPUT),
            block: None,
            head: None,
            query: AttentionQuery::Readout,
            mass: None,
        }
    }

    /// Of the block of this number, from 0, or of this name: that of its weights, or the module that it stands in.
    pub fn block(mut self, block: &str) -> Self {
        self.block = Some(block.to_owned());
        self
    }

    /// Of one head, from 0.
    pub fn head(mut self, head: usize) -> Self {
        self.head = Some(head);
        self
    }

    setup_builders!(batch_size, progress);
}

/// How the mean of all heads is called.
const MEAN: &str = "mean";

/// How the last block is called.
const LAST: &str = "last";

crate::options!(AttentionMap {
    {
        "block", "which block", "last, a number from 0, or the name of its weights or of its module",
        |method, _| Some(method.block.clone().unwrap_or_else(|| LAST.to_owned())),
        |method, text| {
            let text = text.trim();
            method.block = (text != LAST).then(|| text.to_owned());
            (!text.is_empty()).then_some(())
        }
    }
    {
        "head", "which head", "mean, or a number from 0",
        |method, _| Some(method.head.map_or_else(|| MEAN.to_owned(), |head| head.to_string())),
        |method, text| {
            method.head = match text.trim() {
                MEAN => None,
                head => Some(usize::read(head)?),
            };
            Some(())
        }
    }
    {
        /// Whose attention: the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose attention is shown", QUERIES
    }
    {
        /// Keeps the smallest set of patches whose attention reaches this share of all patches'; all by
        /// default.
        mass: f32 as "mass", "which share of the attention to patches is kept, the largest first",
        "a number above 0, at most 1", |mass| *mass > 0.0 && *mass <= 1.0
    }
});

impl AttentionMap {
    /// The block that is asked for.
    fn chosen<'r>(&self, reader: &'r Reader<'_>) -> Result<&'r AttentionBlock, AttributionError> {
        let Some(asked) = &self.block else {
            return Ok(reader.last());
        };
        let blocks = &reader.blocks;
        let by_number = || blocks.get(asked.parse::<usize>().ok()?);
        let is_called = |block: &&AttentionBlock| {
            !asked.is_empty() && [&block.name, &block.module].contains(&asked)
        };
        let found = blocks.iter().find(is_called).or_else(by_number);
        found.ok_or_else(|| {
            let named = blocks.iter().enumerate();
            let named = named.map(|(i, block)| format!("{i} \"{}\"", block.name));
            AttributionError::OptionValue {
                option: "block".to_owned(),
                value: asked.clone(),
                expected: format!("last, or one of {}", named.collect::<Vec<_>>().join(", ")),
            }
        })
    }

    /// Of weights `[N, heads, queries, keys]` those of the head, or the mean of all, `[N, queries, keys]`.
    fn of_head(
        &self,
        block: &AttentionBlock,
        weights: Tensor<4>,
    ) -> Result<Tensor<3>, AttributionError> {
        let [images, heads, queries, keys] = weights.dims();
        let one = match self.head {
            None => weights.mean_dim(1),
            Some(head) if head < heads => weights.narrow(1, head, 1),
            Some(head) => {
                return Err(AttributionError::OutOfRange {
                    what: "head",
                    index: head,
                    layer: block.name.clone(),
                    size: heads,
                });
            }
        };
        Ok(one.reshape([images, queries, keys]))
    }
}

impl Attributor for AttentionMap {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a block whose keys have no known place in the picture, as within
    /// windows, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        let block = self.chosen(&reader)?.clone();
        let axis = block.keys.ok_or_else(|| block.not_among_tokens())?;
        let mut whose = "";
        let found = reader.each(|seen| {
            let (rows, said) = seen.rows(self.query, &block)?;
            whose = said;
            let weights = self.of_head(&block, seen.weights(&block)?)?;
            let map = as_map(rows.matmul(weights), axis);
            match self.mass {
                Some(mass) => kept(map, mass),
                None => Ok(map),
            }
        })?;
        let evaluations = vec![0; found.1.len()];
        let said = [(format!("{whose} of attention, whatever the target"), 1)];
        let found = reader.found(self, found, &block.name, &said)?;
        Ok(found.with_evaluations(evaluations))
    }
}

/// Of each image of a map `[N, 1, h, w]` the largest numbers that together reach this share of all; 0 elsewhere.
fn kept(map: Tensor<4>, mass: f32) -> Result<Tensor<4>, AttributionError> {
    in_each_image(map, |image| {
        let mut order: Vec<usize> = (0..image.len()).collect();
        order.sort_by(|&a, &b| image[b].total_cmp(&image[a]));
        let total: f64 = image.iter().map(|&v| f64::from(v)).sum();
        let mut reached = 0.0;
        for place in order {
            let value = f64::from(image[place]);
            if reached >= f64::from(mass) * total {
                image[place] = 0.0;
            }
            reached += value;
        }
    })
}

pub(crate) const METHOD: Method = Method::new(
    "attention",
    "Attention of a block",
    "Caron et al. 2021",
    |options| options.apply(AttentionMap::last()),
)
.at(Place::Tokens)
.options(AttentionMap::OPTIONS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::to_vec;
    use elucid_testkit::tensor;

    #[test]
    fn the_fewest_patches_are_kept_that_reach_the_mass() {
        let map = || tensor(vec![0.1, 0.4, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0], [2, 1, 2, 2]);
        let kept = |mass| to_vec(&kept(map(), mass).unwrap().into()).unwrap();
        assert_eq!(kept(0.6), [0.0, 0.4, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(kept(0.3)[..4], [0.0, 0.4, 0.0, 0.0]);
        assert_eq!(kept(1.0)[..4], [0.1, 0.4, 0.2, 0.3]);
    }
}
