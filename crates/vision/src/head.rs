//! What a network's output means: where its scores are, and what people read them as.

mod axes;
mod before;
mod choice;
mod follow;
mod written_out;

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, ArrayView1};

pub(crate) use self::choice::{Asked, choose};
use crate::error::ModelError;

/// What makes probabilities of a network's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Probabilities {
    /// `exp(z_i) / sum_j exp(z_j)`: classes that exclude each other.
    Softmax,
    /// `1 / (1 + exp(-z_i))`: labels that do not, or one number for yes and no.
    Sigmoid,
    /// Nothing: the scores are numbers, of a regression or an embedding.
    None,
}

impl Probabilities {
    /// What the scores of one image, `[K]`, say of each class; `None` where they say nothing.
    pub fn of(self, scores: ArrayView1<'_, f32>) -> Option<Array1<f32>> {
        match self {
            Self::Softmax => {
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers = scores.mapv(|score| f64::from(score - largest).exp());
                let sum = powers.sum();
                Some(powers.mapv(|power| (power / sum) as f32))
            }
            Self::Sigmoid => {
                Some(scores.mapv(|score| (1.0 / (1.0 + (-f64::from(score)).exp())) as f32))
            }
            Self::None => None,
        }
    }

    /// Its name: `softmax`, `sigmoid` or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Probabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Probabilities {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Softmax, Self::Sigmoid, Self::None];
        let named = all.into_iter().find(|one| one.as_str() == text.trim());
        named.ok_or_else(|| ModelError::Head {
            reason: format!("scores \"{text}\": expected softmax, sigmoid or none"),
        })
    }
}

/// What the scores of a network are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadKind {
    /// Classes that exclude each other, `[N, K]`.
    Classes,
    /// Labels of which each may be there or not, `[N, K]`.
    Labels,
    /// One number whose sigmoid is the probability of yes, `[N, 1]` or `[N]`.
    Binary,
    /// One number that is no score of a class, `[N, 1]` or `[N]`: a regression.
    Number,
    /// Several of them, `[N, K]`: a regression of several values, or an embedding.
    Numbers,
    /// A score for each class at each position, `[N, K, H, W]`: a segmentation.
    Map,
    /// Numbers for each of many boxes or positions, `[N, A, 4 + K]` or `[N, 4 + K, A]`: a detector.
    Boxes,
    /// Anything else.
    Other,
}

impl HeadKind {
    /// Whether there is one row of scores for each image, `[N, K]` or what can be seen so.
    pub const fn is_vector(self) -> bool {
        !matches!(self, Self::Map | Self::Boxes | Self::Other)
    }

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Labels => "labels",
            Self::Binary => "binary",
            Self::Number => "number",
            Self::Numbers => "numbers",
            Self::Map => "map",
            Self::Boxes => "boxes",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What turns a network's scores into what people read: found by following its output backwards,
/// through whatever only casts, moves, scales, cuts off or decides, to a softmax or a sigmoid.
///
/// The scores themselves, before all that, are what is explained: the layer
/// [`LOGITS`](elucid_graph::LOGITS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    kind: HeadKind,
    probabilities: Probabilities,
    axis: Option<usize>,
    output: String,
    scores: String,
    shape: Vec<usize>,
    /// Why there are no scores that could be computed, where there are none.
    obstacle: Option<String>,
}

impl Head {
    /// What the scores are about.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// What makes probabilities of the scores.
    pub fn probabilities(&self) -> Probabilities {
        self.probabilities
    }

    /// The axis of the scores along which classes lie; `None` where the file does not say it.
    pub fn axis(&self) -> Option<usize> {
        self.axis
    }

    /// The output that it ends in.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The value that holds the scores.
    pub fn scores(&self) -> &str {
        &self.scores
    }

    /// Number of scores of an image, or of classes of a map; `None` where it is not known which axis
    /// that is.
    pub fn count(&self) -> Option<usize> {
        match (self.kind.is_vector(), self.axis) {
            (true, _) => Some(self.shape.iter().skip(1).product()),
            (false, Some(axis)) => self.shape.get(axis).copied(),
            (false, None) => None,
        }
    }

    /// Why there is no row of class scores for an image.
    pub(crate) fn no_vector(&self) -> String {
        let (scores, shape) = (&self.scores, &self.shape);
        if let Some(obstacle) = &self.obstacle {
            return obstacle.clone();
        }
        match self.kind {
            HeadKind::Map => format!(
                "\"{scores}\" has shape {shape:?}, a score for each pixel, and no class scores of the \
                 whole picture: a class can be explained in a region, as 1@box:0,0,8,8"
            ),
            HeadKind::Boxes => format!(
                "\"{scores}\" has shape {shape:?}, numbers for each of many boxes or positions, and no \
                 class scores of the whole picture: one number can be explained, as {}[0,0]",
                self.output
            ),
            _ => format!(
                "\"{scores}\" has shape {shape:?}, not [N, classes], so it holds no class scores"
            ),
        }
    }

    /// Why no score stands out as the one to be explained, where none does.
    pub fn no_best(&self) -> Option<String> {
        match self.kind {
            HeadKind::Numbers => Some(format!(
                "\"{}\" holds {} numbers of which none is the best: a target names one, 0 to \
                 {}, or another picture (Target::like)",
                self.scores,
                self.count().unwrap_or(0),
                self.count().unwrap_or(1).saturating_sub(1),
            )),
            kind if kind.is_vector() => None,
            _ => Some(self.no_vector()),
        }
    }
}

/// What shapes say of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One row of so many for each image.
    Row(usize),
    Map,
    Boxes,
    Other,
}

impl Form {
    /// Of scores with this shape for one image.
    pub fn of(shape: &[usize]) -> Self {
        let [1, rest @ ..] = shape else {
            return Self::Other;
        };
        match rest.iter().filter(|&&size| size != 1).count() {
            0 | 1 => Self::Row(rest.iter().product()),
            _ if rest.len() == 3 => Self::Map,
            _ if rest.len() == 2 => Self::Boxes,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn shapes_say_what_scores_are_about() {
        for (shape, form) in [
            (&[1, 5][..], Form::Row(5)),
            (&[1, 5, 1, 1], Form::Row(5)),
            (&[1, 1, 1, 5], Form::Row(5)),
            (&[1, 1], Form::Row(1)),
            (&[1], Form::Row(1)),
            (&[1, 2, 8, 8], Form::Map),
            (&[1, 1, 8, 8], Form::Map),
            (&[1, 6, 4], Form::Boxes),
            (&[6, 4], Form::Other),
            (&[], Form::Other),
            (&[1, 2, 3, 4, 5], Form::Other),
        ] {
            assert_eq!(Form::of(shape), form, "{shape:?}");
        }
    }

    #[test]
    fn probabilities_are_those_of_the_formulas() {
        let scores = array![0.0_f32, 2.0, -1.0];
        let softmax = Probabilities::Softmax.of(scores.view()).unwrap();
        let sum: f32 = [1.0, 2.0_f32.exp(), (-1.0_f32).exp()].iter().sum();
        assert!((softmax[1] - 2.0_f32.exp() / sum).abs() < 1e-6);
        let sigmoid = Probabilities::Sigmoid.of(scores.view()).unwrap();
        assert!((sigmoid[1] - 0.880_797).abs() < 1e-6 && sigmoid[0] == 0.5);
        assert_eq!(Probabilities::None.of(scores.view()), None);
        for one in ["softmax", "sigmoid", "none"] {
            assert_eq!(one.parse::<Probabilities>().unwrap().as_str(), one);
        }
        let error = "soft".parse::<Probabilities>().unwrap_err().to_string();
        assert!(error.contains("softmax, sigmoid or none"), "{error}");
    }
}
