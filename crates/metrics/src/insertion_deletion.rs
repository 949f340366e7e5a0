//! Insertion and deletion: how fast the class appears, or vanishes, when pixels are changed in the
//! order of the map.
//!
//! Deletion replaces the most salient pixels first by zero; insertion starts from a blurred image
//! and puts the most salient pixels of the true one back first. After every step the
//! probability of the class is taken, by the network's softmax or sigmoid (the score itself where it is
//! no logit), and the value is the area under its curve,
//!
//! ```text
//! area = (sum of the n probabilities - half of the first and the last) / (n - 1)
//! ```
//!
//! Insertion: larger is better. Deletion: smaller is better.
//!
//! Petsiuk, Das and Saenko, *RISE: randomized input sampling for explanation of black-box models*
//! (2018). [`InsertionDeletion::insertion`] and [`InsertionDeletion::deletion`] are the protocol of
//! the program that they published, named `insertion` and `deletion` in the table: 224 pixels a
//! step, which at 224 x 224 makes 224 steps and 225 probabilities; zeros of the prepared image, which
//! are the mean colour; and a blur of 11 x 11 pixels. That blur is *not* a Gaussian of deviation 5:
//! it is what a filter of deviation 5, cut at 20 pixels and reflected at the edges, makes of one point
//! in an 11 x 11 picture, which is nearly flat; and it takes what lies outside of the image for zero,
//! so that the edges darken. Both are kept. Their last step may hold fewer pixels than the others and
//! still counts like them.
//!
//! They score the class that the network prefers; here it is the class that is explained. Where something else is
//! ([`Case::explains`]), such as a detected box or a region of a dense map, it is that target's own score, in its own
//! units: areas of one target compare, of several do not.
//!
//! [`InsertionDeletion::fast`], named `insertion-fast` and `deletion-fast`, takes 64 steps instead,
//! which evaluates the network 65 times rather than 225 and differs by what the trapezoid rule leaves
//! out between steps. Others differ more: Xplique takes 10 steps, Captum has neither, Samek et al.'s
//! older form is [`pixel_flipping`](crate::pixel_flipping). Areas under different protocols cannot be
//! compared.
//!
//! Equal values go in row-major order, so a constant map works from the top to the bottom. RISE's
//! sort leaves their order open.
//!
//! Memory: one batch of images and three images more.

use elucid_attribution::{Configurable, Setting};

use crate::case::Case;
use crate::hidden::{HIDDEN, Hidden};
use crate::metric::{BATCH_SIZE, Halt, at_least_one, curve, info, setters};
use crate::options::number_or;
use crate::order::{copy_pixels, descending};
pub use crate::probe::Curve;
use crate::probe::Probe;
use crate::table::{MetricInfo, MetricOption};
use crate::traced::traces;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Insertion,
    Deletion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// As many pixels at once as in RISE's program; a row of those that have less than 128 of them.
    Usual,
    /// So many pixels at once.
    Pixels(usize),
    /// So many steps, of equally many pixels.
    Count(usize),
}

/// The area under the curve of the class's probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct InsertionDeletion {
    way: Way,
    step: Step,
    baseline: Hidden,
    batch_size: usize,
}

impl InsertionDeletion {
    fn new(way: Way) -> Self {
        Self {
            way,
            step: Step::Usual,
            baseline: match way {
                Way::Insertion => Hidden::Blur,
                Way::Deletion => Hidden::Zero,
            },
            batch_size: BATCH_SIZE,
        }
    }

    /// Insertion into a blurred image, 224 pixels a step.
    pub fn insertion() -> Self {
        Self::new(Way::Insertion)
    }

    /// Deletion to zeros, 224 pixels a step.
    pub fn deletion() -> Self {
        Self::new(Way::Deletion)
    }

    /// 64 steps.
    pub fn fast(self) -> Self {
        self.steps(FAST_STEPS)
    }

    /// This many steps of equally many pixels, of which the last may hold fewer; as many as there
    /// are pixels at most.
    pub fn steps(mut self, steps: usize) -> Self {
        self.step = Step::Count(steps);
        self
    }

    /// This many pixels a step.
    pub fn pixels(mut self, pixels: usize) -> Self {
        self.step = Step::Pixels(pixels);
        self
    }

    setters!(batch_size);

    curve! {
        /// The class's probability at every step, or why there is none.
    }

    fn value(&self, curve: &Curve) -> Result<f64, Halt> {
        Ok(curve.area())
    }

    fn points(&self, case: &Case<'_>) -> Result<Curve, Halt> {
        let order = descending(case.finite_map()?);
        let [h, w] = case.size();
        let plane = h * w;
        let pixels = match self.step {
            Step::Usual => usual_pixels([h, w]),
            Step::Pixels(pixels) => pixels,
            Step::Count(steps) => plane.div_ceil(steps),
        };
        let steps = plane.div_ceil(pixels);
        let (mut now, then) = match self.way {
            Way::Deletion => (case.pixels.clone(), self.baseline.pixels(case)?),
            Way::Insertion => (self.baseline.pixels(case)?, case.pixels.clone()),
        };
        let changed = |step: usize| (step * pixels).min(plane);
        let scores = Probe::new(case, self.batch_size)?.scores(steps + 1, |step, batch| {
            if let Some(before) = step.checked_sub(1) {
                copy_pixels(
                    &order[changed(before)..changed(step)],
                    plane,
                    &then,
                    &mut now,
                );
            }
            batch.extend(&now);
        })?;
        Ok(Curve {
            fractions: (0..=steps)
                .map(|step| changed(step) as f64 / plane as f64)
                .collect(),
            scores: scores.iter().map(|score| score.probability).collect(),
        })
    }

    fn is_fast(&self) -> bool {
        matches!(self.step, Step::Count(_))
    }

    fn info(&self) -> &'static MetricInfo {
        METRICS[usize::from(self.way == Way::Deletion) + 2 * usize::from(self.is_fast())]
    }
}

/// Pixels a step of RISE's program.
const RISE_PIXELS: usize = 224;

/// The shorter side below which a step is a row of pixels.
const SMALL: usize = 128;

/// How many pixels change in each step on images of `[height, width]`.
pub(crate) fn usual_pixels([height, width]: [usize; 2]) -> usize {
    match height.min(width) < SMALL {
        true => width,
        false => RISE_PIXELS,
    }
}

/// Steps of the faster form.
const FAST_STEPS: usize = 64;

const HALF: usize = 5;
const SIDE: usize = 2 * HALF + 1;

/// RISE's blur along one axis: a Gaussian of deviation 5, cut at 20 pixels, applied to one point in
/// the middle of 11 pixels that are continued by reflection.
fn rise_kernel() -> [f64; SIDE] {
    let weight = |t: i32| (-0.5 * (f64::from(t) / 5.0).powi(2)).exp();
    let sum: f64 = (-20..=20).map(weight).sum();
    let mut kernel = [0.0; SIDE];
    for (i, tap) in kernel.iter_mut().enumerate() {
        for t in -20..=20 {
            // Reflected, the point in the middle comes back at 5 and 16 of every 22.
            if matches!((i as i32 + t).rem_euclid(2 * SIDE as i32), 5 | 16) {
                *tap += weight(t) / sum;
            }
        }
    }
    kernel
}

/// An image `[C, H, W]` under RISE's blur, zeros outside.
pub(crate) fn blurred(pixels: &[f32], height: usize, width: usize) -> Vec<f32> {
    let kernel = rise_kernel();
    // Along an axis of `size` numbers that lie `stride` apart.
    let along = |values: &[f64], size: usize, stride: usize| -> Vec<f64> {
        (0..values.len())
            .map(|i| {
                let at = i / stride % size;
                let taps = kernel.iter().enumerate();
                taps.filter(|(k, _)| (HALF..size + HALF).contains(&(at + k)))
                    .map(|(k, weight)| weight * values[i + k * stride - HALF * stride])
                    .sum()
            })
            .collect()
    };
    let values: Vec<f64> = pixels.iter().map(|&v| f64::from(v)).collect();
    let rows = along(&values, width, 1);
    let both = along(&rows, height, width);
    both.into_iter().map(|v| v as f32).collect()
}

crate::options!(InsertionDeletion {
    {
        "pixels",
        "pixels changed in each step: 224 as usual, a row where the shorter side has less than 128",
        "1 or more, or usual",
        |metric, size| match metric.step {
            Step::Usual => Some(usual_pixels(size).to_string()),
            Step::Pixels(pixels) => Some(pixels.to_string()),
            Step::Count(_) => None,
        },
        |metric, text| {
            metric.step = number_or("usual", text)?.map_or(Step::Usual, Step::Pixels);
            Some(())
        },
        |metric| metric.step != Step::Pixels(0)
    }
    {
        "steps", "number of steps", "1 or more",
        |metric, _| match metric.step {
            Step::Usual | Step::Pixels(_) => None,
            Step::Count(steps) => Some(steps.to_string()),
        },
        |metric, text| {
            metric.step = Step::Count(Setting::read(text)?);
            Some(())
        },
        |metric| metric.step != Step::Count(0)
    }
    {
        /// What pixels are that have been taken away, or are not yet there: RISE's blur for insertion and
        /// zero for deletion by default.
        baseline: Hidden as "baseline", "what pixels are that are not there", HIDDEN
    }
} check |metric| at_least_one("batch size", metric.batch_size));

traces!(InsertionDeletion, |metric| match metric.way {
    Way::Insertion => ["share of the pixels put back", "probability"],
    Way::Deletion => ["share of the pixels taken away", "probability"],
});

const ALL: &[MetricOption] = InsertionDeletion::OPTIONS;

/// Options of the forms that change so many pixels at once.
const BY_PIXELS: &[MetricOption] = &[ALL[0], ALL[2]];

/// Options of the forms that take so many steps.
const BY_STEPS: &[MetricOption] = &[ALL[1], ALL[2]];

const REFERENCE: &str = "Petsiuk, Das and Saenko 2018";

pub(crate) const METRICS: [&MetricInfo; 4] = [
    &info!(
        "insertion": "Insertion, RISE's protocol", Larger, Faithfulness, needs(scores), REFERENCE;
        BY_PIXELS, InsertionDeletion::insertion(), batch_size
    ),
    &info!(
        "deletion": "Deletion, RISE's protocol", Smaller, Faithfulness, needs(scores), REFERENCE;
        BY_PIXELS, InsertionDeletion::deletion(), batch_size
    ),
    &info!(
        "insertion-fast": "Insertion in 64 steps", Larger, Faithfulness, needs(scores), REFERENCE;
        BY_STEPS, InsertionDeletion::insertion().fast(), batch_size
    ),
    &info!(
        "deletion-fast": "Deletion in 64 steps", Smaller, Faithfulness, needs(scores), REFERENCE;
        BY_STEPS, InsertionDeletion::deletion().fast(), batch_size
    ),
];
