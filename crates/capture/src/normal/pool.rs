//! Pools that burn pads before, and means along one axis after the other.

use elucid_graph::{Attribute, HostTensor};

use super::Uses;
use crate::program::{Id, Line, Program};

/// A pool of what was padded, by nothing for a maximum and by zeros for a mean that counts them, pads by
/// itself.
pub(super) fn padded(program: &mut Program) {
    let uses = Uses::of(program);
    for place in 0..program.lines.len() {
        if let Some((x, pads)) = own_padding(program, &uses, &program.lines[place]) {
            let line = &mut program.lines[place];
            line.inputs[0] = Some(x);
            for (name, value) in &mut line.attributes {
                if *name == "pads" {
                    *value = Attribute::Ints(pads.clone());
                }
            }
        }
    }
    program.prune();
}

fn own_padding(program: &Program, uses: &Uses, line: &Line) -> Option<(Id, Vec<i64>)> {
    let is_maximum = line.operator == "MaxPool";
    let counts = line.operator == "AveragePool" && line.int("count_include_pad") == Some(1);
    let is_plain =
        line.ints("pads")?.iter().all(|&pad| pad == 0) && line.int("ceil_mode") != Some(1);
    if !is_plain || !(is_maximum || counts) {
        return None;
    }
    let pad = uses.inner(program, line.input(0)?, "Pad")?;
    let x = pad.input(0)?;
    let fill = program.scalar(pad.input(2)?)?;
    let fits = match is_maximum {
        true => fill <= f64::from(f32::MIN),
        false => fill == 0.0,
    };
    let pads = program.known(pad.input(1)?)?.ints().ok()?;
    let (before, after) = pads.split_at(pads.len() / 2);
    let is_inside = [before, after]
        .iter()
        .all(|pads| pads.iter().take(2).all(|&pad| pad == 0));
    // A window must touch something that is there.
    let kernel = line.ints("kernel_shape")?;
    let reaches = |pads: &[i64]| {
        pads.iter()
            .skip(2)
            .zip(kernel)
            .all(|(pad, size)| pad < size)
    };
    if !fits || !is_inside || !reaches(before) || !reaches(after) {
        return None;
    }
    let behind = |pads: &[i64]| pads[2..].to_vec();
    Some((x, [behind(before), behind(after)].concat()))
}

/// A mean along one axis of a mean along another is one along both.
pub(super) fn means(program: &mut Program) {
    let mut uses = Uses::of(program);
    let mut place = 0;
    while place < program.lines.len() {
        match both(program, &uses, &program.lines[place]) {
            Some((x, axes)) => {
                let axes = program.numbers(HostTensor::from_ints(axes));
                program.lines[place].inputs = vec![Some(x), Some(axes)];
                // There may be a third.
                uses = Uses::of(program);
            }
            None => place += 1,
        }
    }
    program.prune();
}

fn both(program: &Program, uses: &Uses, line: &Line) -> Option<(Id, Vec<i64>)> {
    if !matches!(line.operator, "ReduceMean" | "ReduceSum" | "ReduceMax")
        || line.int("keepdims") != Some(1)
    {
        return None;
    }
    let before = uses.inner(program, line.input(0)?, line.operator)?;
    if before.int("keepdims") != Some(1) {
        return None;
    }
    let mut axes = program.known(before.input(1)?)?.ints().ok()?;
    axes.extend(program.known(line.input(1)?)?.ints().ok()?);
    axes.sort_unstable();
    let count = axes.len();
    axes.dedup();
    (axes.len() == count).then_some((before.input(0)?, axes))
}
