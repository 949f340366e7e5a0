//! XRAI: regions of the picture in the order of what they gain.
//!
//! Integrated gradients from black and from white are averaged, and the largest number over channels is a
//! pixel's. The picture is cut into segments of several sizes, which overlap. Then regions grow: of all
//! segments, the one whose pixels that are not covered yet have the largest mean attribution is added,
//! until none is left. One number for each pixel, `[N, 1, H, W]`:
//!
//! | [`XraiMap`] | a pixel's number |
//! | --- | --- |
//! | [`Order`](XraiMap::Order) | the share of the picture that was not covered when its segment was added: 1 for the first; the pixels above `1 - p` are the first regions that cover a share `p` |
//! | [`Gain`](XraiMap::Gain) | the mean attribution of what its segment added: the authors' program |
//!
//! Pixels of no segment that was added come last, together. Where nothing is attributed there is no order,
//! and the map is 0.
//!
//! Source: Kapishnikov, Bolukbasi, Viégas and Terry, *XRAI: Better Attributions Through Regions*, ICCV 2019,
//! <https://arxiv.org/abs/1906.02825>. As there, segments are Felzenszwalb and Huttenlocher's (2004) at the
//! scales 50, 100, 150, 250, 500 and 1200, behind a Gaussian of 0.8 pixels, of at least 150 pixels, on the
//! picture at 224 x 224; each is widened by 5 pixels, and a segment that would add fewer than 50 is dropped.
//! These two are for pictures of 224 x 224 and grow with others.
//!
//! What differs from the authors' program: gradients are taken at 50 nodes of Gauss and Legendre and not
//! at 100 steps, edges are repeated where the picture is smoothed, a segment's colours are those that the
//! model's [`InputSpec`](elucid_vision::InputSpec) recovers, and the order is the map unless gains are asked for.
//!
//! `steps` gradients for each image and baseline. The error of the integral is what the result states as
//! [`Attribution::completeness`]. Stopped ([`Xrai::keep_partial`]), regions are ranked by the estimate of integrated gradients
//! so far. Memory: as integrated gradients, and some numbers for each pixel and size
//! of segments.

mod regions;

use ndarray::{Axis, Ix4};

use self::regions::{SCALES, grown, segments};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::integrated_gradients::IntegratedGradients;
use crate::methods::Method;
use crate::options::{Configurable, words};
use crate::perturbation::per_pixel;
use crate::saliency::Reduce;
use crate::work::Context;

words! {
    /// What a pixel's number is.
    pub enum XraiMap: "map", MAPS =
        "order (1 for the first region, down to 0) or gain (the mean attribution that it added)" {
        /// The share of the picture that was not covered when its segment was added.
        Order = "order",
        /// The mean attribution of what its segment added.
        Gain = "gain",
    }
}

method! {
    /// XRAI: regions of the picture in the order of what they gain.
    pub struct Xrai {
        map: XraiMap = XraiMap::Order,
        steps: usize = 50,
        baseline: Baseline = Baseline::several([Baseline::black(), Baseline::white()]),
    }
    /// Regions in their order, by integrated gradients of 50 steps from black and from white.
    new
}

impl Xrai {
    setup_builders!(batch_size, seed, progress, keep_partial);
}

crate::options!(Xrai {
    {
        /// What a pixel's number is, its region's place in the order by default.
        map: XraiMap as "map", "what a pixel's number is", MAPS
    }
    {
        /// How many gradients are taken from each baseline, 50 by default.
        steps: usize as "steps", "how many gradients are taken from each baseline", "1 or more",
        |steps| *steps > 0
    }
    {
        /// Where paths begin, black and white by default.
        baseline: Baseline as "baseline", "where the paths of integrated gradients begin", BASELINES
    }
});

impl Attributor for Xrai {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        work.model(METHOD.title)?;
        let [height, width] = work.size();
        let entries = [height, width, 2 * SCALES.len(), 2 * SINGLE];
        work.afford("the segments of an image", &entries)?;
        let mut integrated = IntegratedGradients::new()
            .steps(self.steps)
            .baseline(self.baseline.clone());
        integrated.setup = self.setup.clone();
        let found = integrated.explain(work)?;
        let values = found.values().view().into_dimensionality::<Ix4>();
        let values = values.map_err(|_| AttributionError::ReadBack {
            expected: vec![work.count(), 0, height, width],
            got: found.values().shape().to_vec(),
        })?;
        let mut maps = Vec::with_capacity(work.count());
        for (image, values) in values.outer_iter().enumerate() {
            let of_pixels = values.fold_axis(Axis(0), f32::NEG_INFINITY, |&a, &b| a.max(b));
            let segments = segments(work, image)?;
            let map = grown(of_pixels.view(), segments, self.map);
            maps.push(map.into_raw_vec_and_offset().0);
        }
        let values = per_pixel(maps, work.size())?;
        let scores = found.scores().to_vec();
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_evaluations(found.evaluations().to_vec())
            .with_planned(found.planned().to_vec())
            .with_completeness(found.completeness().to_vec()))
    }
}

pub(crate) const METHOD: Method = Method::of::<Xrai>("xrai", "XRAI", "Kapishnikov et al. 2019")
.needs_model()
.random()
.keeps_partial()
.sums_to(
    "score - mean score of the baselines, by the integrated gradients that regions are ranked by",
);
