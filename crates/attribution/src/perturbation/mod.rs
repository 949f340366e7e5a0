//! Methods that hide parts of the image and watch the score.
//!
//! [`Rise`], [`Occlusion`] and [`FeatureAblation`] need no gradient: they take anything that maps a
//! batch of images to scores, a model or a closure, differentiable or not, burn inside or not.
//! [`ExtremalPerturbation`] and [`MeaningfulPerturbation`] look for a mask by its gradient.
//! [`TokenOcclusion`] takes away tokens of a transformer, and has one number for each of them.
//!
//! All others give one number per pixel, `[N, 1, H, W]`: the channels of a pixel are hidden
//! together.

pub mod extremal;
pub mod feature_ablation;
mod mask_grid;
pub mod meaningful;
pub mod occlusion;
pub(crate) mod positions;
mod pyramid;
pub mod rise;
mod smooth_mask;
pub mod token_occlusion;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::INPUT;
use ndarray::{ArrayD, IxDyn};

pub use self::{
    extremal::{ExtremalMasks, ExtremalPerturbation, Perturbation, Reward, Variant},
    feature_ablation::FeatureAblation,
    meaningful::{MeaningfulMasks, MeaningfulPerturbation, MeaningfulScore, Start},
    occlusion::Occlusion,
    rise::{Rise, RiseClassMaps, RiseDivisor, RiseMaps, RiseScore, RiseStretch},
    token_occlusion::{Hides, TokenOcclusion},
};
use crate::attributor::Setup;
use crate::error::AttributionError;
use crate::work::Context;

/// One image, and what lies under its masks.
#[derive(Debug, Clone)]
pub(crate) struct Masked {
    pub image: usize,
    /// `[1, C, H, W]`
    hidden: Tensor<4>,
    /// What must be added to it to get the image.
    rest: Tensor<4>,
}

impl Masked {
    pub fn new(work: &Context<'_>, image: usize, hidden: Tensor<4>) -> Self {
        Self {
            image,
            rest: work.rows(&[image]) - hidden.clone(),
            hidden,
        }
    }

    /// The image under masks, each `[H, W]`, row-major: 1 keeps a pixel, 0 hides it. `[masks, C, H, W]`
    pub fn under(&self, masks: &[Vec<f32>]) -> Tensor<4> {
        let [_, _, height, width] = self.rest.dims();
        let data = TensorData::new(masks.concat(), [masks.len(), 1, height, width]);
        let keep = Tensor::<4>::from_data(data, &self.rest.device());
        self.hidden.clone() + self.rest.clone() * keep
    }

    /// The target's scores of the image under masks.
    pub fn scores(
        &self,
        work: &Context<'_>,
        masks: &[Vec<f32>],
    ) -> Result<Vec<f32>, AttributionError> {
        work.scores(&vec![self.image; masks.len()], self.under(masks).into())
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
