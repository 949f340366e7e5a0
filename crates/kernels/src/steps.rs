//! Every so many slices along an axis.

use crate::padded::{read, write};
use crate::threads::for_each_part;

/// Slices along the middle axis of `[outer, size, inner]`: `count` of them from `start` on, `step` apart, backwards if
/// that is below 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Slices along the axis.
    pub size: usize,
    /// Numbers in a slice.
    pub inner: usize,
    /// The first that is taken.
    pub start: usize,
    /// From one to the next.
    pub step: isize,
    /// How many are taken.
    pub count: usize,
}

impl Steps {
    /// Along an axis of a tensor of some shape.
    ///
    /// # Panics
    ///
    /// When it has no such axis.
    pub fn along(shape: &[usize], axis: usize, [start, count]: [usize; 2], step: isize) -> Self {
        Self {
            size: shape[axis],
            inner: shape[axis + 1..].iter().product(),
            start,
            step,
            count,
        }
    }

    /// The slices themselves, `[outer, count, inner]`.
    ///
    /// # Panics
    ///
    /// When a slice lies beyond the axis, or `x` is not of whole parts.
    pub fn take(&self, x: &[f32]) -> Vec<f32> {
        let [from, to] = self.check();
        assert!(x.len().is_multiple_of(from), "whole parts");
        let mut y = vec![0.0; x.len() / from * to];
        for_each_part(&mut y, to, to, |i, y| {
            let x = &x[i * from..(i + 1) * from];
            match (self.inner, usize::try_from(self.step)) {
                (1, Ok(step)) => read(y, &x[self.start..], step),
                (inner, _) => {
                    for (k, y) in y.chunks_exact_mut(inner).enumerate() {
                        y.copy_from_slice(&x[self.at(k) * inner..][..inner]);
                    }
                }
            }
        });
        y
    }

    /// The gradient at `[outer, size, inner]`, given the one at what was taken: 0 where nothing was.
    ///
    /// # Panics
    ///
    /// As [`Steps::take`].
    pub fn put_back(&self, g: &[f32]) -> Vec<f32> {
        let [to, from] = self.check();
        assert!(g.len().is_multiple_of(from), "whole parts");
        let mut x = vec![0.0; g.len() / from * to];
        for_each_part(&mut x, to, to, |i, x| {
            let g = &g[i * from..(i + 1) * from];
            match (self.inner, usize::try_from(self.step)) {
                (1, Ok(step)) => write(&mut x[self.start..], g, step),
                (inner, _) => {
                    for (k, g) in g.chunks_exact(inner).enumerate() {
                        x[self.at(k) * inner..][..inner].copy_from_slice(g);
                    }
                }
            }
        });
        x
    }

    /// Which slice is the `k`th.
    fn at(&self, k: usize) -> usize {
        self.start.wrapping_add_signed(self.step * k as isize)
    }

    /// Numbers in a part, before and after.
    fn check(&self) -> [usize; 2] {
        let last = self.count.saturating_sub(1) as isize;
        let last = (last.checked_mul(self.step)).and_then(|far| self.start.checked_add_signed(far));
        assert!(
            self.step != 0
                && self.count > 0
                && self.inner > 0
                && self.start < self.size
                && last.is_some_and(|last| last < self.size),
            "slices of the axis"
        );
        [self.size * self.inner, self.count * self.inner]
    }
}
