//! Localisation: does a box drawn around the salient part fit the object's?
//!
//! The error of one image is 1 if the intersection over union of the box from the map with each of
//! the true boxes is below one half, else 0. Smaller is better. With [`Localisation::iou`] the value
//! is the best overlap itself, of which larger is better.
//!
//! The protocol is that of Fong and Vedaldi, *Interpretable explanations of black boxes by
//! meaningful perturbation* (2017) and its program *perturb_explanations*, after Zhang et al. (2016)
//! and Cao et al. (2015): small values of the map are set to zero **first**, then the map is brought
//! to the size of the image (bilinear), then the tight box around what is not zero is taken. Three
//! rules say what is small, each with a parameter `alpha`:
//!
//! | rule | keeps |
//! | --- | --- |
//! | energy | the largest values, as long as they add up to less than `alpha` of the sum |
//! | value | values of `min + alpha (max - min)` and more |
//! | mean | values of `alpha` times the mean and more |
//!
//! They choose `alpha` for each method and rule on 5,000 training images that are not evaluated on
//! afterwards; the published choices are
//!
//! | rule | Grad-CAM | occlusion | mask | gradient | guided | excitation |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | energy | 0.65 | 0.55 | 0.95 | 0.10 | 0.30 | 0.60 |
//! | value | 0.35 | 0.30 | 0.10 | 0.25 | 0.05 | 0.15 |
//! | mean | 1.5 | 1.0 | 0.5 | 5.0 | 4.5 | 1.5 |
//!
//! The defaults here are those of excitation backprop.
//!
//! Their resizing passes through 256 grey levels, so that *not zero* means at least half a level, a
//! 510th of the largest value; the same holds here. Where nothing is left, the box is the whole
//! image, as theirs. Their maps have no negative values; here negative values count as zero, and a
//! map with nothing above zero has the whole image for its box.
//!
//! Others differ: Grad-CAM's paper keeps 15 % of the largest value and takes the largest connected
//! part, CAM's 20 %, both after resizing; the ILSVRC challenge counts an image as wrong if its class
//! is wrong too, which is not asked here. Where a mask is known and no box, the true box is the tight one around it.

use elucid_attribution::{Configurable, Saliency};
use ndarray::{Array2, ArrayView2, Axis};

use crate::case::Case;
use crate::error::MetricError;
use crate::metric::{Direction, Halt, Metric, Needs, Outcome, flags, info, number, outcome};
use crate::options::stated;
use crate::order::descending;
pub use crate::region::iou;
use crate::table::MetricInfo;

/// Which values of a map belong to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// The largest, as long as they add up to less than `alpha` of the sum.
    Energy,
    /// `min + alpha (max - min)` and more.
    Value,
    /// `alpha` times the mean and more.
    Mean,
}

impl Threshold {
    /// The map with all else set to zero. Negative values count as zero.
    pub fn apply(self, map: ArrayView2<'_, f32>, alpha: f64) -> Array2<f32> {
        let mut map = map.mapv(|v| v.max(0.0));
        let sum: f64 = map.iter().map(|&v| f64::from(v)).sum();
        match self {
            Self::Energy => {
                let order = descending(map.view());
                let columns = map.ncols().max(1);
                let mut energy = 0.0;
                for i in order {
                    let value = &mut map[[i / columns, i % columns]];
                    energy += f64::from(*value);
                    if energy >= alpha * sum {
                        *value = 0.0;
                    }
                }
            }
            Self::Value => {
                let low = f64::from(map.iter().copied().fold(f32::INFINITY, f32::min));
                let high = f64::from(map.iter().copied().fold(0.0, f32::max));
                map.mapv_inplace(|v| match f64::from(v) - low < alpha * (high - low) {
                    true => 0.0,
                    false => v,
                });
            }
            Self::Mean => {
                let threshold = alpha * sum / map.len().max(1) as f64;
                map.mapv_inplace(|v| match f64::from(v) < threshold {
                    true => 0.0,
                    false => v,
                });
            }
        }
        map
    }
}

/// The tight box around what is left of a map after thresholding and resizing to `size` (height,
/// width): `[xmin, ymin, xmax, ymax]`, half-open, in pixels of that size; the whole image where
/// nothing is left.
pub fn box_from_map(
    map: ArrayView2<'_, f32>,
    threshold: Threshold,
    alpha: f64,
    size: [usize; 2],
) -> [f32; 4] {
    let kept = threshold.apply(map, alpha);
    let largest = kept.iter().copied().fold(0.0, f32::max);
    let levels = match largest > 0.0 {
        true => kept.mapv(|v| (v / largest * 255.0).round()),
        false => kept,
    };
    let resized = Saliency::new(levels.insert_axis(Axis(0)), size).upsampled();
    let mut tight: Option<[usize; 4]> = None;
    for ((_, y, x), &v) in resized.maps().indexed_iter() {
        if v >= 0.5 {
            let [x0, y0, x1, y1] = tight.unwrap_or([x, y, x + 1, y + 1]);
            tight = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
        }
    }
    let [height, width] = size;
    tight
        .unwrap_or([0, 0, width, height])
        .map(|corner| corner as f32)
}

/// Localisation by a box.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Localisation {
    threshold: Threshold,
    alpha: f64,
    overlap: bool,
}

impl Localisation {
    fn new(threshold: Threshold, alpha: f64) -> Self {
        Self {
            threshold,
            alpha,
            overlap: false,
        }
    }

    /// With the energy threshold: a share of the map's sum, 0.6 for excitation backprop.
    pub fn energy(alpha: f64) -> Self {
        Self::new(Threshold::Energy, alpha)
    }

    /// With the value threshold: a share of the map's range, 0.15 for excitation backprop.
    pub fn value(alpha: f64) -> Self {
        Self::new(Threshold::Value, alpha)
    }

    /// With the mean threshold: a multiple of the map's mean, 1.5 for excitation backprop.
    pub fn mean(alpha: f64) -> Self {
        Self::new(Threshold::Mean, alpha)
    }

    flags! {
        /// The overlap itself is the value, rather than whether it is too small.
        iou => overlap,
    }

    fn find(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_raw()?;
        let boxes = case.true_boxes()?;
        let found = box_from_map(map, self.threshold, self.alpha, case.size());
        let best = boxes.iter().map(|&b| iou(found, b)).fold(0.0, f64::max);
        Ok(match self.overlap {
            true => best,
            false => f64::from(u8::from(best < 0.5)),
        })
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[match self.threshold {
            Threshold::Energy => 0,
            Threshold::Value => 1,
            Threshold::Mean => 2,
        }]
    }

    fn check_alpha(&self) -> Result<(), MetricError> {
        match self.threshold {
            Threshold::Mean => number("alpha", self.alpha, |v| v >= 0.0, "0 or more"),
            Threshold::Energy | Threshold::Value => {
                let is_share = |v| (0.0..=1.0).contains(&v);
                number("alpha", self.alpha, is_share, "a share from 0 to 1")
            }
        }
    }
}

crate::options!(Localisation {
    {
        alpha as "alpha",
        "the threshold: a share of the map's sum (energy), where it lies between the smallest and the largest \
         value (value), or a multiple of the mean (mean)",
        "a number"
    }
    {
        "report", "error: 1 where the overlap is below one half, else 0; iou: the overlap, larger is better",
        "error or iou",
        |metric, _| Some(if metric.overlap { "iou" } else { "error" }.to_owned()),
        |metric, text| {
            metric.overlap = match text.trim() {
                "error" => false,
                "iou" => true,
                _ => return None,
            };
            Some(())
        }
    }
} check Localisation::check_alpha);

impl Metric for Localisation {
    fn name(&self) -> &'static str {
        self.info().name
    }

    fn direction(&self) -> Direction {
        match self.overlap {
            true => Direction::Larger,
            false => Direction::Smaller,
        }
    }

    fn needs(&self) -> Needs {
        Needs::TRUTH
    }

    stated!();

    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError> {
        self.check()?;
        outcome(self.find(case))
    }
}

const REFERENCE: &str = "Fong and Vedaldi 2017; Zhang et al. 2016; Cao et al. 2015";

pub(crate) const METRICS: [&MetricInfo; 3] = [
    &info!(
        "localisation-energy": "Localisation error, energy threshold", Smaller, Localisation, needs(truth), REFERENCE;
        Localisation::OPTIONS, Localisation::energy(0.6)
    ),
    &info!(
        "localisation-value": "Localisation error, value threshold", Smaller, Localisation, needs(truth), REFERENCE;
        Localisation::OPTIONS, Localisation::value(0.15)
    ),
    &info!(
        "localisation-mean": "Localisation error, mean threshold", Smaller, Localisation, needs(truth), REFERENCE;
        Localisation::OPTIONS, Localisation::mean(1.5)
    ),
];
