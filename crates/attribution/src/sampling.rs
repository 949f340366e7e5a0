//! One loop for the methods that add up samples: batches, progress, and what there is when it is stopped.
//!
//! The samples of all images are one stream ([`Context::stream`]), so that a batch may hold the last samples of one image
//! and the first of the next. What any number of samples gives is an estimate of what all of them give, so that work
//! which is stopped need not be lost. Methods that need scores alone ask for them ([`Asks`]), methods that need gradients
//! draw around a value ([`Draws`]).

use std::ops::{ControlFlow, Range};

use burn::tensor::Tensor;
use elucid_graph::Activation;
use ndarray::ArrayD;

use crate::error::AttributionError;
use crate::work::{Context, join};

/// How many samples there are of each image.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    each: Vec<usize>,
    /// Whether a batch holds samples of one image only.
    alone: bool,
}

impl Samples {
    /// As many of each image.
    pub fn of(work: &Context<'_>, each: usize) -> Self {
        Self::by_image(vec![each; work.count()])
    }

    /// So many of each, one number for each image.
    pub fn by_image(each: Vec<usize>) -> Self {
        Self { each, alone: false }
    }

    /// In batches of one image each: for samples that may be enough before all of them are taken, so that what is
    /// enough of an image does not depend on the images before it.
    pub fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }
}

/// What was found for each image.
#[derive(Debug)]
pub(crate) struct Estimates<R> {
    /// Of the images that were reached, in order.
    pub found: Vec<R>,
    /// How many samples each of them rests on.
    pub samples: Vec<usize>,
    /// Why there are no more.
    pub stopped: Option<AttributionError>,
    each: Vec<usize>,
}

impl<R> Estimates<R> {
    fn begun(each: Vec<usize>) -> Self {
        Self {
            found: Vec::with_capacity(each.len()),
            samples: Vec::with_capacity(each.len()),
            stopped: None,
            each,
        }
    }

    /// The same with an estimate for every image, that of no samples where it was not reached; the error if
    /// parts are not to be kept.
    pub fn kept(
        mut self,
        work: &Context<'_>,
        mut of_none: impl FnMut(usize) -> Result<R, AttributionError>,
    ) -> Result<Self, AttributionError> {
        if let Some(error) = self.stopped.take_if(|_| !work.keeps_partial) {
            return Err(error);
        }
        for image in self.found.len()..work.count() {
            self.found.push(of_none(image)?);
            self.samples.push(0);
        }
        Ok(self)
    }

    /// How many samples each image would have had; empty where all of them were taken.
    pub fn planned(&self) -> Vec<usize> {
        match self.stopped {
            Some(_) => self.each.clone(),
            None => Vec::new(),
        }
    }
}

/// Samples of one image in a batch.
pub(crate) struct Part<S> {
    pub image: usize,
    /// What there is of the image so far.
    pub state: S,
    /// Which of its samples.
    pub samples: Range<usize>,
    /// Whether no more are needed.
    pub enough: bool,
}

impl<S> Part<S> {
    pub fn count(&self) -> usize {
        self.samples.len()
    }
}

/// For each row of a batch the image that it belongs to.
pub(crate) fn images_of<S>(parts: &[Part<S>]) -> Vec<usize> {
    let each = parts.iter();
    each.flat_map(|part| std::iter::repeat_n(part.image, part.count()))
        .collect()
}

impl Context<'_> {
    /// The estimate for each image: `start` begins it, `step` adds the samples of a batch, which may be of several
    /// images, and `finish` makes of an image what so many samples give once there are no more, so that only the
    /// images of one batch are held.
    pub(crate) fn stream<S, R>(
        &self,
        samples: Samples,
        mut start: impl FnMut(usize) -> Result<S, AttributionError>,
        mut step: impl FnMut(&mut [Part<S>]) -> Result<(), AttributionError>,
        mut finish: impl FnMut(usize, S, usize) -> Result<R, AttributionError>,
    ) -> Result<Estimates<R>, AttributionError> {
        let Samples { each, alone } = samples;
        let total = each
            .iter()
            .fold(0_usize, |sum, &each| sum.saturating_add(each));
        let mut estimates = Estimates::begun(each);
        // The image that the last batch has only some samples of.
        let mut open: Option<(usize, S, usize)> = None;
        let (mut next, mut done) = (0, 0_usize);
        while estimates.stopped.is_none() {
            let (mut parts, mut room) = (Vec::new(), self.batch_size);
            while room > 0 {
                let (image, state, taken) = match open.take() {
                    Some(open) => open,
                    None if next < self.count() => {
                        next += 1;
                        (next - 1, start(next - 1)?, 0)
                    }
                    None => break,
                };
                let count = room.min(estimates.each[image] - taken);
                room -= count;
                parts.push(Part {
                    image,
                    state,
                    samples: taken..taken + count,
                    enough: taken + count == estimates.each[image],
                });
                if alone {
                    break;
                }
            }
            if parts.is_empty() {
                break;
            }
            step(&mut parts)?;
            for part in parts {
                let taken = part.samples.end;
                if part.enough {
                    // Samples that are not needed count as done.
                    done = done.saturating_add(estimates.each[part.image]);
                    estimates.found.push(finish(part.image, part.state, taken)?);
                    estimates.samples.push(taken);
                } else {
                    open = Some((part.image, part.state, taken));
                }
            }
            let under_way = open.as_ref().map_or(0, |(_, _, taken)| *taken);
            match self.report(done.saturating_add(under_way), total) {
                Err(error @ AttributionError::Cancelled { .. }) => estimates.stopped = Some(error),
                told => told?,
            }
        }
        if let Some((image, state, taken)) = open {
            estimates.found.push(finish(image, state, taken)?);
            estimates.samples.push(taken);
        }
        Ok(estimates)
    }

    /// The same of images that methods ask the scores of: `score` gives as many numbers for each row.
    pub(crate) fn scored<A: Asks, R>(
        &self,
        samples: Samples,
        start: impl FnMut(usize) -> Result<A, AttributionError>,
        score: impl Fn(&[usize], Tensor<4>) -> Result<Vec<f32>, AttributionError>,
        finish: impl FnMut(usize, A, usize) -> Result<R, AttributionError>,
    ) -> Result<Estimates<R>, AttributionError> {
        let step = |parts: &mut [Part<A>]| {
            let images = parts
                .iter_mut()
                .filter(|part| part.count() > 0)
                .map(|part| part.state.ask(part.samples.clone()))
                .collect::<Result<Vec<_>, _>>()?;
            if images.is_empty() {
                return Ok(());
            }
            let rows = images_of(parts);
            let scores = score(&rows, Tensor::cat(images, 0))?;
            let width = scores.len() / rows.len();
            let mut scores = scores.as_slice();
            for part in parts {
                let (of_part, rest) = scores.split_at(width * part.count());
                scores = rest;
                let heard = part.state.hear(part.samples.clone(), of_part)?;
                part.enough |= heard.is_break();
            }
            Ok(())
        };
        self.stream(samples, start, step, finish)
    }
}

/// What a method asks about one image.
pub(crate) trait Asks {
    /// The images of the samples of these numbers, `[count, C, H, W]`.
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError>;

    /// What they score, as many numbers for each; breaks when there are enough.
    fn hear(
        &mut self,
        samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError>;
}

/// What is drawn around the value of a layer for one image.
pub(crate) trait Draws {
    /// The value, of one image.
    fn value(&self) -> &Activation;

    /// `count` values to take gradients at, `[count, numbers]`, and what each gradient is multiplied by, if
    /// by anything.
    fn draw(&mut self, count: usize) -> (Tensor<2>, Option<Tensor<2>>);

    /// Which number is averaged, of gradients that were multiplied, `[count, numbers]`.
    fn sample(&self, gradients: Tensor<2>) -> Tensor<2> {
        gradients
    }
}

/// The samples of one image.
pub(crate) struct Sampled<D> {
    pub drawn: D,
    pub moments: Moments,
}

impl<D: Draws> Sampled<D> {
    fn new(drawn: D) -> Self {
        Self {
            drawn,
            moments: Moments::default(),
        }
    }

    fn add(&mut self, gradients: Tensor<2>, factors: Option<Tensor<2>>) {
        let gradients = match factors {
            Some(factors) => gradients * factors,
            None => gradients,
        };
        self.moments.add(&self.drawn.sample(gradients));
    }

    /// A statistic of the samples, shaped like the value; zeros where there is none.
    pub fn shaped(&self, statistic: Option<Tensor<2>>) -> Result<ArrayD<f32>, AttributionError> {
        let value = self.drawn.value();
        let numbers = statistic.unwrap_or_else(|| value.rows().zeros_like());
        Ok(Activation::from_rows(numbers, value)?.to_array()?)
    }

    /// The standard errors of the mean; `None` of fewer than two samples.
    pub fn standard_errors(&self) -> Result<Option<ArrayD<f32>>, AttributionError> {
        let errors = self.moments.standard_error();
        errors.map(|errors| self.shaped(Some(errors))).transpose()
    }
}

/// Standard errors of all images, if each of them has some.
pub(crate) fn errors_of_all(
    each: Vec<Option<ArrayD<f32>>>,
) -> Result<Option<ArrayD<f32>>, AttributionError> {
    let all: Option<Vec<ArrayD<f32>>> = each.into_iter().collect();
    all.map(|all| join(&all)).transpose()
}

impl Context<'_> {
    /// Gradients at what is drawn around the value of each image, `each` of them. `finish` makes of an image's samples
    /// what is kept of them.
    pub(crate) fn sampled<D: Draws, R>(
        &self,
        each: usize,
        mut start: impl FnMut(usize) -> Result<D, AttributionError>,
        mut finish: impl FnMut(usize, Sampled<D>) -> Result<R, AttributionError>,
    ) -> Result<Estimates<R>, AttributionError> {
        let step = |parts: &mut [Part<Sampled<D>>]| {
            let (mut values, mut factors) = (Vec::new(), Vec::new());
            for part in parts.iter_mut() {
                let (at, by) = part.state.drawn.draw(part.samples.len());
                values.push(at);
                factors.push(by);
            }
            let like = parts[0].state.drawn.value().clone();
            let values = Activation::from_rows(Tensor::cat(values, 0), &like)?;
            let gradients = self.gradients(&images_of(parts), values)?.gradient.rows();
            let mut row = 0;
            for (part, factors) in parts.iter_mut().zip(factors) {
                let count = part.count();
                let of_part = gradients.clone().narrow(0, row, count);
                part.state.add(of_part, factors);
                row += count;
            }
            Ok(())
        };
        let started = |image| Ok(Sampled::new(start(image)?));
        let ended = |image, sampled, _| finish(image, sampled);
        let estimates = self.stream(Samples::of(self, each), started, step, ended)?;
        estimates.kept(self, |image| finish(image, Sampled::new(start(image)?)))
    }
}

/// Mean and sum of squared differences from it, of rows that come in batches.
#[derive(Default)]
pub(crate) struct Moments {
    count: f32,
    mean: Option<Tensor<2>>,
    spread: Option<Tensor<2>>,
}

impl Moments {
    /// Adds rows `[rows, numbers]`: Chan, Golub and LeVeque's way to join two sets, which does not
    /// subtract large numbers from each other.
    pub fn add(&mut self, rows: &Tensor<2>) {
        let added = rows.dims()[0] as f32;
        let mean = rows.clone().mean_dim(0);
        let away = rows.clone() - mean.clone();
        let spread = (away.clone() * away).sum_dim(0);
        let count = self.count + added;
        (self.mean, self.spread) = match (self.mean.take(), self.spread.take()) {
            (Some(before), Some(spread_before)) => {
                let moved = mean - before.clone();
                let between = moved.clone() * moved.clone() * (self.count * added / count);
                (
                    Some(before + moved * (added / count)),
                    Some(spread_before + spread + between),
                )
            }
            _ => (Some(mean), Some(spread)),
        };
        self.count = count;
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<Tensor<2>> {
        self.mean.clone()
    }

    /// The mean squared difference from the mean; `None` of nothing.
    pub fn variance(&self) -> Option<Tensor<2>> {
        let spread = self.spread.clone()?;
        Some(spread / self.count)
    }

    /// The standard error of the mean, `sqrt(spread / (n (n - 1)))`; `None` of fewer than two.
    pub fn standard_error(&self) -> Option<Tensor<2>> {
        let spread = self.spread.clone().filter(|_| self.count > 1.0)?;
        Some((spread / (self.count * (self.count - 1.0))).sqrt())
    }
}
