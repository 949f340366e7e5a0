//! What a network says of a picture.

use std::fmt;

use elucid_models::Labels;
use ndarray::{Array1, Array2, ArrayView1};

/// Class scores of a batch.
#[derive(Debug, Clone)]
pub struct Scores {
    pub(crate) logits: Array2<f32>,
    pub(crate) labels: Option<Labels>,
}

/// One class with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// Class index.
    pub index: usize,
    /// The class's name, or its number where the model has no names.
    pub label: String,
    /// Share of the softmax, 0 to 1.
    pub probability: f32,
    /// The score itself.
    pub logit: f32,
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<32} {:.3}", self.label, self.probability)
    }
}

impl Scores {
    /// Scores before the softmax, `[N, classes]`.
    pub fn logits(&self) -> &Array2<f32> {
        &self.logits
    }

    /// Softmax of the scores of image `image`, `[classes]`.
    pub fn probabilities(&self, image: usize) -> Array1<f32> {
        softmax(self.logits.row(image))
    }

    /// The `count` best classes of the first image, best first.
    pub fn top(&self, count: usize) -> Vec<Guess> {
        self.top_of(0, count)
    }

    /// The `count` best classes of image `image`, best first; none when there is no such image.
    pub fn top_of(&self, image: usize, count: usize) -> Vec<Guess> {
        if image >= self.logits.nrows() {
            return Vec::new();
        }
        let logits = self.logits.row(image);
        let probabilities = softmax(logits);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order
            .into_iter()
            .take(count)
            .map(|index| Guess {
                index,
                label: class_label(self.labels.as_ref(), index),
                probability: probabilities[index],
                logit: logits[index],
            })
            .collect()
    }
}

fn softmax(logits: ArrayView1<'_, f32>) -> Array1<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.mapv(|l| f64::from(l - largest).exp());
    let sum = powers.sum();
    powers.mapv(|p| (p / sum) as f32)
}

pub(crate) fn class_label(labels: Option<&Labels>, index: usize) -> String {
    match labels.and_then(|labels| labels.name(index)) {
        Some(label) => label.to_owned(),
        None => format!("class {index}"),
    }
}
