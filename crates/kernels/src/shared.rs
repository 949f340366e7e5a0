//! Numbers that threads write different places of.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;

use crate::pointwise::Pointwise;
use crate::product::LANES;

/// A matrix that threads write different places of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    /// From a row to the next.
    pub row: usize,
    values: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: it is a slice of numbers that is borrowed mutably, of which threads write different places: those of their parts.
#[allow(unsafe_code)]
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Over rows of `row` numbers.
    pub fn new(values: &'a mut [MaybeUninit<f32>], row: usize) -> Self {
        Self {
            start: values.as_mut_ptr().cast(),
            len: values.len(),
            row,
            values: PhantomData,
        }
    }

    /// Over one row.
    pub fn over(values: &'a mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            row: values.len(),
            values: PhantomData,
        }
    }

    /// Writes numbers from number `first` of a row on, which are those of one thread alone.
    #[inline(always)]
    pub fn put(&self, row: usize, first: usize, numbers: &[f32]) {
        let place = self.at(row, 1, first, [numbers.len(), 1]);
        let write = |numbers: &[f32], at: usize| {
            // SAFETY: `place` begins as many numbers within the matrix as there are, of which these are some, and no other
            // thread reads or writes them meanwhile.
            #[allow(unsafe_code)]
            unsafe {
                place
                    .add(at)
                    .copy_from_nonoverlapping(numbers.as_ptr(), numbers.len());
            }
        };
        // Whole vectors, the last of which may begin within the one before.
        let (vectors, _) = numbers.as_chunks::<LANES>();
        let Some(last) = numbers.last_chunk::<LANES>() else {
            return write(numbers, 0);
        };
        for (i, vector) in vectors.iter().enumerate() {
            write(vector, i * LANES);
        }
        write(last, numbers.len() - LANES);
    }

    /// Writes a vector to the first row, from number `first` on.
    #[inline(always)]
    pub fn put_vector<S: Simd>(&self, _: S, first: usize, numbers: S::f32s) {
        let place = self.at(0, 1, first, [S::F32_LANES, 1]);
        // SAFETY: `place` begins as many numbers within the matrix as a vector has, and no other thread reads or writes them
        // meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            place.cast::<S::f32s>().write_unaligned(numbers);
        }
    }

    /// Puts what each number becomes in its place: of each of some rows, `len` numbers from a place on, all of which were written,
    /// by this thread.
    pub fn bend(
        &self,
        then: Pointwise,
        rows: Range<usize>,
        runs: impl Iterator<Item = (usize, usize)> + Clone,
    ) {
        for row in rows {
            for (first, len) in runs.clone() {
                let place = self.at(row, 1, first, [len, 1]);
                // SAFETY: `place` begins `len` numbers of the row within the matrix, which were written, and no other thread
                // reads or writes them meanwhile.
                #[allow(unsafe_code)]
                let values = unsafe { std::slice::from_raw_parts_mut(place, len) };
                then.apply_here(values);
            }
        }
    }

    /// Where number `first` of row `top` lies, of which `count` in steps of `step` lie in the row, in `rows` rows.
    #[inline(always)]
    pub fn at(&self, top: usize, rows: usize, first: usize, [count, step]: [usize; 2]) -> *mut f32 {
        let last = first + count.saturating_sub(1) * step;
        assert!(
            count > 0 && last < self.row && (top + rows) * self.row <= self.len,
            "a tile of the matrix"
        );
        self.start.wrapping_add(top * self.row + first)
    }
}
