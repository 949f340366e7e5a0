//! Which blocks of a network attend, from what to what.

use std::collections::{HashMap, HashSet};

use elucid_graph::{Blocks, Graph, Layout, Pattern, TokenAxis, ValueId};
use elucid_vision::Model;

use crate::error::AttributionError;

/// From what to what a block attends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttentionKind {
    /// From the tokens of a picture to the same tokens: the block of a vision transformer.
    Tokens,
    /// Among queries that are no part of a picture: in the decoder of a DETR.
    Queries,
    /// From queries that are no part of a picture to the tokens of one.
    Cross,
    /// From the tokens of a picture to queries that are no part of it: the way back in a decoder of two ways.
    Back,
    /// Within windows, from one set of tokens of the picture to another, or among tokens whose place in the
    /// picture is not known.
    Elsewhere,
}

/// Where the weights of a block stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// They are a value of the network.
    Written,
    /// Within an operator.
    Inside,
}

/// A block of a network that attends: `softmax(scale q kᵀ + bias) v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionBlock {
    pub(super) name: String,
    pub(super) module: String,
    pub(super) heads: usize,
    pub(super) kind: AttentionKind,
    pub(super) queries: Option<TokenAxis>,
    pub(super) keys: Option<TokenAxis>,
    pub(super) stands: Stands,
    /// The node of the softmax, or the operator.
    pub(super) node: usize,
}

impl AttentionBlock {
    /// The name of its weights, the value that the softmax makes; where one operator does everything, that of
    /// what the operator makes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The module that it stands in, as far as the file names modules: `blocks.3.attn`.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// From what to what it attends.
    pub fn kind(&self) -> AttentionKind {
        self.kind
    }

    /// What its queries are, where they are the tokens of a picture.
    pub fn queries(&self) -> Option<TokenAxis> {
        self.queries
    }

    /// What its keys are, where they are the tokens of a picture: the grid is known by what happens to the
    /// picture, never by a square root.
    pub fn keys(&self) -> Option<TokenAxis> {
        self.keys
    }

    /// Whether its weights are a value of the network, rather than within an operator.
    pub fn is_written_out(&self) -> bool {
        self.stands == Stands::Written
    }
}

/// The blocks of a network that attend, in the order in which they run on pictures of `[height, width]`.
///
/// They are looked for at each call: keep the answer. It is empty for a network that does not attend.
///
/// # Errors
///
/// [`AttributionError::Graph`] when the network does not fit pictures of this size.
pub fn attention_blocks(
    model: &Model,
    size: [usize; 2],
) -> Result<Vec<AttentionBlock>, AttributionError> {
    let graph = model.graph();
    let blocks = model.blocks_for(size)?;
    let streams = Streams::of(graph, &blocks);
    let attending = blocks.iter().filter_map(|block| {
        let Pattern::Attention {
            q,
            k,
            probabilities,
            queries,
            keys,
            heads,
            stages: [first, node, _],
            ..
        } = block.pattern()
        else {
            return None;
        };
        let is_operator = first == node;
        let (name, stands) = match (is_operator, probabilities) {
            (false, Some(weights)) => (graph.name(*weights), Stands::Written),
            _ => (graph.name(block.output()), Stands::Inside),
        };
        let kind = match [*q, *k].map(|value| streams.is_of_picture(value)) {
            [true, true] if queries.is_some() && queries == keys => AttentionKind::Tokens,
            [false, false] => AttentionKind::Queries,
            [false, true] if keys.is_some() => AttentionKind::Cross,
            [true, false] if queries.is_some() => AttentionKind::Back,
            _ => AttentionKind::Elsewhere,
        };
        Some(AttentionBlock {
            name: name.to_owned(),
            module: block.module(graph),
            heads: *heads,
            kind,
            queries: *queries,
            keys: *keys,
            stands,
            node: *node,
        })
    });
    let mut attending: Vec<AttentionBlock> = attending.collect();
    attending.sort_by_key(|block| block.node);
    Ok(attending)
}

/// Those of the blocks that the value of a layer is computed from.
pub(super) fn before(
    model: &Model,
    blocks: Vec<AttentionBlock>,
    layer: &str,
) -> Result<Vec<AttentionBlock>, AttributionError> {
    let graph = model.graph();
    let mut seen = HashSet::new();
    let mut next = vec![model.layer(layer)?.value()];
    while let Some(value) = next.pop() {
        if let (true, Some(node)) = (seen.insert(value), graph.producer(value)) {
            next.extend(node.inputs.iter().flatten());
        }
    }
    let is_before = |block: &AttentionBlock| {
        let made = &graph.nodes()[block.node].outputs;
        made.iter().any(|value| seen.contains(value))
    };
    Ok(blocks.into_iter().filter(is_before).collect())
}

/// Which tokens a value belongs to: rows of an attention are those of its queries.
struct Streams<'g> {
    graph: &'g Graph,
    blocks: &'g Blocks,
    /// What a block's output has its rows from.
    queries: HashMap<ValueId, ValueId>,
}

impl<'g> Streams<'g> {
    fn of(graph: &'g Graph, blocks: &'g Blocks) -> Self {
        let queries = blocks.iter().filter_map(|block| match block.pattern() {
            Pattern::Attention { q, .. } => Some((block.output(), *q)),
            _ => None,
        });
        Self {
            graph,
            blocks,
            queries: queries.collect(),
        }
    }

    /// Whether a value's rows are places of a picture, rather than queries that were learned.
    fn is_of_picture(&self, value: ValueId) -> bool {
        let (mut seen, mut next) = (HashSet::new(), vec![value]);
        while let Some(value) = next.pop() {
            if !seen.insert(value) || self.graph.constant(value).is_some() {
                continue;
            }
            if let Some(&queries) = self.queries.get(&value) {
                next.push(queries);
                continue;
            }
            let layout = self.blocks.layout(value);
            let Some(node) = self.graph.producer(value) else {
                return true;
            };
            if layout != Layout::Unknown {
                return true;
            }
            next.extend(node.inputs.iter().flatten());
        }
        false
    }
}
