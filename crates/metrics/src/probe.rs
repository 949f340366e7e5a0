//! The network's scores of changed images, and curves of them.

use burn::tensor::Tensor;
use elucid_attribution::{Scorer, images_together};
use elucid_graph::{INPUT, LOGITS};
use elucid_rules::Rules;
use elucid_vision::Probabilities;
use ndarray::{ArrayView1, Axis};

use crate::case::Case;
use crate::error::MetricError;
use crate::metric::at_least_one;

/// What the network says about one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score {
    pub logit: f64,
    /// What the network's head makes of the score, by softmax or sigmoid; the score itself where it is no
    /// logit.
    pub probability: f64,
    /// Whether that is a probability at all.
    pub is_probability: bool,
}

impl Score {
    /// The probability if that is asked for, else the score itself.
    pub fn of(&self, probability: bool) -> f64 {
        match probability {
            true => self.probability,
            false => self.logit,
        }
    }
}

/// Runs the network on batches of changed images.
pub(crate) struct Probe<'c, 'a> {
    case: &'c Case<'a>,
    input: String,
    /// Of what is explained where that is no class.
    scorer: Option<Scorer<'a>>,
    batch_size: usize,
}

impl<'c, 'a> Probe<'c, 'a> {
    pub fn new(case: &'c Case<'a>, batch_size: usize) -> Result<Self, MetricError> {
        at_least_one("batch size", batch_size)?;
        let target = case.explained.as_ref();
        let scorer = target
            .map(|target| target.scorer(case.network, &case.image))
            .transpose()?;
        let layer = match &scorer {
            Some(scorer) => scorer.layer().to_owned(),
            None => case.network.layer(LOGITS)?,
        };
        Ok(Self {
            case,
            input: case.network.layer(INPUT)?,
            batch_size: images_together(case.network, &layer, case.image.dims(), batch_size),
            scorer,
        })
    }

    /// Number of classes of the network.
    pub fn classes(&self) -> Result<usize, MetricError> {
        Ok(self.logits_of(self.case.image.clone())?.ncols())
    }

    pub fn logits_of(&self, images: Tensor<4>) -> Result<ndarray::Array2<f32>, MetricError> {
        let count = images.dims()[0];
        let feeds = vec![(self.input.as_str(), images.into())];
        let logits = self.case.network.layer(LOGITS)?;
        let fetched = self.case.network.run(feeds, &logits, &Rules::new())?;
        let wrong = |got: String| MetricError::Scores { got, images: count };
        let shape = fetched.shape();
        if shape.len() < 2 || shape[0] != count {
            return Err(wrong(format!("scores of shape {shape:?}")));
        }
        let logits = fetched.to_array()?;
        let per_image = logits.len() / count.max(1);
        let logits = logits
            .into_shape_with_order((count, per_image))
            .map_err(|_| wrong(format!("scores of shape {shape:?}")))?;
        if self.case.class >= per_image {
            return Err(MetricError::Class {
                class: self.case.class,
                classes: per_image,
            });
        }
        match logits.iter().all(|v| v.is_finite()) {
            true => Ok(logits),
            false => Err(wrong("scores that are not finite numbers".to_owned())),
        }
    }

    /// What is explained, of each image, where it is no class.
    fn explained(&self, scorer: &Scorer<'_>, images: Tensor<4>) -> Result<Vec<Score>, MetricError> {
        let count = images.dims()[0];
        let scores = scorer.scores(images)?;
        if scores.len() != count || scores.iter().any(|score| !score.is_finite()) {
            return Err(MetricError::Scores {
                got: "scores that are not one finite number each".to_owned(),
                images: count,
            });
        }
        let scores = scores.into_iter().map(f64::from);
        let scores = scores.map(|score| Score {
            logit: score,
            probability: score,
            is_probability: false,
        });
        Ok(scores.collect())
    }

    /// Scores of `count` images, of which `next` appends the pixels, one image after the other, to
    /// the batch.
    pub fn scores(
        &self,
        count: usize,
        mut next: impl FnMut(usize, &mut Vec<f32>),
    ) -> Result<Vec<Score>, MetricError> {
        let next = |i, batch: &mut Vec<f32>| {
            next(i, batch);
            Ok(())
        };
        self.scores_and(count, next, |_| {})
    }

    /// The same of images that may fail, of which the first that does is the last; the scores of all classes of each are shown to
    /// `see`, none where what is explained is no class.
    pub fn scores_and(
        &self,
        count: usize,
        mut next: impl FnMut(usize, &mut Vec<f32>) -> Result<(), MetricError>,
        mut see: impl FnMut(ArrayView1<'_, f32>),
    ) -> Result<Vec<Score>, MetricError> {
        let mut scores = Vec::new();
        while scores.len() < count {
            let rows = self.batch_size.min(count - scores.len());
            let mut pixels = Vec::new();
            for row in 0..rows {
                next(scores.len() + row, &mut pixels)?;
            }
            let images = self.case.batch(pixels);
            if let Some(scorer) = &self.scorer {
                scores.extend(self.explained(scorer, images)?);
                continue;
            }
            let logits = self.logits_of(images)?;
            logits.axis_iter(Axis(0)).for_each(&mut see);
            scores.extend(logits.axis_iter(Axis(0)).map(|logits| {
                let logit = f64::from(logits[self.case.class]);
                let (probability, is_probability) = match self.case.network.probabilities() {
                    Probabilities::Softmax if logits.len() > 1 => {
                        let power = |l: f32| (f64::from(l) - logit).exp();
                        (1.0 / logits.iter().map(|&l| power(l)).sum::<f64>(), true)
                    }
                    Probabilities::Sigmoid => (1.0 / (1.0 + (-logit).exp()), true),
                    Probabilities::Softmax | Probabilities::None => (logit, false),
                };
                Score {
                    logit,
                    probability,
                    is_probability,
                }
            }));
        }
        Ok(scores)
    }
}

/// The class's score while pixels are changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Share of the pixels that have been changed, from 0.
    pub fractions: Vec<f64>,
    /// The score at each.
    pub scores: Vec<f64>,
}

impl Curve {
    /// `(sum - half the ends) / (n - 1)`: the area under the curve by the trapezoid rule at equal
    /// distances, whatever the last distance is, as RISE computes it; the one score where there is
    /// one only.
    pub fn area(&self) -> f64 {
        match self.scores.as_slice() {
            [] => 0.0,
            [only] => *only,
            [first, .., last] => {
                let sum: f64 = self.scores.iter().sum();
                (sum - (first + last) / 2.0) / (self.scores.len() - 1) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use burn::tensor::{Device, TensorData};
    use ndarray::Array2;

    use super::*;

    #[test]
    fn the_first_image_that_cannot_be_made_is_the_last() {
        let batches = Cell::new(0);
        let network = |images: Tensor<4>| -> Tensor<2> {
            batches.set(batches.get() + 1);
            images.flatten(1, 3)
        };
        let data = TensorData::new(vec![1.0_f32, 2.0], [1, 1, 1, 2]);
        let image = Tensor::from_data(data, &Device::default());
        let map = Array2::zeros((1, 2));
        let case = Case::new(&network, &image, 0, map.view()).unwrap();
        let mut made = Vec::new();
        let next = |i, batch: &mut Vec<f32>| {
            made.push(i);
            batch.extend([0.0, 0.0]);
            match i {
                2 => Err(MetricError::Image {
                    reason: "it is the third".to_owned(),
                }),
                _ => Ok(()),
            }
        };
        let before = batches.get();
        let found = Probe::new(&case, 2).unwrap().scores_and(6, next, |_| {});
        assert!(found.unwrap_err().to_string().contains("the third"));
        assert_eq!((made, batches.get() - before), (vec![0, 1, 2], 1));
    }
}
