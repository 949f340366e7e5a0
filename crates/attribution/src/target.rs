//! The scalar that is explained.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};
use elucid_graph::{Activation, LOGITS};
use elucid_vision::Probabilities;

use crate::error::AttributionError;
use crate::network::Network;

/// A class by its index or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassRef {
    /// Index, from 0.
    Index(usize),
    /// Name, as the model's labels have it.
    Label(String),
}

impl From<usize> for ClassRef {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for ClassRef {
    fn from(label: &str) -> Self {
        Self::Label(label.to_owned())
    }
}

impl From<String> for ClassRef {
    fn from(label: String) -> Self {
        Self::Label(label)
    }
}

impl fmt::Display for ClassRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Label(label) => f.write_str(label),
        }
    }
}

/// One side of [`Target::difference`].
///
/// A number or a text is a class. The text that users type, in which `none` and `logsumexp` are
/// words, is parsed by [`Target`]'s [`FromStr`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// Nothing: 0, so that the other side stands alone.
    None,
    /// The logit of a class.
    Class(ClassRef),
    /// `log sum exp` over all logits.
    LogSumExp,
}

impl<C: Into<ClassRef>> From<C> for Side {
    fn from(class: C) -> Self {
        Self::Class(class.into())
    }
}

impl Side {
    /// What users type: `none`, `logsumexp`, or a class by its number or its name.
    fn parse(text: &str) -> Option<Self> {
        let name = text.trim();
        Some(match name {
            "" => return None,
            _ if name.eq_ignore_ascii_case("none") => Self::None,
            _ if name.eq_ignore_ascii_case("logsumexp") => Self::LogSumExp,
            _ => Self::Class(
                name.parse()
                    .map_or_else(|_| ClassRef::from(name), ClassRef::Index),
            ),
        })
    }

    fn bind(&self, network: &dyn Network) -> Result<BoundSide, AttributionError> {
        Ok(match self {
            Self::None => BoundSide::None,
            Self::Class(class) => BoundSide::Class(network.class(class)?),
            Self::LogSumExp => BoundSide::LogSumExp,
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Class(class) => write!(f, "{class}"),
            Self::LogSumExp => f.write_str("log sum exp"),
        }
    }
}

type Closure = Arc<dyn Fn(Tensor<4>) -> Tensor<1> + Send + Sync>;

/// What is explained: one number per image, computed from a layer.
///
/// Scores of classes are logits, before any softmax or sigmoid, unless [`Target::probability`] is asked for.
#[derive(Clone)]
pub struct Target(Kind);

#[derive(Clone)]
enum Kind {
    Class(ClassRef),
    Difference(Side, Side),
    LogSumExp,
    Probability(ClassRef),
    Improbability(ClassRef),
    Contrast(ClassRef),
    Neuron {
        layer: String,
        channel: usize,
        row: usize,
        column: usize,
    },
    Position {
        layer: String,
        row: usize,
        column: usize,
    },
    Closure {
        layer: String,
        score: Closure,
    },
    Each(Vec<Target>),
}

impl Target {
    /// One target for each image of the batch, all of them computed from the same layer.
    pub fn each(targets: impl IntoIterator<Item = Target>) -> Self {
        Self(Kind::Each(targets.into_iter().collect()))
    }

    /// The logit of a class, by index or label.
    pub fn class(class: impl Into<ClassRef>) -> Self {
        Self(Kind::Class(class.into()))
    }

    /// The logit of the class with this label.
    pub fn label(label: &str) -> Self {
        Self::class(label)
    }

    /// The logit of `a` minus that of `b`: what speaks for the one rather than the other. Either
    /// may be [`Side::None`], which is 0, or [`Side::LogSumExp`].
    pub fn difference(a: impl Into<Side>, b: impl Into<Side>) -> Self {
        Self(Kind::Difference(a.into(), b.into()))
    }

    /// `log sum exp` over all logits: evidence for any class at all.
    pub fn log_sum_exp() -> Self {
        Self(Kind::LogSumExp)
    }

    /// The probability of a class, as the network's head makes it of the scores: by a softmax, or by a
    /// sigmoid. A softmax of a closure's only number would always be 1: the number is taken as it is.
    pub fn probability(class: impl Into<ClassRef>) -> Self {
        Self(Kind::Probability(class.into()))
    }

    /// The logit of a class minus the largest of all others: above zero where it is the top class.
    pub fn contrast(class: impl Into<ClassRef>) -> Self {
        Self(Kind::Contrast(class.into()))
    }

    /// One number of a layer.
    pub fn neuron(layer: &str, channel: usize, row: usize, column: usize) -> Self {
        Self(Kind::Neuron {
            layer: layer.to_owned(),
            channel,
            row,
            column,
        })
    }

    /// The L2 norm over the channels at one position of a layer.
    pub fn position(layer: &str, row: usize, column: usize) -> Self {
        Self(Kind::Position {
            layer: layer.to_owned(),
            row,
            column,
        })
    }

    /// Any differentiable function of a layer, from `[N, C, H, W]` to `[N]`; vectors `[N, K]` come
    /// as `[N, K, 1, 1]`.
    pub fn closure(
        layer: &str,
        score: impl Fn(Tensor<4>) -> Tensor<1> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Closure {
            layer: layer.to_owned(),
            score: Arc::new(score),
        })
    }

    /// The probability where it is the logit of a class, or minus the one number that a sigmoid makes
    /// an answer of, for each image; others as they are, and all where scores are no logits.
    pub(crate) fn as_probability(&self, by: Probabilities) -> Self {
        Self(match (&self.0, by) {
            (kind, Probabilities::None) => kind.clone(),
            (Kind::Class(class), _) => Kind::Probability(class.clone()),
            (Kind::Difference(Side::None, Side::Class(class)), Probabilities::Sigmoid) => {
                Kind::Improbability(class.clone())
            }
            (Kind::Each(targets), _) => Kind::Each(
                targets
                    .iter()
                    .map(|target| target.as_probability(by))
                    .collect(),
            ),
            (kind, _) => kind.clone(),
        })
    }

    /// The contrast of what is the logit or the probability of a class, for each image; `None` for
    /// other targets.
    pub(crate) fn as_contrast(&self) -> Option<Self> {
        Some(Self(match &self.0 {
            Kind::Class(class) | Kind::Probability(class) | Kind::Contrast(class) => {
                Kind::Contrast(class.clone())
            }
            Kind::Each(targets) => {
                let targets = targets.iter().map(Self::as_contrast);
                Kind::Each(targets.collect::<Option<_>>()?)
            }
            _ => return None,
        }))
    }

    /// What is explained in each of so many images, in words.
    pub(crate) fn names(&self, images: usize) -> Vec<String> {
        match &self.0 {
            Kind::Each(targets) => targets.iter().map(ToString::to_string).collect(),
            _ => vec![self.to_string(); images],
        }
    }

    /// Checks the target against a network: the layer it is computed from, and its score.
    pub(crate) fn bind(&self, network: &dyn Network) -> Result<BoundTarget, AttributionError> {
        let at = |layer: &str, score: Score| {
            Ok::<_, AttributionError>(BoundTarget {
                layer: network.layer(layer)?,
                score,
            })
        };
        match &self.0 {
            Kind::Class(class) => at(LOGITS, Score::Class(network.class(class)?)),
            Kind::Difference(Side::None, Side::None) => Err(AttributionError::Target {
                text: self.to_string(),
                reason: "there is none on both sides, so nothing to explain".to_owned(),
            }),
            Kind::Difference(a, b) => at(
                LOGITS,
                Score::Difference(a.bind(network)?, b.bind(network)?),
            ),
            Kind::Probability(class) => match network.probabilities() {
                Probabilities::None => Err(AttributionError::Target {
                    text: self.to_string(),
                    reason: "the network's scores are numbers, not logits of probabilities"
                        .to_owned(),
                }),
                by => at(LOGITS, Score::Probability(network.class(class)?, by)),
            },
            Kind::Improbability(class) => at(LOGITS, Score::Improbability(network.class(class)?)),
            Kind::Contrast(class) => at(LOGITS, Score::Contrast(network.class(class)?)),
            Kind::LogSumExp => at(LOGITS, Score::LogSumExp),
            Kind::Neuron {
                layer,
                channel,
                row,
                column,
            } => at(layer, Score::Neuron([*channel, *row, *column])),
            Kind::Position { layer, row, column } => at(layer, Score::Position([*row, *column])),
            Kind::Closure { layer, score } => at(layer, Score::Closure(Arc::clone(score))),
            Kind::Each(targets) => {
                let mut layer: Option<String> = None;
                let mut scores = Vec::with_capacity(targets.len());
                for target in targets {
                    let bound = target.bind(network)?;
                    match &layer {
                        Some(layer) if *layer != bound.layer => {
                            return Err(AttributionError::Target {
                                text: self.to_string(),
                                reason: format!(
                                    "targets of one batch are computed from one layer, not from \
                                     \"{layer}\" and \"{}\"",
                                    bound.layer
                                ),
                            });
                        }
                        _ => layer = Some(bound.layer),
                    }
                    scores.push(bound.score);
                }
                let Some(layer) = layer else {
                    return Err(AttributionError::Target {
                        text: self.to_string(),
                        reason: "expected one target for each image".to_owned(),
                    });
                };
                Ok(BoundTarget {
                    layer,
                    score: Score::Each(scores),
                })
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Class(class) => write!(f, "{class}"),
            Kind::Difference(Side::None, Side::None) => f.write_str("none - none"),
            Kind::Difference(a, Side::None) => write!(f, "{a}"),
            Kind::Difference(Side::None, b) => write!(f, "-({b})"),
            Kind::Difference(a, b) => write!(f, "{a} - {b}"),
            Kind::LogSumExp => f.write_str("log sum exp"),
            Kind::Probability(class) => write!(f, "probability of {class}"),
            Kind::Improbability(class) => write!(f, "probability against {class}"),
            Kind::Contrast(class) => write!(f, "{class} - best of the others"),
            Kind::Neuron {
                layer,
                channel,
                row,
                column,
            } => {
                write!(f, "{layer}, channel {channel} at ({row}, {column})")
            }
            Kind::Position { layer, row, column } => write!(f, "|{layer}| at ({row}, {column})"),
            Kind::Closure { layer, .. } => write!(f, "a function of {layer}"),
            Kind::Each(targets) => {
                let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// `A`, `A:B` for a difference, or `logsumexp`; `A` and `B` are class numbers or names, and in a
/// difference also `none` or `logsumexp`.
impl FromStr for Target {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |part: &str| {
            Side::parse(part).ok_or_else(|| AttributionError::Target {
                text: text.to_owned(),
                reason: "expected a class, two classes A:B, or logsumexp".to_owned(),
            })
        };
        Ok(match text.split_once(':') {
            Some((a, b)) => Self::difference(side(a)?, side(b)?),
            None => match side(text)? {
                Side::LogSumExp => Self::log_sum_exp(),
                Side::Class(class) => Self::class(class),
                Side::None => Self::label(text.trim()),
            },
        })
    }
}

/// A target whose classes and layers exist in the network.
#[derive(Clone)]
pub(crate) struct BoundTarget {
    pub layer: String,
    score: Score,
}

#[derive(Clone, Copy)]
enum BoundSide {
    None,
    Class(usize),
    LogSumExp,
}

#[derive(Clone)]
enum Score {
    Zero,
    Class(usize),
    Difference(BoundSide, BoundSide),
    LogSumExp,
    Probability(usize, Probabilities),
    Improbability(usize),
    Contrast(usize),
    Neuron([usize; 3]),
    Position([usize; 2]),
    Closure(Closure),
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
        Ok((logits * chosen).sum_dim(1).reshape([images]))
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
                Ok(own - others.max_dim(1).reshape([images]))
            }
            Score::Neuron([channel, row, col]) => {
                let x = self.image(activation)?;
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
            Score::Position([row, col]) => {
                let x = self.image(activation)?;
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
            Score::Each(_) => Err(AttributionError::Target {
                text: "a list in a list".to_owned(),
                reason: "expected one target for each image".to_owned(),
            }),
        }
    }

    fn image(&self, activation: &Activation) -> Result<Tensor<4>, AttributionError> {
        activation
            .tensor::<4>()
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
    let largest = logits.clone().detach().max_dim(1);
    let sum = (logits - largest.clone()).exp().sum_dim(1);
    (sum.log() + largest).reshape([images])
}

/// `|x|` over the second axis of `[N, C]`, giving `[N]`, with gradient 0 where `x` is 0.
fn norm(x: Tensor<2>) -> Tensor<1> {
    let images = x.dims()[0];
    let length = (x.clone() * x.clone()).detach().sum_dim(1).sqrt();
    // |x| = x . (x / |x|): with the direction held constant, value and gradient are both right,
    // and a zero vector meets no division by zero.
    let direction = x.clone().detach() / length.clamp_min(f32::MIN_POSITIVE);
    (x * direction).sum_dim(1).reshape([images])
}
