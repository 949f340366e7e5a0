//! Recorded passes: what methods that walk a model backwards operator by operator start from.

use burn::tensor::Tensor;
use elucid_graph::{Activation, Recording, backward};
use elucid_vision::Model;
use ndarray::ArrayD;

use crate::error::AttributionError;
use crate::work::{Context, join, to_vec};

/// A pass over some images, kept, with the target's scores.
pub(crate) struct Recorded<'m> {
    pub recording: Recording<'m>,
    pub scores: Vec<f32>,
    /// The layer that the target is computed from, without autodiff.
    pub at_target: Activation,
    /// The gradient of the scores there: for the logit of a class, 1 at that class.
    pub gradient: Activation,
}

impl Context<'_> {
    /// Runs the model on `images`, one for each of `rows`, and keeps everything up to the target
    /// and the layer.
    pub(crate) fn record<'m>(
        &self,
        model: &'m Model,
        images: Tensor<4>,
        rows: &[usize],
    ) -> Result<Recorded<'m>, AttributionError> {
        let recording = model
            .pass()
            .input(&images)
            .record([&self.target.layer, &self.layer])?;
        let at_target = recording.value(&self.target.layer)?.clone();
        let leaf = at_target.clone().require_grad();
        let scores = self.target.score(&leaf, rows)?;
        let gradient = match scores.is_tracked() {
            true => leaf.gradient(&backward(&scores.clone().sum())),
            false => None,
        };
        let reaches = self.layer == self.target.layer
            || !recording
                .steps(&self.target.layer, &[&self.layer])?
                .is_empty();
        let gradient = gradient.filter(|_| reaches);
        Ok(Recorded {
            recording,
            scores: to_vec(&scores.into())?,
            at_target,
            gradient: gradient.ok_or_else(|| self.no_path())?,
        })
    }

    /// Calls `attribute` for every batch with a recording of its images and their indices, and joins
    /// the attributions that it returns, and the scores.
    pub(crate) fn each_recording(
        &self,
        model: &Model,
        mut attribute: impl FnMut(Recorded<'_>, &[usize]) -> Result<Activation, AttributionError>,
    ) -> Result<(ArrayD<f32>, Vec<f32>), AttributionError> {
        let (mut parts, mut scores) = (Vec::new(), Vec::new());
        for rows in self.batches() {
            let recorded = self.record(model, self.rows(&rows), &rows)?;
            scores.extend(&recorded.scores);
            let values = attribute(recorded, &rows)?;
            parts.push(self.map.shown(values)?.to_array()?);
            self.report(scores.len(), self.count())?;
        }
        Ok((join(&parts)?, scores))
    }
}
