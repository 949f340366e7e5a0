//! Local response normalisation across channels.

use std::ops::Range;

use rayon::prelude::*;

use crate::Planes;
use crate::threads::TASK;
use crate::vectors::vectorised;

/// The parameters of local response normalisation across channels, with ONNX's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Channels in a window.
    pub size: usize,
    /// The weight of the mean square: 1e-4 by default.
    pub alpha: f32,
    /// The exponent: 0.75 by default.
    pub beta: f32,
    /// What the mean square is added to: 1 by default.
    pub bias: f32,
}

impl Lrn {
    /// A window of `size` channels, else ONNX's defaults.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            alpha: 1e-4,
            beta: 0.75,
            bias: 1.0,
        }
    }

    /// How many channels the window reaches below its own: the smaller half of an even window.
    pub fn below(&self) -> usize {
        (self.size - 1) / 2
    }

    /// How many channels the window reaches above its own.
    pub fn above(&self) -> usize {
        self.size / 2
    }

    /// The weight of the sum of squares.
    pub fn scale(&self) -> f32 {
        self.alpha / self.size as f32
    }
}

/// Positions worked on at a time, so that a window of channels stays in the first-level cache.
const BLOCK: usize = 256;

/// `y = x / s^beta`, where `s = bias + alpha / size * (sum of x^2 over the window)`.
pub fn forward(x: Planes, lrn: &Lrn) -> Vec<f32> {
    if has_usual_exponent(lrn) {
        forward_with(x, lrn, inverse_three_quarters)
    } else {
        let exponent = -lrn.beta;
        forward_with(x, lrn, move |s| s.powf(exponent))
    }
}

/// `dx_j = g_j s_j^-beta - 2 alpha beta / size * x_j * sum of g_i x_i s_i^(-beta - 1)` over the
/// windows `i` that hold `j`.
pub fn backward(x: Planes, g: Planes, lrn: &Lrn) -> Vec<f32> {
    if has_usual_exponent(lrn) {
        backward_with(x, g, lrn, inverse_three_quarters)
    } else {
        let exponent = -lrn.beta;
        backward_with(x, g, lrn, move |s| s.powf(exponent))
    }
}

/// Whether `s^-beta` can be had from square roots, which are vector instructions.
fn has_usual_exponent(lrn: &Lrn) -> bool {
    lrn.beta == 0.75
}

#[inline(always)]
fn inverse_three_quarters(s: f32) -> f32 {
    let root = s.sqrt();
    1.0 / (root * root.sqrt())
}

/// One image `[C, H * W]`, or its gradient.
#[derive(Clone, Copy)]
struct Image<'a> {
    values: &'a [f32],
    channels: usize,
    positions: usize,
}

impl<'a> Image<'a> {
    #[inline(always)]
    fn row(&self, channel: usize, positions: Range<usize>) -> &'a [f32] {
        let start = channel * self.positions;
        &self.values[start + positions.start..start + positions.end]
    }

    /// The channels from `below` before `channel` to `above` after it, as far as there are any.
    fn window(&self, channel: usize, below: usize, above: usize) -> Range<usize> {
        channel.saturating_sub(below)..(channel + above + 1).min(self.channels)
    }

    /// Writes `s` of one channel.
    #[inline(always)]
    fn scales(&self, s: &mut [f32], channel: usize, positions: Range<usize>, lrn: &Lrn) {
        s.fill(0.0);
        for other in self.window(channel, lrn.below(), lrn.above()) {
            for (s, x) in s.iter_mut().zip(self.row(other, positions.clone())) {
                *s += x * x;
            }
        }
        let (scale, bias) = (lrn.scale(), lrn.bias);
        for s in s {
            *s = bias + scale * *s;
        }
    }
}

fn blocks(positions: usize) -> impl Iterator<Item = Range<usize>> {
    (0..positions)
        .step_by(BLOCK)
        .map(move |start| start..(start + BLOCK).min(positions))
}

/// Calls `f(image, channels, output)` for shares of the channels of each image, on all threads.
fn for_each_share(
    output: &mut [f32],
    x: Planes,
    lrn: &Lrn,
    f: impl Fn(usize, Range<usize>, &mut [f32]) + Send + Sync,
) {
    let [n, c, h, w] = x.dims();
    let positions = h * w;
    if output.is_empty() {
        return;
    }
    // The backward computes a window's width more channels than its share has.
    let share = if n >= 2 * rayon::current_num_threads() {
        c
    } else {
        TASK.div_ceil(positions)
            .max(lrn.size.saturating_mul(4))
            .min(c)
    };
    output
        .par_chunks_exact_mut(c * positions)
        .enumerate()
        .for_each(|(image, output)| {
            output
                .par_chunks_mut(share * positions)
                .enumerate()
                .for_each(|(i, output)| {
                    let first = i * share;
                    vectorised(
                        #[inline(always)]
                        || f(image, first..(first + share).min(c), output),
                    );
                });
        });
}

fn image(x: Planes<'_>, i: usize) -> Image<'_> {
    let [_, channels, h, w] = x.dims();
    let positions = h * w;
    let len = channels * positions;
    Image {
        values: &x.values()[i * len..(i + 1) * len],
        channels,
        positions,
    }
}

fn forward_with(x: Planes, lrn: &Lrn, power: impl Fn(f32) -> f32 + Send + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.values().len()];
    for_each_share(
        &mut y,
        x,
        lrn,
        #[inline(always)]
        |i, channels: Range<usize>, y: &mut [f32]| {
            let x = image(x, i);
            let mut s = [0.0; BLOCK];
            for block in blocks(x.positions) {
                let s = &mut s[..block.len()];
                for (channel, y) in channels.clone().zip(y.chunks_exact_mut(x.positions)) {
                    x.scales(s, channel, block.clone(), lrn);
                    let x = x.row(channel, block.clone());
                    for ((y, x), s) in y[block.clone()].iter_mut().zip(x).zip(&*s) {
                        *y = x * power(*s);
                    }
                }
            }
        },
    );
    y
}

fn backward_with(
    x: Planes,
    g: Planes,
    lrn: &Lrn,
    power: impl Fn(f32) -> f32 + Send + Sync,
) -> Vec<f32> {
    let factor = 2.0 * lrn.scale() * lrn.beta;
    let mut d = vec![0.0; x.values().len()];
    for_each_share(
        &mut d,
        x,
        lrn,
        #[inline(always)]
        |i, channels: Range<usize>, d: &mut [f32]| {
            let (x, g) = (image(x, i), image(g, i));
            // The windows that hold one of our channels.
            let windows = x.window(channels.start, lrn.above(), 0).start
                ..x.window(channels.end - 1, 0, lrn.below()).end;
            let mut direct = vec![0.0; windows.len() * BLOCK];
            let mut through_s = vec![0.0; windows.len() * BLOCK];
            let mut s = [0.0; BLOCK];
            for block in blocks(x.positions) {
                let s = &mut s[..block.len()];
                let rows = direct
                    .chunks_exact_mut(BLOCK)
                    .zip(through_s.chunks_exact_mut(BLOCK));
                for (channel, (direct, through_s)) in windows.clone().zip(rows) {
                    x.scales(s, channel, block.clone(), lrn);
                    let x = x.row(channel, block.clone());
                    let g = g.row(channel, block.clone());
                    let rows = direct.iter_mut().zip(through_s);
                    for ((((direct, through_s), x), g), s) in rows.zip(x).zip(g).zip(&*s) {
                        *direct = g * power(*s);
                        *through_s = *direct * x / s;
                    }
                }
                for (channel, d) in channels.clone().zip(d.chunks_exact_mut(x.positions)) {
                    s.fill(0.0);
                    for window in x.window(channel, lrn.above(), lrn.below()) {
                        let start = (window - windows.start) * BLOCK;
                        for (s, v) in s.iter_mut().zip(&through_s[start..]) {
                            *s += v;
                        }
                    }
                    let start = (channel - windows.start) * BLOCK;
                    let d = d[block.clone()].iter_mut().zip(&direct[start..]);
                    let x = x.row(channel, block.clone());
                    for (((d, direct), x), s) in d.zip(x).zip(&*s) {
                        *d = direct - factor * x * s;
                    }
                }
            }
        },
    );
    d
}
