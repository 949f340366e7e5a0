//! What the axes of values are: channels, positions, tokens.
//!
//! Each axis is traced from the picture on as a product of *parts* of named dimensions: rows, columns,
//! channels. `Reshape` and `Transpose` split, join and rearrange parts exactly, so that tokens in windows or
//! unfolded patches come back as what they were; other operators keep an axis, make one anew, or lose it.
//! Where a branch loses an axis (a shifted window, a mixture of tokens) and is added to one that has it, it
//! is known again.

mod axis;
mod pictures;

use std::collections::HashMap;
use std::fmt;

use elucid_rules::{Algebra, OpKind};

pub use self::pictures::Layouts;

use self::axis::{Axis, Role, Traced, chosen, remade, reshaped, resized, size};
use super::view::{Nodes, View};
use super::{Block, Pattern, TokenAxis};
use crate::graph::ValueId;
use crate::host::{ElementType, HostTensor};
use crate::operator::Known;

/// What the axes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Layout {
    /// A map `[N, C, H, W]`.
    ChannelsFirst,
    /// A map `[N, H, W, C]`.
    ChannelsLast,
    /// A sequence `[N, prefix + h w, C]`: class and register tokens first, then patches row by row.
    Tokens {
        /// Number of tokens in front that are no patches.
        prefix: usize,
        /// Height and width in patches.
        grid: [usize; 2],
    },
    /// Something else, or not known.
    #[default]
    Unknown,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChannelsFirst => f.pad("channels first"),
            Self::ChannelsLast => f.pad("channels last"),
            &Self::Tokens { prefix, grid } => {
                f.pad(&format!("tokens {}", TokenAxis { prefix, grid }))
            }
            Self::Unknown => f.pad("unknown"),
        }
    }
}

/// The axes of all values of which some are known.
pub(super) struct Axes {
    traced: HashMap<ValueId, Traced>,
}

impl Axes {
    /// The input `pictures` is `[N, C, H, W]`; of others the sizes tell.
    pub fn of(view: &View<'_>, pictures: Option<ValueId>) -> Self {
        let mut axes = Self {
            traced: HashMap::new(),
        };
        for input in view.graph.inputs() {
            let of_shape = match pictures == Some(input.value) {
                true => channels_first,
                false => of_picture,
            };
            if let Some(traced) = view.shape(input.value).and_then(of_shape) {
                axes.traced.insert(input.value, traced);
            }
        }
        for i in view.running() {
            let made: Vec<ValueId> = view.node(i).outputs.clone();
            for value in made {
                if view.is_constant(value) {
                    continue;
                }
                if let Some(traced) = axes.trace(view, i, value) {
                    axes.traced.insert(value, traced);
                }
            }
        }
        axes
    }

    pub fn layouts(&self, view: &View<'_>) -> HashMap<ValueId, Layout> {
        let layouts = self.traced.iter().filter_map(|(&value, traced)| {
            let layout = layout(traced);
            (layout != Layout::Unknown && !view.is_constant(value)).then_some((value, layout))
        });
        layouts.collect()
    }

    fn layout(&self, value: ValueId) -> Layout {
        self.traced.get(&value).map_or(Layout::Unknown, layout)
    }

    /// What the keys of an attention are, from its probabilities, `[.., queries, keys]`, or where there are
    /// none from the keys, `[N, L, C]` or `[N, heads, L, size]`.
    pub fn keys(
        &self,
        view: &View<'_>,
        k: ValueId,
        probabilities: Option<ValueId>,
    ) -> Option<TokenAxis> {
        self.tokens(view, probabilities, 1)
            .unwrap_or_else(|| self.tokens(view, Some(k), 2).flatten())
    }

    /// The same of its queries.
    pub fn queries(
        &self,
        view: &View<'_>,
        q: ValueId,
        probabilities: Option<ValueId>,
    ) -> Option<TokenAxis> {
        self.tokens(view, probabilities, 2)
            .unwrap_or_else(|| self.tokens(view, Some(q), 2).flatten())
    }

    /// What an axis of a value is, counted from the last, 1; `None` where no axis of it is known.
    fn tokens(
        &self,
        view: &View<'_>,
        value: Option<ValueId>,
        from_end: usize,
    ) -> Option<Option<TokenAxis>> {
        let traced = self.get(view, value?)?;
        let place = traced.len().checked_sub(from_end);
        let axis = place.and_then(|place| traced[place].as_ref());
        Some(axis.and_then(|axis| {
            Some(TokenAxis {
                prefix: axis.prefix,
                grid: axis.grid()?,
            })
        }))
    }

    /// Where maps become sequences of tokens.
    pub fn token_grids(&self, view: &View<'_>) -> Vec<Block> {
        let is_tokens = |value| matches!(self.layout(value), Layout::Tokens { .. });
        let starts = view
            .running()
            .filter(|&i| is_tokens(view.output(i)) && !view.live(i).into_iter().any(is_tokens));
        starts.filter_map(|i| self.token_grid(view, i)).collect()
    }

    /// The block around node `i`, which makes the first sequence.
    fn token_grid(&self, view: &View<'_>, i: usize) -> Option<Block> {
        let mut nodes = Nodes::from([i]);
        let mut map = *view.live(i).first()?;
        let is_map = |value| {
            matches!(
                self.layout(value),
                Layout::ChannelsFirst | Layout::ChannelsLast
            )
        };
        while !is_map(map) {
            let before = view
                .maker(map)
                .filter(|&i| view.algebra(i) == Algebra::Moves)?;
            nodes.insert(before);
            map = *view.live(before).first()?;
        }
        let mut output = view.output(i);
        // Class tokens are put in front.
        while let Some(next) = view.next(output, &mut nodes)
            && view.algebra(next) == Algebra::Moves
            && matches!(self.layout(view.output(next)), Layout::Tokens { .. })
        {
            nodes.insert(next);
            output = view.output(next);
        }
        let Layout::Tokens { prefix, grid } = self.layout(output) else {
            return None;
        };
        let pattern = Pattern::TokenGrid { map, prefix, grid };
        let output = view.output(*nodes.last()?);
        Some(Block::new(view, pattern, nodes, output))
    }

    fn get(&self, view: &View<'_>, value: ValueId) -> Option<&Traced> {
        let traced = self.traced.get(&value)?;
        (view.shape(value)?.len() == traced.len()).then_some(traced)
    }

    /// The axes of what node `i` makes.
    fn trace(&self, view: &View<'_>, i: usize, output: ValueId) -> Option<Traced> {
        let shape = view.shape(output)?;
        let live = view.live(i);
        let first = self.get(view, *live.first()?);
        match view.algebra(i) {
            Algebra::Moves => self.moved(view, i, output),
            Algebra::Convolution => {
                let mut traced = resized(first?, view.shape(live[0])?, shape);
                *traced.get_mut(1)? = remade(first?.get(1)?.as_ref(), shape[1]);
                Some(traced)
            }
            Algebra::Dense => {
                let mut traced = first.filter(|traced| traced.len() == shape.len())?.clone();
                let last = traced.last_mut()?;
                *last = remade(last.as_ref(), *shape.last()?);
                Some(traced)
            }
            Algebra::Product | Algebra::Mixture if view.is(i, &[OpKind::MatMul]) => {
                self.multiplied(view, i)
            }
            Algebra::Mixture => None,
            Algebra::Product if !view.is(i, &[OpKind::Mul]) => None,
            Algebra::Other => match view.kind(i).as_str() {
                // What goes in packed comes out packed.
                "Attention" | "com.microsoft.MultiHeadAttention" | "com.microsoft.Attention" => {
                    first
                        .filter(|_| view.shape(live[0]) == Some(shape))
                        .cloned()
                }
                "com.microsoft.SkipLayerNormalization"
                | "com.microsoft.SkipSimplifiedLayerNormalization" => {
                    self.merged(view, &live, shape)
                }
                _ => None,
            },
            _ => self.merged(view, &live, shape),
        }
    }

    /// The same for an operator that changes no number.
    fn moved(&self, view: &View<'_>, i: usize, output: ValueId) -> Option<Traced> {
        let shape = view.shape(output)?;
        if view.is(i, &[OpKind::Concat]) {
            return self.concatenated(view, i, shape);
        }
        let &[input] = view.live(i).as_slice() else {
            return None;
        };
        let traced = self.get(view, input)?;
        if view.is(i, &[OpKind::Transpose]) {
            let axes = view.permutation(i)?;
            return axes
                .into_iter()
                .map(|axis| traced.get(axis).cloned())
                .collect();
        }
        let before = view.shape(input)?;
        if view.keeps_order(i) {
            return reshaped(traced, before, shape);
        }
        match view.is(i, &[OpKind::Pad]) {
            true => Some(resized(traced, before, shape)),
            false => picked(view, i, traced, output),
        }
    }

    /// An operator that works position by position or on neighbourhoods: each axis is what it is in the
    /// first input that has it at its full size.
    fn merged(&self, view: &View<'_>, live: &[ValueId], shape: &[usize]) -> Option<Traced> {
        let inputs: Vec<(&Traced, &[usize])> = live
            .iter()
            .filter_map(|&value| Some((self.get(view, value)?, view.shape(value)?)))
            .filter(|(traced, _)| traced.len() == shape.len())
            .collect();
        if let &[(traced, before)] = inputs.as_slice()
            && live.len() == 1
        {
            return Some(resized(traced, before, shape));
        }
        let axis = |axis: usize| {
            let fitting = inputs
                .iter()
                .filter(|(_, before)| before[axis] == shape[axis]);
            fitting
                .map(|(traced, _)| traced[axis].clone())
                .find(Option::is_some)
                .flatten()
        };
        let traced: Traced = (0..shape.len()).map(axis).collect();
        traced.iter().any(Option::is_some).then_some(traced)
    }

    /// Rows of the first operand, columns of the second.
    fn multiplied(&self, view: &View<'_>, i: usize) -> Option<Traced> {
        let [a, b] = view.pair(i)?;
        let shape = view.shape(view.output(i))?;
        let rank = shape.len();
        let rows = self.get(view, a).filter(|traced| traced.len() == rank);
        let columns = self.get(view, b).filter(|traced| traced.len() == rank);
        let ahead = rank.checked_sub(2)?;
        let mut traced: Traced = vec![None; rank];
        for (axis, traced) in traced.iter_mut().enumerate() {
            let from = [
                rows.filter(|_| axis <= ahead),
                columns.filter(|_| axis != ahead),
            ];
            let mut known = from.into_iter().flatten().filter_map(|t| t[axis].clone());
            // Size 1 is repeated.
            *traced = known.find(|found| size(found) == shape[axis]);
        }
        Some(traced)
    }

    fn concatenated(&self, view: &View<'_>, i: usize, shape: &[usize]) -> Option<Traced> {
        let inputs: Vec<ValueId> = view.node(i).inputs.iter().flatten().copied().collect();
        let sizes: Option<Vec<&[usize]>> = inputs.iter().map(|&v| view.shape(v)).collect();
        let sizes = sizes?;
        let joined =
            (0..shape.len()).find(|&axis| sizes.iter().any(|s| s.get(axis) != Some(&shape[axis])));
        let Some(joined) = joined else {
            return self.merged(view, &view.live(i), shape);
        };
        let known: Vec<(usize, &Traced)> = inputs
            .iter()
            .enumerate()
            .filter_map(|(at, &value)| Some((at, self.get(view, value)?)))
            .collect();
        let (at, first) = *known
            .iter()
            .find(|(_, traced)| {
                traced[joined]
                    .as_ref()
                    .is_some_and(|axis| axis.grid().is_some())
            })
            .or(known.first())?;
        let mut traced = first.clone();
        let axis = first[joined].as_ref();
        traced[joined] = match axis {
            Some(axis) if axis.is_channels() => Some(Axis::of(Role::Channel, shape[joined])),
            // Other things go in front of positions, never behind.
            Some(axis) if axis.grid().is_some() && at + 1 == inputs.len() => {
                let ahead: usize = sizes[..at].iter().map(|s| s[joined]).sum();
                let prefix = axis.prefix + ahead;
                let parts = axis.parts.clone();
                Some(Axis { prefix, parts })
            }
            _ => None,
        };
        Some(traced)
    }
}

fn layout(traced: &Traced) -> Layout {
    let Some(axes) = traced
        .iter()
        .map(Option::as_ref)
        .collect::<Option<Vec<_>>>()
    else {
        return Layout::Unknown;
    };
    match axes.as_slice() {
        [n, c, h, w] if n.is_line(Role::Image) && c.is_channels() => {
            match h.is_line(Role::Row) && w.is_line(Role::Column) {
                true => Layout::ChannelsFirst,
                false => Layout::Unknown,
            }
        }
        [n, h, w, c] if n.is_line(Role::Image) && c.is_channels() => {
            match h.is_line(Role::Row) && w.is_line(Role::Column) {
                true => Layout::ChannelsLast,
                false => Layout::Unknown,
            }
        }
        [n, t, c] if n.is_line(Role::Image) && c.is_channels() => match t.grid() {
            Some(grid) => Layout::Tokens {
                prefix: t.prefix,
                grid,
            },
            None => Layout::Unknown,
        },
        _ => Layout::Unknown,
    }
}

/// A picture has three channels, or one with transparency four.
fn of_picture(shape: &[usize]) -> Option<Traced> {
    let is_colour = |size: usize| matches!(size, 1 | 3 | 4);
    match *shape {
        [_, channels, _, last] if !is_colour(channels) && is_colour(last) => {
            let roles = [Role::Image, Role::Row, Role::Column, Role::Channel];
            Some(axes(roles, shape))
        }
        _ => channels_first(shape),
    }
}

fn channels_first(shape: &[usize]) -> Option<Traced> {
    let roles = [Role::Image, Role::Channel, Role::Row, Role::Column];
    (shape.len() == roles.len()).then(|| axes(roles, shape))
}

fn axes(roles: [Role; 4], shape: &[usize]) -> Traced {
    let axes = roles.into_iter().zip(shape);
    axes.map(|(role, &size)| Some(Axis::of(role, size)))
        .collect()
}

/// Some of the numbers: where each comes from is found by moving their numbers.
fn picked(view: &View<'_>, i: usize, traced: &Traced, output: ValueId) -> Option<Traced> {
    let input = *view.live(i).first()?;
    let (before, after) = (view.shape(input)?, view.shape(output)?);
    let sources = sources(view, i, input, output)?;
    if view.count(input) == Some(sources.len()) && sources.iter().copied().eq(0..sources.len()) {
        return reshaped(traced, before, after);
    }
    let (strides, made_strides) = (strides(before), strides(after));
    let place = |made: usize, axis: usize| {
        let source = sources.get(made).copied().unwrap_or(0);
        source / strides[axis] % before[axis]
    };
    if before.len() == after.len() {
        let axes = traced.iter().enumerate().map(|(axis, found)| {
            let along = (0..after[axis]).map(|at| place(at * made_strides[axis], axis));
            chosen(found.as_ref()?, before[axis], &along.collect::<Vec<_>>())
        });
        return Some(axes.collect());
    }
    // One place along an axis, which is gone.
    (0..before.len()).find_map(|gone| {
        let kept: Vec<usize> = (0..before.len()).filter(|&axis| axis != gone).collect();
        let stays = kept.len() == after.len()
            && kept
                .iter()
                .zip(after)
                .all(|(&axis, &size)| before[axis] == size)
            && kept
                .iter()
                .zip(&made_strides)
                .all(|(&axis, &stride)| (0..before[axis]).all(|at| place(at * stride, axis) == at));
        stays.then(|| kept.iter().map(|&axis| traced[axis].clone()).collect())
    })
}

/// For each number of an output the place of the input's number that it is.
fn sources(view: &View<'_>, i: usize, input: ValueId, output: ValueId) -> Option<Vec<usize>> {
    // As far as single precision counts.
    const MOST: usize = 1 << 23;
    let count = view
        .count(input)
        .filter(|count| (1..=MOST).contains(count))?;
    let numbers: Vec<f32> = (0..count).map(|v| v as f32).collect();
    let host = HostTensor::of_floats(ElementType::F32, view.shape(input)?, numbers).ok()?;
    let mut inputs = view.operands(i);
    for (slot, known) in inputs.iter_mut().enumerate() {
        if view.input(i, slot) == Some(input) {
            *known = Some(Known::host(host.clone()));
        }
    }
    let at = view
        .node(i)
        .outputs
        .iter()
        .position(|&value| value == output)?;
    let made = view.run(i, &inputs)?.into_iter().nth(at)?.floats();
    Some(made.into_iter().map(|v| v as usize).collect())
}

/// How far numbers lie apart that are neighbours along each axis.
fn strides(shape: &[usize]) -> Vec<usize> {
    let behind = |axis: usize| shape[axis + 1..].iter().product();
    (0..shape.len()).map(behind).collect()
}
