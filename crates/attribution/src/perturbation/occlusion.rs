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

use std::ops::ControlFlow;

use elucid_graph::ImageBatch;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::network::Network;
use crate::options::{Configurable, Configuration};
use crate::perturbation::{HIDDEN_PIXELS, Perturbed, at_input, per_pixel};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::scaled::Scaled;
use crate::target::Target;
use crate::work::{Work, require};

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

    setup_builders!(batch_size, progress, seed);
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
        let work = Work::new(network, images, &target, &self.setup)?;
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
        let each = windows.len() * self.baseline.count();
        let scores = work.all_scores()?;
        let mut perturbed = Perturbed::new(&work, &self.setup, each);
        let mut maps = Vec::with_capacity(work.count());
        for (image, &score) in scores.iter().enumerate() {
            let mut random = Random::new(self.setup.seed);
            let mut total = vec![0.0_f64; height * width];
            let mut covered = vec![0_u32; height * width];
            for hidden in self.baseline.images(&work, image, &mut random) {
                let mut next = windows.iter();
                perturbed.scores(image, &hidden, windows.len(), mask, |_, scores| {
                    for (&found, window) in scores.iter().zip(&mut next) {
                        for pixel in pixels(window) {
                            total[pixel] += f64::from(score - found);
                            covered[pixel] += 1;
                        }
                    }
                    ControlFlow::Continue(())
                })?;
            }
            let mean = |(total, covered): (&f64, &u32)| (total / f64::from(*covered)) as f32;
            maps.push(total.iter().zip(&covered).map(mean).collect());
        }
        let values = per_pixel(maps, [height, width])?;
        let evaluations = vec![each + 1; work.count()];
        Ok(Attribution::new(self, &work, values, scores, Reduce::Sum)?
            .with_evaluations(evaluations))
    }
}

pub(crate) const METHOD: Method = Method::new(
    "occlusion",
    "Occlusion",
    "Zeiler and Fergus 2014",
    |options| options.apply(Occlusion::new()),
)
.random()
.options(Occlusion::OPTIONS);
