//! What hiding some of an image's features does to the score, beside what the map says of them.

use elucid_attribution::Random;
use ndarray::Array2;

use crate::case::Case;
use crate::hidden::Hidden;
use crate::metric::Halt;
use crate::order::{copy_pixels, draw};
use crate::probe::Probe;

/// Groups of pixels that are hidden together: each pixel is in one.
pub(crate) struct Features {
    /// The pixels, one group after the other.
    pixels: Vec<usize>,
    /// Where in `pixels` each group ends.
    ends: Vec<usize>,
}

impl Features {
    /// Each pixel by itself.
    pub fn pixels(count: usize) -> Self {
        Self {
            pixels: (0..count).collect(),
            ends: (1..=count).collect(),
        }
    }

    /// The cells of a grid of `cells` rows and columns, no more than there are pixels along a side.
    pub fn grid([height, width]: [usize; 2], cells: usize) -> Self {
        let (rows, columns) = (cells.min(height), cells.min(width));
        let labels = Array2::from_shape_fn((height, width), |(y, x)| {
            (y * rows / height) * columns + x * columns / width
        });
        Self::labels(&labels, rows * columns)
    }

    /// Pixels of one label, of 0 to `count`.
    pub fn labels(labels: &Array2<usize>, count: usize) -> Self {
        let mut pixels: Vec<usize> = (0..labels.len()).collect();
        let label: Vec<usize> = labels.iter().copied().collect();
        pixels.sort_by_key(|&pixel| label[pixel]);
        let ends = (0..count).map(|group| pixels.partition_point(|&pixel| label[pixel] <= group));
        Self {
            ends: ends.collect(),
            pixels,
        }
    }

    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The pixels of a group.
    pub fn of(&self, group: usize) -> &[usize] {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.pixels[start..self.ends[group]]
    }
}

/// How an image without some features is scored.
pub(crate) struct Hiding<'f> {
    pub features: &'f Features,
    pub baseline: Hidden,
    pub batch_size: usize,
    pub probability: bool,
}

/// Of each subset of the features that was hidden, one after the other.
pub(crate) struct Effects {
    /// The sum of the map over it.
    pub foretold: Vec<f64>,
    /// By how much the score fell.
    pub falls: Vec<f64>,
}

impl Hiding<'_> {
    /// Hides `sizes[i]` features, drawn without replacement, for each `i`.
    pub fn drawn(
        &self,
        case: &Case<'_>,
        sizes: &[usize],
        random: &mut Random,
    ) -> Result<Effects, Halt> {
        let mut order: Vec<usize> = (0..self.features.count()).collect();
        self.effects(case, sizes.len(), |i, subset| {
            subset.extend_from_slice(draw(&mut order, sizes[i], random));
        })
    }

    /// Hides `count` subsets, which `next` appends to what it is given.
    pub fn effects(
        &self,
        case: &Case<'_>,
        count: usize,
        mut next: impl FnMut(usize, &mut Vec<usize>),
    ) -> Result<Effects, Halt> {
        let map = case.finite_map()?;
        let weights: Vec<f64> = map.iter().map(|&v| f64::from(v)).collect();
        let hidden = self.baseline.pixels(case)?;
        let plane = weights.len();
        let mut foretold = Vec::with_capacity(count);
        let mut subset = Vec::new();
        let all = count.saturating_add(1);
        let scores = Probe::new(case, self.batch_size)?.scores(all, |i, batch| {
            let from = batch.len();
            batch.extend(&case.pixels);
            let Some(i) = i.checked_sub(1) else { return };
            subset.clear();
            next(i, &mut subset);
            let mut sum = 0.0;
            for &feature in &subset {
                let pixels = self.features.of(feature);
                pixels.iter().for_each(|&pixel| sum += weights[pixel]);
                copy_pixels(pixels, plane, &hidden, &mut batch[from..]);
            }
            foretold.push(sum);
        })?;
        let whole = scores[0].of(self.probability);
        let falls = scores[1..].iter();
        Ok(Effects {
            foretold,
            falls: falls.map(|s| whole - s.of(self.probability)).collect(),
        })
    }
}
