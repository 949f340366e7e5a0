//! Scores of coalitions of segments.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use burn::tensor::{Tensor, TensorData};

use crate::coalitions::superpixels::Segments;
use crate::coalitions::{Play, Worth};
use crate::error::AttributionError;
use crate::lines::mean;
use crate::sampling::Asks;
use crate::work::Context;

/// The segments of one image as players: what all of them score, what none does, and what each coalition of them does
/// that a method draws. Each is asked about with every baseline.
pub(crate) struct Game<'g, 'w> {
    work: &'g Context<'w>,
    image: usize,
    segments: &'g Segments,
    /// `[1, C, H, W]`.
    shown: Tensor<4>,
    /// What hidden pixels become, each `[1, C, H, W]`.
    hidden: Vec<Tensor<4>>,
    pub play: Box<dyn Play + 'g>,
    /// Coalitions that were asked about, and what they scored with the first few baselines.
    asked: VecDeque<(Vec<f32>, Vec<f64>)>,
    /// What all and none score, as far as it is known.
    ends: Vec<f64>,
}

/// All and none, which are asked about first.
const ENDS: [f32; 2] = [1.0, 0.0];

impl<'g, 'w> Game<'g, 'w> {
    pub fn new(
        work: &'g Context<'w>,
        image: usize,
        segments: &'g Segments,
        hidden: Vec<Tensor<4>>,
        play: Box<dyn Play + 'g>,
    ) -> Self {
        Self {
            work,
            image,
            segments,
            shown: work.rows(&[image]),
            hidden,
            play,
            asked: VecDeque::new(),
            ends: Vec::with_capacity(ENDS.len()),
        }
    }

    /// What the whole image is worth, and the baselines; asked for if that is not known yet.
    pub fn worth(&mut self) -> Result<Worth, AttributionError> {
        loop {
            if let [all, none] = self.ends[..] {
                return Ok(Worth { all, none });
            }
            let done = self.rows_heard();
            let left = ENDS.len() * self.hidden.len() - done;
            let count = left.min(self.work.batch_size);
            let images = self.ask(done..done + count)?;
            let scores = self.work.scores(&vec![self.image; count], images.into())?;
            self.heard(&scores);
        }
    }

    /// How many rows of the two ends are known.
    fn rows_heard(&self) -> usize {
        let begun = self.asked.front().map_or(0, |(_, scores)| scores.len());
        self.ends.len() * self.hidden.len() + begun
    }

    /// Counts what rows scored, in the order in which they were asked about.
    fn heard(&mut self, scores: &[f32]) {
        for &score in scores {
            let Some((_, found)) = self.asked.front_mut() else {
                break;
            };
            found.push(f64::from(score));
            if found.len() < self.hidden.len() {
                continue;
            }
            let Some((coalition, found)) = self.asked.pop_front() else {
                break;
            };
            match self.ends[..] {
                [all, none] => self
                    .play
                    .hear(&coalition, mean(&found), Worth { all, none }),
                _ => self.ends.push(mean(&found)),
            }
        }
    }

    /// Coalition `number`, all and none before the others.
    fn coalition(&mut self, number: usize) -> Vec<f32> {
        match ENDS.get(number) {
            Some(&shown) => vec![shown; self.segments.count()],
            None => self.play.draw(),
        }
    }

    /// `[coalitions, 1, H, W]`.
    fn mask(&self, coalitions: &[Vec<f32>]) -> Tensor<4> {
        let labels = self.segments.labels();
        let values: Vec<f32> = coalitions
            .iter()
            .flat_map(|coalition| labels.iter().map(|&label| coalition[label]))
            .collect();
        let (height, width) = labels.dim();
        let shape = [coalitions.len(), 1, height, width];
        Tensor::from_data(TensorData::new(values, shape), &self.shown.device())
    }
}

impl Asks for Game<'_, '_> {
    fn ask(&mut self, samples: Range<usize>) -> Result<Tensor<4>, AttributionError> {
        let baselines = self.hidden.len();
        let (mut coalitions, mut hidden) = (Vec::new(), Vec::new());
        for sample in samples {
            if sample % baselines == 0 {
                let coalition = self.coalition(sample / baselines);
                self.asked.push_back((coalition, Vec::new()));
            }
            coalitions.extend(self.asked.back().map(|(coalition, _)| coalition.clone()));
            hidden.push(self.hidden[sample % baselines].clone());
        }
        let hidden = match &self.hidden[..] {
            [only] => only.clone(),
            _ => Tensor::cat(hidden, 0),
        };
        let mask = self.mask(&coalitions);
        // Exact at both ends, which a step from the baseline to the image would not be.
        let hides = mask.ones_like() - mask.clone();
        Ok(self.shown.clone() * mask + hidden * hides)
    }

    fn hear(
        &mut self,
        _samples: Range<usize>,
        scores: &[f32],
    ) -> Result<ControlFlow<()>, AttributionError> {
        self.heard(scores);
        Ok(ControlFlow::Continue(()))
    }
}
