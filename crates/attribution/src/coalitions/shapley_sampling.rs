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

use elucid_graph::INPUT;
use ndarray::Array1;

use crate::attributor::Setup;
use crate::coalitions::hidden::{HIDDEN, Hidden};
use crate::coalitions::superpixels::{SEGMENTS, SEGMENTS_HELP};
use crate::coalitions::{Coalitional, Estimate, Game, Superpixels, Values, coalitional, shuffled};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::{Configurable, Setting};
use crate::perturbation::HIDDEN_PIXELS;
use crate::random::Random;

/// Shapley values of segments by random orders.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct ShapleySampling {
    pub(crate) setup: Setup,
    superpixels: Superpixels,
    baseline: Hidden,
    permutations: usize,
}

impl ShapleySampling {
    /// 25 orders of 50 segments of SLIC.
    pub fn new() -> Self {
        Self {
            setup: Setup::at(INPUT),
            superpixels: Superpixels::slic(50).where_they_fit().or_patches(),
            baseline: Hidden::zero(),
            permutations: 25,
        }
    }
}

coalitional!(ShapleySampling);

crate::options!(ShapleySampling {
    {
        /// What is hidden together.
        superpixels: Superpixels as "segments", SEGMENTS_HELP, SEGMENTS
    }
    {
        /// How many orders there are, 25 by default.
        permutations: usize as "permutations", "how many orders of the segments there are", "1 or more",
        |permutations| *permutations > 0
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

impl Coalitional for ShapleySampling {
    const IS_COMPLETE: bool = true;

    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError> {
        Ok(self.permutations.saturating_mul(segments.saturating_sub(1)))
    }

    fn values(&self, game: &mut Game<'_, '_>, random: &mut Random) -> Values {
        let n = game.players();
        let mut values = Array1::<f64>::zeros(n);
        let mut spread = Array1::<f64>::zeros(n);
        let mut orders = 0;
        while orders < self.permutations {
            let Some(differences) = differences(game, random)? else {
                break;
            };
            orders += 1;
            // Welford's way, which does not subtract large numbers from each other.
            let away = &differences - &values;
            values += &(&away / orders as f64);
            spread += &(&away * &(differences - &values));
            if game.is_stopped() {
                break;
            }
        }
        let errors = (orders > 1).then(|| {
            let count = orders as f64;
            (spread / (count * (count - 1.0))).mapv(f64::sqrt)
        });
        Ok(Estimate { values, errors })
    }
}

/// What each segment makes of a difference in one random order; `None` where the work was stopped
/// before its end.
fn differences(
    game: &mut Game<'_, '_>,
    random: &mut Random,
) -> Result<Option<Array1<f64>>, AttributionError> {
    let n = game.players();
    let mut differences = Array1::<f64>::zeros(n);
    let order = shuffled(n, random);
    let mut coalition = vec![0.0; n];
    let mut before = game.none();
    // As many at a time as are scored together: of many segments all coalitions of an order would fill the
    // memory.
    for players in order.chunks(game.batch_size()) {
        let coalitions: Vec<Vec<f32>> = players
            .iter()
            .map(|&player| {
                coalition[player] = 1.0;
                coalition.clone()
            })
            .collect();
        let is_last = coalition.iter().all(|&shown| shown == 1.0);
        let unknown = coalitions.len() - usize::from(is_last);
        let mut scores = game.scores(&coalitions[..unknown])?;
        if scores.len() < unknown || (game.is_stopped() && !is_last) {
            return Ok(None);
        }
        if is_last {
            scores.push(game.all());
        }
        for (&player, score) in players.iter().zip(scores) {
            differences[player] = score - before;
            before = score;
        }
    }
    Ok(Some(differences))
}

pub(crate) const METHOD: Method = Method::new(
    "shapley-sampling",
    "Shapley value sampling",
    "Castro, Gómez and Tejada 2009; Štrumbelj and Kononenko 2010",
    |options| options.apply(ShapleySampling::new()),
)
.random()
.keeps_partial()
.sums_to("score - mean score of the baselines, each segment counted once")
.options(ShapleySampling::OPTIONS);
