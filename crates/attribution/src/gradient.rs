//! The plain gradient of a target at the input or at any layer.
//!
//! `d score / d a`, for every number `a` of the layer: Simonyan, Vedaldi and Zisserman, *Deep
//! inside convolutional networks* (2013). With replaced gradients it becomes guided
//! backpropagation or the deconvnet, which differ in their [`Rules`] only.

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT, ImageBatch, Model};
use elucid_rules::Rules;
use ndarray::{Array, Array2, Array3, ArrayD, ArrayView3, Axis, Ix4, RemoveAxis, Zip};

use crate::error::AttributionError;
use crate::target::Target;

/// The gradient of a target.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Gradient {
    layer: String,
    rules: Rules,
    batch_size: usize,
}

impl Gradient {
    /// At the network's input.
    pub fn at_input() -> Self {
        Self::at(INPUT)
    }

    /// At a layer.
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

    /// Computes the gradient for each image of the batch.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Graph`] for names that do not exist or a target that does not depend on
    /// the layer alone; [`AttributionError::OutOfRange`] for a target outside its layer.
    pub fn attribute(
        &self,
        model: &Model,
        images: &impl ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let layer = model.layer(&self.layer)?.name().to_owned();
        let mut scores = Vec::new();
        let mut parts = Vec::new();
        for chunk in chunks(model, images, self.batch_size)? {
            let at = activation(model, &chunk, &layer)?;
            let (chunk_scores, gradient) = differentiate(model, &self.rules, &layer, at, &target)?;
            scores.extend(chunk_scores);
            parts.push(gradient.to_array()?);
        }
        Ok(Attribution {
            values: join(&parts)?,
            scores,
            layer,
            target: target.to_string(),
            rules: self.rules.name().to_owned(),
        })
    }
}

/// Images that are propagated together by default.
pub(crate) const BATCH_SIZE: usize = 8;

/// The images in batches of at most `size`.
pub(crate) fn chunks(
    model: &Model,
    images: &impl ImageBatch,
    size: usize,
) -> Result<Vec<Tensor<4>>, AttributionError> {
    if size == 0 {
        return Err(AttributionError::Parameter {
            parameter: "batch size",
            value: "0".to_owned(),
            expected: "1 or more",
        });
    }
    let images = images.images(model.device());
    if images.dims()[0] <= size {
        return Ok(vec![images]);
    }
    Ok(images.split(size, 0))
}

/// Results of consecutive chunks, along the first axis.
pub(crate) fn join<D: RemoveAxis>(
    parts: &[Array<f32, D>],
) -> Result<Array<f32, D>, AttributionError> {
    let views: Vec<_> = parts.iter().map(Array::view).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|_| AttributionError::ReadBack {
        expected: parts.first().map_or(Vec::new(), |p| p.shape().to_vec()),
        got: parts.last().map_or(Vec::new(), |p| p.shape().to_vec()),
    })
}

/// The value of a layer.
pub(crate) fn activation(
    model: &Model,
    images: &impl ImageBatch,
    layer: &str,
) -> Result<Activation, AttributionError> {
    Ok(model
        .pass()
        .input(images)
        .fetch([layer])?
        .get(layer)?
        .clone())
}

/// The target's scores `[N]` and their gradient at `layer`, when the layer has the value `at`.
pub(crate) fn differentiate(
    model: &Model,
    rules: &Rules,
    layer: &str,
    at: Activation,
    target: &Target,
) -> Result<(Vec<f32>, Activation), AttributionError> {
    let target = target.bind(model)?;
    let leaf = at.require_grad();
    let fetched = model
        .pass()
        .rules(rules)
        .feed(layer, leaf.clone())
        .fetch([&target.layer])?;
    let scores = target.score(fetched.get(&target.layer)?)?;
    // A score need not depend on the layer: a closure may return a constant.
    let gradient = match scores.is_tracked() {
        true => leaf.gradient(&scores.clone().sum().backward()),
        false => None,
    };
    let gradient = gradient.unwrap_or_else(|| leaf.zeros_like());
    let scores = Activation::from(scores).to_array()?.into_iter().collect();
    Ok((scores, gradient))
}

/// A signed number for every number of a layer.
#[derive(Debug, Clone)]
pub struct Attribution {
    values: ArrayD<f32>,
    scores: Vec<f32>,
    layer: String,
    target: String,
    rules: String,
}

impl Attribution {
    /// The values, `[N, ...]` and shaped like the layer.
    pub fn values(&self) -> &ArrayD<f32> {
        &self.values
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

    /// One map per image, `[N, H, W]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] when the layer is not `[N, C, H, W]`.
    pub fn saliency(&self, reduce: Reduce) -> Result<Array3<f32>, AttributionError> {
        let values = self
            .values
            .view()
            .into_dimensionality::<Ix4>()
            .map_err(|_| AttributionError::NotSpatial {
                layer: self.layer.clone(),
                shape: self.values.shape().to_vec(),
            })?;
        let (n, _, h, w) = values.dim();
        let mut maps = Array3::zeros((n, h, w));
        for (image, mut map) in values.outer_iter().zip(maps.outer_iter_mut()) {
            map.assign(&reduce.apply(image));
        }
        Ok(maps)
    }
}

/// How an attribution `[C, H, W]` becomes a map `[H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Sum over channels, signed.
    Sum,
    /// Sum of absolute values.
    AbsSum,
    /// Largest absolute value: TorchRay's default for gradients.
    MaxAbs,
    /// Euclidean norm.
    L2,
    /// Positive part of the sum.
    Positive,
}

impl Reduce {
    fn apply(self, image: ArrayView3<'_, f32>) -> Array2<f32> {
        let (_, h, w) = image.dim();
        let fold = |f: fn(f32, f32) -> f32| image.fold_axis(Axis(0), 0.0, |&acc, &v| f(acc, v));
        let mut map = match self {
            Self::Sum | Self::Positive => fold(|acc, v| acc + v),
            Self::AbsSum => fold(|acc, v| acc + v.abs()),
            Self::MaxAbs => fold(|acc, v| acc.max(v.abs())),
            Self::L2 => fold(|acc, v| acc + v * v),
        };
        debug_assert_eq!(map.dim(), (h, w));
        Zip::from(&mut map).for_each(|v| match self {
            Self::Positive => *v = v.max(0.0),
            Self::L2 => *v = v.sqrt(),
            _ => {}
        });
        map
    }
}
