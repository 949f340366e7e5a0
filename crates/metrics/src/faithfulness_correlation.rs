//! Faithfulness correlation: whether the map of what is hidden foretells how far the score falls.
//!
//! With random sets `S` of pixels, all of one size, the map `Phi`, the score `f` and the image `x` in which the pixels
//! of `S` are replaced by a baseline,
//!
//! ```text
//! muF = correlation over S of (sum of Phi over S, f(x) - f(x without S))
//! ```
//!
//! between -1 and 1; larger is better. A constant map of equally large features foretells nothing: 0, as where the score never
//! changes.
//!
//! Bhatt, Weller and Moura, *Evaluating and aggregating feature-based model explanations* (2020), by Pearson's
//! correlation. [`FaithfulnessCorrelation::bhatt`], named `faithfulness-correlation`, hides single pixels, with all their
//! channels: 224 of them, a row of images whose shorter side has less than 128, in 100 sets, as Quantus'
//! `FaithfulnessCorrelation` does, which hides channels one by one. Single pixels change little of what a network sees.
//!
//! [`FaithfulnessCorrelation::xplique`], named `mu-fidelity`, is Xplique's `MuFidelity`: sets of a fifth of the cells of a grid
//! of 9 x 9, 200 of them, by Spearman's correlation. Its sum over a cell is that of the map over the cell's pixels.
//!
//! The score is the logit, or the class's probability if asked for. Hidden pixels are zeros of the prepared image, the mean
//! colour, which is the baseline of the paper. With 100 sets the value has a standard error of about a tenth. Memory: one
//! batch of images, and two images more.

use elucid_attribution::{Configurable, Setting};

use crate::case::Case;
use crate::correlation::{CORRELATIONS, Correlation};
use crate::hidden::{HIDDEN, Hidden};
use crate::insertion_deletion::usual_pixels;
use crate::metric::{BATCH_SIZE, Halt, at_least_one, info, measures, setters};
use crate::options::{TRUE_OR_FALSE, is_share, is_some_number, number_or};
use crate::subsets::{Effects, Features, Hiding};
use crate::table::{MetricInfo, MetricOption};

/// How many features are hidden at once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    /// As many pixels as RISE's program changes at once; a row of small images.
    Usual,
    /// So many pixels.
    Pixels(usize),
    /// A share of the cells of a grid of so many rows and columns.
    Cells(usize, f64),
}

/// The correlation of what the map says of hidden pixels with how far the score falls.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct FaithfulnessCorrelation {
    size: Size,
    samples: usize,
    correlation: Correlation,
    baseline: Hidden,
    probability: bool,
    batch_size: usize,
    seed: u64,
}

impl FaithfulnessCorrelation {
    /// 100 sets of 224 pixels, by Pearson's correlation.
    pub fn bhatt() -> Self {
        Self {
            size: Size::Usual,
            samples: 100,
            correlation: Correlation::Pearson,
            baseline: Hidden::Zero,
            probability: false,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    /// 200 sets of a fifth of the cells of a grid of 9 x 9, by Spearman's correlation.
    pub fn xplique() -> Self {
        Self {
            size: Size::Cells(9, 0.2),
            samples: 200,
            correlation: Correlation::Spearman,
            ..Self::bhatt()
        }
    }

    /// This many pixels a set, of which one at least is not in it.
    pub fn pixels(mut self, pixels: usize) -> Self {
        self.size = Size::Pixels(pixels);
        self
    }

    /// This share of the cells of a grid of `cells` rows and columns, rounded down, one cell at least and never all; of no more
    /// rows and columns than the image has pixels.
    pub fn grid(mut self, cells: usize, share: f64) -> Self {
        self.size = Size::Cells(cells, share);
        self
    }

    setters!(probability, batch_size, seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let [h, w] = case.size();
        let (features, size) = match self.size {
            Size::Usual => (Features::pixels(h * w), usual_pixels([h, w])),
            Size::Pixels(pixels) => (Features::pixels(h * w), pixels),
            Size::Cells(cells, share) => {
                let features = Features::grid([h, w], cells);
                // Not one less for a share that no number of bits is.
                let size = (features.count() as f64 * share + 1e-9).floor() as usize;
                (features, size)
            }
        };
        // All features at once are the same set each time.
        let size = size.clamp(1, (features.count() - 1).max(1));
        let hiding = Hiding {
            features: &features,
            baseline: self.baseline,
            batch_size: self.batch_size,
            probability: self.probability,
        };
        let sizes = vec![size; self.samples];
        let Effects { foretold, falls } =
            hiding.drawn(case, &sizes, &mut case.random(self.seed))?;
        Ok(self.correlation.of(&foretold, &falls))
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[usize::from(matches!(self.size, Size::Cells(..)))]
    }
}

crate::options!(FaithfulnessCorrelation {
    {
        "pixels",
        "pixels that are hidden at once: 224 as usual, a row where the shorter side has less than 128",
        "1 or more, or usual",
        |metric, size| match metric.size {
            Size::Usual => Some(usual_pixels(size).to_string()),
            Size::Pixels(pixels) => Some(pixels.to_string()),
            Size::Cells(..) => None,
        },
        |metric, text| {
            metric.size = number_or("usual", text)?.map_or(Size::Usual, Size::Pixels);
            Some(())
        },
        |metric| metric.size != Size::Pixels(0)
    }
    {
        "grid", "rows and columns of the grid whose cells are hidden", "1 or more",
        |metric, _| match metric.size {
            Size::Cells(cells, _) => Some(cells.to_string()),
            _ => None,
        },
        |metric, text| {
            let cells = Setting::read(text)?;
            let Size::Cells(before, _) = &mut metric.size else { return None };
            *before = cells;
            Some(())
        },
        |metric| !matches!(metric.size, Size::Cells(0, _))
    }
    {
        "share", "share of the cells that is hidden at once", "a share from 0 to 1",
        |metric, _| match metric.size {
            Size::Cells(_, share) => Some(share.to_string()),
            _ => None,
        },
        |metric, text| {
            let share = Setting::read(text)?;
            let Size::Cells(_, before) = &mut metric.size else { return None };
            *before = share;
            Some(())
        },
        |metric| match metric.size {
            Size::Cells(_, share) => is_share(&share),
            _ => true,
        }
    }
    {
        /// How many sets are hidden, 100 or 200 by default.
        samples: usize as "samples", "how many sets are hidden, one after the other", "1 or more", is_some_number
    }
    {
        /// How the map's sums and the falls of the score are correlated.
        correlation: Correlation as "correlation", "how the map and the falls of the score are correlated", CORRELATIONS
    }
    {
        /// What hidden pixels become, zero by default.
        baseline: Hidden as "baseline", "what hidden pixels become", HIDDEN
    }
    {
        probability as "probability", "whether the score is the probability, rather than the logit", TRUE_OR_FALSE
    }
} check |metric| at_least_one("batch size", metric.batch_size));

measures!(FaithfulnessCorrelation);

const ALL: &[MetricOption] = FaithfulnessCorrelation::OPTIONS;

/// Options of the form that hides pixels.
const BY_PIXELS: &[MetricOption] = &[ALL[0], ALL[3], ALL[4], ALL[5], ALL[6]];

/// Options of the form that hides cells.
const BY_CELLS: &[MetricOption] = &[ALL[1], ALL[2], ALL[3], ALL[4], ALL[5], ALL[6]];

const REFERENCE: &str = "Bhatt, Weller and Moura 2020";

pub(crate) const METRICS: [&MetricInfo; 2] = [
    &info!(
        "faithfulness-correlation": "Faithfulness correlation", Larger, Faithfulness, needs(scores), REFERENCE;
        BY_PIXELS, FaithfulnessCorrelation::bhatt(), batch_size, seed
    ),
    &info!(
        "mu-fidelity": "MuFidelity, faithfulness correlation of cells", Larger, Faithfulness, needs(scores), REFERENCE;
        BY_CELLS, FaithfulnessCorrelation::xplique(), batch_size, seed
    ),
];
