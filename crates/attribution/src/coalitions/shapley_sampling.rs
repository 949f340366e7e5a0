//! Shapley values of segments by random orders.
//!
//! Castro, Gómez and Tejada, *Polynomial calculation of the Shapley value based on sampling* (2009);
//! Štrumbelj and Kononenko (2010). Segments are shown one after the other in a random order, and each
//! has the difference that it makes to the score; of several orders the mean is taken. Every order's
//! differences add up to `v(all) - v(none)`, and so do their means.
//!
//! The mean over orders is unbiased, and its error shrinks with one over the square root of their
//! number. 25 orders by default, as Captum's `ShapleyValueSampling`; each takes one evaluation less
//! than there are segments, the last being the whole image. Segments are 50 of SLIC; Captum's are
//! pixels unless it is given a mask.
//!
//! Memory: `batch_size` images.

use ndarray::Array1;

use crate::coalitions::{
    Coalitional, Estimate, Play, Superpixels, Values, Worth, coalitional, shuffled,
};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::random::Random;

coalitional! {
    /// Shapley values of segments by random orders.
    #[doc(alias = "ShapleyValueSampling")]
    pub struct ShapleySampling of Superpixels::slic(50), {
        permutations: usize = 25,
    }
    /// 25 orders of 50 segments of SLIC.
    new
    options {
        {
            /// How many orders there are, 25 by default.
            permutations: usize as "permutations", "how many orders of the segments there are", "1 or more",
            |permutations| *permutations > 0
        }
    }
}

impl Coalitional for ShapleySampling {
    const IS_COMPLETE: bool = true;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        Ok(self.permutations.saturating_mul(segments.saturating_sub(1)))
    }

    fn play(&self, segments: usize, random: Random) -> Box<dyn Play + '_> {
        Box::new(Orders {
            most: self.permutations,
            random,
            drawn: Vec::new(),
            coalition: vec![0.0; segments],
            before: Before::none(segments),
            orders: 0,
            values: Array1::zeros(segments),
            spread: Array1::zeros(segments),
        })
    }
}

/// Segments in random orders.
struct Orders {
    most: usize,
    random: Random,
    /// Who is shown next in the order that is drawn, the next one last.
    drawn: Vec<usize>,
    /// Those of the order who are shown.
    coalition: Vec<f32>,
    before: Before,
    /// How many were heard to their ends.
    orders: usize,
    /// The mean of what each makes of a difference, and the sum of squared differences from it.
    values: Array1<f64>,
    spread: Array1<f64>,
}

/// What was heard of an order.
struct Before {
    coalition: Vec<f32>,
    /// `None` before the first of the order is shown.
    score: Option<f64>,
    differences: Array1<f64>,
}

impl Before {
    fn none(segments: usize) -> Self {
        Self {
            coalition: vec![0.0; segments],
            score: None,
            differences: Array1::zeros(segments),
        }
    }
}

impl Orders {
    /// Counts what each segment made of a difference in one order. Welford's way, which does not subtract large numbers
    /// from each other.
    fn add(&mut self, differences: &Array1<f64>) {
        self.orders += 1;
        let away = differences - &self.values;
        self.values += &(&away / self.orders as f64);
        self.spread += &(&away * &(differences - &self.values));
    }
}

impl Play for Orders {
    /// The last of an order is not drawn: that is the whole image.
    fn draw(&mut self) -> Vec<f32> {
        let segments = self.coalition.len();
        if self.drawn.len() <= 1 {
            self.coalition.fill(0.0);
            self.drawn = shuffled(segments, &mut self.random);
            self.drawn.reverse();
        }
        if let Some(player) = self.drawn.pop() {
            self.coalition[player] = 1.0;
        }
        self.coalition.clone()
    }

    fn hear(&mut self, coalition: &[f32], score: f64, worth: Worth) {
        let segments = coalition.len();
        let Before {
            coalition: before,
            score: scored,
            differences,
        } = &mut self.before;
        let joins = |before: &[f32], now: &[f32]| (0..segments).find(|&i| before[i] < now[i]);
        if let Some(player) = joins(before, coalition) {
            differences[player] = score - scored.unwrap_or(worth.none);
        }
        coalition.clone_into(before);
        *scored = Some(score);
        let hidden = coalition.iter().filter(|&&shown| shown == 0.0).count();
        if let (1, Some(last)) = (hidden, joins(before, &vec![1.0; segments])) {
            differences[last] = worth.all - score;
            let ended = std::mem::replace(&mut self.before, Before::none(segments));
            self.add(&ended.differences);
        }
    }

    fn end(&mut self, worth: Worth, _go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values {
        // Of one segment there is nothing to ask: each order says the same.
        if self.values.len() == 1 && self.orders == 0 {
            self.values.fill(worth.all - worth.none);
            self.orders = self.most;
        }
        let count = self.orders as f64;
        let error = |spread: &f64| (spread / (count * (count - 1.0))).sqrt();
        let errors = (self.orders > 1).then(|| self.spread.map(error));
        let values = self.values.clone();
        Ok(Estimate { values, errors })
    }
}

pub(crate) const METHOD: Method = Method::of::<ShapleySampling>(
    "shapley-sampling",
    "Shapley value sampling",
    "Castro, Gómez and Tejada 2009; Štrumbelj and Kononenko 2010",
)
.random()
.keeps_partial()
.sums_to("score - mean score of the baselines, each segment counted once")
.also(&["shapley-value-sampling"]);
