//! The weights of attention in a recorded pass, and their gradients.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_graph::{Activation, Activations, GraphError, Heads, Recording};
use elucid_rules::RuleUse;

use super::blocks::{AttentionBlock, Stands};
use crate::error::AttributionError;
use crate::recorded::Recorded;
use crate::relevance::{Attention, RelevanceRules};

/// What a block of a recording attended to, `[N, heads, queries, keys]`.
pub(super) fn weights(
    recording: &Recording<'_>,
    block: &AttentionBlock,
    images: usize,
) -> Result<Tensor<4>, AttributionError> {
    match &block.stands {
        Stands::Written => by_image(recording.value(&block.name)?, block, images),
        Stands::Inside => Ok(heads(recording, block)?.weights()),
    }
}

/// How many queries a block has.
pub(super) fn queries(
    recording: &Recording<'_>,
    block: &AttentionBlock,
) -> Result<usize, AttributionError> {
    match &block.stands {
        Stands::Written => match *recording.value(&block.name)?.shape() {
            [.., queries, _] => Ok(queries),
            _ => Err(block.refused("its weights are no matrix")),
        },
        Stands::Inside => Ok(heads(recording, block)?.q.dims()[2]),
    }
}

/// Whether a block attends over a whole picture, not within windows of it.
pub(super) fn is_whole(
    recording: &Recording<'_>,
    block: &AttentionBlock,
    images: usize,
) -> Result<bool, AttributionError> {
    Ok(match &block.stands {
        Stands::Written => {
            let shape = recording.value(&block.name)?.shape();
            let matrices: usize = shape.iter().rev().skip(2).product();
            shape.len() >= 2 && matrices == images * block.heads
        }
        Stands::Inside => true,
    })
}

/// What the operator of a block computes with.
fn heads(recording: &Recording<'_>, block: &AttentionBlock) -> Result<Heads, AttributionError> {
    let heads = recording.heads(block.node);
    heads.ok_or_else(|| block.refused("the operator does not hand out its heads"))
}

/// Weights as they stand in a network, `[.., heads, queries, keys]`, by image.
fn by_image(
    value: &Activation,
    block: &AttentionBlock,
    images: usize,
) -> Result<Tensor<4>, AttributionError> {
    let shape = value.shape();
    let &[.., queries, keys] = shape.as_slice() else {
        return Err(block.refused("its weights are no matrix"));
    };
    let count = shape.iter().product::<usize>();
    if count != images * block.heads * queries * keys {
        return Err(block.refused("it attends within windows"));
    }
    let split = [images, block.heads, queries, keys];
    let rows = value.rows();
    Ok(rows.reshape(split))
}

/// The gradient of the target's score at the weights of some blocks, each `[N, heads, queries, keys]`.
pub(super) fn gradients(
    recorded: &Recorded<'_>,
    from: &str,
    blocks: &[&AttentionBlock],
) -> Result<Vec<Tensor<4>>, AttributionError> {
    let recording = &recorded.recording;
    let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
    let seed = recorded.gradient.clone();
    let arrived = recording.propagate(from, seed, &names, |step, g| step.gradient(g));
    let arrived = arrived.map_err(|error: GraphError| AttributionError::from(error))?;
    at_weights(recorded, blocks, &arrived, |heads, g| {
        g.matmul(heads.v.clone().swap_dims(2, 3))
    })
}

/// What arrived at the weights of some blocks; where an operator attends by itself, `inside` makes it of what arrived at
/// the heads' outcome.
fn at_weights(
    recorded: &Recorded<'_>,
    blocks: &[&AttentionBlock],
    arrived: &Activations,
    inside: impl Fn(&Heads, Tensor<4>) -> Tensor<4>,
) -> Result<Vec<Tensor<4>>, AttributionError> {
    let images = recorded.scores.len();
    let each = blocks.iter().map(|block| {
        let arrived = arrived.get(&block.name)?;
        match &block.stands {
            Stands::Written => by_image(arrived, block, images),
            Stands::Inside => {
                let heads = heads(&recorded.recording, block)?;
                let at_heads = heads.split(arrived)?;
                Ok(inside(&heads, at_heads))
            }
        }
    });
    each.collect()
}

/// What relevance arrives at the weights of some blocks by these rules, each `[N, heads, queries, keys]`, and how many
/// operators each rule took.
pub(super) fn relevance(
    recorded: &Recorded<'_>,
    from: &str,
    method: &str,
    rules: &RelevanceRules,
    blocks: &[&AttentionBlock],
) -> Result<(Vec<Tensor<4>>, Vec<RuleUse>), AttributionError> {
    let recording = &recorded.recording;
    let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
    let seed = recorded.gradient.clone();
    let (arrived, uses) = rules.hand_down_to(method, recording, from, seed, &names)?;
    let passing = Attention::passing();
    let found = at_weights(recorded, blocks, &arrived, |heads, r| {
        passing.at_weights(heads, r)
    })?;
    Ok((found, uses))
}

/// Numbers `[N, T]` as a tensor `[N, 1, T]`.
pub(super) fn as_row(values: &[f32], images: usize, device: &Device) -> Tensor<3> {
    let tokens = values.len() / images.max(1);
    let data = TensorData::new(values.to_vec(), [images, 1, tokens]);
    Tensor::from_data(data, device)
}
