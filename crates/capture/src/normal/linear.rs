//! Linear layers: `[Reshape] MatMul [Add] [Reshape]`, with weights and biases reshaped to the input's rank.

use std::collections::HashSet;

use super::Uses;
use crate::program::{Id, Line, Program, Size};

/// Operators whose operands are aligned at their last axes.
const ALIGNED: [&str; 9] = [
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu", "MatMul",
];

/// Constants that were given axes of one in front are read without them.
pub(super) fn operands(program: &mut Program) {
    let fixed = program.fixed();
    let makers = program.makers();
    let source = |program: &Program, id: Id| {
        let line = &program.lines[*makers.get(&id)?];
        let from = line.input(0).filter(|id| fixed.contains(id))?;
        if line.operator != "Reshape" {
            return None;
        }
        let (short, long) = (program.sizes(from), program.sizes(id));
        let (ones, rest) = long.split_at_checked(long.len().checked_sub(short.len())?)?;
        let is_same = rest == short && ones.iter().all(|size| *size == Size::Fixed(1));
        is_same.then_some(from)
    };
    for place in 0..program.lines.len() {
        let line = &program.lines[place];
        if !ALIGNED.contains(&line.operator) || line.inputs.len() != 2 {
            continue;
        }
        let (Some(x), Some(y), Some(&out)) = (line.input(0), line.input(1), line.outputs.first())
        else {
            continue;
        };
        let rank = program.rank(out);
        let least = if line.operator == "MatMul" { 2 } else { 0 };
        let shorter = [(1, y, x), (0, x, y)].map(|(slot, id, other)| {
            let found = source(program, id).filter(|from| program.rank(*from) >= least);
            // A product goes on with the weights second.
            let fits = program.rank(other) == rank && (slot == 1 || line.operator != "MatMul");
            found.filter(|_| fits).map(|from| (slot, from))
        });
        for (slot, from) in shorter.into_iter().flatten() {
            program.lines[place].inputs[slot] = Some(from);
        }
    }
}

/// A layer that works on rows: what folds the axes in front and unfolds them behind falls away.
pub(super) fn rows(program: &mut Program) {
    let uses = Uses::of(program);
    let fixed = program.fixed();
    for place in 0..program.lines.len() {
        if let Some(layer) = unfolded(program, &uses, &fixed, place) {
            let sizes = program.sizes(layer.out).to_vec();
            let product = &mut program.lines[place];
            product.inputs[0] = Some(layer.x);
            match layer.bias {
                None => product.outputs[0] = layer.out,
                Some(bias) => {
                    let between = product.outputs[0];
                    program.value_mut(between).sizes = sizes;
                    program.lines[bias].outputs[0] = layer.out;
                }
            }
            // Nothing reads it any more, and what it made is made before.
            program.lines[layer.back].outputs.clear();
        }
    }
    program.lines.retain(|line| !line.outputs.is_empty());
}

struct Unfolded {
    x: Id,
    bias: Option<usize>,
    back: usize,
    out: Id,
}

fn unfolded(program: &Program, uses: &Uses, fixed: &HashSet<Id>, place: usize) -> Option<Unfolded> {
    let product = &program.lines[place];
    let weight = product.input(1).filter(|id| fixed.contains(id))?;
    if product.operator != "MatMul" || program.rank(weight) != 2 {
        return None;
    }
    let folded = product.input(0).filter(|id| !program.is_kept(*id))?;
    // What the layer before it unfolded with is gone, and so is what that read.
    let there = uses
        .maker(program, folded, "Reshape")
        .filter(|line| line.outputs.contains(&folded))?;
    let x = there.input(0)?;
    let mut made = *product.outputs.first()?;
    let bias = uses.next(program, made, "Add").filter(|&add| {
        let line = &program.lines[add];
        let is_bias = |id: Id| fixed.contains(&id) && program.rank(id) <= 1;
        line.input(0) == Some(made) && line.input(1).is_some_and(is_bias)
    });
    if let Some(bias) = bias {
        made = *program.lines[bias].outputs.first()?;
    }
    let back = uses.next(program, made, "Reshape")?;
    let out = *program.lines[back].outputs.first()?;
    let (from, to) = (program.sizes(x), program.sizes(out));
    let (rows, columns) = (from.split_last()?, to.split_last()?);
    let inner = program.sizes(weight);
    let is_layer = rows.1 == columns.1 && *rows.0 == inner[0] && *columns.0 == inner[1];
    (is_layer && program.lines[back].input(0) == Some(made)).then_some(Unfolded {
        x,
        bias,
        back,
        out,
    })
}

/// A product and a bias of two axes are one operator.
pub(super) fn biases(program: &mut Program) {
    let uses = Uses::of(program);
    let fixed = program.fixed();
    for place in 0..program.lines.len() {
        let line = &program.lines[place];
        let (Some(x), Some(bias)) = (line.input(0), line.input(1)) else {
            continue;
        };
        if line.operator != "Add" || !fixed.contains(&bias) || program.rank(bias) != 1 {
            continue;
        }
        let Some(product) = uses.inner(program, x, "MatMul") else {
            continue;
        };
        let (Some(x), Some(weight)) = (product.input(0), product.input(1)) else {
            continue;
        };
        if program.rank(x) != 2 || !fixed.contains(&weight) || program.rank(weight) != 2 {
            continue;
        }
        if program.sizes(bias).first() != program.sizes(weight).last() {
            continue;
        }
        program.lines[place] = Line {
            operator: "Gemm",
            inputs: vec![Some(x), Some(weight), Some(bias)],
            outputs: line.outputs.clone(),
            attributes: Vec::new(),
        };
    }
    program.prune();
}
