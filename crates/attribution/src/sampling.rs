//! One loop for the methods that add up samples: batches, progress, and what there is when it is stopped.
//!
//! A method says how the sum of an image begins, how some samples are added to it, and what is made of it in
//! the end. What any number of samples gives is an estimate of what all of them give, so that work which is
//! stopped need not be lost.

use std::ops::{ControlFlow, Range};

use burn::tensor::Tensor;
use elucid_graph::Activation;
use ndarray::ArrayD;

use crate::error::AttributionError;
use crate::work::{Context, join};

/// How many samples there are of each image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    pub each: usize,
    /// A batch holds samples of one block of so many only.
    pub block: usize,
}

impl Samples {
    pub fn new(each: usize) -> Self {
        Self { each, block: each }
    }

    pub fn in_blocks(blocks: usize, block: usize) -> Self {
        Self {
            each: blocks.saturating_mul(block),
            block,
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
    each: usize,
}

impl<R> Estimates<R> {
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
            Some(_) => vec![self.each; self.samples.len()],
            None => Vec::new(),
        }
    }
}

impl Context<'_> {
    /// The estimate for each image, one after the other: `start` begins it, `add` adds the samples of these
    /// numbers and may break when there are enough, `finish` makes of it what so many samples give.
    pub(crate) fn estimates<S, R>(
        &self,
        samples: Samples,
        mut start: impl FnMut(usize) -> Result<S, AttributionError>,
        mut add: impl FnMut(&mut S, Range<usize>) -> Result<ControlFlow<()>, AttributionError>,
        mut finish: impl FnMut(S, usize) -> Result<R, AttributionError>,
    ) -> Result<Estimates<R>, AttributionError> {
        let Samples { each, block } = samples;
        let total = each.saturating_mul(self.count());
        let mut estimates = Estimates {
            found: Vec::with_capacity(self.count()),
            samples: Vec::with_capacity(self.count()),
            stopped: None,
            each,
        };
        for image in 0..self.count() {
            let mut state = start(image)?;
            let mut done = 0;
            let mut enough = false;
            while done < each && !enough && estimates.stopped.is_none() {
                let left = (each - done).min(block - done % block);
                let count = self.batch_size.min(left);
                enough = add(&mut state, done..done + count)?.is_break();
                done += count;
                // Samples that are not needed count as done.
                let of_image = if enough { each } else { done };
                match self.report(image * each + of_image, total) {
                    Ok(()) => {}
                    Err(error @ AttributionError::Cancelled { .. }) => {
                        estimates.stopped = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            estimates.found.push(finish(state, done)?);
            estimates.samples.push(done);
            if estimates.stopped.is_some() {
                break;
            }
        }
        Ok(estimates)
    }
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
    count: usize,
}

impl<D: Draws> Sampled<D> {
    fn new(drawn: D) -> Self {
        Self {
            drawn,
            moments: Moments::default(),
            count: 0,
        }
    }

    fn add(&mut self, gradients: Tensor<2>, factors: Option<Tensor<2>>) {
        self.count += gradients.dims()[0];
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
    /// Gradients at what is drawn around the value of each image, `each` of them, in one stream: a batch may
    /// hold samples of several images. `finish` makes of an image's samples what is kept of them, once there
    /// are no more, so that only the images of one batch are held.
    pub(crate) fn sampled<D: Draws, R>(
        &self,
        each: usize,
        mut start: impl FnMut(usize) -> Result<D, AttributionError>,
        mut finish: impl FnMut(usize, Sampled<D>) -> Result<R, AttributionError>,
    ) -> Result<Estimates<R>, AttributionError> {
        let total = each.saturating_mul(self.count());
        let mut estimates = Estimates {
            found: Vec::with_capacity(self.count()),
            samples: Vec::with_capacity(self.count()),
            stopped: None,
            each,
        };
        let mut end = |estimates: &mut Estimates<R>, sampled: Sampled<D>| {
            estimates.samples.push(sampled.count);
            let found = finish(estimates.found.len(), sampled)?;
            estimates.found.push(found);
            Ok::<_, AttributionError>(())
        };
        // The image that the last batch has only some samples of.
        let mut open: Option<Sampled<D>> = None;
        let mut done = 0;
        while done < total && estimates.stopped.is_none() {
            let until = total.min(done + self.batch_size);
            let (mut images, mut values, mut parts) = (Vec::new(), Vec::new(), Vec::new());
            while done < until {
                let (image, from) = (done / each, done % each);
                let count = (each - from).min(until - done);
                let mut sampled = match open.take() {
                    Some(sampled) => sampled,
                    None => Sampled::new(start(image)?),
                };
                let (at, factors) = sampled.drawn.draw(count);
                images.extend(std::iter::repeat_n(image, count));
                values.push(at);
                parts.push((sampled, count, factors));
                done += count;
            }
            let values = Tensor::cat(values, 0);
            let values = Activation::from_rows(values, parts[0].0.drawn.value())?;
            let gradients = self.gradients(&images, values)?.gradient.rows();
            let mut row = 0;
            for (mut sampled, count, factors) in parts {
                sampled.add(gradients.clone().narrow(0, row, count), factors);
                row += count;
                match sampled.count == each {
                    true => end(&mut estimates, sampled)?,
                    false => open = Some(sampled),
                }
            }
            match self.report(done, total) {
                Err(error @ AttributionError::Cancelled { .. }) => estimates.stopped = Some(error),
                told => told?,
            }
        }
        if let Some(sampled) = open {
            end(&mut estimates, sampled)?;
        }
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
