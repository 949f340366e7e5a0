//! The scalar that is explained.

mod axes;
mod bound;
mod class;
mod detection;
mod region;
mod scorer;
mod similarity;
mod spelling;
mod traced;

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_graph::{INPUT, ImageBatch, LOGITS};
use elucid_rules::Rules;
use elucid_vision::Probabilities;
use ndarray::Array2;

use crate::error::AttributionError;
use crate::layer_map::LayerMap;
use crate::network::Network;

pub use self::axes::Along;
use self::bound::Score;
pub(crate) use self::bound::{BoundTarget, probabilities};
pub use self::class::{ClassRef, Side};
pub use self::detection::{BoxFormat, Detection};
use self::region::BoundRegion;
pub use self::region::{DenseMap, Region};
pub use self::scorer::Scorer;
use self::traced::before_probabilities;
pub(crate) use self::traced::{moved_to, probability_of};

type Closure = Arc<dyn Fn(Tensor<4>) -> Tensor<1> + Send + Sync>;

/// What is explained: one number per image, computed from a layer.
///
/// Scores of classes are logits, before any softmax or sigmoid, unless [`Target::probability`] is asked
/// for.
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
    Element {
        layer: String,
        along: Vec<Along>,
        as_given: bool,
    },
    Region {
        class: ClassRef,
        region: Region,
    },
    Detection(Detection),
    Like {
        layer: String,
        vector: Arc<[f32]>,
    },
    Each(Vec<Target>),
}

fn refused(text: String, reason: String) -> AttributionError {
    AttributionError::Target { text, reason }
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

    /// One number of an output or a layer of any rank, by its indices without that of the batch:
    /// `Target::element("out", &[5, 2])` of `out` with shape `[N, 6, 4]`.
    ///
    /// A number of an *output* that is a probability, which a sigmoid or a softmax made and the file
    /// only moved from there, is explained by the score before that; [`Target::as_given`] explains the
    /// number as the file gives it.
    pub fn element(layer: &str, indices: &[usize]) -> Self {
        Self::along(layer, indices.iter().copied())
    }

    /// As [`Target::element`], with a sum, a mean, a norm or weights instead of an index along some
    /// axes.
    pub fn along<A: Into<Along>>(layer: &str, along: impl IntoIterator<Item = A>) -> Self {
        Self(Kind::Element {
            layer: layer.to_owned(),
            along: along.into_iter().map(Into::into).collect(),
            as_given: false,
        })
    }

    /// The mean of a channel of a layer `[N, C, H, W]` over its positions.
    pub fn channel(layer: &str, channel: usize) -> Self {
        Self::along(layer, [Along::At(channel), Along::Mean, Along::Mean])
    }

    /// The mean over the positions of a layer `[N, C, H, W]` of the product of its channels with
    /// `direction`, one number for each.
    pub fn direction(layer: &str, direction: &[f32]) -> Self {
        let direction = Along::Weights(direction.into());
        Self::along(layer, [direction, Along::Mean, Along::Mean])
    }

    /// An element of an output as the file gives it, even if that is a probability. Other targets stay
    /// as they are.
    #[must_use]
    pub fn as_given(self) -> Self {
        Self(match self.0 {
            Kind::Element { layer, along, .. } => Kind::Element {
                layer,
                along,
                as_given: true,
            },
            Kind::Each(targets) => Kind::Each(targets.into_iter().map(Self::as_given).collect()),
            other => other,
        })
    }

    /// The sum of a class's scores over a region of a dense map, `[N, K, H, W]` (see [`DenseMap::of`]):
    /// the scores before a softmax, an argmax or a sigmoid of the file.
    ///
    /// A region that follows from an image's own scores is found once, in the image as it is, and holds
    /// for all that is computed of it.
    pub fn region(class: impl Into<ClassRef>, region: Region) -> Self {
        Self(Kind::Region {
            class: class.into(),
            region,
        })
    }

    /// A detected box, before any suppression.
    pub fn detection(detection: Detection) -> Self {
        Self(Kind::Detection(detection))
    }

    /// The cosine of a layer's numbers, all of an image in a row, with those of another picture: the
    /// likeness of two embeddings.
    pub fn like(layer: &str, vector: &[f32]) -> Self {
        Self(Kind::Like {
            layer: layer.to_owned(),
            vector: vector.into(),
        })
    }

    /// The same detected box, if it is one, with boxes written in another way.
    #[must_use]
    pub fn with_boxes(&self, format: BoxFormat) -> Self {
        Self(match &self.0 {
            Kind::Detection(detection) => Kind::Detection(detection.with_format(format)),
            other => other.clone(),
        })
    }

    /// What sort of number it is, in a word: `class`, `difference`, `logsumexp`, `probability`,
    /// `contrast`, `element`, `region`, `detection`, `similarity`, `function`, or `each` for a list.
    pub fn sort(&self) -> &'static str {
        match &self.0 {
            Kind::Class(_) => "class",
            Kind::Difference(..) => "difference",
            Kind::LogSumExp => "logsumexp",
            Kind::Probability(_) | Kind::Improbability(_) => "probability",
            Kind::Contrast(_) => "contrast",
            Kind::Neuron { .. } | Kind::Position { .. } | Kind::Element { .. } => "element",
            Kind::Region { .. } => "region",
            Kind::Detection(_) => "detection",
            Kind::Like { .. } => "similarity",
            Kind::Closure { .. } => "function",
            Kind::Each(_) => "each",
        }
    }

    /// The class that a region or a detected box is about.
    pub fn class_of_place(&self) -> Option<&ClassRef> {
        match &self.0 {
            Kind::Region { class, .. } => Some(class),
            Kind::Detection(detection) => Some(detection.class()),
            _ => None,
        }
    }

    /// The region of a dense map that it is a sum over.
    pub fn region_of(&self) -> Option<&Region> {
        match &self.0 {
            Kind::Region { region, .. } => Some(region),
            _ => None,
        }
    }

    /// Whether it looks at a place of the picture, or of a layer, that would have to move with what the
    /// picture shows.
    pub(crate) fn is_of_a_place(&self) -> bool {
        match &self.0 {
            Kind::Neuron { .. } | Kind::Position { .. } => true,
            Kind::Region { .. } | Kind::Detection(_) => true,
            // One number is a class; what has several may have a row and a column.
            Kind::Element { along, .. } => along.len() > 1,
            Kind::Each(targets) => targets.iter().any(Self::is_of_a_place),
            _ => false,
        }
    }

    /// Where in one picture it looks, `[H, W]` in pixels of the dense map, or of the network's input for a
    /// detected box; `None` for targets that are about no place. What is predicted is found in the picture.
    ///
    /// # Errors
    ///
    /// When the target does not fit the network, or is found nowhere in the picture; as a pass.
    pub fn place_in(
        &self,
        network: &dyn Network,
        picture: &dyn ImageBatch,
    ) -> Result<Option<Array2<bool>>, AttributionError> {
        let picture = match network.device() {
            Some(device) => picture.images(device),
            None => picture.batch(),
        };
        let [_, _, height, width] = picture.dims();
        match &self.0 {
            Kind::Region { .. } => {
                let bound = self.bind(network)?;
                let feeds = vec![(INPUT, picture.into())];
                let scores = network.run(feeds, &bound.layer, &Rules::new())?;
                Ok(bound.settled(&[scores])?.region_pixels())
            }
            Kind::Detection(detection) => Ok(Some(detection.inside([height, width]))),
            _ => Ok(None),
        }
    }

    /// The layer of a network that it is computed from.
    ///
    /// # Errors
    ///
    /// When the target does not fit the network.
    pub fn layer_in(&self, network: &dyn Network) -> Result<String, AttributionError> {
        Ok(self.bind(network)?.layer)
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
    #[must_use]
    pub fn as_probability(&self, by: Probabilities) -> Self {
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
            } => at(
                layer,
                Score::Neuron([*channel, *row, *column], LayerMap::at(network, layer)?),
            ),
            Kind::Position { layer, row, column } => at(
                layer,
                Score::Position([*row, *column], LayerMap::at(network, layer)?),
            ),
            Kind::Closure { layer, score } => at(layer, Score::Closure(Arc::clone(score))),
            Kind::Element {
                layer,
                along,
                as_given,
            } => bind_element(network, layer, along, *as_given),
            Kind::Region { class, region } => {
                let region = BoundRegion::new(network, class, region, self.to_string())?;
                at(LOGITS, Score::Region(region))
            }
            Kind::Detection(detection) => {
                let layer = network.layer(detection.layer())?;
                let detection = detection.bind(network, &layer)?;
                at(&layer, Score::Detection(detection))
            }
            Kind::Like { layer, vector } => {
                let text = self.to_string();
                let direction = similarity::direction(vector, &text)?;
                at(layer, Score::Cosine(direction, text))
            }
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

/// An element of a layer, or the scores that it is a probability of.
fn bind_element(
    network: &dyn Network,
    layer: &str,
    along: &[Along],
    as_given: bool,
) -> Result<BoundTarget, AttributionError> {
    let layer = network.layer(layer)?;
    if let Some(model) = network.as_model() {
        axes::check(&layer, along, model.layer(&layer)?.shape())?;
        let traced = match as_given {
            true => None,
            false => before_probabilities(model, &layer, along),
        };
        if let Some(traced) = traced {
            return Ok(BoundTarget {
                layer: traced.layer,
                score: Score::Weights(traced.weights),
            });
        }
    }
    Ok(BoundTarget {
        layer,
        score: Score::Element(along.to_vec()),
    })
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
            Kind::Element {
                layer,
                along,
                as_given: false,
            } => f.write_str(&axes::spelled(layer, along)),
            Kind::Element { layer, along, .. } => {
                write!(f, "{} as given", axes::spelled(layer, along))
            }
            Kind::Region { class, region } => write!(f, "{} {region}", class.in_words()),
            Kind::Detection(detection) => write!(f, "{detection}"),
            Kind::Like { layer, .. } => write!(f, "likeness of {layer}"),
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
