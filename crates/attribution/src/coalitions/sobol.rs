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
//! **Standard errors** ([`Attribution::standard_errors`](crate::Attribution::standard_errors)) are those of a ratio of means
//! over the points of the design, to first order (the delta method; Cochran, *Sampling techniques*, 1977, chapter 6): with
//! `d_ij = (v(a_j) - v(c_ij))^2 / 2` and `s_j` the mean of `(v - mean)^2` over `v(a_j)` and `v(b_j)`,
//!
//! `sqrt(sum_j ((d_ij - T_i s_j) / variance)^2 / (p (p - 1)))`
//!
//! for `p` points, which a bootstrap over them approaches (Archer, Saltelli and Sobol, 1997). Points are taken as
//! independent; those of a Latin hypercube are spread more evenly than that, so that the errors are rather too large than
//! too small (Stein, *Large sample properties of simulations using Latin hypercube sampling*, 1987).
//!
//! Memory: beside `batch_size` images, three numbers for each point and segment.

use ndarray::{Array1, Array2, Axis};

use crate::budget::{DOUBLE, SINGLE};
use crate::coalitions::{
    Coalitional, Estimate, Play, Superpixels, Values, Worth, coalitional, shuffled,
};
use crate::error::AttributionError;
use crate::lines::mean;
use crate::methods::Method;
use crate::random::Random;

coalitional! {
    /// Total Sobol indices of segments.
    pub struct SobolAttribution of Superpixels::grid(8), {
        design: usize = 32,
    }
    /// 32 points in the cells of a grid of 8 x 8.
    new
    options {
        {
            /// How many points each of the two designs has, 32 by default; each takes as many evaluations as
            /// there are segments, and two.
            design: usize as "design",
            "how many points there are; each takes an evaluation for each segment, and two", "1 or more",
            |points| *points > 0
        }
    }
}

impl Coalitional for SobolAttribution {
    const IS_COMPLETE: bool = false;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        Ok(self.design.saturating_mul(segments.saturating_add(2)))
    }

    fn held(&self, segments: usize) -> [usize; 4] {
        [1, self.design, segments, 2 * SINGLE + DOUBLE]
    }

    fn play(&self, segments: usize, mut random: Random) -> Box<dyn Play + '_> {
        Box::new(Designs {
            points: latin_hypercube(self.design, 2 * segments, &mut random),
            drawn: 0,
            point: Vec::new(),
            ends: Vec::new(),
            changes: Vec::new(),
        })
    }
}

/// The points of both designs, and what was heard of them. Of each point the two ends are asked about, and then the first
/// end with the number of one segment from the second, segment by segment.
struct Designs {
    /// `[points, 2 segments]`
    points: Array2<f32>,
    drawn: usize,
    /// What was heard of a point so far.
    point: Vec<f64>,
    /// What both ends of each point scored. A point counts when all that is known of it is there.
    ends: Vec<[f64; 2]>,
    /// Half the squared change by each segment, for each point.
    changes: Vec<Array1<f64>>,
}

impl Designs {
    fn segments(&self) -> usize {
        self.points.ncols() / 2
    }
}

impl Play for Designs {
    fn draw(&mut self) -> Vec<f32> {
        let n = self.segments();
        let (point, which) = (self.drawn / (n + 2), self.drawn % (n + 2));
        self.drawn += 1;
        let point = self.points.row(point);
        let (a, b) = point.split_at(Axis(0), n);
        match which {
            0 => a.to_vec(),
            1 => b.to_vec(),
            _ => {
                let mut mixed = a.to_vec();
                mixed[which - 2] = b[which - 2];
                mixed
            }
        }
    }

    fn hear(&mut self, _coalition: &[f32], score: f64, _worth: Worth) {
        self.point.push(score);
        if let [a, b, mixed @ ..] = &self.point[..]
            && mixed.len() == self.segments()
        {
            let changes = mixed.iter().map(|mixed| 0.5 * (a - mixed).powi(2));
            self.changes.push(changes.collect());
            self.ends.push([*a, *b]);
            self.point.clear();
        }
    }

    fn end(&mut self, _worth: Worth, _go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values {
        let n = self.segments();
        // Relative to one of them, so that scores that are all the same have none.
        let first = self.ends.first().map_or(0.0, |ends| ends[0]);
        let ends: Vec<[f64; 2]> = (self.ends.iter())
            .map(|ends| ends.map(|score| score - first))
            .collect();
        let centre = mean(ends.as_flattened());
        // The part of each point in the variance.
        let parts: Vec<f64> = (ends.iter())
            .map(|ends| mean(&ends.map(|score| (score - centre).powi(2))))
            .collect();
        let (variance, points) = (mean(&parts), parts.len() as f64);
        if variance <= 0.0 {
            return Ok(Estimate::none(n));
        }
        let sum = |sum: Array1<f64>, changes: &Array1<f64>| sum + changes;
        let indices = self.changes.iter().fold(Array1::zeros(n), sum) / (points * variance);
        let errors = (parts.len() > 1).then(|| {
            let mut squares = Array1::<f64>::zeros(n);
            for (changes, part) in self.changes.iter().zip(&parts) {
                let moves = (changes - &(&indices * *part)) / variance;
                squares += &(&moves * &moves);
            }
            (squares / (points * (points - 1.0))).mapv(f64::sqrt)
        });
        Ok(Estimate {
            values: indices,
            errors,
        })
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
    Method::of::<SobolAttribution>("sobol", "Sobol attribution", "Fel et al. 2021")
        .random()
        .keeps_partial()
        .also(&["sobol-attribution"]);
