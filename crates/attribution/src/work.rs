//! What methods have in common: images, a layer, a target, and scores and gradients between them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};
use elucid_graph::{Activation, INPUT, ImageBatch, LongRows, backward};
use elucid_progress::Reporter;
use elucid_rules::{RuleUse, Rules};
use elucid_vision::Model;
use ndarray::{Array, ArrayD, Axis, RemoveAxis};
use tracing::trace;

use crate::attributor::Setup;
use crate::budget;
use crate::error::AttributionError;
use crate::finite::finite_scores;
use crate::layer_map::{LayerMap, Takes};
use crate::network::Network;
use crate::target::{BoundTarget, Target};

/// A method's context: a network, images, a layer and a target, checked, with scores and gradients between
/// them.
///
/// Rows are what goes through the network together. Row `i` of a value of the layer belongs to one of the
/// images, `rows[i]`, and to its target, so that several values may be tried for one image. Other branches
/// of the network than the layer's keep the values that the image gives them.
///
/// The layer's value is seen as `[N, C, H, W]` where it is `[N, H, W, C]`.
#[derive(Clone)]
pub struct Context<'w> {
    pub(crate) network: &'w dyn Network,
    /// Full name of the layer that is attributed to.
    pub(crate) layer: String,
    /// `[N, C, H, W]`, without autodiff.
    pub(crate) images: Tensor<4>,
    /// What is explained, in words.
    pub(crate) target_name: String,
    /// The same before classes and places were looked up.
    pub(crate) asked: Target,
    pub(crate) target: BoundTarget,
    pub(crate) rules: Rules,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) progress: Reporter,
    /// Whether what there is when the progress callback asks to stop is kept.
    pub(crate) keeps_partial: bool,
    input: String,
    /// How many operators each rule took in the last pass with rules.
    rule_uses: Arc<Mutex<Vec<RuleUse>>>,
    /// What is seen of the layer.
    pub(crate) map: LayerMap,
    /// For each image the tokens in front that are not seen, `[1, prefix, C]`.
    fronts: Arc<Mutex<HashMap<usize, Tensor<3>>>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("layer", &self.layer)
            .field("images", &self.images.dims())
            .field("target", &self.target_name)
            .finish_non_exhaustive()
    }
}

/// Scores of some rows, and their gradient at the layer.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// One for each row.
    pub scores: Vec<f32>,
    /// Shaped like the layer, one image per row.
    pub gradient: Activation,
}

impl<'w> Context<'w> {
    /// Checks a method's inputs: what it may be told, where it attributes to, what it explains.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`](crate::Attributor::attribute).
    pub fn new(
        network: &'w dyn Network,
        images: &dyn ImageBatch,
        target: &Target,
        setup: &Setup,
    ) -> Result<Self, AttributionError> {
        at_least_one("batch size", setup.batch_size)?;
        let images = match network.device() {
            Some(device) => images.images(device),
            None => images.batch(),
        }
        .without_autodiff();
        check_images(&images)?;
        let layer = network.layer(&setup.layer)?;
        let [_, _, height, width] = images.dims();
        let map = LayerMap::of(network, &layer, [height, width], setup.takes)?;
        let bound = target.bind(network)?;
        let work = Self {
            network,
            batch_size: batch_size(network, &layer, &bound, setup.batch_size, images.dims()),
            layer,
            target_name: target.to_string(),
            asked: target.clone(),
            target: bound,
            rules: setup.rules.clone(),
            seed: setup.seed,
            progress: setup.progress.clone(),
            keeps_partial: setup.keeps_partial,
            input: network.layer(INPUT)?,
            images,
            rule_uses: Arc::default(),
            map,
            fronts: Arc::default(),
        };
        work.settled()
    }

    /// The same with what is explained in each image, where that follows from the image.
    fn settled(mut self) -> Result<Self, AttributionError> {
        self.target.check_count(self.count())?;
        if self.target.is_open() {
            let outputs = self.batches().map(|rows| self.outputs(self.rows(&rows)));
            let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
            self.target = self.target.settled(&outputs)?;
        }
        Ok(self)
    }

    /// The same images and target with another layer or other rules.
    pub(crate) fn at(
        &self,
        layer: &str,
        rules: &Rules,
        takes: Takes,
    ) -> Result<Self, AttributionError> {
        let layer = self.network.layer(layer)?;
        Ok(Self {
            map: LayerMap::of(self.network, &layer, self.size(), takes)?,
            fronts: Arc::default(),
            batch_size: batch_size(
                self.network,
                &layer,
                &self.target,
                self.batch_size,
                self.images.dims(),
            ),
            layer,
            rules: rules.clone(),
            rule_uses: Arc::default(),
            ..self.clone()
        })
    }

    /// The same under other rules.
    pub(crate) fn under(&self, rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            rule_uses: Arc::default(),
            ..self.clone()
        }
    }

    /// The same images and layer with another target.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Target`] and others for a target that the network does not have.
    pub fn about(&self, target: &Target) -> Result<Self, AttributionError> {
        let bound = target.bind(self.network)?;
        let work = Self {
            batch_size: batch_size(
                self.network,
                &self.layer,
                &bound,
                self.batch_size,
                self.images.dims(),
            ),
            target_name: target.to_string(),
            asked: target.clone(),
            target: bound,
            ..self.clone()
        };
        work.settled()
    }

    /// The network.
    pub fn network(&self) -> &'w dyn Network {
        self.network
    }

    /// The full name of the layer that is attributed to.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The images `[N, C, H, W]`, on the network's device, without autodiff.
    pub fn images(&self) -> Tensor<4> {
        self.images.clone()
    }

    /// What is explained, in words.
    pub fn target(&self) -> &str {
        &self.target_name
    }

    /// The target as it was asked for: what another method is given to explain the same.
    pub fn asked(&self) -> &Target {
        &self.asked
    }

    /// How many rows go through the network together.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Tells the progress callback that so many steps are done.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Cancelled`] if it breaks.
    pub fn report(&self, done: usize, total: usize) -> Result<(), AttributionError> {
        trace!(done, total, "batch");
        Ok(self.progress.report(done, total)?)
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.images.dims()[0]
    }

    /// `[height, width]` of the images.
    pub fn size(&self) -> [usize; 2] {
        let [_, _, h, w] = self.images.dims();
        [h, w]
    }

    /// Where it is computed.
    pub fn device(&self) -> Device {
        self.images.device()
    }

    /// Whether attribution is to the images themselves.
    pub fn is_input(&self) -> bool {
        self.layer == self.input
    }

    /// The network as a model, for a method that needs to see operators.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NeedsModel`], which names the method, for any other network.
    pub fn model(&self, method: &str) -> Result<&'w Model, AttributionError> {
        self.network
            .as_model()
            .ok_or_else(|| AttributionError::NeedsModel {
                what: method.to_owned(),
            })
    }

    /// Indices of the images, in batches.
    pub fn batches(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        batches(self.count(), self.batch_size)
    }

    /// The images with these indices; an index may occur more than once.
    pub fn rows(&self, rows: &[usize]) -> Tensor<4> {
        select(&self.images, rows)
    }

    /// The value of the layer for some images, row by row.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets.
    pub fn activation(&self, images: Tensor<4>) -> Result<Activation, AttributionError> {
        if self.is_input() {
            return Ok(images.into());
        }
        self.map.shown(self.laid_out(images)?)
    }

    /// The value of the layer for some images, as the network lays it out.
    fn laid_out(&self, images: Tensor<4>) -> Result<Activation, AttributionError> {
        let feeds = vec![(self.input.as_str(), images.into())];
        self.network.run(feeds, &self.layer, &Rules::new())
    }

    /// The tokens in front of what is seen of the layer, for these images; `None` where there are
    /// none.
    fn front(&self, rows: &[usize]) -> Result<Option<Tensor<3>>, AttributionError> {
        if self.map.prefix() == 0 {
            return Ok(None);
        }
        let mut fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut each = Vec::with_capacity(rows.len());
        for &image in rows {
            let front = match fronts.get(&image) {
                Some(front) => Some(front.clone()),
                None => self.map.front(&self.laid_out(self.rows(&[image]))?)?,
            };
            if let Some(front) = front {
                fronts.insert(image, front.clone());
                each.push(front);
            }
        }
        Ok(Some(Tensor::cat(each, 0)))
    }

    /// The value of the layer for some of the images.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets.
    pub fn activation_of(&self, rows: &[usize]) -> Result<Activation, AttributionError> {
        self.activation(self.rows(rows))
    }

    /// What is fed to give the layer this value, where row `i` of `at` belongs to image `rows[i]`.
    fn feeds(
        &self,
        rows: &[usize],
        at: Activation,
    ) -> Result<Vec<(&str, Activation)>, AttributionError> {
        Ok(match self.is_input() {
            true => vec![(self.input.as_str(), at)],
            // Other branches than the layer's keep the values that the image gives them.
            false => vec![
                (self.input.as_str(), self.rows(rows).into()),
                (
                    self.layer.as_str(),
                    self.map.laid_out(at, self.front(rows)?)?,
                ),
            ],
        })
    }

    /// The value of the layer that the target is computed from, where row `i` of `at` belongs to
    /// image `rows[i]`.
    fn fetch(
        &self,
        rows: &[usize],
        at: Activation,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        let feeds = self.feeds(rows, at)?;
        let (value, uses) = self
            .network
            .run_counting(feeds, &self.target.layer, rules)?;
        if !rules.is_empty() {
            *self
                .rule_uses
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = uses;
        }
        Ok(value)
    }

    /// How many operators each rule took in the last pass.
    pub fn rule_uses(&self) -> Vec<RuleUse> {
        let uses = self.rule_uses.lock();
        uses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run(
        &self,
        rows: &[usize],
        at: Activation,
        rules: &Rules,
    ) -> Result<Tensor<1>, AttributionError> {
        let fetched = self.fetch(rows, at, rules)?;
        self.target.score(&fetched, rows)
    }

    /// The target's score, one for each row of `at`, where row `i` of the layer belongs to image
    /// `rows[i]`.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets.
    pub fn scores(&self, rows: &[usize], at: Activation) -> Result<Vec<f32>, AttributionError> {
        self.read(rows, self.run(rows, at, &Rules::new())?)
    }

    /// The same, where rules compute something else than their operators do.
    pub(crate) fn scores_under(
        &self,
        rows: &[usize],
        at: Activation,
        rules: &Rules,
    ) -> Result<Vec<f32>, AttributionError> {
        let feeds = self.feeds(rows, at)?;
        let fetched = self.network.run(feeds, &self.target.layer, rules)?;
        self.read(rows, self.target.score(&fetched, rows)?)
    }

    /// The same where another layer has a value of its own, too.
    pub(crate) fn scores_beside(
        &self,
        rows: &[usize],
        at: Activation,
        other: &Context<'_>,
        there: Activation,
    ) -> Result<Vec<f32>, AttributionError> {
        let mut feeds = self.feeds(rows, at)?;
        for (layer, value) in other.feeds(rows, there)? {
            if feeds.iter().all(|(known, _)| *known != layer) {
                feeds.push((layer, value));
            }
        }
        let fetched = self.network.run(feeds, &self.target.layer, &Rules::new())?;
        self.read(rows, self.target.score(&fetched, rows)?)
    }

    /// Scores as numbers, one for each row.
    fn read(&self, rows: &[usize], scores: Tensor<1>) -> Result<Vec<f32>, AttributionError> {
        let scores = to_vec(&scores.into())?;
        finite_scores(&self.target_name, rows.iter().copied(), &scores)?;
        Ok(scores)
    }

    /// What the target's score is the difference of, `[first, second]` for each row of `at`; the
    /// second is 0 for targets that are no difference.
    pub(crate) fn side_scores(
        &self,
        rows: &[usize],
        at: Activation,
    ) -> Result<Vec<[f32; 2]>, AttributionError> {
        let fetched = self.fetch(rows, at, &Rules::new())?;
        let [first, second] = self.target.sides();
        let first = to_vec(&first.score(&fetched, rows)?.into())?;
        let second = to_vec(&second.score(&fetched, rows)?.into())?;
        Ok(first
            .into_iter()
            .zip(second)
            .map(<[f32; 2]>::from)
            .collect())
    }

    /// The target's score for each of the images as it is.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets.
    pub fn all_scores(&self) -> Result<Vec<f32>, AttributionError> {
        let mut scores = Vec::with_capacity(self.count());
        for rows in self.batches() {
            scores.extend(self.scores(&rows, self.activation_of(&rows)?)?);
        }
        Ok(scores)
    }

    /// The value for some images of the layer that the target is computed from.
    pub(crate) fn outputs(&self, images: Tensor<4>) -> Result<Activation, AttributionError> {
        let feeds = vec![(self.input.as_str(), images.into())];
        self.network.run(feeds, &self.target.layer, &Rules::new())
    }

    /// The error for a target that does not depend on the layer.
    pub fn no_path(&self) -> AttributionError {
        AttributionError::NoPath {
            layer: self.layer.clone(),
            target: self.target_name.clone(),
        }
    }

    /// Calls `attribute` for every batch with the images' indices and the layer's value, joins
    /// the attributions and scores that it returns, and tells the progress callback.
    ///
    /// # Errors
    ///
    /// What `attribute` returns, and [`AttributionError::Cancelled`] when the callback asks to stop.
    pub fn each_batch(
        &self,
        mut attribute: impl FnMut(
            &[usize],
            Activation,
        ) -> Result<(Activation, Vec<f32>), AttributionError>,
    ) -> Result<(ArrayD<f32>, Vec<f32>), AttributionError> {
        let (mut parts, mut scores) = (Vec::new(), Vec::new());
        for rows in self.batches() {
            let (values, found) = attribute(&rows, self.activation_of(&rows)?)?;
            parts.push(values.to_array()?);
            scores.extend(found);
            self.report(scores.len(), self.count())?;
        }
        Ok((join(&parts)?, scores))
    }

    /// Scores and gradients under the rules, one for each row of `at`, where row `i` of the layer belongs
    /// to image `rows[i]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NoPath`] when the target does not depend on the layer, and whatever running the
    /// network meets.
    pub fn gradients(&self, rows: &[usize], at: Activation) -> Result<Gradients, AttributionError> {
        let leaf = at.require_grad();
        let scores = self.run(rows, leaf.clone(), &self.rules)?;
        let gradient = match scores.is_tracked() {
            true => leaf.gradient(&backward(&scores.clone().sum())),
            false => None,
        };
        let gradient = gradient.ok_or_else(|| self.no_path())?;
        let scores = to_vec(&scores.into())?;
        finite_scores(&self.target_name, rows.iter().copied(), &scores)?;
        Ok(Gradients { scores, gradient })
    }
}

/// How many images go through the network together: those asked for as far as memory goes, and one where
/// the network takes them one by one all the same.
fn batch_size(
    network: &dyn Network,
    layer: &str,
    target: &BoundTarget,
    asked: usize,
    images: [usize; 4],
) -> usize {
    // What cannot be planned is an error of the pass.
    let one_by_one = |model: &Model| model.runs_one_by_one([layer, &target.layer]).ok();
    match network
        .as_model()
        .filter(|_| asked > 1)
        .and_then(one_by_one)
    {
        Some(true) => 1,
        _ => budget::images_together(network, &target.layer, images, asked),
    }
}

/// `0..count` in batches of at most `size`.
pub(crate) fn batches(count: usize, size: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..count)
        .step_by(size.max(1))
        .map(move |start| (start..count.min(start + size.max(1))).collect())
}

/// The images with these indices.
pub(crate) fn select(images: &Tensor<4>, rows: &[usize]) -> Tensor<4> {
    let count = images.dims()[0];
    if rows.len() == count && rows.iter().copied().eq(0..count) {
        return images.clone();
    }
    let indices: Vec<i64> = rows.iter().map(|&i| i as i64).collect();
    let indices =
        Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &images.device());
    images.clone().select(0, indices)
}

/// One number for each row, as a column `[rows, 1]` that broadcasts over
/// [`Activation::rows`].
pub(crate) fn column(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), device)
}

/// The values of a tensor of any rank.
pub(crate) fn to_vec(values: &Activation) -> Result<Vec<f32>, AttributionError> {
    // A tensor is read back in the order of its numbers.
    Ok(values.to_array()?.into_raw_vec_and_offset().0)
}

/// Results of consecutive batches, along the first axis.
pub(crate) fn join<D: RemoveAxis>(
    parts: &[Array<f32, D>],
) -> Result<Array<f32, D>, AttributionError> {
    let views: Vec<_> = parts.iter().map(Array::view).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|_| AttributionError::ReadBack {
        expected: parts.first().map_or(Vec::new(), |p| p.shape().to_vec()),
        got: parts.last().map_or(Vec::new(), |p| p.shape().to_vec()),
    })
}

/// Sum over all numbers of each image, in double precision.
pub(crate) fn sums(values: &ArrayD<f32>) -> Vec<f64> {
    values
        .outer_iter()
        .map(|image| image.iter().map(|&v| f64::from(v)).sum())
        .collect()
}

/// An error about a parameter, unless it `fits`.
pub(crate) fn require(
    fits: bool,
    parameter: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Result<(), AttributionError> {
    match fits {
        true => Ok(()),
        false => Err(AttributionError::Parameter {
            parameter,
            value: value.to_string(),
            expected,
        }),
    }
}

pub(crate) fn at_least_one(parameter: &'static str, value: usize) -> Result<(), AttributionError> {
    require(value > 0, parameter, value, "1 or more")
}

fn check_images(images: &Tensor<4>) -> Result<(), AttributionError> {
    let shape = images.dims();
    if shape.contains(&0) {
        return Err(AttributionError::Images {
            reason: format!("an empty batch of shape {shape:?}; give one image or more"),
        });
    }
    // A sum is finite only if every pixel is.
    let sums = to_vec(
        &images
            .clone()
            .reshape([shape[0] as i32, -1])
            .row_sums()
            .into(),
    )?;
    match sums.iter().position(|sum| !sum.is_finite()) {
        Some(image) => Err(AttributionError::Images {
            reason: format!("image {image} has pixels that are not finite numbers"),
        }),
        None => Ok(()),
    }
}
