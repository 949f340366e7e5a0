//! Bilinear resizing as Pillow does it, to the bit.
//!
//! The triangle filter is widened when the picture shrinks, so that no pixel is left out.
//! Weights have 22 fractional bits and sum to one; rows are resized first, then columns, with
//! 8 bits in between. Only the asked-for window of the result is computed: a long strip
//! enlarged to a short side of 256 costs no more than any other picture.

use std::ops::Range;

use image::RgbImage;

const FRACTION_BITS: u32 = 22;

/// The input positions that one output position is made of, and their weights.
struct Tap {
    first: usize,
    weights: Vec<i32>,
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

    fn taps(&self, input: u32) -> Vec<Tap> {
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
                let one = f64::from(1u32 << FRACTION_BITS);
                let weights = raw.iter().map(|w| (w / sum * one + 0.5) as i32).collect();
                Tap { first, weights }
            })
            .collect()
    }
}

/// The windows of `picture` resized to `horizontal.resized` x `vertical.resized` pixels.
pub(super) fn resample(picture: &RgbImage, horizontal: &Axis, vertical: &Axis) -> RgbImage {
    let columns = horizontal.taps(picture.width());
    let rows = vertical.taps(picture.height());
    let (width, height) = (columns.len(), rows.len());
    let used = rows.first().map_or(0, |tap| tap.first)
        ..rows.last().map_or(0, |tap| tap.first + tap.weights.len());

    let stride = 3 * picture.width() as usize;
    let mut narrow = Vec::with_capacity(3 * width * used.len());
    for line in picture
        .as_raw()
        .chunks_exact(stride)
        .skip(used.start)
        .take(used.len())
    {
        for tap in &columns {
            let pixels = line[3 * tap.first..].chunks_exact(3);
            let mut sums = [1 << (FRACTION_BITS - 1); 3];
            for (pixel, weight) in pixels.zip(&tap.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            narrow.extend(sums.map(to_byte));
        }
    }

    let stride = 3 * width;
    let mut result = Vec::with_capacity(stride * height);
    let mut sums = vec![0; stride];
    for tap in &rows {
        sums.fill(1 << (FRACTION_BITS - 1));
        let lines = narrow[stride * (tap.first - used.start)..].chunks_exact(stride);
        for (line, weight) in lines.zip(&tap.weights) {
            for (sum, value) in sums.iter_mut().zip(line) {
                *sum += i32::from(*value) * weight;
            }
        }
        result.extend(sums.iter().copied().map(to_byte));
    }
    RgbImage::from_raw(width as u32, height as u32, result)
        .expect("three bytes were written for each pixel")
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}
