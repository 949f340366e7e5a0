//! RISE: the mean of random masks, each weighted by the score of the image seen through it.
//!
//! `map = sum_i f(x * m_i) m_i / (N p)` over `N` masks `m_i` made from coarse random grids whose
//! cells are kept with probability `p`. Petsiuk, Das and Saenko, *RISE: Randomized Input Sampling
//! for Explanation of Black-box Models* (2018), <https://arxiv.org/abs/1806.07421>.
//!
//! Programs differ in nearly everything, so there are presets:
//!
//! | | [`Rise::paper`] | [`Rise::torchray`] | [`Rise::notebook`] |
//! | --- | --- | --- | --- |
//! | masks | 8000 (4000 for VGG16) | 8000 | 6000 |
//! | cells | 7 x 7 | 7 x 7 | 8 x 8 |
//! | kept with probability | .5 | .5 | .1 |
//! | grid stretched to | one cell more than the image | the same, with whole pixels per cell | as the paper |
//! | divided by | N p | N | N p |
//!
//! Xplique's are those of the paper with 4000 masks. All presets score by the probability of a
//! class, by the network's softmax or sigmoid. TorchRay puts a sigmoid on the logit instead, which is above .99 under every mask, so
//! that its map is the mean mask whatever the image shows ([`RiseScore::Sigmoid`] reproduces it). Its
//! documentation calls `p` the probability of hiding a cell; in its code, as here, it is that of
//! keeping it. Hidden pixels become zero: the mean colour for networks that subtract it.
//!
//! **D-RISE** (Petsiuk et al., *Black-box explanation of object detectors via saliency maps*, 2021,
//! <https://arxiv.org/abs/2006.03204>) is this method with another score: of all detections in the image
//! seen through a mask, the largest product of the overlap with the box in question, the objectness, and
//! the cosine of the class scores, which is [`Target::detection`] of a
//! [`Detection`](crate::Detection) made [`similar`](crate::Detection::similar). Its masks have 16 x 16
//! cells.
//!
//! Masks are made from the seed and their number when they are needed, and every image of a batch
//! sees the same ones. A mask of a network that always gives the same score `s` says nothing, and yet
//! the map is not blank: it is `s` times the mean mask, divided by `p`. The same mean mask, unevenly
//! covered by few masks, is part of every map; [`RiseMaps::standard_errors`] says how much of a map
//! is chance.
//!
//! Memory: `batch_size` images and masks, and for each image of the batch a map and its standard
//! error, whatever the number of masks. [`Rise::all_classes`] holds a map for every class as well.

mod classes;

use std::ops::{ControlFlow, Range};

use burn::tensor::Tensor;
use elucid_graph::ImageBatch;
use ndarray::{Array2, Array3, ArrayView3, Axis};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::network::Network;
use crate::options::{Configurable, words};
use crate::perturbation::{HIDDEN_PIXELS, Masked, at_input, per_pixel};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::{Asks, Estimates, Samples};
use crate::scaled::Fitting;
use crate::target::Target;
use crate::work::Context;

pub use self::classes::RiseClassMaps;

words! {
    /// What weighs a mask.
    pub enum RiseScore: "score", SCORES = "probability, target (as it is) or sigmoid" {
        /// The probability as the network's head makes it, by softmax or sigmoid, where the target is the
        /// logit of a class or the answer no; other targets, and scores that are no logits, as they are.
        Probability = "probability",
        /// The target's score as it is: for networks that end in a softmax.
        Target = "target",
        /// `1 / (1 + exp(-score))`, as TorchRay.
        Sigmoid = "sigmoid",
    }
}

words! {
    /// How a grid becomes a mask.
    pub enum RiseStretch: "stretch", STRETCHES = "paper (the image and one cell more) or whole-pixels (per cell)" {
        /// The grid covers the image and one cell more.
        Paper = "paper",
        /// The same with whole pixels per cell, rounded up: TorchRay's.
        WholePixels = "whole-pixels",
    }
}

words! {
    /// What the sum of the weighted masks is divided by.
    pub enum RiseDivisor: "divisor", DIVISORS = "kept (how often a pixel is kept) or masks (their number)" {
        /// `N p`: how often a pixel is kept, as in the paper.
        Kept = "kept",
        /// `N`, the number of masks: TorchRay's.
        Masks = "masks",
    }
}

/// Masks from coarse grids.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Rise {
    pub(crate) setup: Setup,
    masks: usize,
    cells: Fitting,
    keep: f32,
    stretch: RiseStretch,
    divisor: RiseDivisor,
    score: RiseScore,
    standard_error: Option<f32>,
    baseline: Baseline,
    given: Option<(Array3<f32>, Vec<[usize; 2]>)>,
}

crate::options!(Rise {
    {
        /// How many masks.
        masks: usize as "masks", "number of masks", "1 or more", |masks| *masks > 0
    }
    {
        /// Cells of the grid along each axis. As many as a preset has, or as the image has pixels along its
        /// shorter side if those are fewer, unless it is given.
        cells: usize as "cells", "cells of the grid along each axis",
        "1 or more, at most the pixels of the shorter side", |cells| *cells > 0
    }
    {
        /// Probability that a cell is kept.
        keep: f32 as "keep", "probability that a cell is kept", "above 0 and at most 1",
        |keep| *keep > 0.0 && *keep <= 1.0
    }
    {
        /// What weighs a mask, the probability by default.
        score: RiseScore as "score", "what weighs a mask", SCORES
    }
    {
        /// How a grid becomes a mask.
        stretch: RiseStretch as "stretch", "how a grid becomes a mask", STRETCHES
    }
    {
        /// What the sum of the weighted masks is divided by.
        divisor: RiseDivisor as "divisor", "what the sum of the masks is divided by", DIVISORS
    }
    {
        /// What hidden pixels become, zero by default; one baseline.
        baseline: Baseline as "baseline", HIDDEN_PIXELS, BASELINES
    }
    {
        /// Stops before all masks are used when the standard error of the map, averaged over pixels, is
        /// at most this fraction of the map's range (largest minus smallest).
        standard_error: f32 as "standard-error",
        "stop early at this standard error, as a fraction of the map's range; never unless given",
        "above 0", |fraction| *fraction > 0.0 && fraction.is_finite()
    }
});

impl Rise {
    fn new(masks: usize, cells: usize, keep: f32) -> Self {
        Self {
            setup: at_input(),
            masks,
            cells: Fitting::usual(cells),
            keep,
            stretch: RiseStretch::Paper,
            divisor: RiseDivisor::Kept,
            score: RiseScore::Probability,
            standard_error: None,
            baseline: Baseline::zero(),
            given: None,
        }
    }

    /// As in the paper: 8000 masks of 7 x 7 cells, half of them kept.
    pub fn paper() -> Self {
        Self::new(8000, 7, 0.5)
    }

    /// As in TorchRay, but for its sigmoid.
    pub fn torchray() -> Self {
        Self {
            stretch: RiseStretch::WholePixels,
            divisor: RiseDivisor::Masks,
            ..Self::new(8000, 7, 0.5)
        }
    }

    /// As in the authors' notebook: 6000 masks of 8 x 8 cells, a tenth of them kept.
    pub fn notebook() -> Self {
        Self::new(6000, 8, 0.1)
    }

    setup_builders!(batch_size, seed, progress, keep_partial);

    /// Uses these grids `[masks, cells, cells]` of numbers from 0 to 1, with these offsets
    /// `[row, column]` of the image in the stretched grid in pixels, instead of random ones. The stretched
    /// grid is `(cells + 1) * ceil(side / cells)` pixels long, and the image lies inside it.
    pub fn with_grids(mut self, grids: ArrayView3<'_, f32>, offsets: &[[usize; 2]]) -> Self {
        self.masks = grids.dim().0;
        self.cells = grids.dim().1.into();
        self.given = Some((grids.to_owned(), offsets.to_vec()));
        self
    }

    fn check(&self, size: [usize; 2]) -> Result<(), AttributionError> {
        self.check_options()?;
        let refuse = |parameter, value: String, expected| {
            Err(AttributionError::Parameter {
                parameter,
                value,
                expected,
            })
        };
        let cells = self.cells.at(size);
        if cells > size[0].min(size[1]) {
            return refuse(
                "cells",
                cells.to_string(),
                "at most the pixels of the shorter side",
            );
        }
        if let Some((grids, offsets)) = &self.given {
            let shape = (self.masks, cells, cells);
            if grids.dim() != shape || offsets.len() != self.masks {
                return refuse(
                    "grids",
                    format!("{:?} with {} offsets", grids.dim(), offsets.len()),
                    "square, with one offset each, as many as there are masks",
                );
            }
            if !grids.iter().all(|cell| (0.0..=1.0).contains(cell)) {
                return refuse("grids", "other numbers".to_owned(), "numbers from 0 to 1");
            }
            let cell = self.cell(size);
            let most = [0, 1].map(|axis| (cells + 1) * cell[axis] - size[axis]);
            let inside = |offset: &[usize; 2]| offset[0] <= most[0] && offset[1] <= most[1];
            if let Some(offset) = offsets.iter().find(|offset| !inside(offset)) {
                return refuse(
                    "offset of a grid",
                    format!("{offset:?}"),
                    "so small that the image lies inside the stretched grid",
                );
            }
        }
        Ok(())
    }

    /// What lies under the masks of an image, `[1, C, H, W]`.
    fn hidden(&self, work: &Context<'_>, image: usize) -> Result<Tensor<4>, AttributionError> {
        self.baseline.check(work)?;
        let mut random = Random::new(self.setup.seed);
        let mut hidden = self.baseline.images(work, image, &mut random);
        match (hidden.pop(), hidden.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(AttributionError::Parameter {
                parameter: "baseline",
                value: self.baseline.to_string(),
                expected: "one baseline",
            }),
        }
    }

    /// An image with what lies under its masks.
    fn shown(&self, work: &Context<'_>, image: usize) -> Result<Shown<'_>, AttributionError> {
        Ok(Shown {
            rise: self,
            size: work.size(),
            hidden: Masked::new(work, image, self.hidden(work, image)?),
            masks: Vec::new(),
        })
    }

    /// Pixels of a cell along each axis.
    fn cell(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.cells.at(size)))
    }

    /// Mask `i`, `[H, W]`: made from the seed and the number alone, so that none need be stored.
    fn mask(&self, i: usize, size: [usize; 2]) -> Vec<f32> {
        let (cells, cell) = (self.cells.at(size), self.cell(size));
        let (grid, offset) = match &self.given {
            Some((grids, offsets)) => (grids.index_axis(Axis(0), i).to_owned(), offsets[i]),
            None => {
                let mut random = Random::stream(self.setup.seed, i as u64);
                let grid = Array2::from_shape_simple_fn((cells, cells), || {
                    f32::from(u8::from(random.uniform() < self.keep))
                });
                (grid, cell.map(|cell| random.below(cell)))
            }
        };
        let taps = |axis: usize| -> Vec<(usize, usize, f32)> {
            let stretched = (cells + 1) * cell[axis];
            let pixels_per_cell = match self.stretch {
                RiseStretch::Paper => stretched as f64 / cells as f64,
                RiseStretch::WholePixels => {
                    ((size[axis] + cell[axis]) as f64 / cells as f64).ceil()
                }
            };
            (0..size[axis])
                .map(|pixel| {
                    let at = ((pixel + offset[axis]) as f64 + 0.5) / pixels_per_cell - 0.5;
                    let low = at.floor();
                    let mirror = |cell: f64| mirrored(cell as isize, cells);
                    (mirror(low), mirror(low + 1.0), (at - low) as f32)
                })
                .collect()
        };
        let (rows, columns) = (taps(0), taps(1));
        let mut mask = Vec::with_capacity(size[0] * size[1]);
        for &(y0, y1, fy) in &rows {
            for &(x0, x1, fx) in &columns {
                let across = |y: usize| grid[[y, x0]] * (1.0 - fx) + grid[[y, x1]] * fx;
                mask.push(across(y0) * (1.0 - fy) + across(y1) * fy);
            }
        }
        mask
    }

    fn weight(&self, score: f32) -> f32 {
        match self.score {
            RiseScore::Sigmoid => 1.0 / (1.0 + (-score).exp()),
            RiseScore::Probability | RiseScore::Target => score,
        }
    }

    fn factor(&self) -> f64 {
        match self.divisor {
            RiseDivisor::Kept => 1.0 / f64::from(self.keep),
            RiseDivisor::Masks => 1.0,
        }
    }

    /// The target that weighs masks.
    fn weighing(&self, target: &Target, network: &dyn Network) -> Target {
        match self.score {
            RiseScore::Probability => target.as_probability(network.probabilities()),
            RiseScore::Target | RiseScore::Sigmoid => target.clone(),
        }
    }

    /// The maps of one target for each image, with their standard errors.
    ///
    /// When the progress callback asks to stop, the maps are those of the masks so far, of the images
    /// so far: [`RiseMaps::masks`] says how many, [`RiseMaps::is_complete`] is false.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`], but for [`AttributionError::Cancelled`].
    pub fn maps(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<RiseMaps, AttributionError> {
        let work = Context::new(network, images, &target, &self.setup)?;
        let (found, scores) = self.found(&work)?;
        let (maps, standard_errors) = found.found.into_iter().unzip();
        Ok(RiseMaps {
            maps,
            standard_errors,
            masks: found.samples,
            scores,
            size: work.size(),
            is_complete: found.stopped.is_none(),
        })
    }

    /// The map and its standard error for each image, and the target's score for each as it is.
    fn found(
        &self,
        work: &Context<'_>,
    ) -> Result<(Estimates<MapAndError>, Vec<f32>), AttributionError> {
        let size = work.size();
        self.check(size)?;
        let weighing = work.about(&self.weighing(&work.asked, work.network))?;
        let scores = work.all_scores()?;
        let start = |image| {
            Ok(Weighed {
                shown: self.shown(work, image)?,
                tally: Tally::new(size[0] * size[1]),
            })
        };
        let score = |rows: &[usize], images: Tensor<4>| weighing.scores(rows, images.into());
        let finish = |_, weighed: Weighed<'_>, _| Ok(weighed.tally.finish(self.factor()));
        let samples = Samples::of(work, self.masks);
        let samples = match self.standard_error {
            Some(_) => samples.alone(),
            None => samples,
        };
        let found = weighing.scored(samples, start, score, finish)?;
        Ok((found, scores))
    }
}

/// One image under masks that are made when they are needed.
struct Shown<'r> {
    rise: &'r Rise,
    size: [usize; 2],
    hidden: Masked,
    /// Those of the samples that were asked for last.
    masks: Vec<Vec<f32>>,
}

impl Shown<'_> {
    fn ask(&mut self, samples: Range<usize>) -> Tensor<4> {
        self.masks = samples.map(|i| self.rise.mask(i, self.size)).collect();
        self.hidden.under(&self.masks)
    }
}

/// Masks of one image, weighed by one score.
struct Weighed<'r> {
    shown: Shown<'r>,
    tally: Tally,
}

impl Asks for Weighed<'_> {
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError> {
        Ok(self.shown.ask(samples))
    }

    fn hear(
        &mut self,
        _samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError> {
        let rise = self.shown.rise;
        for (mask, &score) in self.shown.masks.iter().zip(scores) {
            self.tally.add(mask, rise.weight(score));
        }
        Ok(match rise.standard_error {
            Some(fraction) if self.tally.is_settled(fraction) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }
}

/// Mirrored about the centres of the outermost cells.
fn mirrored(cell: isize, cells: usize) -> usize {
    let last = cells as isize - 1;
    if last == 0 {
        return 0;
    }
    let at = cell.rem_euclid(2 * last);
    (if at > last { 2 * last - at } else { at }) as usize
}

/// A map, and the standard error of each of its numbers.
type MapAndError = (Vec<f32>, Vec<f32>);

/// Sums of weighted masks and of their squares.
struct Tally {
    sum: Vec<f64>,
    squares: Vec<f64>,
    count: usize,
}

impl Tally {
    fn new(pixels: usize) -> Self {
        Self {
            sum: vec![0.0; pixels],
            squares: vec![0.0; pixels],
            count: 0,
        }
    }

    fn add(&mut self, mask: &[f32], weight: f32) {
        self.count += 1;
        for ((sum, square), &keep) in self.sum.iter_mut().zip(&mut self.squares).zip(mask) {
            let value = f64::from(weight * keep);
            *sum += value;
            *square += value * value;
        }
    }

    /// The mean of the weighted masks, and its standard error.
    fn estimates(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let count = self.count.max(1) as f64;
        self.sum
            .iter()
            .zip(&self.squares)
            .map(move |(sum, square)| {
                let mean = sum / count;
                let variance = (square / count - mean * mean).max(0.0);
                (mean, (variance / (count - 1.0).max(1.0)).sqrt())
            })
    }

    fn is_settled(&self, fraction: f32) -> bool {
        // A handful of masks says nothing about its own error.
        if self.count < 100 {
            return false;
        }
        let (mut low, mut high, mut errors) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for (mean, error) in self.estimates() {
            low = low.min(mean);
            high = high.max(mean);
            errors += error;
        }
        errors / self.sum.len() as f64 <= f64::from(fraction) * (high - low)
    }

    fn finish(&self, factor: f64) -> MapAndError {
        self.estimates()
            .map(|(mean, error)| ((factor * mean) as f32, (factor * error) as f32))
            .unzip()
    }
}

/// What [`Rise`] found for each image.
#[derive(Debug, Clone)]
pub struct RiseMaps {
    maps: Vec<Vec<f32>>,
    standard_errors: Vec<Vec<f32>>,
    masks: Vec<usize>,
    scores: Vec<f32>,
    size: [usize; 2],
    is_complete: bool,
}

impl RiseMaps {
    /// The maps, `[N, H, W]`; of fewer images than were given when it was stopped.
    pub fn maps(&self) -> Array3<f32> {
        self.stacked(&self.maps)
    }

    /// The standard error of each number of the maps, `[N, H, W]`.
    pub fn standard_errors(&self) -> Array3<f32> {
        self.stacked(&self.standard_errors)
    }

    /// How many masks each map rests on.
    pub fn masks(&self) -> &[usize] {
        &self.masks
    }

    /// Whether every image has as many masks as it should, rather than having been stopped.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The target's score for each image as it is, without a mask.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    fn stacked(&self, maps: &[Vec<f32>]) -> Array3<f32> {
        let [height, width] = self.size;
        let mut all = Array3::zeros((maps.len(), height, width));
        for (map, mut to) in maps.iter().zip(all.outer_iter_mut()) {
            to.iter_mut().zip(map).for_each(|(to, &value)| *to = value);
        }
        all
    }
}

impl Attributor for Rise {
    crate::stated!(METHOD);

    /// One number per pixel, `[N, 1, H, W]`. Unlike [`Rise::maps`], being stopped is an error here,
    /// unless [`Rise::keep_partial`] says otherwise.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (found, scores) = self.found(work)?;
        let [height, width] = work.size();
        let none = || vec![0.0; height * width];
        let found = found.kept(work, |_| Ok((none(), none())))?;
        let planned = found.planned();
        let has_errors = found.samples.iter().all(|&masks| masks > 1);
        let (maps, errors) = found.found.into_iter().unzip();
        let values = per_pixel(maps, [height, width])?;
        let errors = has_errors.then(|| per_pixel(errors, [height, width]));
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_evaluations(found.samples)
            .with_planned(planned)
            .with_standard_errors(errors.transpose()?))
    }
}

pub(crate) const METHOD: Method =
    Method::new("rise", "RISE", "Petsiuk, Das and Saenko 2018", |options| {
        options.apply(match options.preset() {
            Some("torchray") => Rise::torchray(),
            Some("notebook") => Rise::notebook(),
            _ => Rise::paper(),
        })
    })
    .random()
    .keeps_partial()
    .presets(&["paper", "torchray", "notebook"])
    .options(Rise::OPTIONS);
