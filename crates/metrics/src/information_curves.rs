//! Performance information curves, SIC and AIC: how much of an image's information has to be shown before the class is seen.
//!
//! The image begins with a hundredth of its pixels, drawn at random, from which all others are filled in. The most salient pixels
//! of the true image are put back by and by, and the rest is filled in again. Of each such image the information `I` is the size of
//! its file after compression without loss, on a scale on which the first image has 0 and the true one 1, and the performance
//!
//! ```text
//! SIC: (p - p_0) / (p_1 - p_0)     softmax information curve
//! AIC: 1 if the network's best guess is the class, else 0     accuracy information curve
//! ```
//!
//! with the class's probability `p`, `p_0` of the first and `p_1` of the true image, cut at 0 and 1. The value is the area under the
//! largest performance so far, over the information, with straight lines between the images; larger is better.
//!
//! Kapishnikov, Bolukbasi, Viégas and Terry, *XRAI: better attributions through regions* (2019), and the program that they published
//! (PAIR's *saliency*), which has the same shares of pixels (0.5, 1, 2, 3, 4, 5, 7, 10, 13, 21, 34, 50 and 75 percent) and the same
//! hundredth. It compresses by WebP, here by PNG with its filters; it fills in by straight lines over triangles of known pixels, here
//! each is the weighted mean of its neighbours, as [`road`](crate::road) has it; and it draws the pixels once for all images, here
//! for each image anew. The paper takes the median over images at each information before the area: means over images of these
//! areas are not the same.
//!
//! Pixels are eight-bit numbers for the file, on the range of what pictures can be, or that of the image where the network says
//! nothing of pictures. Where the first image is as large as the true one, or for SIC has the class with as much probability, there is no
//! scale: not applicable, as where scores are no logits of probabilities. Equal values go in row-major order. Memory: one batch of images
//! and some twenty images more.

use elucid_attribution::Configurable;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::case::Case;
use crate::error::MetricError;
use crate::hidden::Hidden;
use crate::imputation::Imputation;
use crate::metric::{BATCH_SIZE, Halt, NotApplicable, at_least_one, curve, forms, info, setters};
use crate::options::{check_percentages, is_part, joined, parted};
use crate::order::{descending, draw};
use crate::pixel_flipping::ends;
use crate::probe::{Curve, Probe};
use crate::table::MetricInfo;
use crate::traced::traces;

/// What the performance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Performance {
    Softmax,
    Accuracy,
}

/// The area under a performance information curve.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct InformationCurve {
    performance: Performance,
    percentages: Vec<f64>,
    kept: f64,
    batch_size: usize,
    seed: u64,
}

impl InformationCurve {
    fn new(performance: Performance) -> Self {
        Self {
            performance,
            percentages: vec![
                0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 13.0, 21.0, 34.0, 50.0, 75.0,
            ],
            kept: 0.01,
            batch_size: BATCH_SIZE,
            seed: 0,
        }
    }

    forms! {
        /// Of the class's probability (SIC).
        softmax => Performance::Softmax,
        /// Of whether the class is the network's best guess (AIC).
        accuracy => Performance::Accuracy,
    }

    /// The percentages of the pixels that are put back: 0.5 to 75.
    pub fn percentages(mut self, percentages: impl IntoIterator<Item = f64>) -> Self {
        self.percentages = percentages.into_iter().collect();
        self
    }

    setters!(batch_size, seed);

    curve! {
        /// The information of each image, upwards, and the largest performance up to it, from 0 and 0 to 1 and 1; or why there is none.
    }

    fn check_percentages(&self) -> Result<(), MetricError> {
        at_least_one("batch size", self.batch_size)?;
        check_percentages(&self.percentages)
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        Ok(area(curve))
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let order = descending(case.finite_map()?);
        let plane = order.len();
        let files = Files::new(case);
        let known = self.known(case, plane);
        let share = |percent: f64| ((percent / 100.0 * plane as f64).round() as usize).min(plane);
        let mut counts: Vec<usize> = self.percentages.iter().map(|&p| share(p)).collect();
        counts.sort_unstable();
        // Nothing put back, some, and the true image.
        counts.insert(0, 0);
        let mut guess = Hidden::Mean.pixels(case)?;
        let mut sizes = Vec::new();
        let (mut guesses, probe) = (Vec::new(), Probe::new(case, self.batch_size)?);
        let scores = probe.scores_and(
            counts.len() + 1,
            |i, batch| {
                let from = batch.len();
                match counts.get(i) {
                    None => batch.extend(&case.pixels),
                    Some(&count) => {
                        fill(case, &known, &order[..count], &mut guess)?;
                        batch.extend(&guess);
                    }
                }
                sizes.push(files.size(&batch[from..])? as f64);
                Ok(())
            },
            |scores| {
                let own = scores[case.class];
                guesses.push(scores.iter().all(|&other| other <= own));
            },
        )?;
        let last = counts.len();
        let probability = |i: usize| scores[i].probability;
        if !scores[0].is_probability {
            return Err(NotApplicable::NoProbability.into());
        }
        let gained = match self.performance {
            Performance::Softmax => probability(last) > probability(0),
            Performance::Accuracy => true,
        };
        if sizes[last] <= sizes[0] || !gained {
            return Err(NotApplicable::NothingGained.into());
        }
        let part = |v: f64, from: f64, to: f64| ((v - from) / (to - from)).clamp(0.0, 1.0);
        let mut points: Vec<(f64, f64)> = (0..last)
            .map(|i| {
                let performance = match self.performance {
                    Performance::Softmax => part(probability(i), probability(0), probability(last)),
                    Performance::Accuracy => f64::from(u8::from(guesses[i])),
                };
                (part(sizes[i], sizes[0], sizes[last]), performance)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.insert(0, (0.0, 0.0));
        points.push((1.0, 1.0));
        let mut most = 0.0_f64;
        let (fractions, scores) = points
            .into_iter()
            .map(|(information, performance)| {
                most = most.max(performance);
                (information, most)
            })
            .unzip();
        Ok(Curve { fractions, scores })
    }

    /// Pixels that are known from the beginning, one at least.
    fn known(&self, case: &Case<'_>, plane: usize) -> Vec<bool> {
        let mut random = case.random(self.seed);
        let count = ((self.kept * plane as f64).round() as usize).clamp(1, plane);
        let mut order: Vec<usize> = (0..plane).collect();
        let mut known = vec![false; plane];
        for &pixel in draw(&mut order, count, &mut random) {
            known[pixel] = true;
        }
        known
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[match self.performance {
            Performance::Softmax => 0,
            Performance::Accuracy => 1,
        }]
    }
}

/// The area under straight lines between points whose first numbers ascend.
fn area(curve: &Curve) -> f64 {
    let points = curve.fractions.windows(2).zip(curve.scores.windows(2));
    let areas = points.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0);
    areas.sum()
}

/// Fills into `guess` the image of which only the known pixels, and those that were put back, are known.
fn fill(
    case: &Case<'_>,
    known: &[bool],
    back: &[usize],
    guess: &mut [f32],
) -> Result<(), MetricError> {
    let plane = known.len();
    let mut known = known.to_vec();
    back.iter().for_each(|&pixel| known[pixel] = true);
    for (at, value) in guess.iter_mut().enumerate() {
        if known[at % plane] {
            *value = case.pixels[at];
        }
    }
    let removed: Vec<usize> = (0..plane).filter(|&pixel| !known[pixel]).collect();
    let [height, width] = case.size();
    Imputation::new(height, width, &removed).fill(&case.pixels, guess, plane)
}

/// How large images are as files.
struct Files {
    /// `[height, width]`
    size: [usize; 2],
    /// The numbers of black and white in each channel, or what stands for them.
    ends: Vec<(f32, f32)>,
}

impl Files {
    fn new(case: &Case<'_>) -> Self {
        let [height, width] = case.size();
        let ends = match case.network.input_spec() {
            Some(spec) => {
                let [low, high] = spec.range();
                low.into_iter().zip(high).collect()
            }
            None => ends(&case.pixels, height * width),
        };
        Self {
            size: case.size(),
            ends,
        }
    }

    /// Bytes of the image `[C, H, W]` as a file: of three channels in colour, of others one below the other in grey.
    fn size(&self, pixels: &[f32]) -> Result<usize, MetricError> {
        let [height, width] = self.size;
        let plane = height * width;
        let channels = pixels.len() / plane;
        let byte = |channel: usize, at: usize| {
            let (low, high) = self.ends.get(channel).copied().unwrap_or((0.0, 1.0));
            let share = (pixels[channel * plane + at] - low) / (high - low);
            // No range is no share: black.
            (255.0 * share).round().clamp(0.0, 255.0) as u8
        };
        let (bytes, colour, rows): (Vec<u8>, _, _) = match channels {
            3 => {
                let pixels = (0..plane).flat_map(|at| [0, 1, 2].map(|channel| byte(channel, at)));
                (pixels.collect(), ExtendedColorType::Rgb8, height)
            }
            _ => {
                let channels = 0..channels;
                let rows = channels.len() * height;
                let pixels = channels.flat_map(|c| (0..plane).map(move |at| (c, at)));
                let pixels = pixels.map(|(channel, at)| byte(channel, at));
                (pixels.collect(), ExtendedColorType::L8, rows)
            }
        };
        let mut file = Vec::new();
        let encoder =
            PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive);
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        encoder
            .write_image(&bytes, side(width), side(rows), colour)
            .map_err(|error| MetricError::Image {
                reason: format!("it cannot be compressed: {error}"),
            })?;
        Ok(file.len())
    }
}

crate::options!(InformationCurve {
    {
        "percentages", "percentages of the pixels that are put back", "numbers joined by +",
        |metric, _| Some(joined(&metric.percentages)),
        |metric, text| {
            metric.percentages = parted(text)?;
            Some(())
        }
    }
    {
        /// Share of the pixels that are known from the beginning, 0.01 by default; one pixel at least.
        kept: f64 as "kept", "share of the pixels that are known from the beginning", "more than 0, less than 1",
        is_part
    }
} check InformationCurve::check_percentages);

traces!(InformationCurve, |metric| match metric.performance {
    Performance::Softmax => ["share of the information", "share of the probability"],
    Performance::Accuracy => ["share of the information", "accuracy"],
});

const REFERENCE: &str = "Kapishnikov et al. 2019";

pub(crate) const METRICS: [&MetricInfo; 2] = [
    &info!(
        "sic" or "softmax-information-curve": "Softmax information curve (SIC)", Larger, Faithfulness, needs(scores),
        REFERENCE; InformationCurve::OPTIONS, InformationCurve::softmax(), batch_size, seed
    ),
    &info!(
        "aic" or "accuracy-information-curve": "Accuracy information curve (AIC)", Larger, Faithfulness, needs(scores),
        REFERENCE; InformationCurve::OPTIONS, InformationCurve::accuracy(), batch_size, seed
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_by_hand() {
        let curve = Curve {
            fractions: vec![0.0, 0.25, 0.25, 1.0],
            scores: vec![0.0, 0.4, 0.8, 1.0],
        };
        assert!((area(&curve) - (0.25 * 0.2 + 0.75 * 0.9)).abs() < 1e-12);
    }

    #[test]
    fn flat_images_are_small_files() {
        let files = Files {
            size: [32, 32],
            ends: vec![(0.0, 1.0); 3],
        };
        let mut random = elucid_attribution::Random::new(3);
        let noise: Vec<f32> = (0..3 * 32 * 32).map(|_| random.uniform()).collect();
        let smooth: Vec<f32> = (0..3 * 32 * 32).map(|i| (i % 32) as f32 / 32.0).collect();
        let [flat, smooth, noise] =
            [vec![0.5; 3 * 32 * 32], smooth, noise].map(|pixels| files.size(&pixels).unwrap());
        assert!(flat < smooth && smooth < noise, "{flat} {smooth} {noise}");
        // Eight bits of each number, nearly.
        assert!(noise > 3 * 32 * 32 * 9 / 10, "{noise}");
        let ends = vec![(0.5, 0.5)];
        let none = Files { ends, size: [2, 2] };
        none.size(&[0.5; 4]).unwrap();
    }
}
