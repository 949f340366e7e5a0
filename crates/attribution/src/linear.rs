//! Linear approximation: what each position of a layer contributes to a target.
//!
//! `attr[y, x] = sum_c a[c, y, x] * d score / d a[c, y, x]`, signed, at any layer. This is the
//! spatial attribution to a class of *The Building Blocks of Interpretability* (Olah et al., 2018)
//! and TorchRay's `linear_approx`.

use elucid_graph::{Activation, ImageBatch, Model};
use elucid_rules::Rules;
use ndarray::{Array3, Ix3};

use crate::error::AttributionError;
use crate::gradient::{BATCH_SIZE, activation, chunks, differentiate, join};
use crate::target::Target;

/// Activation times gradient, summed over channels.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct LinearApproximation {
    layer: String,
    rules: Rules,
    batch_size: usize,
}

impl LinearApproximation {
    /// At a layer of shape `[N, C, H, W]`.
    pub fn at(layer: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            rules: Rules::new(),
            batch_size: BATCH_SIZE,
        }
    }

    /// Replaces gradients on the way.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    /// How many images are propagated together, 8 by default: what bounds the memory.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Computes one map per image of the batch.
    ///
    /// # Errors
    ///
    /// As [`Gradient::attribute`](crate::Gradient::attribute), and
    /// [`AttributionError::NotSpatial`] when the layer has no positions.
    pub fn attribute(
        &self,
        model: &Model,
        images: &impl ImageBatch,
        target: Target,
    ) -> Result<Saliency, AttributionError> {
        let layer = model.layer(&self.layer)?.name().to_owned();
        let mut scores = Vec::new();
        let mut parts = Vec::new();
        for chunk in chunks(model, images, self.batch_size)? {
            let at = activation(model, &chunk, &layer)?;
            let values = spatial(&at, &layer)?;
            let (chunk_scores, gradient) = differentiate(model, &self.rules, &layer, at, &target)?;
            let product = values * gradient.tensor::<4>()?;
            let [n, _, h, w] = product.dims();
            let maps = Activation::from(product.sum_dim(1).reshape([n, h, w])).to_array()?;
            scores.extend(chunk_scores);
            parts.push(read_as(maps)?);
        }
        Ok(Saliency {
            maps: join(&parts)?,
            scores,
            layer,
            target: target.to_string(),
            rules: self.rules.name().to_owned(),
        })
    }
}

/// The activation as `[N, C, H, W]`.
pub(crate) fn spatial(
    at: &Activation,
    layer: &str,
) -> Result<burn::tensor::Tensor<4>, AttributionError> {
    at.tensor::<4>().map_err(|_| AttributionError::NotSpatial {
        layer: layer.to_owned(),
        shape: at.shape(),
    })
}

pub(crate) fn read_as(array: ndarray::ArrayD<f32>) -> Result<Array3<f32>, AttributionError> {
    let got = array.shape().to_vec();
    array
        .into_dimensionality::<Ix3>()
        .map_err(|_| AttributionError::ReadBack {
            expected: vec![0; 3],
            got,
        })
}

/// One signed number for every position of a layer.
#[derive(Debug, Clone)]
pub struct Saliency {
    maps: Array3<f32>,
    scores: Vec<f32>,
    layer: String,
    target: String,
    rules: String,
}

impl Saliency {
    /// The maps, `[N, H, W]`.
    pub fn maps(&self) -> &Array3<f32> {
        &self.maps
    }

    /// The target's score for each image.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The layer's full name.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// What was explained, in words.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Name of the rules used.
    pub fn rules(&self) -> &str {
        &self.rules
    }
}
