//! What an image is optimised for, and sums of it.

mod activations;
mod batch;
mod class;
mod direction;
mod picture;
mod seen;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};
use std::sync::Arc;

use burn::tensor::Tensor;

pub use class::ClassName;
pub use seen::Seen;

use crate::error::VisError;
use crate::subject::Subject;

/// One thing that images can be optimised for. Implement it for objectives of your own, and make
/// an [`Objective`] of it with [`Objective::new`].
pub trait Term: fmt::Debug + Send + Sync {
    /// What it is, for reports: `channel 11 of inception_4a`.
    fn name(&self) -> String;

    /// The layers that it reads, by any name that [`Network::layer`](elucid_attribution::Network::layer)
    /// knows.
    fn layers(&self) -> Vec<String> {
        Vec::new()
    }

    /// The classes that it names.
    fn classes(&self) -> Vec<ClassName> {
        Vec::new()
    }

    /// How many images it needs at least.
    fn least_images(&self) -> usize {
        1
    }

    /// Refuses before any work is done what will not do for this network.
    ///
    /// # Errors
    ///
    /// [`VisError`] that names what there is.
    fn check(&self, _subject: &Subject) -> Result<(), VisError> {
        Ok(())
    }

    /// Its value, one number `[1]`, differentiable: more is better.
    ///
    /// # Errors
    ///
    /// [`VisError`] for what only shows at the image's size.
    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError>;
}

/// What is so of a term that reads one layer, whose name it ends with.
macro_rules! at_layer {
    ($name:literal) => {
        fn name(&self) -> String {
            format!("{} {}", $name, self.layer)
        }

        fn layers(&self) -> Vec<String> {
            vec![self.layer.clone()]
        }
    };
}
use at_layer;

#[derive(Debug, Clone)]
struct Weighted {
    weight: f32,
    item: Option<usize>,
    term: Arc<dyn Term>,
}

/// What images are optimised for: a weighted sum of terms, of which more is better.
///
/// Objectives are added, subtracted, negated, multiplied by a number and summed over an iterator.
/// A term sees all images of the batch unless it is bound to one by [`Objective::of_item`]. Terms
/// about layers take the mean over the images, penalties on the pictures themselves the sum.
///
/// ```
/// use elucid_optvis::Objective;
///
/// let smooth = Objective::channel("inception_4d", 11) - 1e-3 * Objective::total_variation();
/// let both: Objective = [11, 12].map(|n| Objective::channel("inception_4d", n)).into_iter().sum();
/// let two_images = Objective::channel("inception_4d", 11).of_item(0)
///     + Objective::channel("inception_4d", 12).of_item(1);
/// assert_eq!(both.to_string(), "channel 11 of inception_4d + channel 12 of inception_4d");
/// # let _ = (smooth, two_images);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Objective {
    terms: Vec<Weighted>,
}

impl Objective {
    /// An objective of one term.
    pub fn new(term: impl Term + 'static) -> Self {
        Self {
            terms: vec![Weighted {
                weight: 1.0,
                item: None,
                term: Arc::new(term),
            }],
        }
    }

    /// Binds to image `item` of the batch, counted from 0: the terms see only that image. Terms
    /// that are bound already stay as they are.
    #[must_use]
    pub fn of_item(mut self, item: usize) -> Self {
        for term in &mut self.terms {
            term.item.get_or_insert(item);
        }
        self
    }

    /// The layers that the terms read, each once, as they were named.
    pub fn layers(&self) -> Vec<String> {
        let mut layers: Vec<String> = Vec::new();
        for layer in self.terms.iter().flat_map(|t| t.term.layers()) {
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        layers
    }

    /// The classes that the terms name.
    pub fn classes(&self) -> Vec<ClassName> {
        self.terms.iter().flat_map(|t| t.term.classes()).collect()
    }

    /// How many images it is about: those that its terms are bound to, and as many as they need.
    pub(crate) fn least_images(&self) -> usize {
        let each = self.terms.iter().map(|t| match t.item {
            Some(item) => item.saturating_add(1),
            None => t.term.least_images(),
        });
        each.max().unwrap_or(1).max(1)
    }

    /// Refuses what will not do for this network and this many images.
    pub(crate) fn check(&self, subject: &Subject, images: usize) -> Result<(), VisError> {
        if self.terms.is_empty() {
            return Err(VisError::NoObjective);
        }
        for Weighted { weight, item, term } in &self.terms {
            if !weight.is_finite() {
                return Err(VisError::Parameter {
                    parameter: "weight of an objective",
                    value: weight.to_string(),
                    expected: "a number",
                });
            }
            let seen = match *item {
                Some(item) if item >= images => return Err(VisError::Item { item, images }),
                Some(_) => 1,
                None => images,
            };
            let least = term.least_images();
            if seen < least {
                return Err(VisError::TooFewImages {
                    objective: term.name(),
                    least,
                    images: seen,
                });
            }
            term.check(subject)?;
        }
        Ok(())
    }

    /// The weighted sum of the terms, one number `[1]`, differentiable.
    ///
    /// # Errors
    ///
    /// Those of the terms; [`VisError::Item`] for an image that there is not,
    /// [`VisError::NoObjective`] when there are no terms.
    pub fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let mut sum: Option<Tensor<1>> = None;
        for Weighted { weight, item, term } in &self.terms {
            let value = match *item {
                Some(item) => term.value(&seen.item(item)?)?,
                None => term.value(seen)?,
            };
            let value = match *weight {
                1.0 => value,
                weight => value * weight,
            };
            sum = Some(match sum {
                Some(sum) => sum + value,
                None => value,
            });
        }
        sum.ok_or(VisError::NoObjective)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("nothing");
        }
        for (i, Weighted { weight, item, term }) in self.terms.iter().enumerate() {
            let sign = match (i, *weight < 0.0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            f.write_str(sign)?;
            if weight.abs() != 1.0 {
                write!(f, "{} * ", weight.abs())?;
            }
            f.write_str(&term.name())?;
            if let Some(item) = item {
                write!(f, " [image {item}]")?;
            }
        }
        Ok(())
    }
}

impl Add for Objective {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self
    }
}

impl Neg for Objective {
    type Output = Self;

    fn neg(self) -> Self {
        self * -1.0
    }
}

impl Sub for Objective {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul<f32> for Objective {
    type Output = Self;

    fn mul(mut self, factor: f32) -> Self {
        for term in &mut self.terms {
            term.weight *= factor;
        }
        self
    }
}

impl Mul<Objective> for f32 {
    type Output = Objective;

    fn mul(self, objective: Objective) -> Objective {
        objective * self
    }
}

impl Sum for Objective {
    fn sum<I: Iterator<Item = Self>>(objectives: I) -> Self {
        objectives.fold(Self::default(), Add::add)
    }
}

/// What [`FeatureVis::render`](crate::FeatureVis::render) is asked for.
#[derive(Debug, Clone)]
pub enum Objectives {
    /// One objective about all images together.
    Joint(Objective),
    /// One image for each objective; each sees only its own.
    Each(Vec<Objective>),
}

impl From<Objective> for Objectives {
    fn from(objective: Objective) -> Self {
        Self::Joint(objective)
    }
}

impl From<Vec<Objective>> for Objectives {
    fn from(objectives: Vec<Objective>) -> Self {
        Self::Each(objectives)
    }
}

impl From<&[Objective]> for Objectives {
    fn from(objectives: &[Objective]) -> Self {
        Self::Each(objectives.to_vec())
    }
}

impl<const N: usize> From<[Objective; N]> for Objectives {
    fn from(objectives: [Objective; N]) -> Self {
        Self::Each(objectives.into())
    }
}

impl FromIterator<Objective> for Objectives {
    fn from_iter<I: IntoIterator<Item = Objective>>(objectives: I) -> Self {
        Self::Each(objectives.into_iter().collect())
    }
}
