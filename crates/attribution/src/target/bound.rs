//! A target that was checked against a network, and its score.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};
use elucid_graph::{Activation, LongRows};
use elucid_vision::Probabilities;
use ndarray::{Array2, ArrayD};

use super::axes::{self, Along};
use super::detection::BoundDetection;
use super::region::BoundRegion;
use super::{Closure, refused, similarity};
use crate::error::AttributionError;
use crate::layer_map::LayerMap;

/// A target whose classes and layers exist in the network.
#[derive(Clone)]
pub(crate) struct BoundTarget {
    pub layer: String,
    pub(super) score: Score,
}

#[derive(Clone, Copy)]
pub(super) enum BoundSide {
    None,
    Class(usize),
    LogSumExp,
}

#[derive(Clone)]
pub(super) enum Score {
    Zero,
    Class(usize),
    Difference(BoundSide, BoundSide),
    LogSumExp,
    Probability(usize, Probabilities),
    Improbability(usize),
    Contrast(usize),
    Neuron([usize; 3], LayerMap),
    Position([usize; 2], LayerMap),
    Closure(Closure),
    Element(Vec<Along>),
    /// The sum of all numbers of an image times these.
    Weights(Arc<[f32]>),
    Region(BoundRegion),
    Detection(BoundDetection),
    /// The cosine with this direction, and what it is called.
    Cosine(Arc<[f32]>, String),
    Each(Vec<Score>),
}

impl Score {
    /// What the score is the difference of; all of it, and 0, where it is none.
    fn sides(&self) -> [Self; 2] {
        let side = |side: &BoundSide| match *side {
            BoundSide::None => Self::Zero,
            BoundSide::Class(class) => Self::Class(class),
            BoundSide::LogSumExp => Self::LogSumExp,
        };
        match self {
            Self::Difference(a, b) => [side(a), side(b)],
            Self::Each(scores) => {
                let (a, b) = scores.iter().map(|s| s.sides().into()).unzip();
                [Self::Each(a), Self::Each(b)]
            }
            other => [other.clone(), Self::Zero],
        }
    }
}

impl BoundTarget {
    /// What the target is the difference of: for each side a target of its own. Where it is no
    /// difference the second is 0.
    pub fn sides(&self) -> [Self; 2] {
        self.score.sides().map(|score| Self {
            layer: self.layer.clone(),
            score,
        })
    }

    /// Refuses a list of targets that is not one for each image.
    pub fn check_count(&self, images: usize) -> Result<(), AttributionError> {
        match &self.score {
            Score::Each(scores) if scores.len() != images => Err(AttributionError::Target {
                text: format!("a list of {}", scores.len()),
                reason: format!("the batch has {images} images, and each needs one target"),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a target whose score `method` cannot begin to hand down: one that is a cosine, which does
    /// not grow with its embedding.
    pub fn check_handed_down(&self, method: &str) -> Result<(), AttributionError> {
        self.refuse(&|score| match score {
            Score::Cosine(_, text) => Some((
                text.clone(),
                format!(
                    "{method} hands the score down along gradient times activation, and of a cosine \
                     these add up to 0; take a gradient, DeepLIFT, or a method that hides pixels"
                ),
            )),
            _ => None,
        })
    }

    /// Refuses a target that names no units which `method` could begin with: a cosine, or a detected
    /// box, whose overlap is none.
    pub fn check_units(&self, method: &str) -> Result<(), AttributionError> {
        self.refuse(&|score| {
            let text = match score {
                Score::Cosine(_, text) => text.clone(),
                Score::Detection(detection) => detection.text().to_owned(),
                _ => return None,
            };
            let reason = format!(
                "{method} begins with chances of units of the layer, which this target has none of; \
                 name a number of the layer instead, as NAME[INDEX,...]"
            );
            Some((text, reason))
        })
    }

    fn refuse(
        &self,
        reason: &dyn Fn(&Score) -> Option<(String, String)>,
    ) -> Result<(), AttributionError> {
        let scores = match &self.score {
            Score::Each(scores) => &scores[..],
            score => std::slice::from_ref(score),
        };
        match scores.iter().find_map(reason) {
            Some((text, reason)) => Err(refused(text, reason)),
            None => Ok(()),
        }
    }

    /// Whether images have to be seen before it is known what is explained in them, or whether anything
    /// is.
    pub fn is_open(&self) -> bool {
        fn is_open(score: &Score) -> bool {
            match score {
                Score::Region(region) => region.is_open(),
                Score::Detection(_) => true,
                Score::Each(scores) => scores.iter().any(is_open),
                _ => false,
            }
        }
        is_open(&self.score)
    }

    /// The target of each image, given what all of them, as they are, give at its layer.
    pub fn settled(&self, images: &[Activation]) -> Result<Self, AttributionError> {
        let mut scores = Vec::new();
        for image in images {
            let count = image.shape()[0];
            for row in 0..count {
                let score = match &self.score {
                    Score::Each(each) => &each[scores.len()],
                    score => score,
                };
                let one = Activation::from_rows(image.rows().narrow(0, row, 1), image)?;
                scores.push(self.settled_for(score, &one)?);
            }
        }
        Ok(Self {
            layer: self.layer.clone(),
            score: Score::Each(scores),
        })
    }

    /// The pixels of the first image's region, if it is one.
    pub fn region_pixels(&self) -> Option<Array2<bool>> {
        let score = match &self.score {
            Score::Each(each) => each.first(),
            score => Some(score),
        };
        match score {
            Some(Score::Region(region)) => region.pixels().cloned(),
            _ => None,
        }
    }

    fn settled_for(&self, score: &Score, image: &Activation) -> Result<Score, AttributionError> {
        match score {
            Score::Region(region) if region.is_open() => {
                let found: ArrayD<f32> = image.to_array()?;
                Ok(Score::Region(region.settled(found)?))
            }
            Score::Detection(detection) => {
                let best = detection.score(image)?.into_scalar::<f32>();
                detection.check(best)?;
                Ok(score.clone())
            }
            other => Ok(other.clone()),
        }
    }

    /// One score per row, `[rows]`, from the layer's activation; row `i` belongs to image `rows[i]`.
    pub fn score(
        &self,
        activation: &Activation,
        rows: &[usize],
    ) -> Result<Tensor<1>, AttributionError> {
        let Score::Each(scores) = &self.score else {
            return self.score_as(&self.score, activation);
        };
        let classes: Option<Vec<usize>> = rows
            .iter()
            .map(|&row| match scores[row] {
                Score::Class(class) => Some(class),
                _ => None,
            })
            .collect();
        if let Some(classes) = classes {
            return self.classes(activation, &classes);
        }
        let wide = activation.rows();
        let parts = rows
            .iter()
            .enumerate()
            .map(|(i, &row)| {
                let one = Activation::from_rows(wide.clone().narrow(0, i, 1), activation)?;
                self.score_as(&scores[row], &one)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::cat(parts, 0))
    }

    /// The logit of another class in each row.
    fn classes(
        &self,
        activation: &Activation,
        classes: &[usize],
    ) -> Result<Tensor<1>, AttributionError> {
        let logits = activation.rows();
        let [images, width] = logits.dims();
        let mut chosen = vec![0.0; images * width];
        for (row, &class) in classes.iter().enumerate() {
            self.check("class", class, width)?;
            chosen[row * width + class] = 1.0;
        }
        let chosen = TensorData::new(chosen, [images, width]);
        let chosen = Tensor::<2>::from_data(chosen, &logits.device());
        Ok((logits * chosen).row_sums().reshape([images]))
    }

    fn score_as(
        &self,
        score: &Score,
        activation: &Activation,
    ) -> Result<Tensor<1>, AttributionError> {
        let shape = activation.shape();
        let images = shape[0];
        let logits = || activation.rows();
        let column = |t: Tensor<2>, class: usize| {
            self.check("class", class, t.dims()[1])?;
            Ok::<_, AttributionError>(t.narrow(1, class, 1).reshape([images]))
        };
        match score {
            Score::Zero => Ok(Tensor::zeros([images], &logits().device())),
            Score::Class(class) => column(logits(), *class),
            Score::Difference(..) => {
                let [a, b] = score.sides();
                let b = self.score_as(&b, activation)?;
                Ok(match a {
                    Score::Zero => -b,
                    a => self.score_as(&a, activation)? - b,
                })
            }
            Score::LogSumExp => Ok(log_sum_exp(logits())),
            Score::Probability(class, by) => column(probabilities(logits(), *by), *class),
            Score::Improbability(class) => column(activation::sigmoid(-logits()), *class),
            Score::Contrast(class) => {
                let logits = logits();
                let [images, classes] = logits.dims();
                if classes < 2 {
                    return Err(AttributionError::Target {
                        text: format!("contrast of class {class}"),
                        reason: format!("layer \"{}\" has no other class", self.layer),
                    });
                }
                let own = column(logits.clone(), *class)?;
                let device = logits.device();
                let indices = Tensor::<1, Int>::arange(0..classes as i64, &device);
                let is_own = indices.equal_scalar(*class as i64).unsqueeze::<2>();
                let others = logits.mask_fill(is_own.repeat_dim(0, images), f32::NEG_INFINITY);
                Ok(own - others.row_maxima().reshape([images]))
            }
            Score::Neuron([channel, row, col], map) => {
                let x = self.image(*map, activation)?;
                let [_, c, h, w] = x.dims();
                self.check("channel", *channel, c)?;
                self.check("row", *row, h)?;
                self.check("column", *col, w)?;
                let one = x
                    .narrow(1, *channel, 1)
                    .narrow(2, *row, 1)
                    .narrow(3, *col, 1);
                Ok(one.reshape([images]))
            }
            Score::Position([row, col], map) => {
                let x = self.image(*map, activation)?;
                let [_, c, h, w] = x.dims();
                self.check("row", *row, h)?;
                self.check("column", *col, w)?;
                let x = x.narrow(2, *row, 1).narrow(3, *col, 1).reshape([images, c]);
                Ok(norm(x))
            }
            Score::Closure(score) => {
                let x = match shape.len() {
                    4 => activation.tensor::<4>()?,
                    _ => {
                        let x = activation.tensor::<2>()?;
                        x.reshape([images, shape[1], 1, 1])
                    }
                };
                let scores = score(x);
                if scores.shape().to_vec() != [images] {
                    return Err(AttributionError::Scores {
                        got: scores.shape().to_vec(),
                        images,
                    });
                }
                Ok(scores)
            }
            Score::Element(along) => {
                axes::check(&self.layer, along, &shape)?;
                Ok(axes::score(along, activation))
            }
            Score::Weights(weights) => {
                let rows = logits();
                let width = rows.dims()[1];
                if width != weights.len() {
                    return Err(AttributionError::ReadBack {
                        expected: vec![images, weights.len()],
                        got: vec![images, width],
                    });
                }
                let weights = TensorData::new(weights.to_vec(), [1, width]);
                let weights = Tensor::<2>::from_data(weights, &rows.device());
                Ok((rows * weights).row_sums().reshape([images]))
            }
            Score::Region(region) => region.score(activation),
            Score::Detection(detection) => detection.score(activation),
            Score::Cosine(direction, text) => similarity::score(direction, activation, text),
            Score::Each(_) => Err(AttributionError::Target {
                text: "a list in a list".to_owned(),
                reason: "expected one target for each image".to_owned(),
            }),
        }
    }

    fn image(&self, map: LayerMap, activation: &Activation) -> Result<Tensor<4>, AttributionError> {
        let seen = map.shown(activation.clone())?;
        seen.tensor::<4>()
            .map_err(|_| AttributionError::NotSpatial {
                layer: self.layer.clone(),
                shape: activation.shape(),
            })
    }

    fn check(&self, what: &'static str, index: usize, size: usize) -> Result<(), AttributionError> {
        if index < size {
            return Ok(());
        }
        Err(AttributionError::OutOfRange {
            what,
            index,
            layer: self.layer.clone(),
            size,
        })
    }
}

/// What the scores `[N, K]` say of each class. Of one number a softmax would say nothing: it stays.
pub(crate) fn probabilities(scores: Tensor<2>, by: Probabilities) -> Tensor<2> {
    match by {
        Probabilities::Softmax if scores.dims()[1] > 1 => activation::softmax(scores, 1),
        Probabilities::Sigmoid => activation::sigmoid(scores),
        Probabilities::Softmax | Probabilities::None => scores,
    }
}

/// `log sum exp` over the second axis of `[N, K]`, giving `[N]`.
fn log_sum_exp(logits: Tensor<2>) -> Tensor<1> {
    let images = logits.dims()[0];
    let largest = logits.clone().detach().row_maxima();
    let sum = (logits - largest.clone()).exp().row_sums();
    (sum.log() + largest).reshape([images])
}

/// `|x|` over the second axis of `[N, C]`, giving `[N]`, with gradient 0 where `x` is 0.
pub(super) fn norm(x: Tensor<2>) -> Tensor<1> {
    let images = x.dims()[0];
    let length = (x.clone() * x.clone()).detach().row_sums().sqrt();
    // |x| = x . (x / |x|): with the direction held constant, value and gradient are both right,
    // and a zero vector meets no division by zero.
    let direction = x.clone().detach() / length.clamp_min(f32::MIN_POSITIVE);
    (x * direction).row_sums().reshape([images])
}
