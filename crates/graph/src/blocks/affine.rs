//! What follows a layer with weights and can become part of them: a bias, a batch normalisation.

use elucid_rules::{Algebra, OpKind};

use super::view::{Nodes, View};
use super::{Block, Pattern};
use crate::graph::ValueId;
use crate::operator::Kernel;

/// What is done with each channel of a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affine {
    /// A batch normalisation, by its node.
    BatchNormalization(usize),
    /// Multiplied by a constant.
    Times(ValueId),
    /// Divided by a constant.
    Over(ValueId),
    /// A constant added.
    Plus(ValueId),
    /// A constant subtracted.
    Minus(ValueId),
}

/// A layer with weights, and the nodes behind it that are part of it.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub weighted: usize,
    /// In order, each with what it does with the channels; casts and the like do nothing.
    pub nodes: Vec<(usize, Option<Affine>)>,
}

impl Chain {
    /// That of a linear layer or of a batch normalisation.
    pub(super) fn of(view: &View<'_>, block: &Block) -> Option<Self> {
        let (weighted, steps) = match block.pattern() {
            Pattern::Linear { weighted, bias, .. } => (*weighted, vec![Affine::Plus(*bias)]),
            Pattern::BatchNorm {
                weighted, steps, ..
            } => (*weighted, steps.clone()),
            _ => return None,
        };
        let mut steps = steps.into_iter();
        // Nodes are in an order in which they can run, and each reads the one before it.
        let behind = block.nodes().iter().filter(|&&i| i != weighted);
        let behind = behind.map(|&i| match view.is_passing(i) {
            true => (i, None),
            false => (i, steps.next()),
        });
        Some(Self {
            weighted,
            nodes: behind.collect(),
        })
    }
}

pub(super) fn find(view: &View<'_>, weighted: usize) -> Option<Block> {
    let algebra = view.algebra(weighted);
    let product = view.output(weighted);
    let rank = view.shape(product)?.len();
    let channels = match algebra {
        Algebra::Convolution => 1,
        Algebra::Dense => rank.checked_sub(1)?,
        _ => return None,
    };
    let mut chain: Vec<(Affine, Nodes)> = Vec::new();
    let mut nodes = Nodes::from([weighted]);
    let mut value = product;
    while let Some(i) = view.next(value, &mut nodes)
        && let Some(step) = step(view, i, value, channels)
    {
        nodes.insert(i);
        chain.push((step, nodes.clone()));
        value = view.output(i);
    }
    let scaled = |step: &Affine| matches!(step, Affine::Times(_) | Affine::Over(_));
    let added = |step: &Affine| matches!(step, Affine::Plus(_) | Affine::Minus(_));
    let steps: Vec<Affine> = chain.iter().map(|(step, _)| *step).collect();
    let normalises = |step: &Affine| matches!(step, Affine::BatchNormalization(_));
    let last_norm = steps.iter().rposition(normalises);
    // A factor alone scales a layer; with an offset behind it, it is a normalisation written out.
    let first_factor = steps.iter().position(scaled);
    let last_offset = steps.iter().rposition(added);
    let written = match (first_factor, last_offset) {
        (Some(first), Some(last)) if first < last => Some(last),
        _ => None,
    };
    let end = last_norm.or(written).unwrap_or(0);
    let (step, nodes) = chain.get(end)?.clone();
    let pattern = match (last_norm.or(written), step) {
        (Some(end), _) => Pattern::BatchNorm {
            weighted,
            product,
            steps: steps[..=end].to_vec(),
        },
        (None, Affine::Plus(bias)) => Pattern::Linear {
            weighted,
            product,
            bias,
        },
        _ => return None,
    };
    let last = nodes.last().copied()?;
    Some(Block::new(view, pattern, nodes, view.output(last)))
}

/// What node `i` does with `value`, if it is the same for all positions of a channel.
fn step(view: &View<'_>, i: usize, value: ValueId, channels: usize) -> Option<Affine> {
    let shape = view.shape(value)?;
    if view.kernel(i).and_then(Kernel::batch_norm).is_some() {
        let is_affine = view.algebra(i) == Algebra::Affine;
        return (is_affine && channels == 1).then_some(Affine::BatchNormalization(i));
    }
    let (_, constant) = view.by_constant(i)?;
    if view.shape(view.output(i)) != Some(shape) || !is_per_channel(view, constant, value, channels)
    {
        return None;
    }
    match view.kind(i) {
        OpKind::Mul => Some(Affine::Times(constant)),
        OpKind::Div => Some(Affine::Over(constant)),
        OpKind::Add | OpKind::Sum => Some(Affine::Plus(constant)),
        OpKind::Sub => Some(Affine::Minus(constant)),
        _ => None,
    }
}

/// Whether a constant has one number for each channel of a value, or one for all.
fn is_per_channel(view: &View<'_>, constant: ValueId, value: ValueId, channels: usize) -> bool {
    let (Some(constant), Some(value)) = (view.shape(constant), view.shape(value)) else {
        return false;
    };
    let Some(ahead) = value.len().checked_sub(constant.len()) else {
        return false;
    };
    let mut sizes = constant.iter().enumerate();
    sizes.all(|(i, &size)| size == 1 || (i + ahead == channels && size == value[channels]))
}
