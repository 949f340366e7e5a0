//! Planes with zeros around them, taken apart by the remainders that rows and columns leave, so that what an element of all
//! windows sees lies side by side; and the arithmetic of remainders that the convolutions share.

use std::ops::Range;

use crate::product::WIDEST;
use crate::window::Axis;

/// Which numbers of a plane padded ones hold.
#[derive(Debug, Clone)]
pub(crate) struct Padded {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Where the first number of each padded plane lies in the plane, before it if below 0.
    pub starts: Vec<[isize; 2]>,
    /// From a number to the next, down and across, in the plane.
    steps: [usize; 2],
}

impl Padded {
    /// Of `count` windows down and across: a plane for each remainder that elements of windows leave.
    pub fn of_windows(rows: &Axis, cols: &Axis, [down, across]: [usize; 2]) -> Self {
        let start = |[a, b]: [usize; 2]| [behind(a, rows.before), behind(b, cols.before)];
        Self {
            size: [down + reach(rows), across + reach(cols)],
            starts: pairs(rows, cols).into_iter().map(start).collect(),
            steps: [rows.stride, cols.stride],
        }
    }

    /// Of the gradient at windows, for `count` places of the input down and across, those of one remainder from the `first`
    /// on: one plane, with zeros as far as a window reaches back.
    pub fn of_gradient(
        rows: &Axis,
        cols: &Axis,
        [first_row, first_col]: [usize; 2],
        [down, across]: [usize; 2],
    ) -> Self {
        Self {
            size: [down + reach(rows), across + reach(cols)],
            starts: vec![[
                behind(first_row, reach(rows)),
                behind(first_col, reach(cols)),
            ]],
            steps: [1, 1],
        }
    }

    /// Where the first window has its element, in the planes of [`Padded::of_windows`].
    pub fn offset(&self, rows: &Axis, cols: &Axis, [row, col]: [usize; 2]) -> usize {
        let [down, right] = [row * rows.dilation, col * cols.dilation];
        let start = [
            behind(down % rows.stride, rows.before),
            behind(right % cols.stride, cols.before),
        ];
        let before = self.starts.iter().take_while(|known| **known != start);
        before.count() * self.plane() + down / rows.stride * self.size[1] + right / cols.stride
    }

    /// Numbers of a padded plane.
    pub fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers of all the padded planes of `channels` planes, with those that may be read beyond the last.
    pub fn len(&self, channels: usize) -> usize {
        channels * self.starts.len() * self.plane() + WIDEST
    }

    /// Some rows of the padded planes of a plane of `[height, width]`.
    #[inline(always)]
    pub fn fill(&self, x: &[f32], [height, width]: [usize; 2], rows: Range<usize>, to: &mut [f32]) {
        let [down, across] = self.steps;
        for (to, [row, col]) in to.chunks_exact_mut(self.plane()).zip(&self.starts) {
            let inside = within(*col, across, width, self.size[1]);
            let lines = within(*row, down, height, rows.end);
            for (i, line) in rows.clone().zip(to.chunks_exact_mut(self.size[1])) {
                if !lines.contains(&i) || inside.is_empty() {
                    line.fill(0.0);
                    continue;
                }
                let row = (row + (i * down) as isize) as usize * width;
                let first = (col + (inside.start * across) as isize) as usize;
                line[..inside.start].fill(0.0);
                line[inside.end..].fill(0.0);
                read(
                    &mut line[inside.clone()],
                    &x[row + first..row + width],
                    across,
                );
            }
        }
    }
}

/// Which of `count` places, `step` apart from `start` on, lie in `0..size`.
pub(crate) fn within(start: isize, step: usize, size: usize, count: usize) -> Range<usize> {
    let before = |end: usize| {
        let beyond = (end as isize - start).max(0) as usize;
        beyond.div_ceil(step).min(count)
    };
    before(0)..before(size)
}

/// `a - b`.
pub(crate) fn behind(a: usize, b: usize) -> isize {
    a as isize - b as isize
}

/// How far the last element of a window reaches, in steps of the stride.
pub(crate) fn reach(axis: &Axis) -> usize {
    (axis.kernel - 1) * axis.dilation / axis.stride
}

/// The remainders that elements of windows leave.
fn remainders(axis: &Axis) -> Vec<usize> {
    let mut found: Vec<usize> = (0..axis.kernel)
        .map(|t| t * axis.dilation % axis.stride)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Every remainder of a row with every one of a column.
pub(crate) fn pairs(rows: &Axis, cols: &Axis) -> Vec<[usize; 2]> {
    let columns = remainders(cols);
    let rows = remainders(rows).into_iter();
    rows.flat_map(|a| columns.iter().map(move |b| [a, *b]))
        .collect()
}

/// Which of the places `i * stride + remainder`, counted in the padded axis, lie in the axis itself.
pub(crate) fn inside(axis: &Axis, remainder: usize) -> Range<usize> {
    within(
        behind(remainder, axis.before),
        axis.stride,
        axis.size,
        usize::MAX,
    )
}

/// Every `stride`th number of `row`.
#[inline(always)]
pub(crate) fn read(line: &mut [f32], row: &[f32], stride: usize) {
    match stride {
        1 => line.copy_from_slice(&row[..line.len()]),
        // What has a constant for its stride becomes shuffles of vectors.
        2 => {
            for (y, x) in line.iter_mut().zip(row.chunks(2)) {
                *y = x[0];
            }
        }
        stride => {
            for (y, x) in line.iter_mut().zip(row.iter().step_by(stride)) {
                *y = *x;
            }
        }
    }
}

/// Puts numbers into every `stride`th place of `row`, from the first on.
#[inline(always)]
pub(crate) fn write(row: &mut [f32], numbers: &[f32], stride: usize) {
    match stride {
        1 => row[..numbers.len()].copy_from_slice(numbers),
        2 => {
            for (y, x) in row.chunks_mut(2).zip(numbers) {
                y[0] = *x;
            }
        }
        stride => {
            for (y, x) in row.iter_mut().step_by(stride).zip(numbers) {
                *y = *x;
            }
        }
    }
}
