//! `RotaryEmbedding`: pairs of numbers of each head, rotated by an angle that follows from the
//! position.
//!
//! `(a, b)` becomes `(a cos - b sin, a sin + b cos)`. The pairs are neighbours if `interleaved`, else
//! one half of a head with the other.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::cat;

use super::attention::{Sizes, heads, misfit};
use super::gather::selected;
use crate::activation::{Activation, IntoView};
use crate::operator::{facts, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("RotaryEmbedding", 23, |a| {
    let width = a.int_or("rotary_embedding_dim", 0);
    let width = usize::try_from(width).ok().filter(|w| w % 2 == 0);
    Ok(Arc::new(RotaryEmbedding {
        heads: match a.int_or("num_heads", 0) {
            0 => None,
            _ => heads(a, "num_heads")?,
        },
        interleaved: a.flag("interleaved"),
        width: width.ok_or("attribute rotary_embedding_dim is no even number")?,
    }))
})];

#[derive(Debug)]
struct RotaryEmbedding {
    heads: Option<usize>,
    interleaved: bool,
    /// How many numbers of each head are rotated; 0 for all.
    width: usize,
}

impl Operator for RotaryEmbedding {
    facts!(kind: "RotaryEmbedding", algebra: Linear else Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let heads = if x.shape.len() == 3 { self.heads } else { None };
        let sizes = Sizes::of(&x.shape, heads, "inputs")?;
        let width = if self.width == 0 {
            sizes.size
        } else {
            self.width
        };
        if width > sizes.size || width % 2 != 0 || width == 0 {
            return Err(format!("{width} numbers of {} cannot be rotated", sizes.size).into());
        }
        let half = width / 2;
        let (cos, sin) = (&inputs.operand(1)?.shape, &inputs.operand(2)?.shape);
        let positions = match inputs.optional(3) {
            None => None,
            Some(stated) => {
                let &[count, _] = cos.as_slice() else {
                    return Err(misfit(inputs, 4));
                };
                if stated.shape != [sizes.batch, sizes.length] || *cos != [count, half] {
                    return Err(misfit(inputs, 4));
                }
                let index = |i: &i64| usize::try_from(*i).ok().filter(|&i| i < count);
                let stated = inputs.ints(3, "the positions")?;
                let found: Option<Vec<usize>> = stated.iter().map(index).collect();
                Some(found.ok_or_else(|| format!("a position is none of {count}"))?)
            }
        };
        let fits = positions.is_some() || *cos == [sizes.batch, sizes.length, half];
        if sin != cos || !fits {
            return Err(misfit(inputs, 4));
        }
        let kernel = Rotate {
            sizes,
            half,
            interleaved: self.interleaved,
            positions,
        };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

#[derive(Debug)]
struct Rotate {
    sizes: Sizes,
    half: usize,
    interleaved: bool,
    /// Rows of the tables, for each batch entry and position.
    positions: Option<Vec<usize>>,
}

impl Kernel for Rotate {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let (sizes, half) = (self.sizes, self.half);
        let Sizes {
            batch,
            heads,
            length,
            size,
            packed,
        } = sizes;
        // [N, L, heads, size] or [N, heads, L, size].
        let (view, table) = match packed {
            true => ([batch, length, heads, size], [batch, length, 1, half]),
            false => ([batch, heads, length, size], [batch, 1, length, half]),
        };
        let x = inputs.take(0).into_view(&view).into_cast::<4>();
        let mut angles = |slot| {
            let stated = inputs.take(slot);
            let chosen = match &self.positions {
                Some(rows) => selected(stated, 0, rows),
                None => stated,
            };
            chosen.into_view(&table).into_cast::<4>()
        };
        let (cos, sin) = (angles(1), angles(2));
        let rotated = x.clone().narrow(3, 0, 2 * half);
        let [outer, middle, ..] = view;
        let pairs = [outer, middle, view[2], half, 2];
        let (a, b) = match self.interleaved {
            true => {
                let pairs = rotated.reshape(pairs);
                let of = |i| {
                    pairs
                        .clone()
                        .narrow(4, i, 1)
                        .reshape([outer, middle, view[2], half])
                };
                (of(0), of(1))
            }
            false => (
                rotated.clone().narrow(3, 0, half),
                rotated.narrow(3, half, half),
            ),
        };
        let real = a.clone() * cos.clone() - b.clone() * sin.clone();
        let imaginary = a * sin + b * cos;
        let mut made = match self.interleaved {
            true => {
                let both: Tensor<5> = Tensor::stack(vec![real, imaginary], 4);
                vec![both.reshape([outer, middle, view[2], 2 * half])]
            }
            false => vec![real, imaginary],
        };
        if 2 * half < size {
            made.push(x.narrow(3, 2 * half, size - 2 * half));
        }
        vec![cat(made, 3).into_view(&outputs[0].shape)]
    }
}
