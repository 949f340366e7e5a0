//! Monotonicity: whether the score never falls while the image is put together, least salient pixels first.
//!
//! The image begins as a baseline, and groups of pixels of the true one are put back in the order of the map, the least salient
//! first. With the class's probability `p_k` after `k` groups, of `K`, the value is 1 if `p_k >= p_(k-1)` for all `k`
//! from 2 to `K`, else 0; larger is better. With [`Monotonicity::share`] it is the share of these steps that do not fall,
//! which tells more of a network on images: one step of many that falls makes the whole a 0.
//!
//! Arya et al., *One explanation does not fit all: a toolkit and taxonomy of AI explainability techniques* (2019), and their
//! program AIX360, after Luss et al. Nguyen and Martinez' monotonicity is another measure:
//! [`monotonicity_correlation`](crate::monotonicity_correlation). They add features one by one; here there are 64 groups of
//! equally many pixels, but for the last. The first step, from nothing to the first group, does not count there, nor here.
//! Quantus 0.6 has `Monotonicity`, whose image stays the baseline while it is put together, so that its answer is always yes.
//!
//! Pixels that are not there are zeros of the prepared image, the mean colour. A network whose scores are no logits of
//! probabilities is measured by its scores. Equal values go in row-major order, reversed. Memory: one batch of images and three
//! images more.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{BATCH_SIZE, Halt, at_least_one, curve, info, setters};
use crate::options::{is_some_number, words};
use crate::order::{copy_pixels, descending};
use crate::probe::{Curve, Probe};
use crate::table::MetricInfo;
use crate::traced::traces;

words! {
    /// What is said of the steps.
    pub enum Steps: "report", REPORTS = "all or share", default All {
        /// 1 if none of them falls, else 0.
        All = "all",
        /// The share of them that do not fall.
        Share = "share",
    }
}

/// Whether the probability never falls while the image is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Monotonicity {
    steps: usize,
    report: Steps,
    baseline: Hidden,
    batch_size: usize,
}

impl Default for Monotonicity {
    fn default() -> Self {
        Self::new()
    }
}

impl Monotonicity {
    /// 64 groups, from zeros.
    pub fn new() -> Self {
        Self {
            steps: 64,
            report: Steps::All,
            baseline: Hidden::Zero,
            batch_size: BATCH_SIZE,
        }
    }

    /// The share of the steps that do not fall.
    pub fn share(self) -> Self {
        self.report(Steps::Share)
    }

    setters!(batch_size);

    curve! {
        /// The probability after each group, or why there is none.
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        let steps = curve.scores.windows(2);
        let (all, rising) = (steps.len(), steps.filter(|pair| pair[1] >= pair[0]).count());
        Ok(match self.report {
            Steps::All => f64::from(u8::from(rising == all)),
            // Without any step none falls.
            Steps::Share if all == 0 => 1.0,
            Steps::Share => rising as f64 / all as f64,
        })
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let mut order = descending(case.finite_map()?);
        order.reverse();
        let plane = order.len();
        let groups: Vec<&[usize]> = order.chunks(plane.div_ceil(self.steps)).collect();
        let mut now = self.baseline.pixels(case)?;
        let mut shown = 0;
        let mut fractions = Vec::with_capacity(groups.len());
        let scores = Probe::new(case, self.batch_size)?.scores(groups.len(), |i, batch| {
            copy_pixels(groups[i], plane, &case.pixels, &mut now);
            shown += groups[i].len();
            fractions.push(shown as f64 / plane as f64);
            batch.extend(&now);
        })?;
        Ok(Curve {
            fractions,
            scores: scores.iter().map(|score| score.probability).collect(),
        })
    }
}

crate::options!(Monotonicity {
    {
        /// How many groups of pixels there are, 64 by default; as many as there are pixels at most.
        steps: usize as "steps", "how many groups of pixels are put back", "1 or more", is_some_number
    }
    {
        /// What is said of the steps: whether none falls, or how many do not.
        report: Steps as "report", "all: 1 where no step falls, else 0; share: the share of steps that do not fall",
        REPORTS
    }
    {
        /// What pixels are that are not yet there, zero by default.
        baseline: Hidden as "baseline", "what pixels are that are not there", HIDDEN
    }
} check |metric| at_least_one("batch size", metric.batch_size));

traces!(Monotonicity as METRIC, |_metric| [
    "share of the pixels put back",
    "probability"
]);

pub(crate) const METRIC: MetricInfo = info!(
    "monotonicity": "Monotonicity while the image is put together", Larger, Faithfulness, needs(scores),
    "Arya et al. 2019"; Monotonicity::OPTIONS, Monotonicity::new(), batch_size
);
