//! Where a search begins.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use ndarray::Array2;

use super::MeaningfulPerturbation;
use super::search::Search;
use crate::error::AttributionError;
use crate::perturbation::mask_grid::MaskGrid;
use crate::saliency::gaussian_blur;
use crate::work::Context;

/// Where the search of a mask begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// A centred disc.
    Disc,
    /// The same number for every parameter, from 0 to 1.
    Value(f32),
    /// Numbers drawn evenly from 0 to 1.
    Random,
}

pub(super) const STARTS: &str = "disc, random, or a number from 0 to 1";

impl FromStr for Start {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disc" => Ok(Self::Disc),
            "random" => Ok(Self::Random),
            _ => text
                .parse()
                .map(Self::Value)
                .map_err(|_| AttributionError::unread("start", text, STARTS)),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disc => f.write_str("disc"),
            Self::Random => f.write_str("random"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

crate::settings!(Start);

impl MeaningfulPerturbation {
    /// Puts a search at its start.
    pub(super) fn begin(
        &self,
        work: &Context<'_>,
        grid: &MaskGrid,
        search: &mut Search,
    ) -> Result<(), AttributionError> {
        match self.start {
            Start::Value(value) => search.parameters.fill(value),
            Start::Random => {
                let random = &mut search.random;
                search.parameters.mapv_inplace(|_| random.uniform());
            }
            Start::Disc => {
                let discs = Discs::new(work.size(), self);
                let mut of = |numbers: &[usize]| {
                    let discs = numbers.iter().map(|&number| discs.parameters(grid, number));
                    let discs: Vec<Array2<f32>> = discs.collect();
                    let scores = self.disc_scores(work, grid, search, &discs)?;
                    Ok::<_, AttributionError>((discs, scores))
                };
                let (mut ends, scores) = of(&[0, discs.count])?;
                let (nothing, all) = (scores[0], scores[1]);
                let wanted = all + self.disc_left * (nothing - all);
                let mut disc = ends.swap_remove(usize::from(nothing > wanted));
                if nothing > wanted {
                    let numbers: Vec<usize> = (1..discs.count).collect();
                    let views = self.variant.sides().len() * self.baseline.count();
                    for batch in numbers.chunks((work.batch_size / views).max(1)) {
                        let (mut discs, scores) = of(batch)?;
                        if let Some(smallest) = scores.iter().position(|&score| score <= wanted) {
                            disc = discs.swap_remove(smallest);
                            break;
                        }
                    }
                }
                search.parameters = disc;
            }
        }
        Ok(())
    }

    fn disc_scores(
        &self,
        work: &Context<'_>,
        grid: &MaskGrid,
        search: &mut Search,
        discs: &[Array2<f32>],
    ) -> Result<Vec<f32>, AttributionError> {
        let sight = search.sight([0, 0]);
        let mut pixels = Vec::new();
        for disc in discs {
            let mask = grid.mask(disc);
            for &keep in self.variant.sides() {
                sight.under(&mask, keep, &mut pixels);
            }
        }
        let [channels, height, width] = search.shape;
        let views = self.variant.sides().len() * self.baseline.count();
        let rows = vec![search.image; discs.len() * views];
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let seen = Tensor::<4>::from_data(data, &work.device());
        let mut scores = Vec::with_capacity(rows.len());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            scores.extend(work.scores(rows, part.into())?);
        }
        search.evaluations += scores.len();
        Ok(scores
            .chunks(views)
            .map(|found| self.objective(found))
            .collect())
    }
}

/// Centred discs from none to one that covers the image.
struct Discs {
    /// The number of the last, which covers the image.
    count: usize,
    step: f32,
    size: [usize; 2],
    blur: f32,
    scale: usize,
}

impl Discs {
    fn new([height, width]: [usize; 2], method: &MeaningfulPerturbation) -> Self {
        let corner = (height as f32).hypot(width as f32) / 2.0;
        // More discs than that would differ in no pixel.
        let [step, blur, _] = method.disc_at([height, width]);
        let step = step.max(corner / 4096.0);
        Self {
            count: ((corner / step).ceil() as usize).max(1),
            step,
            size: [height, width],
            blur,
            scale: method.scale.at([height, width]),
        }
    }

    fn parameters(&self, grid: &MaskGrid, number: usize) -> Array2<f32> {
        let [height, width] = self.size;
        let away = |at: usize, size: usize| at as f32 - (size as f32 - 1.0) / 2.0;
        let radius = self.step * number as f32;
        let sharp = Array2::from_shape_fn((height, width), |(y, x)| {
            let away = away(y, height).hypot(away(x, width));
            f32::from(u8::from(number > 0 && away <= radius))
        });
        let soft = match self.blur > 0.0 {
            true => gaussian_blur(sharp.view(), self.blur, 4.0),
            false => sharp,
        };
        // The mean over the pixels of each cell.
        let mut sums = Array2::<f32>::zeros(grid.cells());
        let mut counts = Array2::<f32>::zeros(grid.cells());
        for ((y, x), value) in soft.indexed_iter() {
            sums[[y / self.scale, x / self.scale]] += value;
            counts[[y / self.scale, x / self.scale]] += 1.0;
        }
        (sums / counts).mapv(|p| p.clamp(0.0, 1.0))
    }
}
