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

use std::ops::{ControlFlow, Range};

use elucid_graph::ImageBatch;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::network::Network;
use crate::options::{Configurable, Configuration};
use crate::perturbation::{HIDDEN_PIXELS, Masked, at_input, per_pixel};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::Samples;
use crate::scaled::Scaled;
use crate::target::Target;
use crate::work::{Context, require};

/// Differences of scores when windows are hidden.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Occlusion {
    pub(crate) setup: Setup,
    window: Scaled<usize>,
    stride: Option<usize>,
    baseline: Baseline,
}

impl Default for Occlusion {
    fn default() -> Self {
        Self::new()
    }
}

impl Occlusion {
    /// Square windows of 32 pixels, fewer on images of less than 128, overlapping by half, replaced by
    /// zero: the mean colour.
    pub fn new() -> Self {
        Self {
            setup: at_input(),
            window: Scaled::usual(32),
            stride: None,
            baseline: Baseline::zero(),
        }
    }

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
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let (_, stride) = self.window_and_stride(size);
        self.configured(size).with("stride", stride)
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let work = Context::new(network, images, &target, &self.setup)?;
        let [height, width] = work.size();
        let (window, stride) = self.window_and_stride([height, width]);
        require(
            stride <= window,
            "stride",
            stride,
            "at most the window's side, so that every pixel is covered",
        )?;
        self.baseline.check(&work)?;
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
        let scores = work.all_scores()?;
        let start = |image| {
            let mut random = Random::new(self.setup.seed);
            let hidden = self.baseline.images(&work, image, &mut random).into_iter();
            Ok(Lost {
                image,
                hidden: hidden.map(|h| Masked::new(&work, image, h)).collect(),
                total: vec![0.0_f64; height * width],
                covered: vec![0_u32; height * width],
            })
        };
        let add = |lost: &mut Lost, samples: Range<usize>| {
            let hidden = &lost.hidden[samples.start / windows.len()];
            let these = samples.map(|i| i % windows.len());
            let masks: Vec<Vec<f32>> = these.clone().map(mask).collect();
            for (window, found) in these.zip(hidden.scores(&work, &masks)?) {
                for pixel in pixels(&windows[window]) {
                    lost.total[pixel] += f64::from(scores[lost.image] - found);
                    lost.covered[pixel] += 1;
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        // Pixels that no window has covered yet have lost nothing.
        let mean = |(total, covered): (&f64, &u32)| (total / f64::from(*covered.max(&1))) as f32;
        let finish = |lost: Lost, _| {
            let pixels = lost.total.iter().zip(&lost.covered);
            Ok(pixels.map(mean).collect::<Vec<f32>>())
        };
        let samples = Samples::in_blocks(self.baseline.count(), windows.len());
        let estimates = work.estimates(samples, start, add, finish)?;
        let estimates = estimates.kept(&work, |_| Ok(vec![0.0; height * width]))?;
        let planned = estimates.planned();
        let evaluations = estimates.samples.iter().map(|&samples| samples + 1);
        let evaluations = evaluations.collect();
        let values = per_pixel(estimates.found, [height, width])?;
        Ok(Attribution::new(self, &work, values, scores, Reduce::Sum)?
            .with_evaluations(evaluations)
            .with_planned(planned))
    }
}

/// What the score of one image has lost at each pixel.
struct Lost {
    image: usize,
    hidden: Vec<Masked>,
    total: Vec<f64>,
    covered: Vec<u32>,
}

pub(crate) const METHOD: Method = Method::new(
    "occlusion",
    "Occlusion",
    "Zeiler and Fergus 2014",
    |options| options.apply(Occlusion::new()),
)
.random()
.keeps_partial()
.options(Occlusion::OPTIONS);
