//! ROAD, *remove and debias*: the class's probability when pixels are removed so that the removal
//! itself tells nothing.
//!
//! For each percentage of the pixels, those are removed that the map ranks highest (*most relevant
//! first*) or lowest (*least relevant first*), and the probability of the class is taken, by the
//! network's softmax or sigmoid (the score itself where it is no logit). The value
//! ([`Order::Combined`]) is, over the percentages,
//!
//! ```text
//! mean of (p least - p most) / 2
//! ```
//!
//! between -1/2 and 1/2; larger is better. With [`Order::Most`] it is the mean of `p most`, where
//! smaller is better, with [`Order::Least`] that of `p least`, where larger is.
//!
//! Rong et al., *A consistent and efficient evaluation strategy for attribution methods* (2022). Removed
//! pixels get values by *noisy linear imputation*: each is the weighted mean of its eight neighbours,
//! 1/6 for those beside it and 1/12 for those across, removed ones among them, which is a system of
//! linear equations; what lies outside of the image is left out of the mean. Gaussian noise of
//! deviation 0.01 is added.
//!
//! The paper reports the accuracy over a data set at each percentage; the combined value and the
//! percentages 10, 20 to 90 are pytorch-grad-cam's. Quantus takes accuracies at 1, 3 to 99. Both add
//! the noise to the image as the network takes it; see [`Scale`] for what it is here. The system is
//! solved by conjugate gradients to a residual of 1e-5 of the right-hand side's norm, far below the
//! noise, or to what single precision shows of the largest pixel, rather than by factorisation.
//!
//! `percentage * pixels / 100` pixels are removed, rounded, at least one and never all; equal values
//! go in row-major order. Memory: one batch of images and some twenty images more.

use elucid_attribution::Configurable;

use crate::case::{Case, SCALES, Scale};
use crate::error::MetricError;
use crate::metric::{
    BATCH_SIZE, Category, Direction, Halt, Metric, Needs, Outcome, at_least_one, number, outcome,
    setters,
};
use crate::options::{is_not_negative, stated, words};
use crate::order::descending;
use crate::probe::Probe;
use crate::table::MetricInfo;

words! {
    /// Which pixels are removed.
    #[derive(Default)]
    pub enum Order: "order", ORDERS = "combined, most or least" {
        /// Half the difference of the two others.
        #[default]
        Combined = "combined",
        /// The most relevant first.
        Most = "most",
        /// The least relevant first.
        Least = "least",
    }
}

/// Remove and debias.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Road {
    order: Order,
    percentages: Vec<f64>,
    noise: f64,
    scale: Scale,
    batch_size: usize,
    seed: u64,
}

impl Default for Road {
    fn default() -> Self {
        Self::combined()
    }
}

impl Road {
    fn new(order: Order) -> Self {
        Self {
            order,
            percentages: (1..10).map(|tens| f64::from(10 * tens)).collect(),
            noise: 0.01,
            scale: Scale::Deviation,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    /// Half the difference of the probabilities left by the two orders.
    pub fn combined() -> Self {
        Self::new(Order::Combined)
    }

    /// The probability left when the most relevant pixels are removed.
    pub fn most_relevant_first() -> Self {
        Self::new(Order::Most)
    }

    /// The probability left when the least relevant pixels are removed.
    pub fn least_relevant_first() -> Self {
        Self::new(Order::Least)
    }

    /// The percentages of the pixels that are removed: 10, 20 to 90.
    pub fn percentages(mut self, percentages: impl IntoIterator<Item = f64>) -> Self {
        self.percentages = percentages.into_iter().collect();
        self
    }

    setters!(batch_size, seed);

    fn check_percentages(&self) -> Result<(), MetricError> {
        at_least_one("batch size", self.batch_size)?;
        at_least_one("number of percentages", self.percentages.len())?;
        for &percent in &self.percentages {
            let is_part = |v| 0.0 < v && v < 100.0;
            number("percentage", percent, is_part, "more than 0, less than 100")?;
        }
        Ok(())
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let order = descending(case.finite_map()?);
        // Without noise a constant image needs no scale.
        let noise = match self.noise {
            0.0 => 0.0,
            noise => noise * case.unit(self.scale)?,
        };
        let most = match self.order {
            Order::Least => 0.0,
            _ => self.probability(case, &order, noise)?,
        };
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        let least = match self.order {
            Order::Most => 0.0,
            _ => self.probability(case, &reversed, noise)?,
        };
        Ok(match self.order {
            Order::Combined => (least - most) / 2.0,
            Order::Most => most,
            Order::Least => least,
        })
    }

    /// The mean probability over the percentages when pixels go in this order.
    fn probability(&self, case: &Case<'_>, order: &[usize], noise: f64) -> Result<f64, Halt> {
        let [h, w] = case.size();
        let plane = h * w;
        if plane < 2 {
            return Err(MetricError::Image {
                reason: "it has one pixel, of which none can be left".to_owned(),
            }
            .into());
        }
        // Upwards, so that each imputation starts from the one before.
        let mut counts: Vec<usize> = self
            .percentages
            .iter()
            .map(|percent| ((percent / 100.0 * plane as f64).round() as usize).clamp(1, plane - 1))
            .collect();
        counts.sort_unstable();
        let mut random = case.random(self.seed);
        let mut guess = case.pixels.clone();
        let mut unsolved = Ok(());
        let scores = Probe::new(case, self.batch_size)?.scores(counts.len(), |i, batch| {
            let imputation = Imputation::new(h, w, &order[..counts[i]]);
            let solved = imputation.fill(&case.pixels, &mut guess, plane);
            if let (Err(error), Ok(())) = (solved, &unsolved) {
                unsolved = Err(error);
            }
            let from = batch.len();
            batch.extend(&guess);
            for channel in batch[from..].chunks_mut(plane) {
                for &at in &imputation.removed {
                    channel[at] += (noise * random.normal_double()) as f32;
                }
            }
        })?;
        unsolved?;
        let sum: f64 = scores.iter().map(|score| score.probability).sum();
        Ok(sum / scores.len() as f64)
    }
}

const NEIGHBOURS: [(isize, isize, f64); 8] = [
    (-1, -1, 1.0 / 12.0),
    (-1, 0, 1.0 / 6.0),
    (-1, 1, 1.0 / 12.0),
    (0, -1, 1.0 / 6.0),
    (0, 1, 1.0 / 6.0),
    (1, -1, 1.0 / 12.0),
    (1, 0, 1.0 / 6.0),
    (1, 1, 1.0 / 12.0),
];

/// The linear system of the removed pixels: `sum of w (x - neighbour) = 0` for each.
struct Imputation {
    removed: Vec<usize>,
    /// Sum of the weights of each removed pixel's neighbours.
    diagonal: Vec<f64>,
    /// Where the entries of each removed pixel begin, and where the last ones end.
    starts: Vec<usize>,
    /// Removed neighbours, by their place in `removed`, with their weights.
    entries: Vec<(usize, f64)>,
    /// Neighbours that stay: place of the removed pixel, neighbour, weight.
    known: Vec<(usize, usize, f64)>,
}

impl Imputation {
    /// Of an image with at least one pixel that stays.
    fn new(height: usize, width: usize, removed: &[usize]) -> Self {
        let mut removed = removed.to_vec();
        removed.sort_unstable();
        let mut places = vec![None; height * width];
        for (place, &at) in removed.iter().enumerate() {
            places[at] = Some(place);
        }
        let mut system = Self {
            diagonal: Vec::with_capacity(removed.len()),
            starts: Vec::with_capacity(removed.len() + 1),
            entries: Vec::with_capacity(8 * removed.len()),
            known: Vec::new(),
            removed: Vec::new(),
        };
        system.starts.push(0);
        for (place, &at) in removed.iter().enumerate() {
            let mut sum = 0.0;
            for (dy, dx, weight) in NEIGHBOURS {
                let y = (at / width).checked_add_signed(dy).filter(|&y| y < height);
                let x = (at % width).checked_add_signed(dx).filter(|&x| x < width);
                let (Some(y), Some(x)) = (y, x) else { continue };
                sum += weight;
                match places[y * width + x] {
                    Some(other) => system.entries.push((other, weight)),
                    None => system.known.push((place, y * width + x, weight)),
                }
            }
            system.diagonal.push(sum);
            system.starts.push(system.entries.len());
        }
        Self { removed, ..system }
    }

    fn apply(&self, x: &[f64], out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            let entries = &self.entries[self.starts[i]..self.starts[i + 1]];
            let sum: f64 = entries.iter().map(|&(j, weight)| weight * x[j]).sum();
            *out = self.diagonal[i] * x[i] - sum;
        }
    }

    /// Fills the removed pixels of `pixels` `[C, H, W]` into `filled`, which holds a first guess of
    /// them and the pixels that stay.
    fn fill(&self, pixels: &[f32], filled: &mut [f32], plane: usize) -> Result<(), MetricError> {
        for (channel, filled) in pixels.chunks(plane).zip(filled.chunks_mut(plane)) {
            let mut right = vec![0.0; self.removed.len()];
            for &(place, neighbour, weight) in &self.known {
                right[place] += weight * f64::from(channel[neighbour]);
            }
            let guess = self.removed.iter().map(|&at| f64::from(filled[at]));
            let mut x: Vec<f64> = guess.collect();
            self.solve(&right, &mut x)?;
            for (&at, x) in self.removed.iter().zip(x) {
                filled[at] = x as f32;
            }
        }
        Ok(())
    }

    /// Conjugate gradients: the matrix is symmetric, and positive definite while a pixel stays.
    fn solve(&self, right: &[f64], x: &mut [f64]) -> Result<(), MetricError> {
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let norm = dot(right, right);
        if norm == 0.0 {
            // Everything around is 0, as in the frame of a digit or of an X-ray.
            x.fill(0.0);
            return Ok(());
        }
        let mut product = vec![0.0; x.len()];
        self.apply(x, &mut product);
        let mut residual: Vec<f64> = right.iter().zip(&product).map(|(b, p)| b - p).collect();
        let mut direction = residual.clone();
        let mut left = dot(&residual, &residual);
        // Changes that single precision does not show are none.
        let largest = x
            .iter()
            .chain(right)
            .fold(0.0_f64, |most, v| most.max(v.abs()));
        let invisible = f64::from(f32::EPSILON) * largest;
        let enough = (RESIDUAL * RESIDUAL * norm).max(invisible * invisible);
        for _ in 0..10 * self.removed.len() + 100 {
            if left <= enough {
                return Ok(());
            }
            self.apply(&direction, &mut product);
            let curvature = dot(&direction, &product);
            if curvature <= 0.0 {
                // The direction has vanished: x is as good as it gets.
                return Ok(());
            }
            let step = left / curvature;
            for i in 0..x.len() {
                x[i] += step * direction[i];
                residual[i] -= step * product[i];
            }
            let before = left;
            left = dot(&residual, &residual);
            for (direction, residual) in direction.iter_mut().zip(&residual) {
                *direction = residual + left / before * *direction;
            }
        }
        Err(MetricError::Image {
            reason: "removed pixels could not be imputed".to_owned(),
        })
    }
}

/// Residual at which the imputation is solved, relative to the right-hand side.
const RESIDUAL: f64 = 1e-5;

crate::options!(Road {
    {
        order as "order", "which pixels go first; most: smaller is better", ORDERS
    }
    {
        "percentages", "percentages of the pixels that are removed", "numbers joined by +",
        |road, _| {
            let percentages: Vec<String> = road.percentages.iter().map(f64::to_string).collect();
            Some(percentages.join("+"))
        },
        |road, text| {
            let parts = text.split('+').map(|part| part.trim().parse());
            road.percentages = parts.collect::<Result<_, _>>().ok()?;
            Some(())
        }
    }
    {
        /// Deviation of the noise, 0.01 by default, in units of the [`Scale`].
        noise: f64 as "noise", "deviation of the noise on removed pixels", "0 or more", is_not_negative
    }
    {
        /// What the strength of the noise is measured in, the image's deviation by default.
        scale: Scale as "scale", "what the noise is measured in", SCALES
    }
} check Road::check_percentages);

impl Metric for Road {
    fn name(&self) -> &'static str {
        METRIC.name
    }

    fn direction(&self) -> Direction {
        match self.order {
            Order::Combined | Order::Least => Direction::Larger,
            Order::Most => Direction::Smaller,
        }
    }

    fn needs(&self) -> Needs {
        METRIC.needs
    }

    stated!();

    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError> {
        self.check()?;
        outcome(self.run(case))
    }
}

pub(crate) const METRIC: MetricInfo = MetricInfo::new(
    "road",
    "ROAD, remove and debias",
    Direction::Larger,
    "Rong et al. 2022",
    |options| {
        let metric = Road::combined();
        options.apply(metric.batch_size(options.rows()).seed(options.first_seed()))
    },
)
.category(Category::Faithfulness)
.needs(Needs::SCORES)
.random()
.options(Road::OPTIONS);

#[cfg(test)]
mod tests {
    use super::*;

    /// Bright pixels in black surroundings become black, whatever the guess; a whole channel of zeros stays one.
    #[test]
    fn surroundings_may_be_black() {
        let (h, w) = (9, 11);
        let removed: Vec<usize> = (3..6)
            .flat_map(|y| (4..8).map(move |x| y * w + x))
            .collect();
        let mut pixels = vec![0.0_f32; 2 * h * w];
        for &at in &removed {
            pixels[at] = 200.0 + at as f32;
        }
        let imputation = Imputation::new(h, w, &removed);
        let mut filled = pixels.clone();
        imputation.fill(&pixels, &mut filled, h * w).unwrap();
        assert!(filled.iter().all(|&v| v == 0.0));
    }

    /// Surroundings that are next to nothing beside the guess end the work, at what the eye and the noise tell from nothing.
    #[test]
    fn surroundings_may_be_nearly_black() {
        let (h, w) = (24, 24);
        let removed: Vec<usize> = (1..23)
            .flat_map(|y| (1..23).map(move |x| y * w + x))
            .collect();
        for around in [1e-3_f32, 1e-12, 1e-30] {
            let mut pixels = vec![around; h * w];
            for &at in &removed {
                pixels[at] = 255.0;
            }
            let imputation = Imputation::new(h, w, &removed);
            let mut filled = pixels.clone();
            imputation.fill(&pixels, &mut filled, h * w).unwrap();
            for &at in &removed {
                let wrong = (filled[at] - around).abs();
                assert!(wrong <= 0.01, "{around}: {}", filled[at]);
            }
        }
    }
}
