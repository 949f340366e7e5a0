//! `AffineGrid`: where an affine map of normalised coordinates leads each position.
//!
//! `[N, 2, 3]` or `[N, 3, 4]` to `[N, H, W, 2]` or `[N, D, H, W, 3]`; coordinates from -1 to 1, `x` first.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use crate::activation::{Activation, IntoView};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_size, facts, sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("AffineGrid", 20, |a| {
    Ok(Arc::new(AffineGrid {
        align_corners: a.flag("align_corners"),
    }))
})];

#[derive(Debug)]
struct AffineGrid {
    align_corners: bool,
}

impl Operator for AffineGrid {
    facts!(kind: "AffineGrid", algebra: Linear);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let theta = inputs.floats(0)?;
        let stated = sizes(&inputs.list(1, "the size")?)?;
        let (Some(&n), Some(size)) = (stated.first(), stated.get(2..)) else {
            return Err(format!("size is {stated:?}, expected [N, C, ...]").into());
        };
        let rank = size.len();
        if !matches!(rank, 2 | 3) || theta.shape != [n, rank, rank + 1] || size.contains(&0) {
            return Err(format!(
                "a map of shape {:?} does not fit a size of {stated:?}",
                theta.shape
            )
            .into());
        }
        let shape = [&[n][..], size, &[rank]].concat();
        check_size(&shape)?;
        check_size(&[size, &[rank + 1]].concat())?;
        let kernel = Mapped {
            size: size.to_vec(),
            align_corners: self.align_corners,
        };
        Ok(Resolved::typed(kernel, shape, theta.kind))
    }
}

#[derive(Debug)]
struct Mapped {
    size: Vec<usize>,
    align_corners: bool,
}

impl Mapped {
    /// The normalised coordinate of a position; the only one of an axis is in its middle.
    fn coordinate(&self, axis: usize, i: usize) -> f32 {
        let size = self.size[axis] as f64;
        let at = match self.align_corners {
            true if size > 1.0 => 2.0 * i as f64 / (size - 1.0) - 1.0,
            true => 0.0,
            false => (2.0 * i as f64 + 1.0) / size - 1.0,
        };
        at as f32
    }
}

impl Kernel for Mapped {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let theta = inputs.take(0).into_cast::<3>();
        let rank = self.size.len();
        let positions: usize = self.size.iter().product();
        let mut grid = Vec::with_capacity(positions * (rank + 1));
        for position in 0..positions {
            let mut left = position;
            for axis in (0..rank).rev() {
                grid.push(self.coordinate(axis, left % self.size[axis]));
                left /= self.size[axis];
            }
            grid.push(1.0);
        }
        let grid = TensorData::new(grid, [1, positions, rank + 1]);
        let grid = Tensor::<3>::from_data(grid, &theta.device());
        let mapped = grid.matmul(theta.swap_dims(1, 2));
        vec![mapped.into_view(&outputs[0].shape)]
    }
}
