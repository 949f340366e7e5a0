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
}

impl Part<'_> {
    fn at(&self, index: usize) -> &[f32] {
        &self.values[(self.first)(index)..][..self.len]
    }
}

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
}
