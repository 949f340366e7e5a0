//! What groups of operators are together: attention, a normalisation written out, a gate.
//!
//! Exporters spell one thing in many ways: GELU is one operator, or five in one of three orders. Here the
//! spellings are matched. Nothing is rewritten: every value keeps its name and can be fed and fetched, also
//! one inside a block. Whoever wants to treat a block as one step is told its nodes, and the values that
//! matter in it.
//!
//! Matching goes by sizes and by what operators compute, not by names of nodes. Functions of one number
//! are *evaluated* and compared with the ones that are known, so that the spelling does not matter and a
//! constant that is a little off does.

mod affine;
mod attention;
mod gate;
mod layout;
mod norm;
mod squeeze;
mod view;

use std::collections::{BTreeSet, HashMap, HashSet};

pub use self::affine::Affine;
pub use self::gate::GateFunction;
pub use self::layout::Layout;
pub use self::norm::Statistics;
use self::view::View;
use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::model::{INPUT, Model};
use crate::operator::Known;

/// What a block is, with the values that matter in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Pattern {
    /// A convolution or a dense layer, and a batch normalisation of what it makes: an operator of that
    /// name, or a product and a sum with one constant for each channel. All of it is linear in the input and
    /// can become one layer.
    BatchNorm {
        /// The node with the weights.
        weighted: usize,
        /// What that node makes.
        product: ValueId,
        /// What is done with it, in order.
        steps: Vec<Affine>,
    },
    /// A product with constant weights, and a sum with one constant for each channel: one linear layer with
    /// a bias. Rules that look at the output of a layer must see it with the bias.
    Linear {
        /// The node with the weights.
        weighted: usize,
        /// What that node makes.
        product: ValueId,
        /// What is added to it.
        bias: ValueId,
    },
    /// A number times a factor that follows from it: `y = x g(x)`.
    Gate {
        /// Which function.
        function: GateFunction,
        /// What is multiplied, `x`.
        signal: ValueId,
        /// The factor `g(x)`, where the file has it as a value of its own.
        factor: Option<ValueId>,
        /// A constant that the operator adds to the signal first.
        bias: Option<ValueId>,
    },
    /// A map times one factor for each channel, which follows from the channels' means
    /// (Hu et al., *Squeeze-and-Excitation Networks*, 2018).
    SqueezeExcite {
        /// The map.
        signal: ValueId,
        /// Its channels' means.
        pooled: ValueId,
        /// The factors, of the map's rank, with size 1 along each position.
        factor: ValueId,
    },
    /// `(x - mean) / deviation * scale + offset`, or without the mean.
    Normalization {
        /// Over what the statistics are taken.
        statistics: Statistics,
        /// What is normalised. The sum of two values, for an operator that adds a shortcut first: see
        /// `skip`.
        signal: ValueId,
        /// What the operator adds to the signal first: a shortcut, and perhaps a bias.
        skip: Vec<ValueId>,
        /// Axes of the signal over which the mean is taken, in order. Groups take a part of axis 1.
        axes: Vec<usize>,
        /// The mean, where the file has it as a value.
        mean: Option<ValueId>,
        /// The root of variance plus epsilon, or its inverse, where the file has it as a value.
        deviation: Option<ValueId>,
        /// Whether `deviation` holds the inverse.
        inverse: bool,
        /// What is added to the variance.
        epsilon: f64,
        /// The signal with mean 0 and deviation 1, where the file has it as a value.
        normalised: Option<ValueId>,
        /// The constant factor, if there is one.
        scale: Option<ValueId>,
        /// The constant that is added, if there is one.
        offset: Option<ValueId>,
    },
    /// `softmax(scale q kᵀ + masks) v`.
    Attention {
        /// Queries as they enter, before they are scaled.
        q: ValueId,
        /// Keys as they enter, before they are scaled; transposed where the file transposes them before.
        k: ValueId,
        /// Values as they enter.
        v: ValueId,
        /// The one layer that queries, keys and values are parts of, if there is one.
        packed: Option<ValueId>,
        /// The product of queries and keys.
        products: Option<ValueId>,
        /// What the softmax reads: scaled, masks and positions added.
        scores: Option<ValueId>,
        /// What the softmax makes, `[.., heads, queries, keys]`. Absent where one operator does
        /// everything and does not hand it out.
        probabilities: Option<ValueId>,
        /// What is added to the products: a mask, relative positions.
        masks: Vec<ValueId>,
        /// Number of heads of the queries.
        heads: usize,
        /// What the product of queries and keys is multiplied by in all; absent where it is not one
        /// number.
        scale: Option<f64>,
        /// The nodes of the product of queries and keys, of the softmax, and of the product with the
        /// values: three times the same, where one operator does everything.
        stages: [usize; 3],
    },
    /// The step from a map `[N, C, h, w]` to a sequence of tokens `[N, prefix + h w, C]`.
    TokenGrid {
        /// The map.
        map: ValueId,
        /// Number of tokens in front that are no patches: class and register tokens.
        prefix: usize,
        /// Height and width in patches.
        grid: [usize; 2],
    },
}

/// A group of operators that is one thing.
///
/// Blocks do not overlap, but for two kinds: what follows from the means of a
/// [`SqueezeExcite`](Pattern::SqueezeExcite) has linear layers and gates of its own, and the map of a
/// [`TokenGrid`](Pattern::TokenGrid) may be the output of any block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pattern: Pattern,
    nodes: Vec<usize>,
    inputs: Vec<ValueId>,
    inside: Vec<ValueId>,
    read_elsewhere: Vec<ValueId>,
    output: ValueId,
}

impl Block {
    fn new(view: &View<'_>, pattern: Pattern, nodes: BTreeSet<usize>, output: ValueId) -> Self {
        let made: Vec<ValueId> = nodes
            .iter()
            .flat_map(|&i| &view.node(i).outputs)
            .copied()
            .collect();
        let mut inputs = Vec::new();
        for &value in nodes
            .iter()
            .flat_map(|&i| view.node(i).inputs.iter())
            .flatten()
        {
            if !made.contains(&value) && !inputs.contains(&value) && !view.is_constant(value) {
                inputs.push(value);
            }
        }
        let inside: Vec<ValueId> = made
            .into_iter()
            .filter(|&value| value != output && !view.is_constant(value))
            .collect();
        let is_read_elsewhere = |value: &ValueId| {
            let readers = view.readers(*value);
            view.graph.outputs().contains(value) || readers.iter().any(|i| !nodes.contains(i))
        };
        Self {
            read_elsewhere: inside.iter().copied().filter(is_read_elsewhere).collect(),
            pattern,
            nodes: nodes.into_iter().collect(),
            inputs,
            inside,
            output,
        }
    }

    /// What it is, with the values that matter in it.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The name of what it is: `attention`, `GELU`, `layer normalization`.
    pub fn name(&self) -> &'static str {
        match &self.pattern {
            Pattern::BatchNorm { .. } => "batch normalization",
            Pattern::Linear { .. } => "linear layer",
            Pattern::Gate { function, .. } => function.as_str(),
            Pattern::SqueezeExcite { .. } => "squeeze-and-excitation",
            Pattern::Normalization { statistics, .. } => statistics.as_str(),
            Pattern::Attention { .. } => "attention",
            Pattern::TokenGrid { .. } => "token grid",
        }
    }

    /// Its nodes by their places in [`Graph::nodes`], in order.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// What its nodes read and do not make, weights aside.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// What its nodes make beside its output.
    pub fn inside(&self) -> &[ValueId] {
        &self.inside
    }

    /// Values [inside](Block::inside) that nodes outside read, too, or that are outputs of the graph.
    /// Whoever treats the block as one step must see to what arrives there.
    pub fn read_elsewhere(&self) -> &[ValueId] {
        &self.read_elsewhere
    }

    /// What it makes.
    pub fn output(&self) -> ValueId {
        self.output
    }

    /// The values that matter in it, by the names of the [pattern](Block::pattern)'s fields.
    pub fn values(&self) -> Vec<(&'static str, ValueId)> {
        let named: Vec<(&'static str, Option<ValueId>)> = match &self.pattern {
            Pattern::BatchNorm { product, .. } => vec![("product", Some(*product))],
            Pattern::Linear { product, bias, .. } => {
                vec![("product", Some(*product)), ("bias", Some(*bias))]
            }
            Pattern::Gate {
                signal,
                factor,
                bias,
                ..
            } => vec![
                ("signal", Some(*signal)),
                ("factor", *factor),
                ("bias", *bias),
            ],
            Pattern::SqueezeExcite {
                signal,
                pooled,
                factor,
            } => vec![
                ("signal", Some(*signal)),
                ("pooled", Some(*pooled)),
                ("factor", Some(*factor)),
            ],
            Pattern::Normalization {
                signal,
                mean,
                deviation,
                normalised,
                scale,
                offset,
                ..
            } => vec![
                ("signal", Some(*signal)),
                ("mean", *mean),
                ("deviation", *deviation),
                ("normalised", *normalised),
                ("scale", *scale),
                ("offset", *offset),
            ],
            Pattern::Attention {
                q,
                k,
                v,
                packed,
                products,
                scores,
                probabilities,
                ..
            } => vec![
                ("q", Some(*q)),
                ("k", Some(*k)),
                ("v", Some(*v)),
                ("packed", *packed),
                ("products", *products),
                ("scores", *scores),
                ("probabilities", *probabilities),
            ],
            Pattern::TokenGrid { map, .. } => vec![("map", Some(*map))],
        };
        let there = named.into_iter();
        there
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The innermost module that all of its nodes stand in, as far as the file names modules:
    /// `blocks.3.attn`.
    pub fn module(&self, graph: &Graph) -> String {
        let modules = self.nodes.iter().map(|&i| graph.nodes()[i].module.as_str());
        let mut named = modules.filter(|module| !module.is_empty());
        let Some(first) = named.next() else {
            return String::new();
        };
        let mut common: Vec<&str> = first.split('.').collect();
        for module in named {
            let same = common
                .iter()
                .zip(module.split('.'))
                .take_while(|(a, b)| *a == b);
            common.truncate(same.count());
        }
        common.join(".")
    }

    /// What is worth to be told about it: `6 heads, scale 0.125, packed`.
    pub fn details(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        match &self.pattern {
            Pattern::Normalization {
                statistics,
                axes,
                epsilon,
                ..
            } => {
                match statistics {
                    Statistics::Group { groups } => parts.push(format!("{groups} groups")),
                    _ => parts.push(format!("over axes {axes:?}")),
                }
                parts.push(format!("epsilon {epsilon:e}"));
            }
            Pattern::Attention {
                heads,
                scale,
                packed,
                masks,
                probabilities,
                ..
            } => {
                parts.push(format!("{heads} heads"));
                parts.extend(scale.map(|scale| format!("scale {scale:.4}")));
                parts.extend(packed.map(|_| "packed".to_owned()));
                parts.extend((!masks.is_empty()).then(|| "masked".to_owned()));
                parts.extend(
                    probabilities
                        .is_none()
                        .then(|| "probabilities not in the file".to_owned()),
                );
            }
            Pattern::TokenGrid { prefix, grid, .. } => {
                parts.push(format!("grid {} x {}", grid[0], grid[1]));
                parts.push(format!("prefix {prefix}"));
            }
            _ => {}
        }
        if !self.read_elsewhere.is_empty() {
            parts.push(format!(
                "{} values read elsewhere",
                self.read_elsewhere.len()
            ));
        }
        parts.join(", ")
    }
}

/// The blocks of a graph, and what the axes of its values are.
#[derive(Debug, Clone)]
pub struct Blocks {
    blocks: Vec<Block>,
    layouts: HashMap<ValueId, Layout>,
}

impl Blocks {
    fn find(view: &View<'_>) -> Self {
        let mut claimed: HashSet<usize> = HashSet::new();
        let mut blocks: Vec<Block> = Vec::new();
        // What has more structure goes first: a sum that is part of a normalisation is no bias.
        let finders: [fn(&View<'_>, usize) -> Option<Block>; 4] =
            [attention::find, norm::find, gate::find, affine::find];
        for find in finders {
            for i in view.running() {
                if let Some(block) = find(view, i)
                    && block.nodes.iter().all(|node| !claimed.contains(node))
                {
                    claimed.extend(&block.nodes);
                    blocks.push(block);
                }
            }
        }
        blocks.extend(view.running().filter_map(|i| squeeze::find(view, i)));
        let axes = layout::Axes::of(view);
        blocks.extend(axes.token_grids(view));
        let last = |block: &Block| block.nodes.last().copied();
        blocks.sort_by_key(|block| (last(block), block.nodes.len()));
        Self {
            blocks,
            layouts: axes.layouts(view),
        }
    }

    /// In the order of their outputs; one that lies in another comes before it.
    pub fn iter(&self) -> std::slice::Iter<'_, Block> {
        self.blocks.iter()
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// What the axes of a value are.
    pub fn layout(&self, value: ValueId) -> Layout {
        self.layouts.get(&value).copied().unwrap_or_default()
    }
}

impl<'a> IntoIterator for &'a Blocks {
    type Item = &'a Block;
    type IntoIter = std::slice::Iter<'a, Block>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Graph {
    /// Blocks of operators, and what the axes of values are, when inputs have these shapes. An input that is
    /// not named has the shape that the file states, with 1 for what it leaves open.
    ///
    /// What depends on an operator that is not supported, or on sizes that are known once an image is there,
    /// belongs to no block.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when a node does not fit the shapes.
    pub fn blocks(&self, shapes: &[(ValueId, Vec<usize>)]) -> Result<Blocks, GraphError> {
        let feeds: Vec<(ValueId, Known)> = self
            .inputs()
            .iter()
            .map(|input| {
                let given = shapes.iter().find(|(value, _)| *value == input.value);
                let stated = || input.shape.iter().map(|size| size.unwrap_or(1)).collect();
                let shape = given.map_or_else(stated, |(_, shape)| shape.clone());
                (input.value, Known::computed(shape, input.kind))
            })
            .collect();
        Ok(Blocks::find(&View::new(self, &feeds)?))
    }
}

impl Model {
    /// Blocks of operators, and what the axes of layers are, for one image of the model's size.
    ///
    /// They are looked for at each call: keep the answer.
    ///
    /// # Errors
    ///
    /// As [`Graph::blocks`].
    pub fn blocks(&self) -> Result<Blocks, GraphError> {
        let graph = self.graph();
        let image = match self.layer(INPUT) {
            Ok(layer) => vec![(self.value(INPUT)?, layer.shape().to_vec())],
            // A graph that is no model of pictures has the sizes of its file.
            Err(_) => Vec::new(),
        };
        graph.blocks(&image)
    }

    /// What the axes of a layer are. For several layers, ask [`Blocks::layout`].
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] when there is no such layer, and as [`Graph::blocks`].
    pub fn layout(&self, layer: &str) -> Result<Layout, GraphError> {
        let value = self.value(layer)?;
        Ok(self.blocks()?.layout(value))
    }
}
