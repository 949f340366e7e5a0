//! The weights of every block, for programs that show them.

use elucid_graph::{Activation, INPUT, ImageBatch};
use elucid_vision::Model;
use ndarray::{Array1, Array2, Array4, ArrayView1, Ix4, s};

use super::blocks::{AttentionBlock, attention_blocks};
use super::reader::Reader;
use super::seen;
use crate::attributor::Setup;
use crate::budget::{self, SINGLE};
use crate::error::AttributionError;
use crate::target::Target;
use crate::work::{Context, batches};

/// What one block attends to in each image, and perhaps how a target depends on that.
#[derive(Debug, Clone)]
pub struct BlockAttention {
    number: usize,
    block: AttentionBlock,
    weights: Array4<f32>,
    gradients: Option<Array4<f32>>,
}

impl BlockAttention {
    /// Which block it is.
    pub fn block(&self) -> &AttentionBlock {
        &self.block
    }

    /// Its place among the blocks that are computed one behind the other, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The weights `A`, `[N, heads, queries, keys]`: each row adds up to 1, unless all of its keys are masked.
    pub fn weights(&self) -> &Array4<f32> {
        &self.weights
    }

    /// The gradient of the target's score at the weights, `[N, heads, queries, keys]`, where a target was given.
    pub fn gradients(&self) -> Option<&Array4<f32>> {
        self.gradients.as_ref()
    }

    /// The token of a patch, by row and column; `None` outside the grid, and where queries have none.
    pub fn token(&self, [row, column]: [usize; 2]) -> Option<usize> {
        let axis = self.block.queries?;
        let [height, width] = axis.grid;
        (row < height && column < width).then_some(axis.prefix + row * width + column)
    }

    /// What a token of an image attends to in one head, or in the mean of all heads, as a map of the patches
    /// `[h, w]`: without the tokens in front of them. `None` outside the block, and where keys have no grid.
    pub fn map(&self, image: usize, head: Option<usize>, token: usize) -> Option<Array2<f32>> {
        let axis = self.block.keys?;
        let row = self.row(image, head, token)?;
        let patches = row.slice(s![axis.prefix..]).to_vec();
        let [height, width] = axis.grid;
        Array2::from_shape_vec((height, width), patches).ok()
    }

    /// The same with all keys, `[keys]`.
    pub fn row(&self, image: usize, head: Option<usize>, token: usize) -> Option<Array1<f32>> {
        let (images, heads, queries, _) = self.weights.dim();
        if image >= images || token >= queries || head.is_some_and(|head| head >= heads) {
            return None;
        }
        let of =
            |head: usize| -> ArrayView1<'_, f32> { self.weights.slice(s![image, head, token, ..]) };
        Some(match head {
            Some(head) => of(head).to_owned(),
            None => {
                let first = of(0).to_owned();
                (1..heads).fold(first, |sum, head| sum + of(head)) / heads as f32
            }
        })
    }
}

/// What every block of a network attends to in some images.
///
/// ```no_run
/// # use elucid_attribution::{AttentionMaps, AttributionError};
/// # fn show(model: &elucid_vision::Model, images: burn::tensor::Tensor<4>) -> Result<(), AttributionError> {
/// let maps = AttentionMaps::of(model, &images)?;
/// for block in maps.blocks() {
///     let [images, heads, queries, keys] = block.weights().dim().into();
///     println!("{}: {images} x {heads} x {queries} x {keys}", block.block().name());
///     if let Some(token) = block.token([0, 0]) {
///         println!("the first patch: {:?}", block.map(0, None, token));
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AttentionMaps {
    blocks: Vec<BlockAttention>,
    within_windows: Vec<AttentionBlock>,
    scores: Vec<f32>,
}

impl AttentionMaps {
    /// Of all blocks that attend over the whole picture, in the order of the network, also those of which the scores do
    /// not depend.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NoAttention`] for a network that does not attend, [`AttributionError::Attention`] for
    /// one of which all blocks attend within windows, [`AttributionError::TooLarge`] when the weights take more
    /// memory than the network may, and whatever running it meets.
    pub fn of(model: &Model, images: &dyn ImageBatch) -> Result<Self, AttributionError> {
        let images = images.images(model.device()).without_autodiff();
        let [count, _, height, width] = images.dims();
        let blocks = attention_blocks(model, [height, width])?;
        if blocks.is_empty() {
            return Err(AttributionError::NoAttention {
                method: "a map of attention",
                network: model.name().to_owned(),
                target: "its outputs".to_owned(),
            });
        }
        let names: Vec<&str> = blocks.iter().map(AttentionBlock::name).collect();
        let mut parts = Parts::of(&blocks);
        for rows in batches(count, 1) {
            let image = images.clone().narrow(0, rows[0], 1);
            let recording = model.pass().feed(INPUT, image).record(&names)?;
            for (i, block) in blocks.iter().enumerate() {
                if !seen::is_whole(&recording, block, 1)? {
                    continue;
                }
                let weights = seen::weights(&recording, block, 1)?;
                parts.check(model, i, count, weights.dims())?;
                parts.push(i, weights.into(), None)?;
            }
        }
        parts.joined(Vec::new())
    }

    /// Of the blocks that a target is computed from, with the gradients of its score there: at the raw score, the
    /// logit of a class, each image with its own target.
    ///
    /// # Errors
    ///
    /// As [`AttentionMaps::of`], and those of targets.
    pub fn with_gradients(
        model: &Model,
        images: &dyn ImageBatch,
        target: &Target,
    ) -> Result<Self, AttributionError> {
        let work = Context::new(model, images, target, &Setup::at(INPUT))?;
        let reader = Reader::new("a map of attention", &work)?;
        let mut parts = Parts::of(&reader.blocks);
        let count = reader.work.count();
        let (_, scores) = reader.each(|seen| {
            let scores = seen.recorded.scores.len();
            let mut whole = Vec::new();
            for (i, block) in reader.blocks.iter().enumerate() {
                if seen::is_whole(&seen.recorded.recording, block, scores)? {
                    whole.push((i, block));
                }
            }
            let blocks: Vec<&AttentionBlock> = whole.iter().map(|(_, block)| *block).collect();
            let gradients = seen.gradients(&blocks)?;
            for ((i, block), gradient) in whole.into_iter().zip(gradients) {
                let weights = seen.weights(block)?;
                parts.check(model, i, count, weights.dims())?;
                parts.push(i, weights.into(), Some(gradient.into()))?;
            }
            Ok(burn::tensor::Tensor::<2>::zeros(
                [scores, 1],
                &reader.work.device(),
            ))
        })?;
        parts.joined(scores)
    }

    /// The blocks that attend over the whole picture, in the order of the network.
    pub fn blocks(&self) -> &[BlockAttention] {
        &self.blocks
    }

    /// Those that attend within windows, as most blocks of Swin and MaxViT do: of these there are no weights over a
    /// whole picture.
    pub fn within_windows(&self) -> &[AttentionBlock] {
        &self.within_windows
    }

    /// The target's score for each image; empty where no target was given.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }
}

/// Weights and gradients of blocks, by batch.
struct Parts<'b> {
    blocks: &'b [AttentionBlock],
    weights: Vec<Vec<Array4<f32>>>,
    gradients: Vec<Vec<Array4<f32>>>,
}

impl<'b> Parts<'b> {
    fn of(blocks: &'b [AttentionBlock]) -> Self {
        Self {
            blocks,
            weights: vec![Vec::new(); blocks.len()],
            gradients: vec![Vec::new(); blocks.len()],
        }
    }

    /// Refuses what takes more memory than is allowed, if all blocks are like this one, before any is kept.
    fn check(
        &self,
        model: &Model,
        block: usize,
        images: usize,
        [_, heads, queries, keys]: [usize; 4],
    ) -> Result<(), AttributionError> {
        if !self.weights[block].is_empty() {
            return Ok(());
        }
        let blocks = self.blocks.len();
        let what = format!(
            "attention of {blocks} blocks with {heads} heads from {queries} to {keys} tokens in {images} images"
        );
        let factors = [images, 2 * blocks, heads, queries, keys, SINGLE];
        budget::check(model, what, &factors)
    }

    fn push(
        &mut self,
        block: usize,
        weights: Activation,
        gradient: Option<Activation>,
    ) -> Result<(), AttributionError> {
        self.weights[block].push(in_four(&weights)?);
        if let Some(gradient) = gradient {
            self.gradients[block].push(in_four(&gradient)?);
        }
        Ok(())
    }

    fn joined(self, scores: Vec<f32>) -> Result<AttentionMaps, AttributionError> {
        let (mut blocks, mut within_windows) = (Vec::new(), Vec::new());
        let each = self.blocks.iter().zip(self.weights).zip(self.gradients);
        for (number, ((block, weights), gradients)) in each.enumerate() {
            if weights.is_empty() {
                within_windows.push(block.clone());
                continue;
            }
            blocks.push(BlockAttention {
                number,
                block: block.clone(),
                weights: crate::work::join(&weights)?,
                gradients: match gradients.is_empty() {
                    true => None,
                    false => Some(crate::work::join(&gradients)?),
                },
            });
        }
        match within_windows.first() {
            Some(first) if blocks.is_empty() => Err(first.refused("it attends within windows")),
            _ => Ok(AttentionMaps {
                blocks,
                within_windows,
                scores,
            }),
        }
    }
}

/// Values `[N, heads, queries, keys]` on the host.
pub(super) fn in_four(values: &Activation) -> Result<Array4<f32>, AttributionError> {
    let array = values.to_array()?;
    let got = array.shape().to_vec();
    let four = array.into_dimensionality::<Ix4>();
    four.map_err(|_| AttributionError::ReadBack {
        expected: vec![0; 4],
        got,
    })
}
