//! New numbers that are written once: without zeros before, and shared out among threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// From so many tasks for each thread on, none of them is shared.
const MANY: usize = 8;

/// `len` numbers, all of which `write` writes.
pub(crate) fn written(len: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: there is room for so many, and every caller writes all of them, as its own comments say.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(len);
    }
    values
}

/// Calls `f(i, part, together)` for each part of `len` numbers. As many as share out evenly have a thread each; all
/// threads work together on what is left over.
pub(crate) fn share_out<T: Send>(
    values: &mut [T],
    len: usize,
    f: impl Fn(usize, &mut [T], bool) + Send + Sync,
) {
    if values.is_empty() {
        return;
    }
    let apart = apart(values.len() / len);
    let (first, rest) = values.split_at_mut(apart * len);
    first
        .par_chunks_exact_mut(len)
        .enumerate()
        .for_each(|(i, values)| f(i, values, false));
    for (i, values) in rest.chunks_exact_mut(len).enumerate() {
        f(apart + i, values, true);
    }
}

/// How many of so many tasks have a thread each: as many as share out evenly. All threads work together on each of the rest.
pub(crate) fn apart(count: usize) -> usize {
    let threads = rayon::current_num_threads();
    // Of many, the last may as well be late by one.
    match count >= MANY * threads {
        true => count,
        false => count - count % threads,
    }
}
