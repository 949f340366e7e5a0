//! The descent to a mask.

use burn::tensor::{Tensor, TensorData};
use ndarray::Array2;

use super::MeaningfulPerturbation;
use crate::baseline::Baseline;
use crate::error::AttributionError;
use crate::perturbation::mask_grid::{MaskGrid, total_variation};
use crate::random::Random;
use crate::work::{Context, to_vec};

/// Iterations between two looks at whether a mask still changes.
const LOOK_EVERY: usize = 50;

impl MeaningfulPerturbation {
    /// What is minimised besides the penalties, of the scores of each side under each baseline.
    pub(super) fn objective(&self, scores: &[f32]) -> f32 {
        let baselines = self.baseline.count();
        let sides = self.variant.sides().iter().zip(scores.chunks(baselines));
        sides
            .map(|(&keep, scores)| sign(keep) * scores.iter().sum::<f32>() / baselines as f32)
            .sum()
    }

    /// One iteration of several searches.
    pub(super) fn advance(
        &self,
        work: &Context<'_>,
        grid: &MaskGrid,
        searches: &mut [Search],
    ) -> Result<(), AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let (mut rows, mut pixels) = (Vec::new(), Vec::new());
        let mut views = Vec::with_capacity(searches.len());
        for search in searches.iter_mut() {
            if search.steps > 0 && self.baseline.is_random() {
                search.hidden = hidden(&self.baseline, work, search.image, &mut search.random)?;
            }
            let mut offset = || match self.jitter.at([height, width]) {
                0 => 0,
                most => search.random.below(most) as isize - (most / 2) as isize,
            };
            let offset = [offset(), offset()];
            let sight = search.sight(offset);
            let mut parameters = search.parameters.clone();
            if self.noise > 0.0 {
                let random = &mut search.random;
                parameters.mapv_inplace(|p| (p + self.noise * random.normal()).clamp(0.0, 1.0));
            }
            let mask = grid.mask(&parameters);
            for &keep in self.variant.sides() {
                sight.under(&mask, keep, &mut pixels);
                rows.extend(sight.hidden.iter().map(|_| search.image));
            }
            views.push((sight, mask));
        }
        let data = TensorData::new(pixels, [rows.len(), channels, height, width]);
        let seen = Tensor::<4>::from_data(data, &work.device());
        let (mut scores, mut gradients) = (Vec::new(), Vec::new());
        for (i, rows) in rows.chunks(work.batch_size).enumerate() {
            let part = seen.clone().narrow(0, i * work.batch_size, rows.len());
            let found = work.gradients(rows, part.into())?;
            scores.extend(found.scores);
            gradients.extend(to_vec(&found.gradient)?);
        }
        let each = self.variant.sides().len() * self.baseline.count();
        let image = channels * height * width;
        let found = scores.chunks(each).zip(gradients.chunks(each * image));
        for ((search, (sight, mask)), (scores, at_images)) in
            searches.iter_mut().zip(&views).zip(found)
        {
            let mut at_mask = Array2::zeros((height, width));
            for at_images in at_images.chunks(self.baseline.count() * image) {
                sight.add_gradient(at_images, &mut at_mask);
            }
            let (penalty, mut gradient) = self.penalty(&search.parameters);
            gradient += &grid.gradient(&at_mask);
            search.losses.push(penalty + self.objective(scores));
            search.evaluations += scores.len();
            self.step(search, &gradient);
            if (search.steps - 1).is_multiple_of(LOOK_EVERY) {
                if let Some(before) = &search.before {
                    let change: f32 = before.iter().zip(mask).map(|(a, b)| (a - b).abs()).sum();
                    search.is_settled =
                        self.settled > 0.0 && change <= self.settled * mask.len() as f32;
                }
                search.before = Some(mask.clone());
            }
        }
        Ok(())
    }

    /// The penalties of some parameters, and their gradient.
    fn penalty(&self, parameters: &Array2<f32>) -> (f32, Array2<f32>) {
        let (variation, mut gradient) = total_variation(parameters.view(), self.beta);
        gradient *= self.tv;
        // No parameter is below 0; at 0 the sum has no gradient.
        gradient.zip_mut_with(parameters, |g, &p| {
            if p > 0.0 {
                *g += self.l1;
            }
        });
        (self.l1 * parameters.sum() + self.tv * variation, gradient)
    }

    /// One step of Adam.
    fn step(&self, search: &mut Search, gradient: &Array2<f32>) {
        search.steps += 1;
        // What is missing of the means, which begin at 0.
        let missing = |decay: f32| 1.0 - decay.powi(search.steps as i32);
        let [decay, square_decay, epsilon] = self.adam;
        let (of_mean, of_square) = (missing(decay), missing(square_decay));
        let means = search.mean.iter_mut().zip(&mut search.square);
        let each = search.parameters.iter_mut().zip(means).zip(gradient);
        for ((parameter, (mean, square)), &g) in each {
            *mean = decay * *mean + (1.0 - decay) * g;
            *square = square_decay * *square + (1.0 - square_decay) * g * g;
            let step = *mean / of_mean / ((*square / of_square).sqrt() + epsilon);
            *parameter = (*parameter - self.learning_rate * step).clamp(0.0, 1.0);
        }
    }
}

/// The score of what is hidden falls, that of what is shown rises.
fn sign(keep: bool) -> f32 {
    if keep { -1.0 } else { 1.0 }
}

fn hidden(
    baseline: &Baseline,
    work: &Context<'_>,
    image: usize,
    random: &mut Random,
) -> Result<Vec<Vec<f32>>, AttributionError> {
    let images = baseline.images(work, image, random).into_iter();
    images.map(|image| to_vec(&image.into())).collect()
}

/// The search of one mask.
pub(super) struct Search {
    pub(super) image: usize,
    /// `[C, H, W]`.
    pub(super) shape: [usize; 3],
    photo: Vec<f32>,
    /// What it is hidden by, shaped alike.
    hidden: Vec<Vec<f32>>,
    pub(super) parameters: Array2<f32>,
    mean: Array2<f32>,
    square: Array2<f32>,
    steps: usize,
    /// The mask at the last look.
    before: Option<Array2<f32>>,
    pub(super) is_settled: bool,
    pub(super) random: Random,
    pub(super) losses: Vec<f32>,
    pub(super) evaluations: usize,
}

impl Search {
    pub(super) fn new(
        work: &Context<'_>,
        image: usize,
        method: &MeaningfulPerturbation,
        grid: &MaskGrid,
    ) -> Result<Self, AttributionError> {
        let [_, channels, height, width] = work.images.dims();
        let mut random = Random::new(method.setup.seed);
        let zeros = Array2::zeros(grid.cells());
        Ok(Self {
            image,
            shape: [channels, height, width],
            photo: to_vec(&work.rows(&[image]).into())?,
            hidden: hidden(&method.baseline, work, image, &mut random)?,
            parameters: zeros.clone(),
            mean: zeros.clone(),
            square: zeros,
            steps: 0,
            before: None,
            is_settled: false,
            random,
            losses: Vec::new(),
            evaluations: 0,
        })
    }

    /// The image and what it is hidden by, moved by so many rows and columns.
    pub(super) fn sight(&self, offset: [isize; 2]) -> Sight {
        Sight {
            photo: moved(&self.photo, self.shape, offset),
            hidden: self
                .hidden
                .iter()
                .map(|hidden| moved(hidden, self.shape, offset))
                .collect(),
        }
    }
}

/// What lies under a mask.
pub(super) struct Sight {
    photo: Vec<f32>,
    hidden: Vec<Vec<f32>>,
}

impl Sight {
    /// Adds to `to` the image under a mask `[H, W]`, once for each that hides it, with what lies
    /// under the mask shown alone, or hidden.
    pub(super) fn under(&self, mask: &Array2<f32>, keep: bool, to: &mut Vec<f32>) {
        for hidden in &self.hidden {
            let pixels = self.photo.iter().zip(hidden);
            to.extend(pixels.zip(mask.iter().cycle()).map(|((&x, &b), &m)| {
                let shown = if keep { m } else { 1.0 - m };
                b + (x - b) * shown
            }));
        }
    }

    /// Adds the gradient at the mask of what is minimised, from those of the scores at the images.
    fn add_gradient(&self, at_images: &[f32], to: &mut Array2<f32>) {
        // The same for what is shown and for what is hidden: where the sign of the score changes,
        // so does that of what the mask does to the image.
        let share = -1.0 / self.hidden.len() as f32;
        for (hidden, gradient) in self.hidden.iter().zip(at_images.chunks(self.photo.len())) {
            let pixels = to.len();
            for channel in (0..gradient.len()).step_by(pixels) {
                for (to, i) in to.iter_mut().zip(channel..) {
                    *to += share * gradient[i] * (self.photo[i] - hidden[i]);
                }
            }
        }
    }
}

/// Channels `[C, H, W]` moved by so many rows and columns, pixels at the edge replicated.
fn moved(pixels: &[f32], [channels, height, width]: [usize; 3], by: [isize; 2]) -> Vec<f32> {
    if by == [0, 0] {
        return pixels.to_vec();
    }
    let from = |at: usize, by: isize, size: usize| at.saturating_add_signed(by).min(size - 1);
    let mut moved = Vec::with_capacity(pixels.len());
    for channel in pixels.chunks(height * width).take(channels) {
        for row in 0..height {
            let row = from(row, by[0], height) * width;
            moved.extend((0..width).map(|column| channel[row + from(column, by[1], width)]));
        }
    }
    moved
}
