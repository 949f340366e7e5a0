//! Planes with zeros around them, taken apart by the remainders that rows and columns leave, so that what an element of all
//! windows sees lies side by side.

use crate::product::{WIDEST, read};

/// Which numbers of a plane a padded one holds.
#[derive(Debug, Clone)]
pub(crate) struct Padded {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Where the first number of each padded plane lies in the plane, before it if below 0.
    pub starts: Vec<[isize; 2]>,
    /// From a number to the next, down and across, in the plane.
    pub steps: [usize; 2],
}

impl Padded {
    /// Numbers of a padded plane.
    pub fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers of all the padded planes of `channels` planes, with those that may be read beyond the last.
    pub fn len(&self, channels: usize) -> usize {
        channels * self.starts.len() * self.plane() + WIDEST
    }

    /// The padded planes of a plane of `[height, width]`.
    #[inline(always)]
    pub fn fill(&self, x: &[f32], [height, width]: [usize; 2], to: &mut [f32]) {
        let [down, across] = self.steps;
        for (to, [row, col]) in to.chunks_exact_mut(self.plane()).zip(&self.starts) {
            let inside = within(*col, across, width, self.size[1]);
            let lines = within(*row, down, height, self.size[0]);
            for (i, line) in to.chunks_exact_mut(self.size[1]).enumerate() {
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
pub(crate) fn within(
    start: isize,
    step: usize,
    size: usize,
    count: usize,
) -> std::ops::Range<usize> {
    let before = |end: usize| {
        let beyond = (end as isize - start).max(0) as usize;
        beyond.div_ceil(step).min(count)
    };
    before(0)..before(size)
}
