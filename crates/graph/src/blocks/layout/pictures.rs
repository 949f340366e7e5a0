//! What the axes of layers are in a network of pictures `[N, C, H, W]`.

use std::collections::HashMap;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use super::super::view::View;
use super::{Axes, Layout};
use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::ValueId;

impl Layout {
    /// A value of this layout as a map `[N, C, H, W]`: of tokens the patches, without what stands
    /// in front.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] for a value that has not these axes, and where they are
    /// [`Unknown`](Layout::Unknown).
    pub fn map_of(self, value: &Activation) -> Result<Tensor<4>, GraphError> {
        match self {
            Self::ChannelsFirst => value.tensor::<4>(),
            Self::ChannelsLast => Ok(value.tensor::<4>()?.permute([0, 3, 1, 2])),
            Self::Tokens {
                prefix,
                grid: [h, w],
            } => {
                let tokens = value.tensor::<3>()?;
                let [n, count, c] = tokens.dims();
                if count != prefix + h * w {
                    return Err(GraphError::Shape {
                        what: "the tokens".to_owned(),
                        expected: format!("[N, {prefix} + {h} * {w}, C]"),
                        got: vec![n, count, c],
                    });
                }
                let patches = tokens.narrow(1, prefix, h * w).permute([0, 2, 1]);
                Ok(patches.reshape([n, c, h, w]))
            }
            Self::Unknown => Err(GraphError::Shape {
                what: "a layer of unknown layout".to_owned(),
                expected: "[N, C, H, W], [N, H, W, C] or tokens on a known grid".to_owned(),
                got: value.shape(),
            }),
        }
    }
}

/// What the axes of the layers are of a network that takes pictures `[N, C, H, W]`.
///
/// As [`Blocks::layout`](crate::Blocks::layout), but the picture's own axes are not guessed from
/// their sizes, and a map stays one through operators that are not understood, as long as none of
/// them moves axes: from a convolution on a value `[N, _, _, _]` is `[N, C, H, W]` until something
/// is transposed, reshaped or multiplied by a matrix.
#[derive(Debug, Clone)]
pub struct Layouts {
    layouts: HashMap<ValueId, Layout>,
    reads: HashMap<ValueId, bool>,
}

impl Layouts {
    pub(in super::super) fn of(view: &View<'_>, pictures: ValueId) -> Self {
        let axes = Axes::of(view, Some(pictures));
        let mut layouts = axes.layouts(view);
        // One channel has no parts by which it could be told.
        if view.shape(pictures).is_some_and(|shape| shape.len() == 4) {
            layouts.insert(pictures, Layout::ChannelsFirst);
        }
        let images = view
            .shape(pictures)
            .and_then(|shape| shape.first().copied());
        for i in view.running() {
            for &value in &view.node(i).outputs {
                let is_open = |layouts: &HashMap<_, _>| {
                    !layouts.contains_key(&value) && !view.is_constant(value)
                };
                let fits = matches!(view.shape(value), Some(&[n, _, _, _]) if Some(n) == images);
                if fits && is_open(&layouts) && stays_map(view, &layouts, i) {
                    layouts.insert(value, Layout::ChannelsFirst);
                }
            }
        }
        let reads = patches_read(view, &layouts);
        Self { layouts, reads }
    }

    /// What the axes of a value are.
    pub fn layout(&self, value: ValueId) -> Layout {
        self.layouts.get(&value).copied().unwrap_or_default()
    }

    /// Whether what follows reads the patches of a sequence of tokens, rather than those in front
    /// only: behind the last attention of a transformer whose class token is all that is
    /// classified, it does not. `true` for whatever is no sequence.
    pub fn reads_patches(&self, value: ValueId) -> bool {
        self.reads.get(&value).copied().unwrap_or(true)
    }
}

/// Whether node `i` makes a map `[N, C, H, W]` of such a map, or by convolution.
fn stays_map(view: &View<'_>, layouts: &HashMap<ValueId, Layout>, i: usize) -> bool {
    let keeps_axes = match view.algebra(i) {
        Algebra::Moves => view.is(
            i,
            &[OpKind::Concat, OpKind::Pad, OpKind::Slice, OpKind::Split],
        ),
        Algebra::Product => !view.is(i, &[OpKind::MatMul]),
        Algebra::Dense | Algebra::Mixture | Algebra::Other => false,
        _ => true,
    };
    let maps = view.live(i).into_iter().filter_map(|value| {
        let has_axes = view.shape(value)?.len() == 4;
        has_axes.then(|| layouts.get(&value).copied().unwrap_or_default())
    });
    let maps: Vec<Layout> = maps.collect();
    match view.algebra(i) {
        Algebra::Convolution => maps.first() != Some(&Layout::ChannelsLast),
        _ => keeps_axes && !maps.is_empty() && maps.iter().all(|&l| l == Layout::ChannelsFirst),
    }
}

/// For each sequence of tokens, and what is computed of each of them, whether anything that follows
/// reads the patches.
fn patches_read(view: &View<'_>, layouts: &HashMap<ValueId, Layout>) -> HashMap<ValueId, bool> {
    let mut prefixes: HashMap<usize, usize> = HashMap::new();
    for (&value, layout) in layouts {
        if let (&Layout::Tokens { prefix, .. }, Some(&[_, tokens, _])) = (layout, view.shape(value))
        {
            let most = prefixes.entry(tokens).or_default();
            *most = prefix.max(*most);
        }
    }
    let tokens = |value: ValueId| match view.shape(value) {
        Some(&[_, tokens, _]) => prefixes.get(&tokens).map(|&prefix| (tokens, prefix)),
        _ => None,
    };
    let mut reads: HashMap<ValueId, bool> = HashMap::new();
    let running: Vec<usize> = view.running().collect();
    for &i in running.iter().rev() {
        for &value in &view.node(i).outputs {
            let Some((count, prefix)) = tokens(value) else {
                continue;
            };
            let is_read = view.readers(value).iter().any(|&reader| {
                let is_each = is_each_token(view, reader);
                view.node(reader)
                    .outputs
                    .iter()
                    .any(|&made| match tokens(made) {
                        Some((same, _)) if is_each && same == count => {
                            reads.get(&made).copied().unwrap_or(true)
                        }
                        _ => !takes_prefix(view, reader, value, made, prefix),
                    })
            });
            // What is fetched from the end is asked for as it is.
            reads.insert(value, is_read || view.graph.outputs().contains(&value));
        }
    }
    reads
}

/// Whether node `i` computes each token from itself where it keeps their number.
fn is_each_token(view: &View<'_>, i: usize) -> bool {
    match view.algebra(i) {
        Algebra::Product => !view.is(i, &[OpKind::MatMul]),
        Algebra::Other => view.kind(i).as_str().contains("LayerNormalization"),
        Algebra::Moves => !view.is(i, &[OpKind::Transpose]),
        Algebra::Mixture | Algebra::Convolution => false,
        _ => true,
    }
}

/// Whether node `i` takes tokens in front of the patches of `from` and no others.
fn takes_prefix(view: &View<'_>, i: usize, from: ValueId, made: ValueId, prefix: usize) -> bool {
    let picks = view.is(i, &[OpKind::Gather, OpKind::Slice, OpKind::Split]);
    let (Some(&[_, tokens, channels]), true) = (view.shape(from), picks) else {
        return false;
    };
    super::sources(view, i, from, made).is_some_and(|sources| {
        sources
            .iter()
            .all(|source| source / channels.max(1) % tokens.max(1) < prefix)
    })
}
