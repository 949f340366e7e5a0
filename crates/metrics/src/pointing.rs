//! The pointing game: does the map's largest value lie on the object?
//!
//! A hit (1) if a pixel of the object lies at a distance of less than `tolerance` pixels from the
//! pixel where the map is largest, else a miss (0). Larger is better. The accuracy of a method is
//! the mean over classes of `hits / (hits + misses)`: [`ClassMean`].
//!
//! Zhang et al., *Top-down neural attention by excitation backprop* (2016), with a tolerance of 15
//! pixels. [`Pointing::torchray`] is TorchRay's form of it: squared distance below 225, images whose
//! shorter side is 224. *perturb_explanations* appears to have
//! none, which is [`Pointing::exact`]: the pixel itself must belong to the object. Boxes stand for
//! the object in VOC, masks in COCO. TorchRay leaves out classes of which all boxes of an image are
//! marked *difficult*; that is for whoever hands over the boxes to do.
//!
//! Where several pixels share the largest value, TorchRay takes whichever the tensor library
//! returns. Here the first in row-major order counts ([`Ties::First`]), or all of them count with
//! equal shares ([`Ties::Share`]), which makes a constant map as good as chance. With
//! [`Ties::First`] a constant map of several pixels, such as one of nothing but zeros, points nowhere
//! and is a miss (0), wherever the object lies.

use std::collections::BTreeMap;

use elucid_attribution::Configurable;
use ndarray::Array2;

use crate::case::Case;
use crate::metric::{Halt, info, measures};
use crate::options::{is_not_negative, words};
use crate::table::MetricInfo;

words! {
    /// Which pixel counts where several share the largest value.
    pub enum Ties: "ties", TIES = "first or share", default First {
        /// The first in row-major order; of a constant map none, which is a miss.
        First = "first",
        /// All of them: the share of hits among them.
        Share = "share",
    }
}

/// The pointing game.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct Pointing {
    tolerance: f64,
    ties: Ties,
}

impl Pointing {
    /// With a tolerance of 15 pixels.
    pub fn torchray() -> Self {
        Self {
            tolerance: 15.0,
            ties: Ties::First,
        }
    }

    /// Without tolerance.
    pub fn exact() -> Self {
        Self {
            tolerance: 0.0,
            ..Self::torchray()
        }
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let map = case.finite_map()?;
        let mask = case.true_pixels()?;
        let counted = || map.indexed_iter().filter(|(at, _)| case.counts(*at));
        let largest = counted().fold(f32::NEG_INFINITY, |most, (_, value)| most.max(*value));
        let is_constant = counted().nth(1).is_some() && counted().all(|(_, v)| *v == largest);
        if is_constant && self.ties == Ties::First {
            return Ok(0.0);
        }
        let peaks = counted()
            .filter(|(_, value)| **value == largest)
            .map(|(at, _)| at);
        let peaks: Vec<_> = match self.ties {
            Ties::First => peaks.take(1).collect(),
            Ties::Share => peaks.collect(),
        };
        let hits = peaks.iter().filter(|at| self.is_hit(&mask, **at)).count();
        Ok(hits as f64 / peaks.len().max(1) as f64)
    }

    fn is_hit(&self, mask: &Array2<bool>, (y, x): (usize, usize)) -> bool {
        if mask[[y, x]] {
            return true;
        }
        let (h, w) = mask.dim();
        let reach = self.tolerance.ceil().min(h.max(w) as f64) as usize;
        let around = |at: usize, size: usize| at.saturating_sub(reach)..(at + reach + 1).min(size);
        let near = |ty: usize, tx: usize| {
            let (dy, dx) = (ty.abs_diff(y) as f64, tx.abs_diff(x) as f64);
            dy * dy + dx * dx < self.tolerance * self.tolerance
        };
        around(y, h).any(|ty| around(x, w).any(|tx| mask[[ty, tx]] && near(ty, tx)))
    }
}

crate::options!(Pointing {
    {
        /// How close to the object is close enough: distances below it, in pixels. 0 asks for the
        /// object itself.
        tolerance: f64 as "tolerance", "pixels from the object that still hit, 0 for none",
        "a number of pixels", is_not_negative
    }
    {
        /// Which pixel counts where several share the largest value.
        ties: Ties as "ties", "which of several largest values counts", TIES
    }
});

measures!(Pointing as METRIC);

/// The mean over classes of the mean over the images of each class: how the pointing game sums up,
/// so that a frequent class counts no more than a rare one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassMean {
    classes: BTreeMap<usize, (f64, usize)>,
}

impl ClassMean {
    /// Of no images yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image's value.
    pub fn add(&mut self, class: usize, value: f64) {
        let (sum, count) = self.classes.entry(class).or_default();
        *sum += value;
        *count += 1;
    }

    /// The mean over classes; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.per_class().map(|(_, mean)| mean).sum();
        (!self.classes.is_empty()).then(|| sum / self.classes.len() as f64)
    }

    /// Each class with its mean, by index.
    pub fn per_class(&self) -> impl Iterator<Item = (usize, f64)> {
        let classes = self.classes.iter();
        classes.map(|(&class, &(sum, count))| (class, sum / count as f64))
    }
}

pub(crate) const METRIC: MetricInfo = info!(
    "pointing" or "pointing-game": "Pointing game", Larger, Localisation, needs(truth), "Zhang et al. 2016; TorchRay";
    Pointing::OPTIONS, Pointing::torchray()
);
