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
mod pattern;
mod squeeze;
mod view;

use std::collections::{BTreeSet, HashMap, HashSet};

pub use self::affine::Affine;
pub(crate) use self::affine::Chain;
pub use self::gate::GateFunction;
pub use self::layout::{Layout, Layouts};
pub use self::norm::Statistics;
pub use self::pattern::{Pattern, TokenAxis};
use self::view::View;
use crate::bound::{BoundGraph, INPUT};
use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::layers::Layer;
use crate::operator::Known;
use crate::plan::Plan;

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
        self.pattern.name()
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
        self.pattern.values()
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
        let mut parts = self.pattern.details();
        if !self.read_elsewhere.is_empty() {
            let count = self.read_elsewhere.len();
            parts.push(format!("{count} values read elsewhere"));
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
    /// Those that overlap with no other.
    fn apart(view: &View<'_>) -> Vec<Block> {
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
        blocks
    }

    fn find(view: &View<'_>) -> Self {
        let mut blocks = Self::apart(view);
        blocks.extend(view.running().filter_map(|i| squeeze::find(view, i)));
        let axes = layout::Axes::of(view, None);
        for block in &mut blocks {
            if let Pattern::Attention {
                q,
                k,
                probabilities,
                queries,
                keys,
                ..
            } = &mut block.pattern
            {
                *queries = axes.queries(view, *q, *probabilities);
                *keys = axes.keys(view, *k, *probabilities);
            }
        }
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

    /// The innermost block that node `node` of [`Graph::nodes`] is part of.
    pub fn of_node(&self, node: usize) -> Option<&Block> {
        let having = self
            .blocks
            .iter()
            .filter(|block| block.nodes.contains(&node));
        having.min_by_key(|block| block.nodes.len())
    }

    /// The blocks that make this value: more than one where one lies in another.
    pub fn making(&self, value: ValueId) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(move |block| block.output == value)
    }

    /// What the axes of a value are.
    pub fn layout(&self, value: ValueId) -> Layout {
        self.layouts.get(&value).copied().unwrap_or_default()
    }
}

/// The layers with weights in a pass, each with what belongs to it.
pub(crate) fn chains(graph: &Graph, plan: Plan) -> Vec<Chain> {
    let view = View::of(graph, plan);
    // Other blocks only say which of these are none.
    if !view.running().any(|i| affine::find(&view, i).is_some()) {
        return Vec::new();
    }
    let blocks = Blocks::apart(&view);
    blocks
        .iter()
        .filter_map(|block| Chain::of(&view, block))
        .collect()
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
        Ok(Blocks::find(&self.view(shapes)?))
    }

    fn view(&self, shapes: &[(ValueId, Vec<usize>)]) -> Result<View<'_>, GraphError> {
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
        View::new(self, &feeds)
    }
}

impl BoundGraph {
    /// Blocks of operators, and what the axes of layers are, for one image of the model's size.
    ///
    /// They are looked for at each call: keep the answer.
    ///
    /// # Errors
    ///
    /// As [`Graph::blocks`].
    pub fn blocks(&self) -> Result<Blocks, GraphError> {
        match self.layer(INPUT).map(Layer::shape) {
            Ok(&[_, _, height, width]) => self.blocks_for([height, width]),
            _ => self.graph().blocks(&[]),
        }
    }

    /// The same for an image of another height and width.
    ///
    /// # Errors
    ///
    /// As [`Graph::blocks`].
    pub fn blocks_for(&self, size: [usize; 2]) -> Result<Blocks, GraphError> {
        self.graph().blocks(&self.image_of(size)?)
    }

    /// What the axes of all layers are for an image of this height and width, when the images of
    /// this network are `[N, C, H, W]`.
    ///
    /// They are looked for at each call: keep the answer.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] when no input takes pictures, and as [`Graph::blocks`].
    pub fn layouts_for(&self, size: [usize; 2]) -> Result<Layouts, GraphError> {
        let view = self.graph().view(&self.image_of(size)?)?;
        Ok(Layouts::of(&view, self.value(INPUT)?))
    }

    /// The shape of an input of pictures for one image of this size.
    fn image_of(
        &self,
        [height, width]: [usize; 2],
    ) -> Result<Vec<(ValueId, Vec<usize>)>, GraphError> {
        Ok(match self.layer(INPUT).map(Layer::shape) {
            Ok(&[images, channels, _, _]) => {
                vec![(self.value(INPUT)?, vec![images, channels, height, width])]
            }
            // A graph that is no model of pictures has the sizes of its file.
            _ => Vec::new(),
        })
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
