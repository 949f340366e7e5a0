//! Faithfulness estimate: whether the more salient pixels are those without which the score falls further.
//!
//! The pixels are cut into groups in the order of the map `Phi`. Each group `G` is hidden by itself, the rest of the image `x`
//! stays, and with the score `f`
//!
//! ```text
//! F = Pearson's correlation over G of (sum of Phi over G, f(x) - f(x without G))
//! ```
//!
//! between -1 and 1; larger is better. 0 for a constant map, but for an uneven last group, and for a score that does not change.
//!
//! Alvarez-Melis and Jaakkola, *Towards robust interpretability with self-explaining neural networks* (2018), who hide one
//! feature at a time, of which an image has too many: there are 64 groups here, of equally many pixels but for the last, with
//! all their channels. Quantus' `FaithfulnessEstimate` has the same groups with `features_in_step`, of channels one by one. The
//! score is the logit, or the class's probability if asked for; hidden pixels are zeros of the prepared image.
//!
//! Equal values go in row-major order. Memory: one batch of images and two images more.

use elucid_attribution::Configurable;

use crate::case::Case;
use crate::correlation::Correlation;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{BATCH_SIZE, Halt, at_least_one, info, measures, setters};
use crate::options::{TRUE_OR_FALSE, is_some_number};
use crate::order::descending;
use crate::subsets::{Effects, Features, Hiding};
use crate::table::MetricInfo;

/// The correlation of the map with what hiding each group of pixels does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct FaithfulnessEstimate {
    steps: usize,
    baseline: Hidden,
    probability: bool,
    batch_size: usize,
}

impl Default for FaithfulnessEstimate {
    fn default() -> Self {
        Self::new()
    }
}

impl FaithfulnessEstimate {
    /// 64 groups, zeros, the logit.
    pub fn new() -> Self {
        Self {
            steps: 64,
            baseline: Hidden::Zero,
            probability: false,
            batch_size: BATCH_SIZE,
        }
    }

    setters!(probability, batch_size);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let order = descending(case.finite_map()?);
        let groups: Vec<&[usize]> = order.chunks(order.len().div_ceil(self.steps)).collect();
        let features = Features::pixels(order.len());
        let hiding = Hiding {
            features: &features,
            baseline: self.baseline,
            batch_size: self.batch_size,
            probability: self.probability,
        };
        let Effects { foretold, falls } = hiding.effects(case, groups.len(), |i, subset| {
            subset.extend(groups[i]);
        })?;
        Ok(Correlation::Pearson.of(&foretold, &falls))
    }
}

crate::options!(FaithfulnessEstimate {
    {
        /// How many groups there are, 64 by default; as many as there are pixels at most.
        steps: usize as "steps", "how many groups of pixels are hidden, one after the other", "1 or more",
        is_some_number
    }
    {
        /// What hidden pixels become, zero by default.
        baseline: Hidden as "baseline", "what hidden pixels become", HIDDEN
    }
    {
        probability as "probability", "whether the score is the probability, rather than the logit", TRUE_OR_FALSE
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(FaithfulnessEstimate as METRIC);

pub(crate) const METRIC: MetricInfo = info!(
    "faithfulness-estimate": "Faithfulness estimate", Larger, Faithfulness, needs(scores),
    "Alvarez-Melis and Jaakkola 2018"; FaithfulnessEstimate::OPTIONS, FaithfulnessEstimate::new(), batch_size
);
