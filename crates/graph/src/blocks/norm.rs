//! Normalisations by statistics of the image itself: layer, group, instance, root mean square; as one
//! operator or written out.
//!
//! Written out, the pattern starts at the quotient: `d / √(mean(d²) + ε)` with `d = x - mean(x)`, or
//! `d = x` for the root mean square, and the inverse root in any of its spellings. TensorFlow's way, which
//! multiplies the scale into the inverse root first, starts at its last sum.

use elucid_rules::OpKind;

use super::view::{Nodes, View};
use super::{Block, Pattern};
use crate::graph::ValueId;

/// Over what the mean and the deviation of a normalisation are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Statistics {
    /// Over the channels of each position, mostly.
    Layer,
    /// The same without the mean.
    RootMeanSquare,
    /// Over all positions of each channel.
    Instance,
    /// Over all positions of each group of channels.
    Group {
        /// Number of groups.
        groups: usize,
    },
}

impl Statistics {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Layer => "layer normalization",
            Self::RootMeanSquare => "RMS normalization",
            Self::Instance => "instance normalization",
            Self::Group { .. } => "group normalization",
        }
    }
}

pub(super) fn find(view: &View<'_>, i: usize) -> Option<Block> {
    let mut found = operator(view, i)
        .or_else(|| quotient(view, i))
        .or_else(|| scaled_first(view, i))?;
    found.regroup(view);
    if found.is_open {
        found.take_scale(view);
    }
    let statistics = match (found.groups, found.centred) {
        (Some(groups), _) => Statistics::Group { groups },
        (None, false) => Statistics::RootMeanSquare,
        (None, true) if found.by_channel || found.is_over_maps(view) => Statistics::Instance,
        (None, true) => Statistics::Layer,
    };
    let pattern = Pattern::Normalization {
        statistics,
        signal: found.signal,
        skip: found.skip,
        axes: found.axes,
        mean: found.mean,
        deviation: found.deviation,
        inverse: found.inverse,
        epsilon: found.epsilon,
        normalised: found.normalised.filter(|&value| value != found.output),
        scale: found.scale,
        offset: found.offset,
    };
    Some(Block::new(view, pattern, found.nodes, found.output))
}

/// A normalisation as far as it was traced.
struct Found {
    nodes: Nodes,
    signal: ValueId,
    skip: Vec<ValueId>,
    axes: Vec<usize>,
    centred: bool,
    /// Whether it is an operator with statistics of each channel.
    by_channel: bool,
    groups: Option<usize>,
    mean: Option<ValueId>,
    deviation: Option<ValueId>,
    inverse: bool,
    epsilon: f64,
    normalised: Option<ValueId>,
    scale: Option<ValueId>,
    offset: Option<ValueId>,
    output: ValueId,
    /// Whether a factor and an offset that follow belong to it.
    is_open: bool,
}

impl Found {
    fn new(view: &View<'_>, last: usize, signal: ValueId, axes: Vec<usize>, epsilon: f64) -> Self {
        Self {
            nodes: Nodes::from([last]),
            signal,
            skip: Vec::new(),
            axes,
            centred: true,
            by_channel: false,
            groups: None,
            mean: None,
            deviation: None,
            inverse: false,
            epsilon,
            normalised: None,
            scale: None,
            offset: None,
            output: view.output(last),
            is_open: false,
        }
    }

    /// Whether the statistics are those of each channel's map, in `[N, C, H, W]` or more axes. With fewer
    /// axes, `[N, L, C]`, the last one is taken for the channels.
    fn is_over_maps(&self, view: &View<'_>) -> bool {
        let rank = view.shape(self.signal).map_or(0, <[usize]>::len);
        rank >= 4 && self.axes.iter().copied().eq(2..rank)
    }

    /// A normalisation of channels that were put together in groups, `[N, groups, ..]`, and taken apart
    /// again behind it.
    fn regroup(&mut self, view: &View<'_>) {
        let grouped = view.shape(self.signal).unwrap_or_default();
        let whole = self.axes.iter().copied().eq(2..grouped.len());
        let Some(before) = view.maker(self.signal).filter(|&i| view.keeps_order(i)) else {
            return;
        };
        let Some(signal) = view.input(before, 0) else {
            return;
        };
        let mut behind = self.nodes.clone();
        let after = view.next(self.output, &mut behind);
        let Some(after) = after.filter(|&i| view.keeps_order(i)) else {
            return;
        };
        let shape = view.shape(signal).unwrap_or_default();
        let fits = grouped.len() >= 3
            && shape.len() >= 3
            && shape[0] == grouped[0]
            && shape[1].checked_rem(grouped[1]) == Some(0)
            && view.shape(view.output(after)) == Some(shape)
            && whole
            && self.centred
            && self.scale.is_none_or(|v| is_all(view, v, 1.0))
            && self.offset.is_none_or(|v| is_all(view, v, 0.0));
        if !fits {
            return;
        }
        behind.extend([before, after]);
        self.nodes = behind;
        self.groups = Some(grouped[1]);
        self.axes = (1..shape.len()).collect();
        self.signal = signal;
        self.output = view.output(after);
        self.normalised = Some(self.output);
        (self.scale, self.offset) = (None, None);
        self.is_open = true;
    }

    /// A constant factor that follows, and a constant offset behind it.
    fn take_scale(&mut self, view: &View<'_>) {
        for (kind, is_scale) in [(OpKind::Mul, true), (OpKind::Add, false)] {
            let mut nodes = self.nodes.clone();
            let Some(i) = view
                .next(self.output, &mut nodes)
                .filter(|&i| view.is(i, &[kind]))
            else {
                continue;
            };
            let Some((_, constant)) = view.by_constant(i) else {
                continue;
            };
            if view.shape(view.output(i)) != view.shape(self.output) {
                continue;
            }
            nodes.insert(i);
            self.nodes = nodes;
            self.output = view.output(i);
            match is_scale {
                true => self.scale = Some(constant),
                false => self.offset = Some(constant),
            }
        }
    }
}

fn is_all(view: &View<'_>, value: ValueId, number: f32) -> bool {
    let constant = view.constant(value);
    constant.is_some_and(|host| host.floats().iter().all(|&v| v == number))
}

/// An operator that does everything.
fn operator(view: &View<'_>, i: usize) -> Option<Found> {
    let node = view.node(i);
    let epsilon = node.op.number("epsilon")?;
    let signal = view.input(i, 0)?;
    let rank = view.shape(signal)?.len();
    let kind = view.kind(i);
    let name = kind.as_str().rsplit('.').next().unwrap_or_default();
    let first = match node.op.number("axis") {
        Some(axis) if axis < 0.0 => rank.checked_sub(-axis as usize)?,
        Some(axis) => axis as usize,
        None if name.ends_with("LayerNormalization") => rank.checked_sub(1)?,
        None => 2,
    };
    let mut found = Found::new(view, i, signal, (first..rank).collect(), epsilon);
    found.by_channel = name == "InstanceNormalization";
    found.centred = !name.contains("RMS") && !name.contains("Simplified");
    let constant = |slot| view.input(i, slot).filter(|&value| view.is_constant(value));
    if let Some(groups) = node.op.number("num_groups") {
        found.groups = Some(groups as usize);
        found.axes = (1..rank).collect();
    }
    if name.starts_with("Skip") {
        let bias = if found.centred { 4 } else { 3 };
        found.skip = [1, bias]
            .into_iter()
            .filter_map(|slot| view.input(i, slot))
            .collect();
        found.scale = constant(2);
        found.offset = constant(3).filter(|_| found.centred);
    } else {
        found.scale = constant(1);
        found.offset = constant(2);
    }
    if node.outputs.len() == 3 && name == "LayerNormalization" {
        found.mean = Some(node.outputs[1]);
        (found.deviation, found.inverse) = (Some(node.outputs[2]), true);
    }
    Some(found)
}

/// The deviation below a fraction bar, or its inverse as a factor.
struct Root {
    /// Variance and epsilon.
    radicand: ValueId,
    /// Whether it is the inverse.
    inverse: bool,
}

fn root(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> Option<Root> {
    let i = view.behind(value, nodes)?;
    nodes.insert(i);
    let of = |value, inverse| {
        Some(Root {
            radicand: value,
            inverse,
        })
    };
    let first = view.input(i, 0)?;
    match view.kind(i) {
        OpKind::Sqrt => match inverted(view, first, nodes) {
            Some(radicand) => of(radicand, true),
            None => of(first, false),
        },
        OpKind::Pow => match view.scalar(view.input(i, 1)?)? {
            0.5 => of(first, false),
            -0.5 => of(first, true),
            _ => None,
        },
        OpKind::Reciprocal => root(view, first, nodes).filter(|r| !r.inverse).map(invert),
        OpKind::Div if view.scalar(first) == Some(1.0) => {
            let below = root(view, view.input(i, 1)?, nodes)?;
            Some(below).filter(|r| !r.inverse).map(invert)
        }
        _ => None,
    }
}

fn invert(root: Root) -> Root {
    Root {
        inverse: true,
        ..root
    }
}

/// The value whose inverse this is.
fn inverted(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> Option<ValueId> {
    let mut own = nodes.clone();
    let i = view.behind(value, &mut own)?;
    let below = match view.kind(i) {
        OpKind::Reciprocal => view.input(i, 0)?,
        OpKind::Div if view.scalar(view.input(i, 0)?) == Some(1.0) => view.input(i, 1)?,
        _ => return None,
    };
    own.insert(i);
    *nodes = own;
    Some(below)
}

/// A mean over some axes: of what, and which.
struct Mean {
    of: ValueId,
    axes: Vec<usize>,
    /// Its value with size 1 along these axes.
    value: ValueId,
}

fn mean(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> Option<Mean> {
    let mut own = nodes.clone();
    let plain = view.plain(value, &mut own);
    let mut i = view.maker(plain)?;
    // The axes that were taken out are put back by another operator.
    if !view.is_passing(i) && view.keeps_order(i) {
        own.insert(i);
        i = view.behind(view.input(i, 0)?, &mut own)?;
    }
    let mut divisor = None;
    if let Some((sum, factor)) = view.scaled(i) {
        divisor = Some(1.0 / factor);
        own.insert(i);
        i = view.behind(sum, &mut own)?;
    }
    let sums = view.is(i, &[OpKind::new("ReduceSum")]);
    let means = view.is(i, &[OpKind::ReduceMean, OpKind::GlobalAveragePool]);
    let is_mean = match divisor {
        None => means,
        Some(_) => sums,
    };
    if !is_mean {
        return None;
    }
    own.insert(i);
    let of = view.input(i, 0)?;
    let (shape, reduced) = (view.shape(of)?, view.shape(plain)?);
    if shape.len() != reduced.len() {
        return None;
    }
    let axes: Vec<usize> = (0..shape.len())
        .filter(|&a| reduced[a] != shape[a])
        .collect();
    let count = axes.iter().map(|&axis| shape[axis]).product::<usize>() as f64;
    if axes.is_empty() || divisor.is_some_and(|d| (d - count).abs() > 1e-5 * count) {
        return None;
    }
    *nodes = own;
    Some(Mean {
        of: view.plain(of, nodes),
        axes,
        value: plain,
    })
}

/// A value less its mean.
fn centred(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> Option<(ValueId, Mean)> {
    let mut own = nodes.clone();
    let i = view.behind(value, &mut own)?;
    let [x, subtracted] = view.pair(i).filter(|_| view.is(i, &[OpKind::Sub]))?;
    own.insert(i);
    let mean = mean(view, subtracted, &mut own)?;
    let x = view.plain(x, &mut own);
    if mean.of != x {
        return None;
    }
    *nodes = own;
    Some((x, mean))
}

/// The root of what is squared.
fn squared(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> Option<ValueId> {
    let i = view.behind(value, nodes)?;
    let [a, b] = view.pair(i)?;
    let is_square = match view.kind(i) {
        OpKind::Mul => a == b,
        OpKind::Pow => view.scalar(b) == Some(2.0),
        _ => false,
    };
    nodes.insert(i);
    is_square.then(|| view.plain(a, nodes))
}

/// Variance and epsilon.
struct Variance {
    /// What is squared.
    of: ValueId,
    axes: Vec<usize>,
    epsilon: f64,
}

fn variance(view: &View<'_>, radicand: ValueId, nodes: &mut Nodes) -> Option<Variance> {
    let radicand = view.plain(radicand, nodes);
    let mut epsilon = 0.0;
    let mut value = radicand;
    if let Some(i) = view
        .maker(radicand)
        .filter(|&i| view.is(i, &[OpKind::Add, OpKind::Sum]))
        && let Some((sum, constant)) = view.by_constant(i)
    {
        epsilon = view.scalar(constant)?;
        nodes.insert(i);
        value = sum;
    }
    let mean = mean(view, value, nodes)?;
    Some(Variance {
        of: squared(view, mean.of, nodes)?,
        axes: mean.axes,
        epsilon,
    })
}

/// The signal of a normalisation written out, from what is divided and what is squared.
fn signal(
    view: &View<'_>,
    divided: ValueId,
    variance: &Variance,
    nodes: &mut Nodes,
) -> Option<(ValueId, Option<Mean>)> {
    let divided = view.plain(divided, nodes);
    let mut own = nodes.clone();
    let Some((x, mean)) = centred(view, divided, &mut own) else {
        return (variance.of == divided).then_some((divided, None));
    };
    let is_divided = variance.of == divided;
    // What is centred along other axes than it is divided along is a signal by itself.
    if mean.axes != variance.axes {
        return is_divided.then_some((divided, None));
    }
    // The difference may be computed twice.
    let mut again = || centred(view, variance.of, &mut own);
    if !is_divided && again().is_none_or(|(of, around)| of != x || around.axes != mean.axes) {
        return None;
    }
    *nodes = own;
    Some((x, Some(mean)))
}

fn quotient(view: &View<'_>, last: usize) -> Option<Found> {
    let [a, b] = view.pair(last)?;
    let orders: &[[ValueId; 2]] = match view.kind(last) {
        OpKind::Div => &[[a, b]],
        OpKind::Mul => &[[a, b], [b, a]],
        _ => return None,
    };
    let shape = view.shape(view.output(last));
    orders.iter().find_map(|&[divided, below]| {
        let mut nodes = Nodes::from([last]);
        let root = root(view, below, &mut nodes)?;
        if root.inverse != view.is(last, &[OpKind::Mul]) || view.shape(divided) != shape {
            return None;
        }
        let variance = variance(view, root.radicand, &mut nodes)?;
        let (signal, mean) = signal(view, divided, &variance, &mut nodes)?;
        let mut found = Found::new(view, last, signal, variance.axes, variance.epsilon);
        found.centred = mean.is_some();
        found.mean = mean.map(|mean| mean.value);
        (found.deviation, found.inverse) = (Some(below), root.inverse);
        found.normalised = Some(found.output);
        found.nodes = nodes;
        found.is_open = true;
        Some(found)
    })
}

/// `x r + (offset - mean r)` with `r = scale / √(variance + ε)`.
fn scaled_first(view: &View<'_>, last: usize) -> Option<Found> {
    let [a, b] = view.pair(last).filter(|_| view.is(last, &[OpKind::Add]))?;
    [[a, b], [b, a]].into_iter().find_map(|[product, rest]| {
        let mut nodes = Nodes::from([last]);
        let times = view.behind(product, &mut nodes)?;
        let minus = view.behind(rest, &mut nodes)?;
        let [offset, shift] = view
            .pair(minus)
            .filter(|_| view.is(minus, &[OpKind::Sub]))?;
        let shift = view.behind(shift, &mut nodes)?;
        let products = [times, shift].map(|i| view.pair(i).filter(|_| view.is(i, &[OpKind::Mul])));
        let [Some([x, y]), Some([m, n])] = products else {
            return None;
        };
        let factor = [x, y].into_iter().find(|v| *v == m || *v == n)?;
        let signal = if factor == x { y } else { x };
        let signal = view.plain(signal, &mut nodes);
        let middle = mean(view, if factor == m { n } else { m }, &mut nodes)?;
        let (inverse, scale) = match view
            .maker(factor)
            .zip(view.maker(factor).and_then(|i| view.by_constant(i)))
        {
            Some((i, (inverse, scale))) if view.is(i, &[OpKind::Mul]) => {
                nodes.insert(i);
                (inverse, Some(scale))
            }
            _ => (factor, None),
        };
        let root = root(view, inverse, &mut nodes).filter(|root| root.inverse)?;
        let variance = variance(view, root.radicand, &mut nodes)?;
        let (of, around) = centred(view, variance.of, &mut nodes)?;
        let fits = middle.of == signal
            && of == signal
            && around.axes == variance.axes
            && middle.axes == variance.axes
            && view.is_constant(offset);
        if !fits {
            return None;
        }
        nodes.extend([times, minus, shift]);
        let mut found = Found::new(view, last, signal, variance.axes, variance.epsilon);
        found.mean = Some(middle.value);
        (found.deviation, found.inverse) = (Some(inverse), true);
        (found.scale, found.offset) = (scale, Some(offset));
        found.nodes = nodes;
        Some(found)
    })
}
