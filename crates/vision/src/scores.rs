//! What a network says of a picture.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array1, Array2};

use crate::head::{HeadKind, Probabilities};
use crate::model::Facts;

/// Scores of a batch.
#[derive(Debug, Clone)]
pub struct Scores {
    pub(crate) logits: Array2<f32>,
    pub(crate) facts: Arc<Facts>,
}

/// One class, or one number, with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// Class index.
    pub index: usize,
    /// The class's name, or its number where the model has no names.
    pub label: String,
    /// What the network's head makes of the score, 0 to 1: its share of the softmax, or its sigmoid.
    /// `None` where the scores are no probabilities' logits: of a regression or an embedding.
    pub probability: Option<f32>,
    /// The score itself.
    pub logit: f32,
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.probability.unwrap_or(self.logit);
        write!(f, "{:<32} {number:.3}", self.label)
    }
}

impl Guess {
    /// Its label, with the score where there is no probability, and the probability: what a page shows.
    pub fn shown(&self) -> (String, Option<f32>) {
        let label = match self.probability {
            Some(_) => self.label.clone(),
            None => format!("{} {:.2}", self.label, self.logit),
        };
        (label, self.probability)
    }
}

impl Scores {
    /// Scores before the softmax or the sigmoid, `[N, classes]`.
    pub fn logits(&self) -> &Array2<f32> {
        &self.logits
    }

    /// What makes probabilities of them.
    pub fn probabilities_by(&self) -> Probabilities {
        self.facts.head.probabilities()
    }

    /// Probabilities of the classes of image `image`, `[classes]`, as the network's head makes them;
    /// `None` where the scores are no logits.
    pub fn probabilities(&self, image: usize) -> Option<Array1<f32>> {
        self.probabilities_by().of(self.logits.row(image))
    }

    /// The `count` best classes of the first image, best first. Of a regression or an embedding no
    /// number is the best: those come in order.
    pub fn top(&self, count: usize) -> Vec<Guess> {
        self.top_of(0, count)
    }

    /// The same of image `image`; none when there is no such image.
    pub fn top_of(&self, image: usize, count: usize) -> Vec<Guess> {
        if image >= self.logits.nrows() {
            return Vec::new();
        }
        let logits = self.logits.row(image);
        let probabilities = self.probabilities(image);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        if self.facts.head.kind() != HeadKind::Numbers {
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        }
        order
            .into_iter()
            .take(count)
            .map(|index| Guess {
                index,
                label: self.facts.label(index),
                probability: probabilities.as_ref().map(|p| p[index]),
                logit: logits[index],
            })
            .collect()
    }
}
