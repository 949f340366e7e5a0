//! Sobol attribution: the share of the score's variance that a segment has a part in.
//!
//! Fel et al., *Look at the variance! Efficient black-box explanations with Sobol-based sensitivity
//! analysis* (2021). Segments are blended with the baseline by independent numbers `x` that are even
//! in `[0, 1]`; a segment's number is its total index, the part of the variance of `v` that is left
//! on average when all other segments are held, of which Jansen's estimate (1999) is
//!
//! `T_i = mean_j (v(a_j) - v(c_ij))^2 / (2 variance)`
//!
//! where `a_j` and `b_j` are the points of two designs and `c_ij` is `a_j` with the number of segment
//! `i` from `b_j`. The variance is that of all `v(a_j)` and `v(b_j)`, Xplique's that of `v(a_j)`. Indices
//! are 0 to 1 but for the estimate's error, have no sign, and add up to more than 1 if segments act
//! together. They are zero where the score does not change.
//!
//! A grid of 8 x 8 cells and 32 points, which is `32 * (64 + 2)` evaluations, as in the paper and in
//! Xplique; unlike there, maps are not smoothed by cubic interpolation. The points are a Latin
//! hypercube, and not the Sobol sequence that is the paper's default: each of the numbers is taken
//! once from each of as many equal intervals as there are points. So few points of so many dimensions
//! (128 for 64 cells) of a scrambled Sobol sequence depend on each other, so much that on additive,
//! multiplicative and saturating functions of 64 numbers its error is 1.1 to 1.3 times that of the
//! Latin hypercube with 32 points and 1.5 to 2.2 times with 128, and larger than that of independent
//! points.
//!
//! Memory: beside `batch_size` images, two numbers for each point and segment.

use elucid_graph::INPUT;
use ndarray::{Array1, Array2, Axis};

use crate::attributor::Setup;
use crate::budget::SINGLE;
use crate::coalitions::hidden::{HIDDEN, Hidden};
use crate::coalitions::superpixels::{SEGMENTS, SEGMENTS_HELP};
use crate::coalitions::{Coalitional, Game, Superpixels, Values, coalitional, shuffled};
use crate::error::AttributionError;
use crate::lines::mean;
use crate::methods::Method;
use crate::options::{Configurable, Setting};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;

/// Total Sobol indices of segments.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct SobolAttribution {
    pub(crate) setup: Setup,
    superpixels: Superpixels,
    baseline: Hidden,
    design: usize,
}

impl SobolAttribution {
    /// 32 points in the cells of a grid of 8 x 8.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            superpixels: Superpixels::grid(8).where_they_fit().or_patches(),
            baseline: Hidden::zero(),
            design: 32,
        }
    }
}

coalitional!(SobolAttribution);

crate::options!(SobolAttribution {
    {
        /// What is hidden together.
        superpixels: Superpixels as "segments", SEGMENTS_HELP, SEGMENTS
    }
    {
        /// How many points each of the two designs has, 32 by default; each takes as many evaluations as
        /// there are segments, and two.
        design: usize as "design",
        "how many points there are; each takes an evaluation for each segment, and two", "1 or more",
        |points| *points > 0
    }
    {
        "baseline", HIDDEN_PIXELS, HIDDEN,
        |method, size| method.baseline.text(size),
        |method, text| {
            method.baseline = Setting::read(text)?;
            Some(())
        }
    }
});

impl Coalitional for SobolAttribution {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        Ok(self.design.saturating_mul(segments.saturating_add(2)))
    }

    fn held(&self, segments: usize) -> [usize; 4] {
        [2, self.design, segments, SINGLE]
    }

    fn values(&self, game: &mut Game<'_, '_>, random: &mut Random) -> Values {
        let n = game.players();
        let mut changes = Array1::<f64>::zeros(n);
        let mut scores = Vec::with_capacity(2 * self.design);
        let mut points = 0_u32;
        'design: for point in latin_hypercube(self.design, 2 * n, random).rows() {
            let (a, b) = point.split_at(Axis(0), n);
            let (a, b) = (a.to_vec(), b.to_vec());
            let ends = game.scores(&[a.clone(), b.clone()])?;
            let mut of_point = Array1::<f64>::zeros(n);
            let of_a = ends.first().copied().unwrap_or(0.0);
            let players: Vec<usize> = (0..n).collect();
            for players in players.chunks(game.batch_size()) {
                // A point counts when all that is known of it is there.
                if game.is_stopped() {
                    break 'design;
                }
                let mixed: Vec<Vec<f32>> = players
                    .iter()
                    .map(|&player| {
                        let mut mixed = a.clone();
                        mixed[player] = b[player];
                        mixed
                    })
                    .collect();
                let found = game.scores(&mixed)?;
                if found.len() < players.len() {
                    break 'design;
                }
                for (&player, score) in players.iter().zip(found) {
                    of_point[player] = (of_a - score).powi(2);
                }
            }
            scores.extend(ends);
            changes += &of_point;
            points += 1;
        }
        // Relative to one of them, so that scores that are all the same have none.
        let first = scores.first().copied().unwrap_or(0.0);
        let scores: Vec<f64> = scores.into_iter().map(|score| score - first).collect();
        let centre = mean(&scores);
        let squares: Vec<f64> = scores
            .iter()
            .map(|score| (score - centre).powi(2))
            .collect();
        let variance = mean(&squares);
        let indices = match variance > 0.0 {
            true => changes / (2.0 * f64::from(points) * variance),
            false => Array1::zeros(n),
        };
        Ok(indices.into())
    }
}

/// Numbers in `[0, 1]`, `[points, columns]`; of each column there is one in each of as many equal
/// intervals as there are points.
fn latin_hypercube(points: usize, columns: usize, random: &mut Random) -> Array2<f32> {
    let mut design = Array2::zeros((points, columns));
    for mut column in design.columns_mut() {
        for (number, interval) in column.iter_mut().zip(shuffled(points, random)) {
            *number = (interval as f32 + random.uniform()) / points as f32;
        }
    }
    design
}

pub(crate) const METHOD: Method =
    Method::new("sobol", "Sobol attribution", "Fel et al. 2021", |options| {
        options.apply(SobolAttribution::new())
    })
    .random()
    .keeps_partial()
    .options(SobolAttribution::OPTIONS);
