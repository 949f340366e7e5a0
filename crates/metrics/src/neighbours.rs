//! Explanations of images near a case's own.

use elucid_attribution::{Attribution, Network, Random, images_together};
use elucid_graph::LOGITS;
use ndarray::ArrayViewD;

use crate::case::Case;
use crate::metric::Halt;
use crate::probe::Probe;

/// Images near a case's own, some at a time.
pub(crate) struct Neighbours {
    pub samples: usize,
    pub batch_size: usize,
}

/// An image near a case's own.
pub(crate) struct Neighbour<'n> {
    /// Its pixels, `[C, H, W]`.
    pub pixels: &'n [f32],
    /// The network's scores of it; none where they were not asked for.
    pub scores: &'n [f32],
    /// Its attribution, of the shape of the layer.
    pub attribution: ArrayViewD<'n, f32>,
}

impl Neighbours {
    /// Explains `samples` images that `change` makes of the case's, one after the other, and hands them to `take`, with the
    /// network's scores if `scored`.
    pub fn explain(
        &self,
        case: &Case<'_>,
        scored: bool,
        change: impl FnMut(f32) -> f32,
        take: impl FnMut(Neighbour<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        self.explain_on(case.network, case, scored, change, take)
    }

    /// The same with explanations of another network; scores are of the case's own.
    pub fn explain_on(
        &self,
        network: &dyn Network,
        case: &Case<'_>,
        scored: bool,
        mut change: impl FnMut(f32) -> f32,
        mut take: impl FnMut(Neighbour<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let method = case.method()?;
        let logits = network.layer(LOGITS)?;
        let together = images_together(network, &logits, case.image.dims(), self.batch_size);
        let probe = match scored {
            true => Some(Probe::new(case, together)?),
            false => None,
        };
        let mut done = 0;
        while done < self.samples {
            let rows = together.min(self.samples - done);
            let mut pixels = Vec::new();
            for _ in 0..rows {
                pixels.extend(case.pixels.iter().map(|&x| change(x)));
            }
            let images = case.batch(pixels.clone());
            let scores: Vec<f32> = match &probe {
                Some(probe) => probe.logits_of(images.clone())?.into_iter().collect(),
                None => Vec::new(),
            };
            let explained = method.attribute(network, &images, case.target())?;
            let mut scores = scores.chunks(scores.len().div_ceil(rows).max(1));
            let each = pixels.chunks(case.pixels.len());
            for (pixels, attribution) in each.zip(explained.values().outer_iter()) {
                take(Neighbour {
                    pixels,
                    scores: scores.next().unwrap_or_default(),
                    attribution,
                })?;
            }
            done += rows;
        }
        Ok(())
    }
}

/// The numbers of an attribution of one image, as the method makes it of the case's.
pub(crate) fn own(case: &Case<'_>) -> Result<Vec<f64>, Halt> {
    let found = case.method()?;
    let found: Attribution = found.attribute(case.network, &case.image, case.target())?;
    Ok(doubles(found.values().view()))
}

pub(crate) fn doubles(values: ArrayViewD<'_, f32>) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The Euclidean length.
pub(crate) fn length(values: impl IntoIterator<Item = f64>) -> f64 {
    let squares = values.into_iter().map(|v| v * v);
    squares.sum::<f64>().sqrt()
}

/// A change of each number by up to `radius`, up or down alike.
pub(crate) fn within(radius: f64, mut random: Random) -> impl FnMut(f32) -> f32 {
    move |x| {
        let r = radius * (2.0 * f64::from(random.uniform()) - 1.0);
        (f64::from(x) + r) as f32
    }
}

/// A change of each number by normal noise of this deviation.
pub(crate) fn noisy(deviation: f64, mut random: Random) -> impl FnMut(f32) -> f32 {
    move |x| (f64::from(x) + deviation * random.normal_double()) as f32
}

/// Numbers divided by the largest absolute one, if there is any above 0.
pub(crate) fn normalised(mut values: Vec<f64>) -> Vec<f64> {
    let largest = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    if largest > 0.0 {
        values.iter_mut().for_each(|v| *v /= largest);
    }
    values
}
