//! Occlusion: what the score loses when a window is hidden.
//!
//! A window slides over the image; each pixel gets the mean, over the windows that cover it, of
//! `f(x) - f(x with the window at its baseline)`. Zeiler and Fergus, *Visualizing and understanding
//! convolutional networks* (2014).
//!
//! Captum takes the window and the stride per axis and averages over covering windows, as here.
//! Where windows do not fit the image the last one of an axis overhangs the edge, and its part
//! outside is dropped, as in Captum. Xplique's default window is 3 with stride 3. The default here,
//! window 32 and stride 16, is 169 windows at 224 x 224; on images of fewer than 128 pixels both shrink
//! in proportion, and a stride that is not given is half the window.
//!
//! Hidden pixels become the [`Baseline`], zero by default: the mean colour for networks that
//! subtract it. Of several baselines the mean is taken.
//!
//! Memory: `batch_size` images.

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Configuration};
use crate::perturbation::{HIDDEN_PIXELS, Loss, ablated};
use crate::scaled::Scaled;
use crate::work::{Context, require};

method! {
    /// Differences of scores when windows are hidden.
    pub struct Occlusion {
        window: Scaled<usize> = Scaled::usual(32),
        stride: Option<usize> = None,
        baseline: Baseline = Baseline::zero(),
    }
    /// Square windows of 32 pixels, fewer on images of less than 128, overlapping by half, replaced by
    /// zero: the mean colour.
    new
}

impl Occlusion {
    setup_builders!(batch_size, progress, seed, keep_partial);
}

crate::options!(Occlusion {
    {
        /// Side of the square window, in pixels: 32 by default, and fewer on images of less than 128.
        window: usize as "window",
        "side of the square window, in pixels; less on images of fewer than 128", "1 or more",
        |window| *window > 0
    }
    {
        /// Distance between windows, in pixels; at most the window's side, so that every pixel is
        /// covered. Half the window unless it is given.
        stride: usize as "stride", "distance between windows, in pixels; half the window unless it is given",
        "1 or more, at most the window", |stride| *stride > 0
    }
    {
        /// What hidden pixels become, zero by default.
        baseline: Baseline as "baseline", HIDDEN_PIXELS, BASELINES
    }
});

impl Occlusion {
    /// The window and the stride on images of `[height, width]`.
    fn window_and_stride(&self, size: [usize; 2]) -> (usize, usize) {
        let window = self.window.at(size);
        (window, self.stride.unwrap_or(window.div_ceil(2)))
    }
}

/// First pixels of the windows along an axis.
fn starts(size: usize, window: usize, stride: usize) -> Vec<usize> {
    let last = size.saturating_sub(window).div_ceil(stride);
    (0..=last).map(|i| i * stride).collect()
}

impl Attributor for Occlusion {
    crate::named!(METHOD);

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let (_, stride) = self.window_and_stride(size);
        self.configured(size).with("stride", stride)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let [height, width] = work.size();
        let (window, stride) = self.window_and_stride([height, width]);
        require(
            stride <= window,
            "stride",
            stride,
            "at most the window's side, so that every pixel is covered",
        )?;
        let columns = starts(width, window, stride);
        let windows: Vec<(usize, usize)> = starts(height, window, stride)
            .into_iter()
            .flat_map(|y| columns.iter().map(move |&x| (y, x)))
            .collect();
        let pixels = |&(y, x): &(usize, usize)| {
            let columns = x..(x + window).min(width);
            let rows = y..(y + window).min(height);
            rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
        };
        let mask = |i: usize| {
            let mut keep = vec![1.0; height * width];
            pixels(&windows[i]).for_each(|pixel| keep[pixel] = 0.0);
            keep
        };
        let map = |lost: &[Loss]| {
            let mut total = vec![Loss::default(); height * width];
            for (window, loss) in windows.iter().zip(lost) {
                for pixel in pixels(window) {
                    total[pixel].sum += loss.sum;
                    total[pixel].tried += loss.tried;
                }
            }
            // Pixels that no window has covered yet have lost nothing.
            let mean = |loss: Loss| (loss.sum / f64::from(loss.tried.max(1))) as f32;
            total.into_iter().map(mean).collect()
        };
        ablated(self, work, &self.baseline, windows.len(), &mask, map)
    }
}

pub(crate) const METHOD: Method =
    Method::of::<Occlusion>("occlusion", "Occlusion", "Zeiler and Fergus 2014")
        .random()
        .keeps_partial();
