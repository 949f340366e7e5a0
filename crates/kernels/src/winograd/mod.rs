//! Convolutions with windows of 3 x 3 by *minimal filtering*: [Lavin and Gray (2015)], after Winograd.
//!
//! Two by two numbers of the result are made of four by four of the image with 16 products instead of 36. An image `d`, a
//! window's weights `g` and the result `y` are transformed along rows and along columns, `y = A' ((G g G') * (B' d B)) A`,
//! and the products of all channels are summed up between, which is a product of matrices for each of the 16 places.
//! Along an axis,
//!
//! ```text
//! v0 = d0 - d2    u0 = g0                     y0 = m0 + m1 + m2
//! v1 = d1 + d2    u1 = (g0 + g1 + g2) / 2     y1 = m1 - m2 - m3
//! v2 = d2 - d1    u2 = (g0 - g1 + g2) / 2
//! v3 = d1 - d3    u3 = g2                     m = u v
//! ```
//!
//! Of what a number of the result is made, nothing lies outside its window: where an image is zero, so is what is made of it,
//! and a large number beside a window costs it no digit. Larger tiles save more products, and have neither property.
//!
//! [Lavin and Gray (2015)]: https://arxiv.org/abs/1509.09308

mod multiply;
mod tiles;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::multiply::Multiply;
use self::tiles::{Pack, Transform};
use crate::Planes;
use crate::conv::{Epilogue, Windows};
use crate::product::LANES;
use crate::shared::Shared;
use crate::threads::with_scratch;
use crate::vectors::{dispatch, vectorised};
use crate::window::{Axis, Geometry};
use crate::written::{apart, written};

/// Elements of a window along an axis.
const KERNEL: usize = 3;

/// Numbers of the result that a tile has along an axis.
const STEP: usize = 2;

/// Numbers of the image that a tile sees along an axis.
const SEEN: usize = KERNEL + STEP - 1;

/// Products of matrices.
const PLACES: usize = SEEN * SEEN;

/// Rows of a panel of weights, and vectors in a row of a panel of tiles at most: the sums and what they are made of fit into 32
/// registers.
const LARGE: [usize; 2] = [8, 3];

/// The same for 16 registers.
const SMALL: [usize; 2] = [6, 2];

/// Tiles of the widest panel.
const WIDEST: usize = LARGE[1] * LANES;

/// What a vector of tiles of a channel costs to transform, what one of a plane that is made, and what a window's weights, in
/// products of vectors: measured.
const COSTS: [usize; 3] = [350, 60, 15];

/// Numbers of transformed tiles that go together.
const TOGETHER: usize = 3 << 17;

/// Multiplications below which a task costs more to hand out than to do.
const TASK: usize = 1 << 19;

/// Tasks for each thread, so that all of them end at about the same time.
const SHARE: usize = 4;

static IS_OFF: AtomicBool = AtomicBool::new(false);

/// Whether convolutions of this process may take fewer products than windows have elements: unless it was turned off.
pub fn is_on() -> bool {
    !IS_OFF.load(Ordering::Relaxed)
}

/// Lets convolutions of this process take fewer products than windows have elements, or not.
///
/// With it, windows of 3 x 3 next to each other are computed by [Winograd's minimal filtering] where that is faster, in up to
/// 2.25 times fewer products. Results differ from those of the definition by rounding, about as much as sums in another order do;
/// what a window with an infinite number gives is NaN.
///
/// [Winograd's minimal filtering]: https://arxiv.org/abs/1509.09308
pub fn turn(on: bool) {
    IS_OFF.store(!on, Ordering::Relaxed);
}

/// A convolution, forwards or transposed, as sums over windows of 3 x 3.
#[derive(Debug, Clone, Copy)]
struct Job {
    groups: usize,
    /// How many planes each group reads, and how many it makes.
    read: usize,
    made: usize,
    /// Height and width of the planes read, and of those made.
    size: [usize; 2],
    out: [usize; 2],
    /// Zeros above and to the left.
    before: [usize; 2],
    filters: Order,
}

/// How the weights of a group lie.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// From a plane that is made to the next.
    made: usize,
    /// From a plane that is read to the next.
    read: usize,
    /// Whether the last element of a window comes first.
    is_reversed: bool,
}

/// `y = then(weight * x + bias)` as [`conv::forward`](crate::conv::forward); `None` where another way is faster.
pub(crate) fn forward(
    x: Planes,
    weight: Planes,
    windows: &Windows,
    epilogue: Epilogue,
) -> Option<Vec<f32>> {
    let Geometry { rows, cols } = windows.geometry;
    let [outputs, inputs, ..] = weight.dims();
    let job = Job {
        groups: windows.groups,
        read: inputs,
        made: outputs / windows.groups,
        size: [rows.size, cols.size],
        out: [rows.out, cols.out],
        before: [rows.before, cols.before],
        filters: Order {
            made: inputs * KERNEL * KERNEL,
            read: KERNEL * KERNEL,
            is_reversed: false,
        },
    };
    (are_three(&rows, &cols) && job.pays()).then(|| job.run(x, weight, epilogue))
}

/// The gradient at the input as [`conv::transpose`](crate::conv::transpose); `None` where another way is faster.
pub(crate) fn transpose(g: Planes, weight: Planes, windows: &Windows) -> Option<Vec<f32>> {
    let Geometry { rows, cols } = windows.geometry;
    let [outputs, inputs, ..] = weight.dims();
    // A number of the gradient sees the windows that it is in, the last of which has its first element there.
    let before = |axis: &Axis| (KERNEL - 1).checked_sub(axis.before);
    let job = Job {
        groups: windows.groups,
        read: outputs / windows.groups,
        made: inputs,
        size: [rows.out, cols.out],
        out: [rows.size, cols.size],
        before: [before(&rows)?, before(&cols)?],
        filters: Order {
            made: KERNEL * KERNEL,
            read: inputs * KERNEL * KERNEL,
            is_reversed: true,
        },
    };
    (are_three(&rows, &cols) && job.pays()).then(|| job.run(g, weight, Epilogue::default()))
}

fn are_three(rows: &Axis, cols: &Axis) -> bool {
    [rows, cols]
        .iter()
        .all(|axis| [axis.kernel, axis.stride, axis.dilation] == [KERNEL, 1, 1])
}

impl Job {
    /// Whether this is the faster way. It does not depend on how many images there are, nor do the numbers.
    fn pays(&self) -> bool {
        let ([height, width], [down, across]) = (self.out, self.tiles());
        let windows = self.made * self.read;
        let vectors = (down * across).div_ceil(LANES);
        let [read, made, weights] = COSTS;
        let cost = windows * (PLACES * vectors + weights)
            + read * self.read * down * across.div_ceil(LANES)
            + made * self.made * vectors;
        let direct = windows * KERNEL * KERNEL * (height * width).div_ceil(LANES);
        is_on() && cost + cost / 16 < direct
    }

    /// Tiles of an image, down and across.
    fn tiles(&self) -> [usize; 2] {
        self.out.map(|size| size.div_ceil(STEP))
    }

    fn run(&self, x: Planes, weight: Planes, epilogue: Epilogue) -> Vec<f32> {
        let [n, ..] = x.dims();
        let plane = self.out[0] * self.out[1];
        written(n * self.groups * self.made * plane, |y| {
            let on = On {
                job: self,
                x,
                epilogue,
                y: Shared::new(y, plane),
            };
            on.run(weight);
        })
    }

    /// The transformed weights: for each panel of rows, each place and each plane read, the rows.
    fn weights(&self, weight: Planes, rows: usize) -> Vec<f32> {
        let panels = self.made.div_ceil(rows);
        let len = PLACES * self.read * rows;
        let share = weight.values().len() / self.groups;
        written(self.groups * panels * len, |u| {
            u.par_chunks_exact_mut(len).enumerate().for_each(|(i, u)| {
                let values = &weight.values()[i / panels * share..][..share];
                let first = i % panels * rows;
                let made = first..self.made.min(first + rows);
                match rows {
                    8 => self.panel::<{ LARGE[0] }>(values, made, u),
                    _ => self.panel::<{ SMALL[0] }>(values, made, u),
                }
            });
        })
    }

    /// A panel of them, with zeros for rows that there are not.
    fn panel<const M: usize>(
        &self,
        weight: &[f32],
        made: Range<usize>,
        u: &mut [MaybeUninit<f32>],
    ) {
        vectorised(
            #[inline(always)]
            || {
                let mut g = [[0.0; M]; KERNEL * KERNEL];
                for read in 0..self.read {
                    for (m, made) in made.clone().enumerate() {
                        let first = made * self.filters.made + read * self.filters.read;
                        let window = &weight[first..first + KERNEL * KERNEL];
                        if self.filters.is_reversed {
                            (g.iter_mut().zip(window.iter().rev())).for_each(|(g, w)| g[m] = *w);
                        } else {
                            g.iter_mut().zip(window).for_each(|(g, w)| g[m] = *w);
                        }
                    }
                    let a = weights_of(g[0], g[1], g[2]);
                    let b = weights_of(g[3], g[4], g[5]);
                    let c = weights_of(g[6], g[7], g[8]);
                    for col in 0..SEEN {
                        let places = weights_of(a[col], b[col], c[col]);
                        for (row, numbers) in places.iter().enumerate() {
                            let at = ((row * SEEN + col) * self.read + read) * M;
                            for (u, number) in u[at..at + M].iter_mut().zip(numbers) {
                                u.write(*number);
                            }
                        }
                    }
                }
            },
        );
    }
}

/// `G g` along an axis, for several windows.
#[inline(always)]
fn weights_of<const M: usize>(a: [f32; M], b: [f32; M], c: [f32; M]) -> [[f32; M]; SEEN] {
    let (mut sum, mut difference) = ([0.0; M], [0.0; M]);
    for i in 0..M {
        let ends = a[i] + c[i];
        sum[i] = 0.5 * (ends + b[i]);
        difference[i] = 0.5 * (ends - b[i]);
    }
    [a, sum, difference, c]
}

/// The vectors of this processor.
#[derive(Debug, Clone, Copy)]
struct Vectors {
    /// Numbers in one.
    lanes: usize,
    /// Rows of a panel of weights.
    rows: usize,
    /// Vectors in a row of a panel of tiles at most.
    wide: usize,
}

struct Ask;

impl WithSimd for Ask {
    type Output = Vectors;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vectors {
        let [rows, wide] = match S::REGISTER_COUNT {
            32.. => LARGE,
            _ => SMALL,
        };
        Vectors {
            lanes: S::F32_LANES,
            rows,
            wide,
        }
    }
}

/// A job, with its numbers.
struct On<'a> {
    job: &'a Job,
    x: Planes<'a>,
    epilogue: Epilogue<'a>,
    y: Shared<'a>,
}

impl On<'_> {
    fn run(&self, weight: Planes) {
        let (job, vectors) = (self.job, dispatch(Ask));
        let weights = job.weights(weight, vectors.rows);
        let share = weights.len() / job.groups;
        let [down, across] = job.tiles();
        // Rows of tiles, of all images one after the other.
        let lines = self.x.dims()[0] * down;
        let at_once = (TOGETHER / (PLACES * job.read * across)).clamp(1, lines.max(1));
        let blocks = lines.div_ceil(at_once);
        let work = |i: usize, together: bool| {
            let (group, block) = (i / blocks, i % blocks);
            let block = Block {
                on: self,
                group,
                weights: &weights[group * share..(group + 1) * share],
                vectors,
                lines: block * lines / blocks..(block + 1) * lines / blocks,
            };
            block.run(together);
        };
        let count = job.groups * blocks;
        let apart = apart(count);
        (0..apart).into_par_iter().for_each(|i| work(i, false));
        (apart..count).for_each(|i| work(i, true));
    }
}

/// Some rows of tiles of one group.
struct Block<'a> {
    on: &'a On<'a>,
    group: usize,
    weights: &'a [f32],
    vectors: Vectors,
    lines: Range<usize>,
}

/// Some tiles of a block, whose number is one of whole vectors.
#[derive(Debug, Clone, Copy)]
struct Panel {
    first: usize,
    vectors: usize,
}

impl Block<'_> {
    fn across(&self) -> usize {
        self.on.job.tiles()[1]
    }

    fn tiles(&self) -> usize {
        self.lines.len() * self.across()
    }

    /// Panels as even as can be.
    fn panels(&self) -> Vec<Panel> {
        let vectors = self.tiles().div_ceil(self.vectors.lanes);
        let count = vectors.div_ceil(self.vectors.wide);
        (0..count)
            .map(|i| {
                let [first, end] = [i, i + 1].map(|i| i * vectors / count);
                Panel {
                    first: first * self.vectors.lanes,
                    vectors: end - first,
                }
            })
            .collect()
    }

    fn run(&self, together: bool) {
        let job = self.on.job;
        let panels = self.panels();
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let len = PLACES * job.read * vectors * self.vectors.lanes;
        with_scratch(len, |tiles| {
            let seen = Shared::over(tiles);
            let transform = |channel: usize| self.transform(channel, &panels, &seen);
            if together {
                (0..job.read).into_par_iter().for_each(transform);
            } else {
                (0..job.read).for_each(transform);
            }
            let heights = job.made.div_ceil(self.vectors.rows);
            let work = PLACES * job.read * job.made * vectors * self.vectors.lanes;
            let parts = match (together, rayon::current_num_threads()) {
                (false, _) | (true, 1) => 1,
                (true, threads) => (SHARE * threads)
                    .min(work.div_ceil(TASK))
                    .div_ceil(panels.len())
                    .clamp(1, heights),
            };
            let tiles = &*tiles;
            let multiply = |i: usize| {
                let (panel, part) = (i / parts, i % parts);
                let heights = part * heights / parts..(part + 1) * heights / parts;
                dispatch(Multiply {
                    block: self,
                    panel: panels[panel],
                    heights,
                    tiles,
                });
            };
            match together {
                true => (0..panels.len() * parts).into_par_iter().for_each(multiply),
                false => (0..panels.len() * parts).for_each(multiply),
            }
        });
    }

    /// Puts the transformed tiles of a channel in their places.
    fn transform(&self, channel: usize, panels: &[Panel], seen: &Shared) {
        let job = self.on.job;
        let [down, across] = job.tiles();
        // Vectors run over the end of a row of tiles.
        let stride = self.tiles() + LANES;
        let rest = PLACES * stride;
        with_scratch(rest + Transform::scratch(job), |scratch| {
            let (flat, scratch) = scratch.split_at_mut(rest);
            let mut line = self.lines.start;
            while line < self.lines.end {
                let (image, row) = (line / down, line % down);
                let count = (down - row).min(self.lines.end - line);
                let plane = job.size[0] * job.size[1];
                let at = (image * job.groups + self.group) * job.read + channel;
                dispatch(Transform {
                    job,
                    x: &self.on.x.values()[at * plane..(at + 1) * plane],
                    rows: row..row + count,
                    flat: &mut flat[(line - self.lines.start) * across..],
                    stride,
                    scratch,
                });
                line += count;
            }
            dispatch(Pack {
                flat,
                stride,
                panels,
                channel,
                read: job.read,
                seen,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{self, Conv2d};

    /// Where no other test convolves meanwhile.
    #[test]
    fn rounds_no_more_than_the_definition_and_can_be_turned_off() {
        assert!(is_on());
        let conv = Conv2d::default().pads([1; 4]);
        let (x, weight) = ([1, 256, 14, 14], [128, 256, 3, 3]);
        let mut state = 1u32;
        let mut numbers = |dims: [usize; 4]| -> Vec<f32> {
            let mut number = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32
            };
            (0..dims.iter().product()).map(|_| number()).collect()
        };
        // As behind a rectifier, and as weights from which their mean was taken: what is left of large sums.
        let values = numbers(x);
        let weights: Vec<f32> = numbers(weight).iter().map(|w| w - 0.5).collect();
        let windows = conv.windows([14, 14], weight);
        let run = || {
            let (x, weight) = (Planes::new(&values, x), Planes::new(&weights, weight));
            conv::forward(x, weight, &windows, Epilogue::default())
        };
        let with = run();
        turn(false);
        let without = run();
        turn(true);
        let (mut far, mut far_without) = (0.0, 0.0);
        for (i, (with, without)) in with.iter().zip(&without).enumerate() {
            let (o, row, col) = (i / 196, i / 14 % 14, i % 14);
            let mut sum = 0.0;
            for (t, weight) in weights[o * 256 * 9..(o + 1) * 256 * 9].iter().enumerate() {
                let (row, col) = (row + t / 3 % 3, col + t % 3);
                if (1..=14).contains(&row) && (1..=14).contains(&col) {
                    let x = values[(t / 9 * 14 + row - 1) * 14 + col - 1];
                    sum += f64::from(*weight) * f64::from(x);
                }
            }
            far += (f64::from(*with) - sum).powi(2);
            far_without += (f64::from(*without) - sum).powi(2);
        }
        assert_ne!(with, without, "another way");
        assert!(far <= 2.0 * far_without, "{far}, {far_without} without");
    }
}
