//! Feature ablation: what the score loses when a cell of a grid is hidden.
//!
//! `f(x) - f(x with the cell at its baseline)` for each cell; every pixel gets its cell's number.
//! It is Captum's `FeatureAblation` with a grid of cells as its feature mask. With one cell for each
//! pixel it is leave-one-out. Of several baselines the mean is taken.
//!
//! A grid of `n x n` cells over `H x W` pixels: row `y` is in row `floor(y n / H)` of the grid, so
//! that cells differ by a pixel where `n` does not divide the image.
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
use crate::target::Target;
use crate::work::{Context, require};

/// Cells along each axis, where there is no reason for another number.
const CELLS: usize = 8;

/// Differences of scores when cells of a grid are hidden.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct FeatureAblation {
    pub(crate) setup: Setup,
    cells: Option<usize>,
    baseline: Baseline,
}

impl Default for FeatureAblation {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureAblation {
    /// A grid of 8 x 8 cells, or of one for each pixel of the shorter side where that has fewer, replaced by zero: the mean colour.
    pub fn new() -> Self {
        Self {
            setup: at_input(),
            cells: None,
            baseline: Baseline::zero(),
        }
    }

    setup_builders!(batch_size, progress, seed, keep_partial);

    /// How many cells there are along each axis of images of `[height, width]`.
    fn cells_at(&self, [height, width]: [usize; 2]) -> usize {
        self.cells.unwrap_or(CELLS.min(height.min(width)))
    }
}

crate::options!(FeatureAblation {
    {
        /// Number of cells along each axis: 8 by default, or the pixels of the shorter side where there
        /// are fewer.
        cells: usize as "cells", "cells of the grid along each axis; 8, where they fit",
        "1 or more, at most the pixels of the shorter side", |cells| *cells > 0
    }
    {
        /// What hidden pixels become, zero by default.
        baseline: Baseline as "baseline", HIDDEN_PIXELS, BASELINES
    }
});

/// Which cell of a grid each pixel lies in.
pub(crate) fn grid(cells: usize, [height, width]: [usize; 2]) -> Vec<usize> {
    (0..height * width)
        .map(|pixel| {
            let (y, x) = (pixel / width, pixel % width);
            (y * cells / height) * cells + x * cells / width
        })
        .collect()
}

impl Attributor for FeatureAblation {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        self.configured(size).with("cells", self.cells_at(size))
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let work = Context::new(network, images, &target, &self.setup)?;
        let size = work.size();
        let cells = self.cells_at(size);
        require(
            cells <= size[0].min(size[1]),
            "cells",
            cells,
            "at most the pixels of the shorter side",
        )?;
        self.baseline.check(&work)?;
        let cell_of = grid(cells, size);
        let count = cells * cells;
        let mask = |i: usize| -> Vec<f32> {
            let keep = |&cell: &usize| if cell == i { 0.0 } else { 1.0 };
            cell_of.iter().map(keep).collect()
        };
        let scores = work.all_scores()?;
        let start = |image| {
            let mut random = Random::new(self.setup.seed);
            let hidden = self.baseline.images(&work, image, &mut random).into_iter();
            let hidden: Vec<Masked> = hidden.map(|h| Masked::new(&work, image, h)).collect();
            Ok((hidden, vec![0.0; count]))
        };
        let add = |(hidden, losses): &mut (Vec<Masked>, Vec<f32>), samples: Range<usize>| {
            let hidden = &hidden[samples.start / count];
            let cells = samples.map(|i| i % count);
            let masks: Vec<Vec<f32>> = cells.clone().map(mask).collect();
            for (cell, found) in cells.zip(hidden.scores(&work, &masks)?) {
                losses[cell] += (scores[hidden.image] - found) / self.baseline.count() as f32;
            }
            Ok(ControlFlow::Continue(()))
        };
        let finish = |(_, losses): (Vec<Masked>, Vec<f32>), _| {
            Ok(cell_of
                .iter()
                .map(|&cell| losses[cell])
                .collect::<Vec<f32>>())
        };
        let samples = Samples::in_blocks(self.baseline.count(), count);
        let estimates = work.estimates(samples, start, add, finish)?;
        let estimates = estimates.kept(&work, |_| Ok(vec![0.0; cell_of.len()]))?;
        let planned = estimates.planned();
        let evaluations = estimates.samples.iter().map(|&samples| samples + 1);
        let evaluations = evaluations.collect();
        let values = per_pixel(estimates.found, size)?;
        Ok(Attribution::new(self, &work, values, scores, Reduce::Sum)?
            .with_evaluations(evaluations)
            .with_planned(planned))
    }
}

pub(crate) const METHOD: Method = Method::new(
    "feature-ablation",
    "Feature ablation",
    "Captum's FeatureAblation",
    |options| options.apply(FeatureAblation::new()),
)
.random()
.keeps_partial()
.options(FeatureAblation::OPTIONS);
