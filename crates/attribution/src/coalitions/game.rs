//! Scores of coalitions of segments.

use burn::tensor::{Tensor, TensorData};

use crate::coalitions::superpixels::Segments;
use crate::error::AttributionError;
use crate::lines::mean;
use crate::work::Context;

/// The segments of one image as players: what any coalition of them scores.
pub(crate) struct Game<'g, 'w> {
    work: &'g Context<'w>,
    image: usize,
    segments: &'g Segments,
    /// `[1, C, H, W]`.
    shown: Tensor<4>,
    /// What hidden pixels become, each `[1, C, H, W]`.
    hidden: Vec<Tensor<4>>,
    all: f64,
    none: f64,
    done: usize,
    stopped: Option<AttributionError>,
    progress: &'g dyn Fn(usize) -> Result<(), AttributionError>,
}

impl<'g, 'w> Game<'g, 'w> {
    /// Scores the whole image and the baseline. `progress` is told how many evaluations are done.
    pub fn new(
        work: &'g Context<'w>,
        image: usize,
        segments: &'g Segments,
        hidden: Vec<Tensor<4>>,
        progress: &'g dyn Fn(usize) -> Result<(), AttributionError>,
    ) -> Result<Self, AttributionError> {
        let mut game = Self {
            work,
            image,
            segments,
            shown: work.rows(&[image]),
            hidden,
            all: 0.0,
            none: 0.0,
            done: 0,
            stopped: None,
            progress,
        };
        let ends = [1.0, 0.0].map(|shown| vec![shown; segments.count()]);
        // Batches of one are two, and what an image is worth is known even if it is all that is.
        let mut scores = game.scores(&ends)?;
        if let Some(left) = ends.get(scores.len()..).filter(|left| !left.is_empty()) {
            scores.extend(game.scores(left)?);
        }
        if let [all, none] = scores[..] {
            (game.all, game.none) = (all, none);
        }
        Ok(game)
    }

    /// How many segments play.
    pub fn players(&self) -> usize {
        self.segments.count()
    }

    /// How many coalitions are scored together.
    pub fn batch_size(&self) -> usize {
        self.work.batch_size
    }

    /// The score of the whole image.
    pub fn all(&self) -> f64 {
        self.all
    }

    /// The score of the baseline, the mean if there are several.
    pub fn none(&self) -> f64 {
        self.none
    }

    /// Looks whether the work was cancelled. What was to be kept is finished all the same.
    pub fn go_on(&mut self) -> Result<(), AttributionError> {
        match self.is_stopped() {
            true => Ok(()),
            false => self.tell(),
        }
    }

    /// How many evaluations were made.
    pub fn evaluations(&self) -> usize {
        self.done
    }

    /// Whether the progress callback asked to stop, and what there is so far is to be kept.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// The scores of some coalitions, each with a number for every segment: 1 shows it, 0 hides it,
    /// and in between is the mixture. Those of the first few where it was [stopped](Game::is_stopped).
    pub fn scores(&mut self, coalitions: &[Vec<f32>]) -> Result<Vec<f64>, AttributionError> {
        let mut scores = Vec::with_capacity(coalitions.len());
        for batch in coalitions.chunks(self.work.batch_size) {
            let mask = self.mask(batch);
            let (rows, hidden) = (
                vec![self.image; batch.len()],
                mask.ones_like() - mask.clone(),
            );
            let mut found = vec![Vec::with_capacity(self.hidden.len()); batch.len()];
            for i in 0..self.hidden.len() {
                let baseline = self.hidden[i].clone();
                // Exact at both ends, which a step from the baseline to the image would not be.
                let images = self.shown.clone() * mask.clone() + baseline * hidden.clone();
                let of_baseline = self.work.scores(&rows, images.into())?;
                for (found, score) in found.iter_mut().zip(of_baseline) {
                    found.push(f64::from(score));
                }
                self.done += batch.len();
                self.tell()?;
            }
            scores.extend(found.iter().map(|scores| mean(scores)));
            if self.is_stopped() {
                break;
            }
        }
        Ok(scores)
    }

    fn tell(&mut self) -> Result<(), AttributionError> {
        match (self.progress)(self.done) {
            Err(error @ AttributionError::Cancelled { .. }) if self.work.keeps_partial => {
                self.stopped.get_or_insert(error);
                Ok(())
            }
            told => told,
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
