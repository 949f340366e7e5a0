//! Tensors one after the other along an axis.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::threads::TASK;
use crate::written::written;

/// What a part has for each index of the axes before the one that is joined along.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Where its numbers are.
    pub values: &'a [f32],
    /// How many it has for each index, side by side.
    pub len: usize,
    /// Where the first of them lies, by index.
    pub first: &'a (dyn Fn(usize) -> usize + Sync),
    /// Whether those of an index follow those of the one before.
    pub is_packed: bool,
}

impl Part<'_> {
    fn at(&self, index: usize) -> &[f32] {
        &self.values[(self.first)(index)..][..self.len]
    }

    /// Puts what it has from an index on at the beginning of each of some rows.
    fn spread(&self, from: usize, y: &mut [MaybeUninit<f32>], row: usize) {
        let count = y.len().div_ceil(row);
        if self.len == 1 && self.is_packed {
            let values = &self.values[(self.first)(from)..][..count];
            for (y, value) in y.chunks_mut(row).zip(values) {
                y[0].write(*value);
            }
            return;
        }
        for (i, y) in y.chunks_mut(row).enumerate() {
            y[..self.len].write_copy_of_slice(self.at(from + i));
        }
    }
}

/// Numbers in a row that is too short to be put together by itself.
const SHORT: usize = 16;

/// The numbers of all `parts` for each of `outer` indices, one after the other.
///
/// # Panics
///
/// When a part has not as many numbers as it says.
pub fn join(outer: usize, parts: &[Part]) -> Vec<f32> {
    let row: usize = parts.iter().map(|part| part.len).sum();
    let put = |index: usize, mut row: &mut [MaybeUninit<f32>]| {
        for part in parts {
            let (place, rest) = row.split_at_mut(part.len);
            place.write_copy_of_slice(part.at(index));
            row = rest;
        }
    };
    // Every row is all of the parts.
    written(outer * row, |y| {
        if row == 0 {
            return;
        }
        if row <= SHORT {
            // Part by part, where a row is too short to begin anything for.
            let rows = TASK.div_ceil(row);
            y.par_chunks_mut(rows * row).enumerate().for_each(|(i, y)| {
                let mut at = 0;
                for part in parts.iter().filter(|part| part.len > 0) {
                    part.spread(i * rows, &mut y[at..], row);
                    at += part.len;
                }
            });
            return;
        }
        if outer >= rayon::current_num_threads() || row < 2 * TASK {
            y.par_chunks_exact_mut(row)
                .enumerate()
                .with_min_len(TASK.div_ceil(row))
                .for_each(|(index, row)| put(index, row));
            return;
        }
        for (index, mut row) in y.chunks_exact_mut(row).enumerate() {
            for part in parts.iter().filter(|part| part.len > 0) {
                let (place, rest) = row.split_at_mut(part.len);
                place
                    .par_chunks_mut(TASK)
                    .zip(part.at(index).par_chunks(TASK))
                    .for_each(|(place, values)| {
                        place.write_copy_of_slice(values);
                    });
                row = rest;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_for_each_index() {
        for (outer, lens) in [
            (1, vec![3, 0, 2]),
            (5, vec![1]),
            (257, vec![31, 32, 1]),
            (1, vec![70_000, 9, 40_000]),
            (40_000, vec![1, 2, 0, 1]),
            (0, vec![4, 4]),
            (4, vec![0, 0]),
        ] {
            // Part `p` has number `1000 p + i` for index `i`, in rows of twice its length, the last row first.
            let parts: Vec<Vec<f32>> = (lens.iter().enumerate())
                .map(|(p, len)| {
                    let row = |i: usize| vec![(1000 * p + i) as f32; 2 * len];
                    (0..outer).rev().flat_map(row).collect()
                })
                .collect();
            let firsts: Vec<_> = (lens.iter())
                .map(|len| move |i: usize| (outer - 1 - i) * 2 * len)
                .collect();
            let parts: Vec<Part> = (parts.iter().zip(&lens).zip(&firsts))
                .map(|((values, len), first)| Part {
                    values,
                    len: *len,
                    first,
                    is_packed: false,
                })
                .collect();
            let want: Vec<f32> = (0..outer)
                .flat_map(|i| {
                    let each = lens.iter().enumerate();
                    each.flat_map(move |(p, len)| vec![(1000 * p + i) as f32; *len])
                })
                .collect();
            assert_eq!(join(outer, &parts), want);
        }
    }

    #[test]
    fn single_numbers_are_spread() {
        let count = 40_001;
        let [a, b]: [Vec<f32>; 2] =
            [0.0, 0.5].map(|part| (0..count).map(|i| i as f32 + part).collect());
        let parts = [&a, &b].map(|values| Part {
            values,
            len: 1,
            first: &|i| i,
            is_packed: true,
        });
        let want: Vec<f32> = (0..2 * count).map(|i| i as f32 / 2.0).collect();
        assert_eq!(join(count, &parts), want);
    }
}
