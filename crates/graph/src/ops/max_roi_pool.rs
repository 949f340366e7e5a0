//! `MaxRoiPool`: the largest number in each cell of a grid over each of many boxes.
//!
//! A box `[image, x1, y1, x2, y2]` is scaled and rounded to whole positions, both ends inclusive; cells
//! overlap where they do not divide it. A cell outside the image is 0.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::gather::index_tensor;
use crate::activation::{Activation, IntoView};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("MaxRoiPool", 1, |a| {
    let stated = a.sizes("pooled_shape", 1)?.unwrap_or_default();
    let pooled = <[usize; 2]>::try_from(stated.as_slice())
        .map_err(|_| format!("attribute pooled_shape is {stated:?}, expected 2 numbers"))?;
    let scale = a.float_or("spatial_scale", 1.0);
    Ok(Arc::new(MaxRoiPool { pooled, scale }))
})];

#[derive(Debug)]
struct MaxRoiPool {
    pooled: [usize; 2],
    scale: f32,
}

impl Operator for MaxRoiPool {
    facts!(kind: "MaxRoiPool", algebra: Maximum);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let [n, c, h, w] = inputs.image()?;
        let &[count, 5] = inputs.floats(1)?.shape.as_slice() else {
            let got = &inputs.floats(1)?.shape;
            return Err(format!("boxes have shape {got:?}, expected [boxes, 5]").into());
        };
        let shape = vec![count, c, self.pooled[0], self.pooled[1]];
        check_size(&shape)?;
        let boxes = inputs.value(1, "the boxes")?.floats();
        let boxes = boxes.chunks_exact(5).map(|b| {
            let image = b[0];
            if !(image >= 0.0 && image < n as f32) {
                return Err(format!("a box is in image {image} of {n}"));
            }
            Ok(RoiBox {
                image: image as usize,
                rows: self.cells(0, b[2], b[4], h),
                columns: self.cells(1, b[1], b[3], w),
            })
        });
        let kernel = Cells {
            boxes: boxes.collect::<Result<_, _>>()?,
        };
        for roi in &kernel.boxes {
            // Cells are gathered with as many rows as the tallest has, then with as many columns.
            check_size(&[c, roi.rows.len(), longest(&roi.rows), w])?;
            let cells = [c, roi.rows.len(), roi.columns.len(), longest(&roi.columns)];
            check_size(&cells)?;
        }
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

impl MaxRoiPool {
    /// First and last position, exclusive, of each cell between two edges.
    fn cells(&self, axis: usize, start: f32, end: f32, size: usize) -> Vec<(usize, usize)> {
        let whole = |edge: f32| (edge * self.scale).round();
        let (start, end) = (whole(start), whole(end));
        let cells = self.pooled[axis];
        let step = (end - start + 1.0).max(1.0) / cells as f32;
        let clamped = |edge: f32| (edge + start).clamp(0.0, size as f32) as usize;
        let cell = |i: usize| {
            let (first, last) = ((i as f32 * step).floor(), ((i + 1) as f32 * step).ceil());
            (clamped(first), clamped(last))
        };
        (0..cells).map(cell).collect()
    }
}

fn longest(cells: &[(usize, usize)]) -> usize {
    let lengths = cells
        .iter()
        .map(|&(first, last)| last.saturating_sub(first));
    lengths.max().unwrap_or(0).max(1)
}

#[derive(Debug)]
struct RoiBox {
    image: usize,
    rows: Vec<(usize, usize)>,
    columns: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Cells {
    boxes: Vec<RoiBox>,
}

impl Kernel for Cells {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let pooled = self.boxes.iter().map(|roi| roi.pool(&x)).collect();
        vec![Tensor::cat(pooled, 0).into_view(&outputs[0].shape)]
    }
}

impl RoiBox {
    /// `[N, C, H, W]` to `[1, C, rows, columns]`.
    fn pool(&self, x: &Activation) -> Tensor<4> {
        let image = x.clone().into_cast::<4>().narrow(0, self.image, 1);
        let [_, c, _, w] = image.dims();
        let (rows, columns) = (self.rows.len(), self.columns.len());
        // Shorter cells repeat their last position.
        let places = |cells: &[(usize, usize)]| {
            let longest = longest(cells);
            let cell = |&(first, last): &(usize, usize)| {
                let end = last.max(first + 1) - 1;
                (0..longest).map(move |i| (first + i).min(end))
            };
            cells.iter().flat_map(cell).collect::<Vec<usize>>()
        };
        let within = |places: Vec<usize>, size: usize| -> Vec<usize> {
            places.into_iter().map(|p| p.min(size - 1)).collect()
        };
        let [_, _, h, _] = image.dims();
        let picked = image.select(2, index_tensor(&within(places(&self.rows), h), x));
        let picked = picked.reshape([c, rows, longest(&self.rows), w]).max_dim(2);
        let picked = picked.reshape([1, c, rows, w]);
        let picked = picked.select(3, index_tensor(&within(places(&self.columns), w), x));
        let picked = picked.reshape([c, rows, columns, longest(&self.columns)]);
        let largest = picked.max_dim(3).reshape([1, c, rows, columns]);
        let holds = |&(first, last): &(usize, usize)| f32::from(u8::from(first < last));
        let mask: Vec<f32> = (self.rows.iter())
            .flat_map(|row| {
                self.columns
                    .iter()
                    .map(move |column| holds(row) * holds(column))
            })
            .collect();
        let mask = TensorData::new(mask, [1, 1, rows, columns]);
        largest * Tensor::from_data(mask, &x.device())
    }
}
