//! Numbers that lie apart, side by side.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::threads::TASK;
use crate::written::written;

/// Side of the squares that are turned at a time: so many numbers fill a line of the cache.
const SIDE: usize = 16;

/// The numbers of a tensor, side by side in the order of its axes. `values` begins with its first; from an index of an axis to the
/// next are `steps` numbers, which may be 0.
///
/// # Panics
///
/// When `values` ends before the last of them, or there is no step for each size.
///
/// ```
/// use elucid_kernels::packed::packed;
/// // The transpose of a matrix of 2 x 3.
/// let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
/// assert_eq!(packed(&values, &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// ```
pub fn packed(values: &[f32], sizes: &[usize], steps: &[usize]) -> Vec<f32> {
    assert_eq!(sizes.len(), steps.len(), "a step for each axis");
    let len = sizes.iter().product();
    if len == 0 {
        return Vec::new();
    }
    let axes = joined(sizes, steps);
    // SAFETY of `written`: each way below writes all of what it is handed.
    written(len, |y| match axes.split_last() {
        None => {
            y[0].write(values[0]);
        }
        Some((&row, outer)) if row.step == 1 => rows(y, (row.size, outer), |y, first| {
            let from = &values[first..][..y.len()];
            if y.len() <= TASK {
                y.write_copy_of_slice(from);
                return;
            }
            let parts = y.par_chunks_mut(TASK).zip(from.par_chunks(TASK));
            parts.for_each(|(y, from)| {
                y.write_copy_of_slice(from);
            });
        }),
        Some((&row, outer)) => match outer.iter().position(|axis| axis.step == 1) {
            Some(side) => turned(values, y, row, outer, side),
            None => rows(y, (row.size, outer), |y, first| {
                for (i, y) in y.iter_mut().enumerate() {
                    y.write(values[first + i * row.step]);
                }
            }),
        },
    })
}

/// An axis of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// How many indices it has.
    pub size: usize,
    /// How many numbers lie between an index and the next.
    pub step: usize,
}

/// Fewest axes for the same places in the same order.
fn joined(sizes: &[usize], steps: &[usize]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for (&size, &step) in sizes.iter().zip(steps) {
        match axes.last_mut() {
            _ if size == 1 => {}
            Some(last) if last.step == size * step => {
                *last = Axis {
                    size: last.size * size,
                    step,
                };
            }
            _ => axes.push(Axis { size, step }),
        }
    }
    axes
}

/// Where what has this index begins, counted over all of the axes, of which the last counts fastest.
pub fn place(mut index: usize, axes: &[Axis]) -> usize {
    let along = axes.iter().rev().map(|axis| {
        let here = index % axis.size;
        index /= axis.size;
        here * axis.step
    });
    along.sum()
}

/// Calls `f` on each row, with where its first number lies.
fn rows(
    y: &mut [MaybeUninit<f32>],
    (len, outer): (usize, &[Axis]),
    f: impl Fn(&mut [MaybeUninit<f32>], usize) + Sync,
) {
    let together = TASK.div_ceil(len);
    let parts = y.par_chunks_mut(together * len).enumerate();
    parts.for_each(|(part, y)| {
        for (row, y) in y.chunks_mut(len).enumerate() {
            f(y, place(part * together + row, outer));
        }
    });
}

/// Where an axis before the last has its numbers side by side, its indices and those of the last are turned square by square.
fn turned(values: &[f32], y: &mut [MaybeUninit<f32>], row: Axis, outer: &[Axis], side: usize) {
    let (before, within) = outer.split_at(side);
    let (count, within) = (within[0].size, &within[1..]);
    let between: usize = within.iter().map(|axis| axis.size).product();
    // What belongs to one index of the axis with its numbers side by side.
    let len = between * row.size;
    let blocks = y.par_chunks_mut(count * len).enumerate();
    let blocks = blocks.with_min_len(TASK.div_ceil(count * len));
    blocks.for_each(|(block, y)| {
        let values = &values[place(block, before)..];
        let parts = y.par_chunks_mut(SIDE * len).enumerate();
        let parts = parts.with_min_len(TASK.div_ceil(SIDE * len));
        parts.for_each(|(part, y)| {
            for middle in 0..between {
                let from = &values[part * SIDE + place(middle, within)..];
                turn(from, &mut y[middle * row.size..], len, row);
            }
        });
    });
}

/// Turns up to [`SIDE`] columns, side by side in `from`, into rows that are `len` apart in `y`, from its first number to its end.
fn turn(from: &[f32], y: &mut [MaybeUninit<f32>], len: usize, row: Axis) {
    let columns = y.len().div_ceil(len);
    for start in (0..row.size).step_by(SIDE) {
        let height = SIDE.min(row.size - start);
        let mut square = [[0.0; SIDE]; SIDE];
        for (i, line) in square[..height].iter_mut().enumerate() {
            line[..columns].copy_from_slice(&from[(start + i) * row.step..][..columns]);
        }
        for (column, y) in y.chunks_mut(len).enumerate() {
            for (y, line) in y[start..][..height].iter_mut().zip(&square) {
                y.write(line[column]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number by number, by the definition.
    fn naive(values: &[f32], sizes: &[usize], steps: &[usize]) -> Vec<f32> {
        let len: usize = sizes.iter().product();
        let at = |index: usize| {
            let mut rest = index;
            let axes = sizes.iter().zip(steps).rev();
            let along = axes.map(|(size, step)| {
                let here = rest % size;
                rest /= size;
                here * step
            });
            values[along.sum::<usize>()]
        };
        (0..len).map(at).collect()
    }

    fn check(sizes: &[usize], steps: &[usize]) {
        let last: usize = sizes
            .iter()
            .zip(steps)
            .map(|(n, step)| n.saturating_sub(1) * step)
            .sum();
        let values: Vec<f32> = (0..=last).map(|v| v as f32).collect();
        assert_eq!(
            packed(&values, sizes, steps),
            naive(&values, sizes, steps),
            "{sizes:?} {steps:?}"
        );
    }

    #[test]
    fn nothing_and_one_number_are_packed() {
        check(&[], &[]);
        check(&[3, 0, 2], &[2, 2, 1]);
        check(&[1, 1], &[7, 9]);
    }

    #[test]
    fn what_several_threads_share_is_whole() {
        // Pictures whose channels come last, heads that come before tokens, slices of long rows, and rows that repeat.
        check(&[2, 31, 33, 65], &[31 * 33 * 65, 33, 1, 31 * 33]);
        check(&[3, 197, 3, 64], &[197 * 192, 64, 197 * 64, 1]);
        check(&[3, 197, 3, 50], &[197 * 192, 192, 64, 1]);
        check(&[70_001], &[1]);
        check(&[5, 20_000], &[30_000, 1]);
        check(&[300, 200], &[0, 1]);
        check(&[300, 200], &[1, 0]);
        check(&[200, 7, 300], &[1, 60_000, 200]);
    }

    /// Axes that lie in any order, of which some repeat their numbers and others have gaps.
    #[test]
    fn any_order_of_axes_is_that_of_the_definition() {
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..500 {
            let sizes: Vec<usize> = (0..1 + random(4)).map(|_| 1 + random(19)).collect();
            let mut axes: Vec<usize> = (0..sizes.len()).collect();
            axes.sort_by_cached_key(|_| random(1000));
            let mut steps = vec![0; sizes.len()];
            let mut step = 1;
            for axis in axes {
                let gap = match random(3) {
                    0 => continue,
                    gap => gap - 1,
                };
                steps[axis] = step;
                step *= sizes[axis] + gap;
            }
            check(&sizes, &steps);
        }
    }
}
