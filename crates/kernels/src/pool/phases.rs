//! What the kernels of pools share: planes, and rows from which windows are read.

use crate::window::Axis;

/// The plane that chunk `i` is computed from.
pub(super) fn nth(values: &[f32], i: usize, len: usize) -> &[f32] {
    &values[i * len..(i + 1) * len]
}

/// One row of inputs in an order in which the inputs that element `t` of successive windows looks
/// at lie side by side, whatever the stride: first the columns 0, `stride`, `2 stride` .., then 1,
/// `1 + stride` .. . Contiguous loops are what the compiler vectorises.
#[derive(Clone)]
pub(super) struct Phases<T> {
    values: Vec<T>,
    stride: usize,
    /// The length of one phase, the last columns padded to it.
    len: usize,
}

impl<T: Copy + Default> Phases<T> {
    pub(super) fn new(cols: &Axis) -> Self {
        let len = cols.size.div_ceil(cols.stride);
        Self {
            // Past the row's length there are no further phases.
            values: vec![T::default(); len * cols.stride.min(cols.size)],
            stride: cols.stride,
            len,
        }
    }

    #[inline(always)]
    pub(super) fn fill_from(&mut self, row: &[T]) {
        if self.stride == 1 {
            self.values.copy_from_slice(row);
            return;
        }
        for (phase, values) in self.values.chunks_exact_mut(self.len).enumerate() {
            for (value, v) in values
                .iter_mut()
                .zip(row.iter().skip(phase).step_by(self.stride))
            {
                *value = *v;
            }
        }
    }

    /// The inputs from column `first` on, a stride apart.
    #[inline(always)]
    pub(super) fn from(&self, first: usize) -> &[T] {
        let (phase, skipped) = (first % self.stride, first / self.stride);
        &self.values[phase * self.len + skipped..(phase + 1) * self.len]
    }
}

/// Calls `f(output, input)` for element `t` of every window of one row.
#[inline(always)]
pub(super) fn gather(
    output: &mut [f32],
    row: &Phases<f32>,
    cols: &Axis,
    t: usize,
    f: impl Fn(&mut f32, f32),
) {
    let outputs = cols.outputs(t);
    if outputs.is_empty() {
        return;
    }
    let inputs = row.from(cols.position(outputs.start, t));
    for (o, v) in output[outputs].iter_mut().zip(inputs) {
        f(o, *v);
    }
}

/// Scratch for one row of a plane.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) values: Vec<f32>,
    pub(super) phases: Phases<f32>,
}

impl Row {
    pub(super) fn new(cols: &Axis) -> Self {
        Self {
            values: vec![0.0; cols.size],
            phases: Phases::new(cols),
        }
    }
}
