//! Bilinear resizing as Pillow does it, to the bit.
//!
//! The triangle filter is widened when the picture shrinks, so that no pixel is left out.
//! Weights have 22 fractional bits and sum to one; rows are resized first, then columns, with
//! 8 bits in between. Pixels of more than 8 bits are resized in floating point, by the same
//! filter. Only the asked-for window of the result is computed: a long strip
//! enlarged to a short side of 256 costs no more than any other picture.

use std::ops::Range;

use super::raster::Raster;

const FRACTION_BITS: u32 = 22;

/// What a channel of a pixel is stored in.
pub(super) trait Sample: Copy + Default {
    /// How much a pixel counts.
    type Weight: Copy;
    /// Weighted pixels, added up.
    type Sum: Copy;
    /// Of no pixels.
    const NONE: Self::Sum;

    fn weight(share: f64) -> Self::Weight;

    fn add(self, weight: Self::Weight, sum: Self::Sum) -> Self::Sum;

    fn settled(sum: Self::Sum) -> Self;
}

impl Sample for u8 {
    type Weight = i32;
    type Sum = i32;
    const NONE: i32 = 1 << (FRACTION_BITS - 1);

    fn weight(share: f64) -> i32 {
        (share * f64::from(1u32 << FRACTION_BITS) + 0.5) as i32
    }

    fn add(self, weight: i32, sum: i32) -> i32 {
        sum + i32::from(self) * weight
    }

    fn settled(sum: i32) -> Self {
        (sum >> FRACTION_BITS).clamp(0, 255) as u8
    }
}

impl Sample for f32 {
    type Weight = f64;
    type Sum = f64;
    const NONE: f64 = 0.0;

    fn weight(share: f64) -> f64 {
        share
    }

    fn add(self, weight: f64, sum: f64) -> f64 {
        sum + f64::from(self) * weight
    }

    fn settled(sum: f64) -> Self {
        sum as f32
    }
}

/// The input positions that one output position is made of, and their weights.
struct Tap<W> {
    first: usize,
    weights: Vec<W>,
}

/// The part of a resized picture that is wanted along one axis.
pub(super) struct Axis {
    /// Length of the whole resized picture, in pixels.
    pub resized: u32,
    /// The pixels of it that are wanted.
    pub window: Range<u32>,
}

impl Axis {
    pub(super) fn whole(length: u32) -> Self {
        Self {
            resized: length,
            window: 0..length,
        }
    }

    /// The centre `length` pixels of `resized`, which is at least as long.
    pub(super) fn centre(resized: u32, length: u32) -> Self {
        let start = resized.saturating_sub(length) / 2;
        Self {
            resized,
            window: start..start + length,
        }
    }

    fn taps<S: Sample>(&self, input: u32) -> Vec<Tap<S::Weight>> {
        let scale = f64::from(input) / f64::from(self.resized);
        let support = scale.max(1.0);
        self.window
            .clone()
            .map(|position| {
                let centre = (f64::from(position) + 0.5) * scale;
                let first = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(input as usize);
                let raw: Vec<f64> = (first..end)
                    .map(|i| (1.0 - ((i as f64 - centre + 0.5) / support).abs()).max(0.0))
                    .collect();
                let sum: f64 = raw.iter().sum();
                let weights = raw.iter().map(|w| S::weight(w / sum)).collect();
                Tap { first, weights }
            })
            .collect()
    }
}

/// The windows of `picture` resized to `horizontal.resized` x `vertical.resized` pixels.
pub(super) fn resample<S: Sample>(
    picture: &Raster<S>,
    horizontal: &Axis,
    vertical: &Axis,
) -> Raster<S> {
    let columns = horizontal.taps::<S>(picture.width);
    let rows = vertical.taps::<S>(picture.height);
    let (width, height, channels) = (columns.len(), rows.len(), picture.channels);
    let used = rows.first().map_or(0, |tap| tap.first)
        ..rows.last().map_or(0, |tap| tap.first + tap.weights.len());

    let stride = channels * picture.width as usize;
    let lines = picture.values.chunks_exact(stride);
    let mut narrow = Vec::with_capacity(channels * width * used.len());
    let mut sums = vec![S::NONE; channels];
    for line in lines.skip(used.start).take(used.len()) {
        for tap in &columns {
            let pixels = line[channels * tap.first..].chunks_exact(channels);
            sums.fill(S::NONE);
            for (pixel, &weight) in pixels.zip(&tap.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum = value.add(weight, *sum);
                }
            }
            narrow.extend(sums.iter().map(|sum| S::settled(*sum)));
        }
    }

    let stride = channels * width;
    let mut values = Vec::with_capacity(stride * height);
    let mut sums = vec![S::NONE; stride];
    for tap in &rows {
        sums.fill(S::NONE);
        let lines = narrow[stride * (tap.first - used.start)..].chunks_exact(stride);
        for (line, &weight) in lines.zip(&tap.weights) {
            for (sum, value) in sums.iter_mut().zip(line) {
                *sum = value.add(weight, *sum);
            }
        }
        values.extend(sums.iter().map(|sum| S::settled(*sum)));
    }
    Raster {
        width: width as u32,
        height: height as u32,
        channels,
        values,
    }
}
