//! `Col2Im`: blocks put back to where they were taken from, with what overlaps added up.
//!
//! `[N, C * block, positions]` to `[N, C, ...]`; the transpose of gathering the windows of a convolution.
//! Along each axis it is the product with a matrix of zeros and ones.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::transpose::permuted;
use super::window::{Axis, Window};
use crate::activation::{Activation, IntoView};
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_size, facts, sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Col2Im", 18, |a| {
    Ok(Arc::new(Col2Im(Window::read(a)?)))
})];

#[derive(Debug)]
struct Col2Im(Window);

impl Operator for Col2Im {
    facts!(kind: "Col2Im", algebra: Linear);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let &[n, columns, positions] = x.shape.as_slice() else {
            let got = &x.shape;
            return Err(
                format!("input has shape {got:?}, expected [N, C * block, positions]").into(),
            );
        };
        let size = sizes(&inputs.list(1, "the image's shape")?)?;
        let block = sizes(&inputs.list(2, "the block's shape")?)?;
        if size.len() != block.len() || size.is_empty() || block.contains(&0) {
            return Err(format!("blocks of {block:?} in an image of {size:?}").into());
        }
        let axes = self.0.unpadded(&block)?;
        let counts = axes.iter().zip(&size);
        let counts: Option<Vec<usize>> = counts.map(|(axis, &size)| axis.positions(size)).collect();
        let product = |values: &[usize]| values.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        let counts = counts.filter(|counts| product(counts) == Some(positions));
        let whole = product(&block).filter(|&block| columns % block == 0);
        let (Some(counts), Some(whole)) = (counts, whole) else {
            return Err(format!(
                "{columns} columns at {positions} positions do not fit blocks of {block:?} in an \
                 image of {size:?}"
            )
            .into());
        };
        let shape = [&[n, columns / whole][..], &size].concat();
        check_size(&shape)?;
        for i in 0..size.len() {
            check_size(&[block[i], counts[i], size[i]])?;
            // With the axes before it put back and those behind it still in blocks.
            let parts = [&size[..=i], &block[i + 1..], &counts[i + 1..]].concat();
            check_size(&[&shape[..2], &parts].concat())?;
        }
        let kernel = Fold { axes, size, counts };
        Ok(Resolved::typed(kernel, shape, x.kind))
    }
}

#[derive(Debug)]
struct Fold {
    axes: Vec<Axis>,
    size: Vec<usize>,
    counts: Vec<usize>,
}

impl Kernel for Fold {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut x = inputs.take(0);
        let device = x.device();
        let outer: usize = outputs[0].shape[..2].iter().product();
        for (i, axis) in self.axes.iter().enumerate() {
            let (count, size) = (self.counts[i], self.size[i]);
            // What is put back already is in front of the taps, then come the taps and the positions
            // of this axis and of those behind it.
            let front = outer * self.size[..i].iter().product::<usize>();
            let taps: usize = self.axes[i + 1..].iter().map(|axis| axis.kernel).product();
            let behind: usize = self.counts[i + 1..].iter().product();
            let view = [front, axis.kernel, taps, count, behind];
            let rows = front * taps * behind;
            let joined = permuted(x.into_view(&view), &[0, 2, 4, 1, 3]);
            let joined = joined
                .into_view(&[rows, axis.kernel * count])
                .into_cast::<2>();
            let mut matrix = vec![0.0; axis.kernel * count * size];
            for tap in 0..axis.kernel {
                for position in 0..count {
                    let at = position * axis.stride + tap * axis.dilation;
                    if let Some(at) = at.checked_sub(axis.before).filter(|&at| at < size) {
                        matrix[(tap * count + position) * size + at] = 1.0;
                    }
                }
            }
            let matrix = TensorData::new(matrix, [axis.kernel * count, size]);
            let placed = joined.matmul(Tensor::from_data(matrix, &device));
            let placed = placed.into_view(&[front, taps, behind, size]);
            x = permuted(placed, &[0, 3, 1, 2]);
        }
        vec![x.into_view(&outputs[0].shape)]
    }
}
