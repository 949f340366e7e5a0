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

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Configuration};
use crate::perturbation::{HIDDEN_PIXELS, Loss, ablated};
use crate::work::{Context, require};

/// Cells along each axis, where there is no reason for another number.
const CELLS: usize = 8;

method! {
    /// Differences of scores when cells of a grid are hidden.
    pub struct FeatureAblation {
        cells: Option<usize> = None,
        baseline: Baseline = Baseline::zero(),
    }
    /// A grid of 8 x 8 cells, or of one for each pixel of the shorter side where that has fewer, replaced by zero: the mean colour.
    new
}

impl FeatureAblation {
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
    crate::named!(METHOD);

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        self.configured(size).with("cells", self.cells_at(size))
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let size = work.size();
        let cells = self.cells_at(size);
        require(
            cells <= size[0].min(size[1]),
            "cells",
            cells,
            "at most the pixels of the shorter side",
        )?;
        let cell_of = grid(cells, size);
        let mask = |i: usize| -> Vec<f32> {
            let keep = |&cell: &usize| if cell == i { 0.0 } else { 1.0 };
            cell_of.iter().map(keep).collect()
        };
        let map = |lost: &[Loss]| {
            let mean = |&cell: &usize| (lost[cell].sum / f64::from(lost[cell].tried.max(1))) as f32;
            cell_of.iter().map(mean).collect()
        };
        ablated(self, work, &self.baseline, cells * cells, &mask, map)
    }
}

pub(crate) const METHOD: Method = Method::of::<FeatureAblation>(
    "feature-ablation",
    "Feature ablation",
    "Captum's FeatureAblation",
)
.random()
.keeps_partial();
