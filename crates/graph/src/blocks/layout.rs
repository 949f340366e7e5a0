//! What the axes of values are: channels, positions, tokens.
//!
//! Each axis is traced from the picture on as a product of *parts* of named dimensions: rows, columns,
//! channels. `Reshape` and `Transpose` split, join and rearrange parts exactly, so that tokens in windows or
//! unfolded patches come back as what they were; other operators keep an axis, make one anew, or lose it.
//! Where a branch loses an axis (a shifted window, a mixture of tokens) and is added to one that has it, it
//! is known again.

use std::collections::HashMap;
use std::fmt;

use elucid_rules::{Algebra, OpKind};

use super::view::{Nodes, View};
use super::{Block, Pattern};
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
            Self::Tokens { prefix: 0, grid } => f.pad(&format!("tokens {} x {}", grid[0], grid[1])),
            Self::Tokens { prefix, grid } => {
                f.pad(&format!("tokens {prefix} + {} x {}", grid[0], grid[1]))
            }
            Self::Unknown => f.pad("unknown"),
        }
    }
}

/// What an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Row,
    Column,
    Channel,
    Image,
}

/// A part of a dimension: of `total` steps those of `stride`, `size` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    role: Role,
    total: usize,
    stride: usize,
    size: usize,
}

impl Part {
    fn is_whole(&self, role: Role) -> bool {
        self.role == role && self.size == self.total
    }
}

/// An axis: parts in row-major order, behind a prefix of other things. What has size 1 has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Axis {
    prefix: usize,
    parts: Vec<Part>,
}

impl Axis {
    fn of(role: Role, size: usize) -> Self {
        let whole = Part {
            role,
            total: size,
            stride: 1,
            size,
        };
        Self::joined(vec![whole])
    }

    /// An axis of these parts; what is split and follows one another is one part again.
    fn joined(parts: Vec<Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts.into_iter().filter(|part| part.size > 1) {
            match joined.last_mut() {
                Some(last)
                    if (last.role, last.total) == (part.role, part.total)
                        && last.stride == part.stride * part.size =>
                {
                    last.stride = part.stride;
                    last.size *= part.size;
                }
                _ => joined.push(part),
            }
        }
        Self {
            prefix: 0,
            parts: joined,
        }
    }

    fn is_whole(&self, role: Role) -> bool {
        match self.parts.as_slice() {
            [part] => self.prefix == 0 && part.is_whole(role),
            _ => false,
        }
    }

    /// Whether it counts channels, all or a part that lies together.
    fn is_channels(&self) -> bool {
        match self.parts.as_slice() {
            [part] => self.prefix == 0 && part.role == Role::Channel && part.stride == 1,
            _ => false,
        }
    }

    /// Whether it counts positions along one direction, or is the only one.
    fn is_line(&self, role: Role) -> bool {
        self.parts.is_empty() || self.is_whole(role)
    }

    /// Height and width, where it counts the positions of a map row by row.
    fn grid(&self) -> Option<[usize; 2]> {
        match self.parts.as_slice() {
            [rows, columns] if rows.is_whole(Role::Row) && columns.is_whole(Role::Column) => {
                Some([rows.size, columns.size])
            }
            _ => None,
        }
    }
}

/// The axes of a value; `None` for one that is not known.
type Traced = Vec<Option<Axis>>;

/// The axes of all values of which some are known.
pub(super) struct Axes {
    traced: HashMap<ValueId, Traced>,
}

impl Axes {
    pub fn of(view: &View<'_>) -> Self {
        let mut axes = Self {
            traced: HashMap::new(),
        };
        for input in view.graph.inputs() {
            if let Some(traced) = view.shape(input.value).and_then(of_picture) {
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
        self.traced
            .get(&value)
            .map_or(Layout::Unknown, |traced| layout(traced))
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

    fn trace(&self, view: &View<'_>, i: usize, output: ValueId) -> Option<Traced> {
        let shape = view.shape(output)?;
        let live = view.live(i);
        let first = self.get(view, *live.first()?);
        match view.algebra(i) {
            _ if view.is(i, &[OpKind::Transpose]) => {
                let first = first?;
                let axes = view.permutation(i)?;
                Some(axes.into_iter().map(|axis| first[axis].clone()).collect())
            }
            Algebra::Moves if view.keeps_order(i) => reshaped(first?, view.shape(live[0])?, shape),
            Algebra::Moves if view.is(i, &[OpKind::Concat]) => self.concatenated(view, i, shape),
            Algebra::Moves if view.is(i, &[OpKind::Pad]) => {
                Some(resized(first?, view.shape(live[0])?, shape))
            }
            Algebra::Moves if live.len() == 1 => picked(view, i, first?, output),
            Algebra::Moves => None,
            Algebra::Convolution => {
                let mut traced = resized(first?, view.shape(live[0])?, shape);
                traced[1] = remade(&first?[1], shape[1]);
                Some(traced)
            }
            Algebra::Dense => {
                let last = shape.len().checked_sub(1)?;
                let first = first.filter(|traced| traced.len() == shape.len())?;
                let mut traced = first.clone();
                traced[last] = remade(&first[last], shape[last]);
                Some(traced)
            }
            Algebra::Mixture => None,
            Algebra::Product if view.is(i, &[OpKind::MatMul]) => self.multiplied(view, i),
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
    let roles = match *shape {
        [_, channels, _, _] if is_colour(channels) => {
            [Role::Image, Role::Channel, Role::Row, Role::Column]
        }
        [_, _, _, channels] if is_colour(channels) => {
            [Role::Image, Role::Row, Role::Column, Role::Channel]
        }
        [_, _, _, _] => [Role::Image, Role::Channel, Role::Row, Role::Column],
        _ => return None,
    };
    let axes = roles.into_iter().zip(shape);
    Some(
        axes.map(|(role, &size)| Some(Axis::of(role, size)))
            .collect(),
    )
}

fn size(axis: &Axis) -> usize {
    axis.prefix + axis.parts.iter().map(|part| part.size).product::<usize>()
}

/// The axis behind a product with weights: channels make channels.
fn remade(axis: &Option<Axis>, size: usize) -> Option<Axis> {
    let is_channels =
        |axis: &&Axis| axis.prefix == 0 && axis.parts.iter().all(|p| p.role == Role::Channel);
    axis.as_ref()
        .filter(is_channels)
        .map(|_| Axis::of(Role::Channel, size))
}

/// Axes of which the size changed: a coarser or finer map, padded, pooled.
fn resized(traced: &Traced, before: &[usize], after: &[usize]) -> Traced {
    if traced.len() != after.len() {
        return vec![None; after.len()];
    }
    let axes = traced.iter().zip(before).zip(after);
    axes.map(|((axis, before), &after)| {
        let axis = axis.as_ref()?;
        if *before == after {
            return Some(axis.clone());
        }
        if after == 1 {
            return Some(Axis::joined(Vec::new()));
        }
        let role = [Role::Row, Role::Column, Role::Channel]
            .into_iter()
            .find(|&r| axis.is_whole(r));
        Some(Axis::of(role?, after))
    })
    .collect()
}

/// The same numbers in the same order, in another shape.
fn reshaped(traced: &Traced, before: &[usize], after: &[usize]) -> Option<Traced> {
    let mut from = traced.iter().zip(before);
    let mut made: Traced = Vec::new();
    let mut rest: Vec<Part> = Vec::new();
    for &wanted in after {
        if wanted == 1 {
            made.push(Some(Axis::joined(Vec::new())));
            continue;
        }
        let mut parts = Vec::new();
        let mut left = wanted;
        while left > 1 {
            if let Some(part) = rest.pop() {
                let (taken, inner) = split(part, left)?;
                left /= taken.size;
                parts.push(taken);
                rest.extend(inner);
                continue;
            }
            match from.next()? {
                (Some(axis), _) if axis.prefix == 0 => {
                    rest = axis.parts.iter().rev().copied().collect();
                }
                // What cannot be split is kept where it stays as it is.
                (axis, &size) if size == wanted && parts.is_empty() => {
                    made.push(axis.clone());
                    break;
                }
                (None, 1) => {}
                _ => return None,
            }
        }
        if left == 1 {
            made.push(Some(Axis::joined(parts)));
        }
    }
    Some(made)
}

/// The outer part of `size` steps, or all of it where it has not so many, and what is left.
fn split(part: Part, size: usize) -> Option<(Part, Option<Part>)> {
    if size % part.size == 0 {
        return Some((part, None));
    }
    if part.size % size != 0 {
        return None;
    }
    let inner = part.size / size;
    let outer = Part {
        stride: part.stride * inner,
        size,
        ..part
    };
    Some((
        outer,
        Some(Part {
            size: inner,
            ..part
        }),
    ))
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
    let count = view.count(input).filter(|&count| count <= MOST)?;
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

/// What an axis is of which these places were picked.
fn chosen(axis: &Axis, before: usize, places: &[usize]) -> Option<Axis> {
    let first = *places.first()?;
    if places.len() == before && places.iter().copied().eq(0..before) {
        return Some(axis.clone());
    }
    if axis.is_channels() {
        return Some(Axis::of(Role::Channel, places.len()));
    }
    let ends = places.iter().copied().eq(first..before);
    if ends && first <= axis.prefix && axis.grid().is_some() {
        return Some(Axis {
            prefix: axis.prefix - first,
            parts: axis.parts.clone(),
        });
    }
    let step = places.get(1)?.checked_sub(first).filter(|&step| step > 1)?;
    // Every second row or column is a coarser map.
    let even = (first..before).step_by(step).eq(places.iter().copied());
    let role = [Role::Row, Role::Column]
        .into_iter()
        .find(|&role| axis.is_whole(role))?;
    (even && first < step).then(|| Axis::of(role, places.len()))
}
