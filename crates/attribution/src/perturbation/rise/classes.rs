//! A map for every class from the same masks.

use std::ops::{ControlFlow, Range};

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use elucid_graph::ImageBatch;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Array4, ArrayView2};

use super::{Rise, RiseScore, Shown};
use crate::budget::SINGLE;
use crate::error::AttributionError;
use crate::network::Network;
use crate::sampling::{Asks, Samples};
use crate::target::{Target, probabilities};
use crate::work::{Context, to_vec};

impl Rise {
    /// The maps of all classes at once, for no more evaluations than one class takes.
    ///
    /// Every class is scored as [`Rise::score`] says. All masks are used: the limit of
    /// [`Rise::standard_error`] belongs to one map. When the progress callback asks to stop, the maps
    /// are those of the masks so far, as with [`Rise::maps`].
    ///
    /// Memory: `K H W` numbers of 4 bytes for each image besides what [`Rise::maps`] takes, 200 MB
    /// for 1000 classes at 224 x 224.
    ///
    /// # Errors
    ///
    /// As [`Rise::maps`], and [`AttributionError::TooLarge`] when the maps take more memory than the network may.
    pub fn all_classes(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
    ) -> Result<RiseClassMaps, AttributionError> {
        // Any target that is computed from the logits will do.
        let work = Context::new(network, images, &Target::log_sum_exp(), &self.setup)?;
        let size = work.size();
        self.check(size)?;
        let pixels = size[0] * size[1];
        let start = |image| {
            Ok(OfClasses {
                shown: self.shown(&work, image)?,
                sum: Array2::zeros((0, pixels)),
            })
        };
        let score = |_: &[usize], images: Tensor<4>| {
            let scores = work.outputs(images)?.rows();
            let scores = match self.score {
                RiseScore::Probability => probabilities(scores, network.probabilities()),
                RiseScore::Target => scores,
                RiseScore::Sigmoid => sigmoid(scores),
            };
            let images = work.count();
            let what = format!("maps of {} classes for {images} images", scores.dims()[1]);
            work.afford(what, &[images, scores.dims()[1], pixels, SINGLE])?;
            to_vec(&scores.into())
        };
        let finish = |_, of: OfClasses<'_>, count: usize| {
            Ok(of.sum * (self.factor() / count.max(1) as f64) as f32)
        };
        let found = work.scored(Samples::of(&work, self.masks), start, score, finish)?;
        let (sums, counts) = (found.found, found.samples);
        let classes = sums.first().map_or(0, |sum| sum.dim().0);
        let shape = [sums.len(), classes, size[0], size[1]];
        // The first image's are moved: nothing is held twice.
        let mut sums = sums.into_iter().map(|sum| sum.into_raw_vec_and_offset().0);
        let mut values = sums.next().unwrap_or_default();
        sums.for_each(|sum| values.extend(sum));
        // Of an image that was not reached there is nothing.
        values.resize(shape.iter().product(), 0.0);
        let got = vec![values.len()];
        let maps = Array4::from_shape_vec(shape, values);
        let maps = maps.map_err(|_| AttributionError::ReadBack {
            expected: shape.to_vec(),
            got,
        })?;
        let is_complete =
            counts.len() == work.count() && counts.iter().all(|&count| count == self.masks);
        Ok(RiseClassMaps {
            maps,
            masks: counts,
            is_complete,
        })
    }
}

/// Masks of one image, weighed by the scores of all classes.
struct OfClasses<'r> {
    shown: Shown<'r>,
    /// `[K, H W]`
    sum: Array2<f32>,
}

impl Asks for OfClasses<'_> {
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError> {
        Ok(self.shown.ask(samples))
    }

    fn hear(
        &mut self,
        _samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError> {
        let (masks, pixels) = (self.shown.masks.len(), self.sum.dim().1);
        let classes = scores.len() / masks.max(1);
        if self.sum.is_empty() {
            self.sum = Array2::zeros((classes, pixels));
        }
        let masks_of = self.shown.masks.concat();
        let shapes = (
            ArrayView2::from_shape((masks, classes), scores),
            ArrayView2::from_shape((masks, pixels), &masks_of),
        );
        let (Ok(scores), Ok(masks_of)) = shapes else {
            return Err(AttributionError::ReadBack {
                expected: vec![masks, classes],
                got: vec![scores.len()],
            });
        };
        general_mat_mul(1.0, &scores.t(), &masks_of, 1.0, &mut self.sum);
        Ok(ControlFlow::Continue(()))
    }
}

/// What [`Rise::all_classes`] found for each image.
#[derive(Debug, Clone)]
pub struct RiseClassMaps {
    maps: Array4<f32>,
    masks: Vec<usize>,
    is_complete: bool,
}

impl RiseClassMaps {
    /// The maps, `[N, K, H, W]`, one for each of `K` classes; of fewer images than were given when it
    /// was stopped.
    pub fn maps(&self) -> &Array4<f32> {
        &self.maps
    }

    /// How many masks the maps of each image rest on.
    pub fn masks(&self) -> &[usize] {
        &self.masks
    }

    /// Whether every image has as many masks as it should, rather than having been stopped.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}
