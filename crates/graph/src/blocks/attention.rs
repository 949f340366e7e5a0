//! Attention: a softmax between two products of values that all depend on the image, queries that were learned
//! aside, or one operator.

use elucid_rules::{Algebra, OpKind};

use super::view::{Nodes, View};
use super::{Block, Pattern};
use crate::graph::ValueId;
use crate::host::{ElementType, HostTensor};
use crate::operator::Known;

/// As many operators stand between a product and the softmax at most.
const MOST_BETWEEN: usize = 8;

pub(super) fn find(view: &View<'_>, i: usize) -> Option<Block> {
    match view.algebra(i) {
        Algebra::Softmax => written(view, i),
        _ => operator(view, i),
    }
}

/// A node that multiplies rows of two values that depend on the image.
fn is_product(view: &View<'_>, i: usize) -> bool {
    view.algebra(i) == Algebra::Product
        && view.pair(i).is_some()
        && !view.is(i, &[OpKind::Mul])
        && view.live(i).len() == 2
}

/// A node that multiplies rows of queries, which were learned and so are constant, by keys.
fn has_learned_queries(view: &View<'_>, i: usize) -> bool {
    let pair = view.pair(i).filter(|_| view.is(i, &[OpKind::MatMul]));
    pair.is_some_and(|[q, k]| view.is_constant(q) && !view.is_constant(k))
}

/// The way from the product of queries and keys to the softmax.
#[derive(Clone)]
struct Way {
    nodes: Nodes,
    masks: Vec<ValueId>,
    /// Absent where what is multiplied by is not one number.
    scale: Option<f64>,
}

fn written(view: &View<'_>, softmax: usize) -> Option<Block> {
    if !is_over_last_axis(view, softmax) {
        return None;
    }
    let scores = view.input(softmax, 0)?;
    let start = Way {
        nodes: Nodes::from([softmax]),
        masks: Vec::new(),
        scale: Some(1.0),
    };
    let back = |is_first| way_back(view, scores, start.clone(), MOST_BETWEEN, is_first);
    let (first, way) = back(is_product).or_else(|| back(has_learned_queries))?;
    let Way {
        mut nodes,
        masks,
        mut scale,
    } = way;
    nodes.insert(first);
    let probabilities = view.output(softmax);
    let second = way_on(view, probabilities, &mut nodes)?;
    nodes.insert(second);
    let [weights, v] = view.pair(second)?;
    // The weights are the first operand; an Einsum may have them anywhere.
    let from_softmax = |value| {
        let mut nodes = Nodes::new();
        behind_order(view, value, &mut nodes) == behind_order(view, probabilities, &mut nodes)
    };
    let v = match (from_softmax(weights), view.is(second, &[OpKind::MatMul])) {
        (true, _) => v,
        (false, false) if from_softmax(v) => weights,
        _ => return None,
    };
    let [q, k] = view.pair(first)?.map(|value| {
        let (before, factor) = unscaled(view, value, &mut nodes);
        scale = scale.map(|scale| scale * factor);
        before
    });
    let sources = [q, k, v].map(|value| source(view, value));
    let pattern = Pattern::Attention {
        q,
        k,
        v,
        packed: (sources[0] == sources[1] && sources[1] == sources[2]).then_some(sources[0]),
        products: Some(view.output(first)),
        scores: Some(scores),
        probabilities: Some(probabilities),
        masks,
        queries: None,
        keys: None,
        heads: heads(view, probabilities)?,
        scale,
        stages: [first, softmax, second],
    };
    Some(Block::new(view, pattern, nodes, view.output(second)))
}

/// `[.., heads, queries, keys]`; `[heads, queries, keys]` with the images' heads one behind the other.
fn heads(view: &View<'_>, probabilities: ValueId) -> Option<usize> {
    match *view.shape(probabilities)? {
        [_, _] => Some(1),
        [.., heads, _, _] => Some(heads),
        _ => None,
    }
}

/// Whether a softmax is one over the last axis alone.
fn is_over_last_axis(view: &View<'_>, softmax: usize) -> bool {
    let input = view.input(softmax, 0);
    let Some(shape) = input.and_then(|value| view.shape(value)) else {
        return false;
    };
    let Some(before) = shape.len().checked_sub(1) else {
        return false;
    };
    // Of equal numbers each gets its part of what the axis has.
    let mut small = vec![2; before];
    small.push(3);
    let zeros = vec![0.0; small.iter().product()];
    let Ok(zeros) = HostTensor::of_floats(ElementType::F32, &small, zeros) else {
        return false;
    };
    let made = view.run(softmax, &[Some(Known::host(zeros))]);
    let parts = made.and_then(|made| made.into_iter().next());
    parts.is_some_and(|host| host.floats().iter().all(|v| (v - 1.0 / 3.0).abs() < 1e-6))
}

/// Back from what a softmax reads to the product that it looks for.
fn way_back(
    view: &View<'_>,
    value: ValueId,
    mut way: Way,
    left: usize,
    is_first: fn(&View<'_>, usize) -> bool,
) -> Option<(usize, Way)> {
    let i = view.behind(value, &mut way.nodes)?;
    if is_first(view, i) {
        return Some((i, way));
    }
    let way_back = |value, way| way_back(view, value, way, left.saturating_sub(1), is_first);
    left.checked_sub(1)?;
    way.nodes.insert(i);
    if view.keeps_order(i) {
        return way_back(view.input(i, 0)?, way);
    }
    match view.kind(i) {
        OpKind::Mul | OpKind::Div => {
            let (live, _) = view.by_constant(i)?;
            let factor = view.scaled(i).map(|(_, factor)| factor);
            way.scale = way.scale.zip(factor).map(|(scale, factor)| scale * factor);
            way_back(live, way)
        }
        OpKind::Add | OpKind::Sum => {
            let [a, b] = view.pair(i)?;
            [[a, b], [b, a]].into_iter().find_map(|[value, mask]| {
                let mut way = way.clone();
                way.masks.push(mask);
                way_back(value, way)
            })
        }
        OpKind::Where => {
            let condition = view.input(i, 0)?;
            way.masks.push(condition);
            [1, 2].into_iter().find_map(|slot| {
                let value = view.input(i, slot)?;
                let hidden = view.input(i, 3 - slot)?;
                view.is_constant(hidden).then_some(())?;
                way_back(value, way.clone())
            })
        }
        _ => None,
    }
}

/// On from what a softmax makes to the product that reads it.
fn way_on(view: &View<'_>, mut value: ValueId, nodes: &mut Nodes) -> Option<usize> {
    for _ in 0..MOST_BETWEEN {
        let readers = view.readers(value);
        // Others may read it, too.
        if let Some(&product) = readers.iter().find(|&&i| is_product(view, i)) {
            return Some(product);
        }
        let next = *readers
            .iter()
            .find(|&&i| view.maker(view.output(i)).is_some() && view.keeps_order(i))?;
        nodes.insert(next);
        value = view.output(next);
    }
    None
}

/// The value behind what keeps numbers in order.
fn behind_order(view: &View<'_>, mut value: ValueId, nodes: &mut Nodes) -> ValueId {
    while let Some(i) = view.maker(value).filter(|&i| view.keeps_order(i)) {
        let Some(input) = view.input(i, 0) else { break };
        nodes.insert(i);
        value = input;
    }
    value
}

/// The value before it is multiplied by a number, with the nodes in between, and the number.
fn unscaled(view: &View<'_>, value: ValueId, nodes: &mut Nodes) -> (ValueId, f64) {
    let (mut before, mut factor) = (value, 1.0);
    let mut at = value;
    let mut passed = Nodes::new();
    while let Some(i) = view.maker(at) {
        passed.insert(i);
        if let Some((live, number)) = view.scaled(i) {
            factor *= number;
            (at, before) = (live, live);
            nodes.append(&mut passed);
        } else if view.algebra(i) == Algebra::Moves
            && let &[only] = view.live(i).as_slice()
            && view.count(only) == view.count(at)
        {
            at = only;
        } else {
            break;
        }
    }
    (before, factor)
}

/// What a value is a part of, or another arrangement.
fn source(view: &View<'_>, mut value: ValueId) -> ValueId {
    while let Some(i) = view.maker(value)
        && view.algebra(i) == Algebra::Moves
        && let &[only] = view.live(i).as_slice()
    {
        value = only;
    }
    value
}

/// An operator that attends by itself.
fn operator(view: &View<'_>, i: usize) -> Option<Block> {
    let node = view.node(i);
    let number = |name: &str| node.op.number(name);
    let projects = view.is(i, &[OpKind::new("com.microsoft.Attention")]);
    let (mask, bias) = match view.kind(i).as_str() {
        "Attention" => (3, None),
        "com.microsoft.MultiHeadAttention" => (4, Some(5)),
        "com.microsoft.Attention" => (3, Some(5)),
        _ => return None,
    };
    let q = view.input(i, 0)?;
    let separate = |slot| match projects {
        true => q,
        false => view.input(i, slot).unwrap_or(q),
    };
    let (k, v) = (separate(1), separate(2));
    let shape = view.shape(q)?;
    let last = *shape.last()?;
    let stated = number("q_num_heads").or_else(|| number("num_heads"));
    let heads = stated.map(|heads| heads as usize);
    let heads = heads.or_else(|| (shape.len() == 4).then(|| shape[1]))?;
    let width = match (projects, shape.len()) {
        (true, _) => {
            let thirds = || Some(*view.shape(view.input(i, 1)?)?.last()? / 3);
            let stated = number("qkv_hidden_sizes").map(|width| width as usize);
            stated.or_else(thirds)? / heads.max(1)
        }
        (false, 3) => last / heads.max(1),
        _ => last,
    };
    let sources = [q, k, v].map(|value| source(view, value));
    let masks = [Some(mask), bias].into_iter().flatten();
    let gives_weights = number("qk_matmul_output_mode") == Some(3.0);
    let pattern = Pattern::Attention {
        q,
        k,
        v,
        packed: (sources[0] == sources[1] && sources[1] == sources[2]).then_some(sources[0]),
        products: None,
        scores: None,
        probabilities: node.outputs.get(3).copied().filter(|_| gives_weights),
        masks: masks.filter_map(|slot| view.input(i, slot)).collect(),
        queries: None,
        keys: None,
        heads,
        scale: Some(number("scale").unwrap_or_else(|| 1.0 / (width as f64).sqrt())),
        stages: [i; 3],
    };
    Some(Block::new(view, pattern, Nodes::from([i]), view.output(i)))
}
