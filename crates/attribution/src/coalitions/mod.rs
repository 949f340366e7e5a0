//! Methods that hide groups of pixels together, and explain the score by who was shown.
//!
//! The image is cut into [`Superpixels`]: the cells of a grid, the segments of SLIC, the patches of a
//! transformer, or the segments of a label map of one's own. Unless one says, they are the patches
//! where the network cuts the image into patches before anything else, since it sees no others; the result's
//! configuration says which they were. Any set of them, a coalition, can be shown while all other pixels take
//! the value that a [`Baseline`](crate::Baseline) gives them, zero by default, or
//! the mean of their segment; the target's score
//! `v` of that image is what the coalition is worth.
//!
//! | method | a segment's number | adds up to |
//! | --- | --- | --- |
//! | [`Lime`] | its weight in a linear model of `v`, fitted near the whole image | |
//! | [`KernelShap`] | its Shapley value, by weighted least squares | `v(all) - v(none)`, exactly |
//! | [`ShapleySampling`] | its Shapley value, by random orders | `v(all) - v(none)`, exactly |
//! | [`SobolAttribution`] | the share of the variance of `v` that it has a part in | |
//! | [`HsicAttribution`] | how far `v` depends on whether it is shown | |
//!
//! They need scores and nothing else: a network may be any closure, differentiable or not.
//!
//! All of them return `[N, 1, H, W]`, where every pixel has the number of its segment, as in Captum.
//! What such a map adds up to therefore counts a segment once for each of its pixels; the
//! [`Completeness`] that is reported counts it once. The segments themselves with their numbers in
//! double precision are to be had from each method's `attribute_segments`.
//!
//! Of several baselines, [`Baseline::several`](crate::Baseline::several), `v` is the mean, and the
//! evaluations are as many times more. All images of a batch see the same coalitions if they have as
//! many segments.
//!
//! Memory: `batch_size` images, 8 by default, propagated together, and what a method says of itself.

mod felzenszwalb;
mod game;
mod hidden;
pub mod hsic;
pub mod kernel_shap;
mod least_squares;
pub mod lime;
pub mod shapley_sampling;
mod slic;
pub mod sobol;
pub mod superpixels;

use std::cell::Cell;

use burn::tensor::Tensor;
use ndarray::{Array1, ArrayD, Axis, IxDyn};

pub(crate) use self::felzenszwalb::Felzenszwalb;
pub(crate) use self::game::Game;
pub(crate) use self::hidden::Hidden;
pub(crate) use self::slic::pixels;
pub use self::{
    hsic::HsicAttribution,
    kernel_shap::KernelShap,
    lime::Lime,
    shapley_sampling::ShapleySampling,
    sobol::SobolAttribution,
    superpixels::{Segments, Superpixels},
};
use crate::attribution::{Attribution, Completeness};
use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::options::{Configurable, Setting};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::Samples;
use crate::work::Context;

/// An attribution with the segments that it was computed for.
#[derive(Debug, Clone)]
pub struct SegmentAttribution {
    attribution: Attribution,
    segments: Vec<Segments>,
    values: Vec<Array1<f64>>,
}

impl SegmentAttribution {
    /// One number per pixel, `[N, 1, H, W]`.
    pub fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// The segments of each image.
    pub fn segments(&self) -> &[Segments] {
        &self.segments
    }

    /// For each image one number per segment, in the order of their labels.
    pub fn values(&self) -> &[Array1<f64>] {
        &self.values
    }

    /// The attribution alone.
    pub fn into_attribution(self) -> Attribution {
        self.attribution
    }
}

/// A method of this family: which coalitions it asks about, and how it turns their scores into one number per segment.
pub(crate) trait Coalitional: Configurable<Error = AttributionError> + Attributor {
    /// Whether the numbers add up to the difference between the whole image and the baseline.
    const IS_COMPLETE: bool;

    /// How many coalitions of so many segments are scored, beside all and none. Refuses more
    /// segments than the method can take.
    fn coalitions(&self, segments: usize) -> Result<usize, AttributionError>;

    /// Factors of the bytes that are held for the coalitions of so many segments, where that is more than
    /// those of a batch.
    fn held(&self, _segments: usize) -> [usize; 4] {
        [0; 4]
    }

    /// A new game of so many segments.
    fn play(&self, segments: usize, random: Random) -> Box<dyn Play + '_>;
}

/// What the whole image scores, and what it does without any segment: the mean of several baselines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worth {
    pub all: f64,
    pub none: f64,
}

/// The game of one image.
pub(crate) trait Play {
    /// The next coalition, a number for each segment: 1 shows it, 0 hides it, and in between is the mixture.
    fn draw(&mut self) -> Vec<f32>;

    /// What a coalition scored; they come in the order in which they were drawn.
    fn hear(&mut self, coalition: &[f32], score: f64, worth: Worth);

    /// One number for each segment, by what was heard so far. Work that takes long asks `go_on` now and then.
    fn end(&mut self, worth: Worth, go_on: &dyn Fn() -> Result<(), AttributionError>) -> Values;
}

/// One number for each segment, and how sure it is where it is an estimate from samples.
pub(crate) struct Estimate {
    pub values: Array1<f64>,
    pub errors: Option<Array1<f64>>,
}

impl Estimate {
    /// Of nothing.
    fn none(segments: usize) -> Self {
        Array1::zeros(segments).into()
    }
}

impl From<Array1<f64>> for Estimate {
    fn from(values: Array1<f64>) -> Self {
        let errors = None;
        Self { values, errors }
    }
}

type Values = Result<Estimate, AttributionError>;

/// What every method of this family is told.
pub(crate) struct Parts<'p> {
    pub superpixels: &'p Superpixels,
    pub baseline: &'p Hidden,
}

/// Plays the games of all images.
pub(crate) fn explain<M: Coalitional>(
    method: &M,
    parts: &Parts<'_>,
    work: &Context<'_>,
) -> Result<SegmentAttribution, AttributionError> {
    method.check_options()?;
    parts.superpixels.check()?;
    parts.baseline.check(work)?;
    let superpixels = parts.superpixels.resolved(work)?;
    let segments = superpixels.segments_of(work)?;
    let mut each = Vec::with_capacity(segments.len());
    for segments in &segments {
        let coalitions = method.coalitions(segments.count())?.saturating_add(2);
        let what = format!(
            "{coalitions} coalitions of {} segments by {}",
            segments.count(),
            method.name()
        );
        work.afford(what, &method.held(segments.count()))?;
        each.push(coalitions.saturating_mul(parts.baseline.count()));
    }
    let start = |image: usize| {
        let mut random = Random::new(work.seed);
        let segments = &segments[image];
        let hidden = parts.baseline.images(work, image, segments, &mut random)?;
        let play = method.play(segments.count(), random);
        Ok(Game::new(work, image, segments, hidden, play))
    };
    let score = |rows: &[usize], images: Tensor<4>| work.scores(rows, images.into());
    let done: Cell<usize> = Cell::new(0);
    let total = each
        .iter()
        .fold(0_usize, |sum, &each| sum.saturating_add(each));
    let finish = |image: usize, mut game: Game<'_, '_>, samples: usize| {
        done.set(done.get().saturating_add(samples));
        let worth = game.worth()?;
        // What an image is worth is no sample of it.
        let found = match samples == each[image] || samples > 2 * parts.baseline.count() {
            // What is to be kept is finished all the same.
            true => game.play.end(worth, &|| match work.keeps_partial {
                true => Ok(()),
                false => work.report(done.get(), total),
            })?,
            false => Estimate::none(segments[image].count()),
        };
        Ok((worth, found))
    };
    let found = work.scored(Samples::by_image(each.clone()), start, score, finish)?;
    let found = found.kept(work, |image| {
        let worth = start(image)?.worth()?;
        Ok((worth, Estimate::none(segments[image].count())))
    })?;
    let (planned, evaluations) = (found.planned(), found.samples);
    let (mut values, mut scores, mut completeness) = (Vec::new(), Vec::new(), Vec::new());
    let mut errors = Vec::new();
    for (worth, found) in found.found {
        scores.push(worth.all as f32);
        completeness.push(Completeness {
            sum: found.values.sum(),
            expected: worth.all - worth.none,
        });
        values.push(found.values);
        errors.extend(found.errors);
    }
    let maps = per_pixel(&segments, &values, work.size())?;
    let errors = match errors.len() == segments.len() {
        true => Some(per_pixel(&segments, &errors, work.size())?),
        false => None,
    };
    let mut configuration = method.configuration(work.size());
    if let Some(text) = superpixels.text(work.size()) {
        configuration.set("segments", text);
    }
    let name = method.name();
    let attribution = Attribution::named(name, configuration, work, maps, scores, Reduce::Sum)?
        .with_evaluations(evaluations)
        .with_planned(planned)
        .with_standard_errors(errors);
    Ok(SegmentAttribution {
        attribution: match M::IS_COMPLETE {
            true => attribution.with_completeness(completeness),
            false => attribution,
        },
        segments,
        values,
    })
}

/// Every pixel's number is that of its segment: `[N, 1, H, W]`.
fn per_pixel(
    segments: &[Segments],
    values: &[Array1<f64>],
    [height, width]: [usize; 2],
) -> Result<ArrayD<f32>, AttributionError> {
    let mut maps = ArrayD::zeros(IxDyn(&[segments.len(), 1, height, width]));
    for ((segments, values), mut map) in segments.iter().zip(values).zip(maps.outer_iter_mut()) {
        let mut map = map.index_axis_mut(Axis(0), 0);
        for (pixel, &label) in map.iter_mut().zip(segments.labels()) {
            *pixel = values[label] as f32;
        }
    }
    Ok(maps)
}

/// `0..count` in random order.
pub(crate) fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

/// Declares a method of this family: over which segments it plays unless told otherwise, its own options with their defaults, its
/// constructor, and in braces its own [`options!`](crate::options!).
///
/// ```ignore
/// coalitional! {
///     /// Values of segments.
///     pub struct Values of Superpixels::grid(8), {
///         samples: usize = 100,
///     }
///     /// What rustdoc says of the constructor.
///     new
///     options {
///         {
///             /// How many coalitions are scored.
///             samples: usize as "samples", "how many coalitions are scored", "1 or more", |samples| *samples > 0
///         }
///     }
/// }
/// ```
macro_rules! coalitional {
    (
        $(#[$doc:meta])* pub struct $method:ident of $segments:expr, { $($fields:tt)* }
        $(#[$made:meta])* new options { $($own:tt)* }
    ) => {
        $crate::attributor::method! {
            $(#[$doc])*
            pub struct $method {
                superpixels: $crate::Superpixels = $segments.where_they_fit().or_patches(),
                baseline: $crate::coalitions::Hidden = $crate::coalitions::Hidden::zero(),
                $($fields)*
            }
            $(#[$made])*
            new
        }

        $crate::options!($method {
            {
                /// What is hidden together.
                superpixels: $crate::Superpixels as "segments",
                $crate::coalitions::superpixels::SEGMENTS_HELP, $crate::coalitions::superpixels::SEGMENTS
            }
            $($own)*
            {
                baseline as "baseline", $crate::perturbation::HIDDEN_PIXELS,
                $crate::coalitions::hidden::HIDDEN
            }
        });

        impl $method {
            /// What hidden pixels become, [`Baseline::zero`](crate::Baseline::zero) by default: the
            /// mean colour, where preprocessing subtracts it.
            pub fn baseline(mut self, baseline: $crate::Baseline) -> Self {
                self.baseline = $crate::coalitions::Hidden::Baseline(baseline);
                self
            }

            /// Hidden pixels become the mean colour of their segment, channel by channel, as in the
            /// authors' `lime_image` by default. Each segment is then hidden by its own pixels, and a
            /// segment of one colour changes nothing.
            pub fn segment_mean(mut self) -> Self {
                self.baseline = $crate::coalitions::Hidden::SegmentMean;
                self
            }

            $crate::attributor::setup_builders!(batch_size, seed, progress, keep_partial);

            /// The attribution with the segments and their numbers in double precision.
            ///
            /// # Errors
            ///
            /// As [`attribute`](crate::Attributor::attribute).
            pub fn attribute_segments(
                &self,
                network: &dyn $crate::Network,
                images: &dyn elucid_graph::ImageBatch,
                target: &$crate::Target,
            ) -> Result<$crate::coalitions::SegmentAttribution, $crate::AttributionError> {
                let work = $crate::Context::new(network, images, target, &self.setup)?;
                self.played(&work)
            }

            fn played(
                &self,
                work: &$crate::Context<'_>,
            ) -> Result<$crate::coalitions::SegmentAttribution, $crate::AttributionError> {
                let parts = $crate::coalitions::Parts {
                    superpixels: &self.superpixels,
                    baseline: &self.baseline,
                };
                $crate::coalitions::explain(self, &parts, work)
            }
        }

        $crate::attributor::explains!($method, |method, work| Ok(method.played(work)?.into_attribution()));
    };
}
pub(crate) use coalitional;
