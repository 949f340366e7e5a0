//! Straight lines from baselines to an image.

use burn::tensor::Tensor;
use elucid_graph::Activation;

use crate::error::AttributionError;
use crate::work::{Context, Gradients, batches, column};

/// The straight lines that lead to the value of a layer for one image, each from a baseline's.
pub(crate) struct Lines<'l, 'w> {
    work: &'l Context<'w>,
    image: usize,
    end: Activation,
    starts: Vec<Tensor<2>>,
}

/// A position on one of the lines: 0 at its baseline, 1 at the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub line: usize,
    pub at: f64,
}

impl<'l, 'w> Lines<'l, 'w> {
    /// From each of `starts`, rows `[1, numbers]`, to the layer's value `end` for image `image`.
    pub fn new(
        work: &'l Context<'w>,
        image: usize,
        end: Activation,
        starts: Vec<Tensor<2>>,
    ) -> Self {
        Self {
            work,
            image,
            end,
            starts,
        }
    }

    /// The layer's value for the image.
    pub fn end(&self) -> &Activation {
        &self.end
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The starts of some lines, `[rows, numbers]`.
    pub fn starts(&self, lines: impl IntoIterator<Item = usize>) -> Tensor<2> {
        let starts = lines.into_iter().map(|line| self.starts[line].clone());
        Tensor::cat(starts.collect(), 0)
    }

    /// What must be added to the starts of some lines to arrive, `[rows, numbers]`.
    pub fn differences(&self, lines: impl IntoIterator<Item = usize>) -> Tensor<2> {
        self.end.rows() - self.starts(lines)
    }

    /// Scores and gradients at some points, one for each row.
    pub fn gradients(&self, points: &[Point]) -> Result<Gradients, AttributionError> {
        let lines = || points.iter().map(|point| point.line);
        let at: Vec<f32> = points.iter().map(|point| point.at as f32).collect();
        let values =
            self.starts(lines()) + self.differences(lines()) * column(&at, &self.work.device());
        self.gradients_at(values)
    }

    /// Scores and gradients at values of the layer, one for each row.
    pub fn gradients_at(&self, values: Tensor<2>) -> Result<Gradients, AttributionError> {
        let rows = vec![self.image; values.dims()[0]];
        self.work
            .gradients(&rows, Activation::from_rows(values, &self.end)?)
    }

    /// The target's scores at the starts, and at the end.
    pub fn scores(&self) -> Result<(Vec<f64>, f32), AttributionError> {
        let mut scores = Vec::new();
        for batch in batches(self.count() + 1, self.work.batch_size) {
            let values = batch.iter().map(|&line| match self.starts.get(line) {
                Some(start) => start.clone(),
                None => self.end.rows(),
            });
            let values = Activation::from_rows(Tensor::cat(values.collect(), 0), &self.end)?;
            scores.extend(self.work.scores(&vec![self.image; batch.len()], values)?);
        }
        let end = scores.pop().unwrap_or_default();
        Ok((scores.into_iter().map(f64::from).collect(), end))
    }
}

/// Mean of some numbers.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
