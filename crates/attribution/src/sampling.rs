//! One loop for the methods that add up samples: batches, progress, and what there is when it is stopped.
//!
//! A method says how the sum of an image begins, how some samples are added to it, and what is made of it in
//! the end. What any number of samples gives is an estimate of what all of them give, so that work which is
//! stopped need not be lost.

use std::ops::{ControlFlow, Range};

use crate::error::AttributionError;
use crate::work::Context;

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
