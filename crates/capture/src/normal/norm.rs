//! Group, instance and root-mean-square normalisation, which burn writes out. The graph would find them,
//! too; but as one operator they have one name, the module's.

use elucid_graph::{Attribute, ElementType, HostTensor};

use super::Uses;
use crate::program::{Id, Line, Program, Size};

pub(super) fn find(program: &mut Program) {
    let uses = Uses::of(program);
    for place in 0..program.lines.len() {
        if let Some(found) = groups(program, &uses, place) {
            write_groups(program, found);
        } else if let Some((last, line)) = root_mean_square(program, &uses, place) {
            program.lines[last] = line;
        }
    }
    program.prune();
}

/// `(x - mean) / sqrt(variance + epsilon)` over groups of channels.
struct Groups {
    x: Id,
    channels: usize,
    groups: usize,
    epsilon: f64,
    scale: Option<Id>,
    offset: Option<Id>,
    /// The line that makes the result.
    last: usize,
}

fn groups(program: &Program, uses: &Uses, place: usize) -> Option<Groups> {
    let back = &program.lines[place];
    if back.operator != "Reshape" {
        return None;
    }
    let (centred, deviation) = operands(uses.inner(program, back.input(0)?, "Div")?)?;
    let (folded, mean) = operands(uses.maker(program, centred, "Sub")?)?;
    let fold = uses.maker(program, folded, "Reshape")?;
    let x = fold.input(0)?;
    let &[_, Size::Fixed(groups), _] = program.sizes(folded) else {
        return None;
    };
    let &[_, Size::Fixed(channels), ..] = program.sizes(x) else {
        return None;
    };
    let out = *back.outputs.first()?;
    let is_mean = mean_of(program, uses, mean, 2)? == folded;
    let (epsilon, squared) = deviation_of(program, uses, deviation, 2)?;
    let is_whole = program.sizes(out) == program.sizes(x) && channels.is_multiple_of(groups);
    let is_hidden = [centred, folded].iter().all(|id| !program.is_kept(*id));
    if !is_mean || squared != centred || !is_whole || !is_hidden {
        return None;
    }
    let mut found = Groups {
        x,
        channels,
        groups,
        epsilon,
        scale: None,
        offset: None,
        last: place,
    };
    // A constant for each channel, which burn gives axes of one around it.
    let per_channel = |value: Id, operator: &str| {
        let next = uses.next(program, value, operator)?;
        let (read, constant) = operands(&program.lines[next])?;
        let from = match uses.maker(program, constant, "Reshape") {
            Some(line) => line.input(0)?,
            None => constant,
        };
        let is_aligned = program.rank(constant) == program.rank(value)
            && program.sizes(constant)[1] == Size::Fixed(channels);
        let is_list = program.sizes(from) == [Size::Fixed(channels)];
        let is_fixed = program.value(from).constant.is_some();
        (read == value && is_aligned && is_list && is_fixed).then_some((next, from))
    };
    if let Some((next, scale)) = per_channel(out, "Mul") {
        (found.last, found.scale) = (next, Some(scale));
        let scaled = *program.lines[next].outputs.first()?;
        if let Some((next, offset)) = per_channel(scaled, "Add") {
            (found.last, found.offset) = (next, Some(offset));
        }
    }
    Some(found)
}

fn write_groups(program: &mut Program, found: Groups) {
    let channels = found.channels;
    let mut of = |constant: Option<Id>, value: f32| match constant {
        Some(id) => Some(id),
        None => {
            let values = vec![value; channels];
            let values = HostTensor::of_floats(ElementType::F32, &[channels], values).ok()?;
            Some(program.numbers(values))
        }
    };
    let (Some(scale), Some(offset)) = (of(found.scale, 1.0), of(found.offset, 0.0)) else {
        return;
    };
    let outputs = program.lines[found.last].outputs.clone();
    program.lines[found.last] = Line {
        operator: "GroupNormalization",
        inputs: vec![Some(found.x), Some(scale), Some(offset)],
        outputs,
        attributes: vec![
            ("num_groups", Attribute::Int(found.groups as i64)),
            ("epsilon", Attribute::Float(found.epsilon as f32)),
        ],
    };
}

/// `x / sqrt(mean(x²) + epsilon) * scale` along the last axis; where its last line stands, and what it
/// becomes.
fn root_mean_square(program: &Program, uses: &Uses, place: usize) -> Option<(usize, Line)> {
    let line = &program.lines[place];
    if line.operator != "Mul" {
        return None;
    }
    let (normalised, scale) = operands(line)?;
    let (x, deviation) = operands(uses.inner(program, normalised, "Div")?)?;
    let last = program.rank(x).checked_sub(1)?;
    let (epsilon, squared) = deviation_of(program, uses, deviation, last)?;
    let is_list = program.sizes(scale) == &program.sizes(x)[last..];
    if squared != x || !is_list || program.value(scale).constant.is_none() {
        return None;
    }
    let made = Line {
        operator: "RMSNormalization",
        inputs: vec![Some(x), Some(scale)],
        outputs: line.outputs.clone(),
        attributes: vec![
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon as f32)),
        ],
    };
    Some((place, made))
}

fn operands(line: &Line) -> Option<(Id, Id)> {
    Some((line.input(0)?, line.input(1)?))
}

/// What a value is the mean of, along one axis.
fn mean_of(program: &Program, uses: &Uses, id: Id, axis: usize) -> Option<Id> {
    let line = uses.inner(program, id, "ReduceMean")?;
    let axes = program.known(line.input(1)?)?.ints().ok()?;
    (axes == [axis as i64] && line.int("keepdims") == Some(1)).then_some(line.input(0)?)
}

/// The epsilon of `sqrt(mean(x²) + epsilon)` along an axis, and `x`.
fn deviation_of(program: &Program, uses: &Uses, id: Id, axis: usize) -> Option<(f64, Id)> {
    let sum = uses.inner(program, id, "Sqrt")?.input(0)?;
    let (variance, epsilon) = operands(uses.inner(program, sum, "Add")?)?;
    let epsilon = program.scalar(epsilon)?;
    let square = mean_of(program, uses, variance, axis)?;
    let (x, y) = match uses.inner(program, square, "Mul") {
        Some(line) => operands(line)?,
        None => {
            let (x, two) = operands(uses.inner(program, square, "Pow")?)?;
            (x, if program.scalar(two)? == 2.0 { x } else { two })
        }
    };
    (x == y).then_some((epsilon, x))
}
