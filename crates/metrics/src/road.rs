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
use crate::imputation::Imputation;
use crate::metric::{
    BATCH_SIZE, Direction, Halt, Metric, Needs, Outcome, at_least_one, forms, info, setters,
};
use crate::options::{check_percentages, is_not_negative, joined, parted, stated, words};
use crate::order::descending;
use crate::probe::{Curve, Probe};
use crate::table::MetricInfo;
use crate::traced::{CurveAxes, Made, Traced, traced};

words! {
    /// Which pixels are removed.
    pub enum Order: "order", ORDERS = "combined, most or least", default Combined {
        /// Half the difference of the two others.
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

    forms! {
        /// Half the difference of the probabilities left by the two orders.
        combined => Order::Combined,
        /// The probability left when the most relevant pixels are removed.
        most_relevant_first => Order::Most,
        /// The probability left when the least relevant pixels are removed.
        least_relevant_first => Order::Least,
    }

    /// The percentages of the pixels that are removed: 10, 20 to 90.
    pub fn percentages(mut self, percentages: impl IntoIterator<Item = f64>) -> Self {
        self.percentages = percentages.into_iter().collect();
        self
    }

    setters!(batch_size, seed);

    fn check_percentages(&self) -> Result<(), MetricError> {
        at_least_one("batch size", self.batch_size)?;
        check_percentages(&self.percentages)
    }

    fn run(&self, case: &Case<'_>) -> Result<Made, Halt> {
        let order = descending(case.finite_map()?);
        // Without noise a constant image needs no scale.
        let noise = match self.noise {
            0.0 => 0.0,
            noise => noise * case.unit(self.scale)?,
        };
        let most = match self.order {
            Order::Least => None,
            _ => Some(self.probabilities(case, &order, noise)?),
        };
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        let least = match self.order {
            Order::Most => None,
            _ => Some(self.probabilities(case, &reversed, noise)?),
        };
        let mean = |curve: &Option<Curve>| {
            let scores = curve.as_ref().map_or(&[][..], |curve| &curve.scores);
            scores.iter().sum::<f64>() / scores.len().max(1) as f64
        };
        let value = match self.order {
            Order::Combined => (mean(&least) - mean(&most)) / 2.0,
            Order::Most => mean(&most),
            Order::Least => mean(&least),
        };
        let curves = [("most", most), ("least", least)].into_iter();
        let curves = curves.filter_map(|(name, curve)| Some((name, curve?)));
        Ok((value, curves.collect()))
    }

    /// The probability at each of the percentages when pixels go in this order.
    fn probabilities(&self, case: &Case<'_>, order: &[usize], noise: f64) -> Result<Curve, Halt> {
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
        let removed = |i: usize, batch: &mut Vec<f32>| {
            let imputation = Imputation::new(h, w, &order[..counts[i]]);
            imputation.fill(&case.pixels, &mut guess, plane)?;
            let from = batch.len();
            batch.extend(&guess);
            for channel in batch[from..].chunks_mut(plane) {
                for &at in &imputation.removed {
                    channel[at] += (noise * random.normal_double()) as f32;
                }
            }
            Ok(())
        };
        let scores =
            Probe::new(case, self.batch_size)?.scores_and(counts.len(), removed, |_| {})?;
        Ok(Curve {
            fractions: counts
                .iter()
                .map(|&count| count as f64 / plane as f64)
                .collect(),
            scores: scores.iter().map(|score| score.probability).collect(),
        })
    }
}

crate::options!(Road {
    {
        order as "order", "which pixels go first; most: smaller is better", ORDERS
    }
    {
        "percentages", "percentages of the pixels that are removed", "numbers joined by +",
        |road, _| Some(joined(&road.percentages)),
        |road, text| {
            road.percentages = parted(text)?;
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
        Ok(self.trace(case)?.outcome)
    }

    fn curve_axes(&self) -> Option<CurveAxes> {
        Some(CurveAxes {
            horizontal: "share of the pixels taken away",
            vertical: "probability",
        })
    }

    fn trace(&self, case: &Case<'_>) -> Result<Traced, MetricError> {
        self.check()?;
        traced(self.run(case))
    }
}

pub(crate) const METRIC: MetricInfo = info!(
    "road": "ROAD, remove and debias", Larger, Faithfulness, needs(scores), "Rong et al. 2022";
    Road::OPTIONS, Road::combined(), batch_size, seed
);
