//! Methods that hide parts of the image and watch the score.
//!
//! [`Rise`], [`Occlusion`] and [`FeatureAblation`] need no gradient: they take anything that maps a
//! batch of images to scores, a model or a closure, differentiable or not, burn inside or not.
//! [`ExtremalPerturbation`] and [`MeaningfulPerturbation`] look for a mask by its gradient.
//!
//! All of them give one number per pixel, `[N, 1, H, W]`: the channels of a pixel are hidden
//! together.

pub mod extremal;
pub mod feature_ablation;
mod mask_grid;
pub mod meaningful;
pub mod occlusion;
mod pyramid;
pub mod rise;
mod smooth_mask;

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::INPUT;
use ndarray::{ArrayD, IxDyn};

pub use self::{
    extremal::{ExtremalMasks, ExtremalPerturbation, Perturbation, Reward, Variant},
    feature_ablation::FeatureAblation,
    meaningful::{MeaningfulMasks, MeaningfulPerturbation, MeaningfulScore, Start},
    occlusion::Occlusion,
    rise::{Rise, RiseClassMaps, RiseDivisor, RiseMaps, RiseScore, RiseStretch},
};
use crate::attributor::Setup;
use crate::error::AttributionError;
use crate::work::{Work, batches};

/// Images seen through many masks, in batches.
pub(crate) struct Perturbed<'w> {
    work: &'w Work<'w>,
    setup: &'w Setup,
    done: usize,
    /// Masks over all images, for progress.
    total: usize,
}

impl<'w> Perturbed<'w> {
    /// `each` is the number of masks of an image.
    pub fn new(work: &'w Work<'w>, setup: &'w Setup, each: usize) -> Self {
        Self {
            work,
            setup,
            done: 0,
            total: each.saturating_mul(work.count()),
        }
    }

    /// Image `image` under each of `count` masks, in order: `mask(i)` is `[H, W]`, row-major, 1
    /// keeps a pixel and 0 replaces it by that of `hidden`, `[1, C, H, W]`. `seen` is given the
    /// masks of each batch and the images `[batch, C, H, W]`, and may break; `batch_size` masks are
    /// held at a time.
    pub fn images(
        &mut self,
        image: usize,
        hidden: &Tensor<4>,
        count: usize,
        mut mask: impl FnMut(usize) -> Vec<f32>,
        mut seen: impl FnMut(&[Vec<f32>], Tensor<4>) -> Result<ControlFlow<()>, AttributionError>,
    ) -> Result<(), AttributionError> {
        let [height, width] = self.work.size();
        let shown = self.work.rows(&[image]) - hidden.clone();
        let end = self.done + count;
        for batch in batches(count, self.work.batch_size) {
            let masks: Vec<Vec<f32>> = batch.iter().map(|&i| mask(i)).collect();
            let data = TensorData::new(masks.concat(), [batch.len(), 1, height, width]);
            let keep = Tensor::<4>::from_data(data, &shown.device());
            let ended = seen(&masks, hidden.clone() + shown.clone() * keep)?.is_break();
            // Masks that are not needed count as done.
            self.done = if ended { end } else { self.done + batch.len() };
            self.setup.progress.report(self.done, self.total)?;
            if ended {
                break;
            }
        }
        Ok(())
    }

    /// The same with the target's scores instead of the images.
    pub fn scores(
        &mut self,
        image: usize,
        hidden: &Tensor<4>,
        count: usize,
        mask: impl FnMut(usize) -> Vec<f32>,
        mut seen: impl FnMut(&[Vec<f32>], &[f32]) -> ControlFlow<()>,
    ) -> Result<(), AttributionError> {
        let work = self.work;
        self.images(image, hidden, count, mask, |masks, images| {
            let scores = work.scores(&vec![image; masks.len()], images.into())?;
            Ok(seen(masks, &scores))
        })
    }
}

/// Help of the option `baseline` where it is what hidden pixels become.
pub(crate) const HIDDEN_PIXELS: &str = "what hidden pixels become";

/// A method's setup: these methods attribute to the input only.
pub(crate) fn at_input() -> Setup {
    Setup::at(INPUT)
}

/// One number per pixel for each image, as `[N, 1, H, W]`.
pub(crate) fn per_pixel(
    maps: Vec<Vec<f32>>,
    [height, width]: [usize; 2],
) -> Result<ArrayD<f32>, AttributionError> {
    let shape = [maps.len(), 1, height, width];
    let values = maps.concat();
    let got = vec![values.len()];
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| AttributionError::ReadBack {
        expected: shape.to_vec(),
        got,
    })
}
