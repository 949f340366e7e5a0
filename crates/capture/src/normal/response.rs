//! Local response normalisation: `x / (k + alpha mean(x²))^beta`, the mean over neighbouring channels,
//! which burn moves to the last axis for a one-dimensional pool.

use elucid_graph::Attribute;

use super::Uses;
use crate::program::{Id, Line, Program, Size};

pub(super) fn find(program: &mut Program) {
    let uses = Uses::of(program);
    for place in 0..program.lines.len() {
        if let Some(found) = matched(program, &uses, &program.lines[place]) {
            let outputs = program.lines[place].outputs.clone();
            program.lines[place] = Line {
                operator: "LRN",
                inputs: vec![Some(found.x)],
                outputs,
                attributes: vec![
                    ("size", Attribute::Int(found.size)),
                    ("alpha", Attribute::Float(found.alpha)),
                    ("beta", Attribute::Float(found.beta)),
                    ("bias", Attribute::Float(found.bias)),
                ],
            };
        }
    }
    program.prune();
}

struct Found {
    x: Id,
    size: i64,
    alpha: f32,
    beta: f32,
    bias: f32,
}

fn matched(program: &Program, uses: &Uses, line: &Line) -> Option<Found> {
    if line.operator != "Div" {
        return None;
    }
    let x = line.input(0)?;
    let &[_, Size::Fixed(channels), ..] = program.sizes(x) else {
        return None;
    };
    let (power, beta) = with_number(program, uses, line.input(1)?, "Pow")?;
    let (sum, bias) = with_number(program, uses, power, "Add")?;
    let (mean, alpha) = with_number(program, uses, sum, "Mul")?;
    let mut value = through(program, uses, mean)?;
    let pool = uses.inner(program, value, "AveragePool")?;
    let &[size] = pool.ints("kernel_shape")? else {
        return None;
    };
    let is_plain = pool.ints("strides")? == [1]
        && pool.int("count_include_pad") == Some(1)
        && pool.int("ceil_mode") != Some(1);
    let [before, after] = pool.ints("pads")? else {
        return None;
    };
    let mut pads = [*before, *after];
    value = pool.input(0)?;
    if let Some(pad) = uses.inner(program, value, "Pad") {
        let around = program.known(pad.input(1)?)?.ints().ok()?;
        let &[0, 0, before, 0, 0, after] = around.as_slice() else {
            return None;
        };
        if program.scalar(pad.input(2)?)? != 0.0 {
            return None;
        }
        pads = [pads[0] + before, pads[1] + after];
        value = pad.input(0)?;
    }
    let is_centred = pads == [(size - 1) / 2, size / 2];
    let lies_last = program.sizes(value).last() == Some(&Size::Fixed(channels));
    let squared = through(program, uses, value)?;
    let is_square = match uses.inner(program, squared, "Mul") {
        Some(line) => line.input(0) == Some(x) && line.input(1) == Some(x),
        None => with_number(program, uses, squared, "Pow")? == (x, 2.0),
    };
    (is_plain && is_centred && lies_last && is_square).then_some(Found {
        x,
        size,
        alpha: alpha as f32,
        beta: beta as f32,
        bias: bias as f32,
    })
}

/// The value and the number that an operator makes this one of.
fn with_number(program: &Program, uses: &Uses, id: Id, operator: &str) -> Option<(Id, f64)> {
    let line = uses.inner(program, id, operator)?;
    Some((line.input(0)?, program.scalar(line.input(1)?)?))
}

/// What reshapes and one exchange of the two last axes make this value of.
fn through(program: &Program, uses: &Uses, mut id: Id) -> Option<Id> {
    let mut exchanged = 0;
    loop {
        if let Some(line) = uses.inner(program, id, "Reshape") {
            id = line.input(0)?;
        } else if let Some(line) = uses.inner(program, id, "Transpose") {
            if line.ints("perm")? != [0, 2, 1] {
                return None;
            }
            exchanged += 1;
            id = line.input(0)?;
        } else {
            return (exchanged == 1).then_some(id);
        }
    }
}
