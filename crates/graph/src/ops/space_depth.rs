//! `DepthToSpace` and `SpaceToDepth`: channels into blocks of positions, and back.

use std::sync::Arc;

use elucid_rules::OpKind;

use super::transpose::permuted;
use crate::activation::{Activation, IntoView};
use crate::attributes::{Attributes, MAX_WINDOW};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("DepthToSpace", 1, |a| {
        let block = block(a)?;
        let order = match a.text_or("mode", "DCR") {
            "DCR" => Order::BlockFirst,
            "CRD" => Order::ChannelFirst,
            other => return Err(format!("mode is \"{other}\", expected DCR or CRD")),
        };
        Ok(Arc::new(SpaceDepth::ToSpace(block, order)))
    }),
    Entry::onnx("SpaceToDepth", 1, |a| {
        Ok(Arc::new(SpaceDepth::ToDepth(block(a)?)))
    }),
];

fn block(a: &Attributes) -> Result<usize, String> {
    let stated = a.int_or("blocksize", 0);
    let block = usize::try_from(stated).ok();
    block
        .filter(|&b| (1..=MAX_WINDOW).contains(&b))
        .ok_or_else(|| format!("attribute blocksize is {stated}, expected 1 or more"))
}

/// Whether the place in a block or the channel left counts first in a channel's number.
#[derive(Debug, Clone, Copy)]
enum Order {
    BlockFirst,
    ChannelFirst,
}

fn image(inputs: &Operands<'_>) -> Result<[usize; 4], Refused> {
    let shape = &inputs.input(0)?.shape;
    let image = <[usize; 4]>::try_from(shape.as_slice());
    image.map_err(|_| format!("input has shape {shape:?}, expected [N, C, H, W]").into())
}

/// Which way, and the side of a block.
#[derive(Debug)]
enum SpaceDepth {
    ToSpace(usize, Order),
    ToDepth(usize),
}

impl Operator for SpaceDepth {
    facts!(algebra: Moves, apart: Rows);

    fn kind(&self) -> OpKind {
        OpKind::new(match self {
            Self::ToSpace(..) => "DepthToSpace",
            Self::ToDepth(_) => "SpaceToDepth",
        })
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let image = image(inputs)?;
        let (moved, shape) = match *self {
            Self::ToSpace(block, order) => to_space(image, block, order)?,
            Self::ToDepth(block) => to_depth(image, block)?,
        };
        moved.resolve(inputs, shape.to_vec())
    }
}

fn to_space(image: [usize; 4], b: usize, order: Order) -> Result<(Moved, [usize; 4]), Refused> {
    let [n, c, h, w] = image;
    if c % (b * b) != 0 {
        return Err(format!("{c} channels do not fill blocks of {b}x{b}").into());
    }
    let left = c / (b * b);
    let (view, axes) = match order {
        Order::BlockFirst => ([n, b, b, left, h, w], [0, 3, 4, 1, 5, 2]),
        Order::ChannelFirst => ([n, left, b, b, h, w], [0, 1, 4, 2, 5, 3]),
    };
    let (Some(height), Some(width)) = (h.checked_mul(b), w.checked_mul(b)) else {
        return Err("the output is too large".into());
    };
    let moved = Moved {
        view,
        axes,
        from: |b, i| (i / b, i / b),
        block: b,
    };
    Ok((moved, [n, left, height, width]))
}

fn to_depth([n, c, h, w]: [usize; 4], b: usize) -> Result<(Moved, [usize; 4]), Refused> {
    if h % b != 0 || w % b != 0 {
        return Err(format!("blocks of {b}x{b} do not fill {h}x{w}").into());
    }
    let channels = c.checked_mul(b * b).ok_or("the output is too large")?;
    let moved = Moved {
        view: [n, c, h / b, b, w / b, b],
        axes: [0, 3, 5, 1, 2, 4],
        from: |b, i| (i * b, i * b + b - 1),
        block: b,
    };
    Ok((moved, [n, channels, h / b, w / b]))
}

/// A view with its axes in another order.
#[derive(Debug)]
struct Moved {
    view: [usize; 6],
    axes: [usize; 6],
    /// First and last row or column that one reads, by the block's size.
    from: fn(usize, usize) -> (usize, usize),
    block: usize,
}

impl Moved {
    fn resolve(self, inputs: &Operands<'_>, shape: Vec<usize>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        match &x.host {
            Some(host) => {
                let moved = host.reshape(&self.view)?.permute(&self.axes);
                Ok(Resolved::known(moved.reshape(&shape)?))
            }
            None => Ok(Resolved::typed(self, shape, x.kind)),
        }
    }
}

impl Kernel for Moved {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let moved = permuted(inputs.take(0).into_view(&self.view), &self.axes);
        vec![moved.into_view(&outputs[0].shape)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.mapped(|_, i| Some((self.from)(self.block, i)))
    }
}
