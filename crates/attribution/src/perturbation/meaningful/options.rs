//! All options.

use super::start::STARTS;
use super::{MeaningfulPerturbation, MeaningfulScore, SCORES};
use crate::baseline::{BASELINES, Baseline};
use crate::methods::Method;
use crate::options::{Configurable, Numbers};
use crate::perturbation::extremal::VARIANTS;
use crate::perturbation::{HIDDEN_PIXELS, Start, Variant};
use crate::scaled::Scaled;

crate::options!(MeaningfulPerturbation {
    {
        /// What hidden pixels become, a blur of 10 pixels by default, less on small images.
        baseline: Baseline as "baseline", HIDDEN_PIXELS, BASELINES
    }
    {
        /// What a mask is to do, to delete by default.
        variant: Variant as "variant", "what a mask is to do", VARIANTS
    }
    {
        /// What a mask is to take away: the probability of a class by default, where the target is its
        /// logit.
        score: MeaningfulScore as "score", "what a mask is to take away", SCORES
    }
    {
        /// Most iterations, 300 by default.
        iterations: usize as "iterations", "most iterations", "1 or more", |iterations| *iterations > 0
    }
    {
        /// A search ends when 50 iterations have changed a pixel of the mask by no more than this on
        /// average, .002 by default; 0 takes all iterations.
        settled: f32 as "settled",
        "ends when 50 iterations change a pixel by no more than this on average; 0 never", "0 or more",
        |change| *change >= 0.0 && change.is_finite()
    }
    {
        /// Learning rate of Adam, .1 by default.
        learning_rate: f32 as "learning-rate", "learning rate", "above 0",
        |rate| *rate > 0.0 && rate.is_finite()
    }
    {
        "adam", "decay of the mean gradient and of its mean square, and epsilon",
        "three numbers between commas, two below 1 and one above 0",
        |method, _| Some(Numbers::join(&method.adam)),
        |method, text| {
            method.adam = Numbers::exactly(text)?;
            Some(())
        }
    }
    {
        /// Pixels that share a parameter along each axis, 8 by default, fewer on images of less than 128.
        scale: usize as "mask-scale",
        "pixels that share a parameter along each axis; less on images of fewer than 128", "1 or more",
        |scale| *scale > 0
    }
    {
        /// Sigma in pixels of the blur that makes a mask of parameters, 5 by default, less on images of
        /// less than 128; 0 leaves squares.
        mask_blur: f32 as "mask-blur",
        "sigma of the blur that makes the mask, in pixels; less on images of fewer than 128",
        "0 to 10000", |sigma| (0.0..=10_000.0).contains(sigma)
    }
    {
        /// Weight of the sum of all parameters, 1e-4 by default; at most 1e9: with larger ones the
        /// gradient would leave the numbers.
        l1: f32 as "l1", "weight of the mask's size", "0 to 1e9", |weight| (0.0..=1e9).contains(weight)
    }
    {
        /// Weight of the total variation of the parameters, 1e-2 by default; at most 1e9.
        tv: f32 as "tv", "weight of its total variation", "0 to 1e9",
        |weight| (0.0..=1e9).contains(weight)
    }
    {
        /// Exponent of the total variation, 3 by default, at least 1.
        beta: f32 as "tv-beta", "exponent of its total variation", "1 to 100",
        |beta| (1.0..=100.0).contains(beta)
    }
    {
        /// Offsets along each axis that the image takes under the mask, 4 by default, fewer on images of
        /// less than 128; 0 and 1 leave it where it is.
        jitter: usize as "offsets",
        "offsets along each axis that the image takes under the mask; less on images of fewer than 128",
        "0 or more, at most the rows and columns of the images"
    }
    {
        /// Standard deviation of normal noise that is added to the parameters at each iteration, 0 by
        /// default.
        noise: f32 as "mask-noise", "standard deviation of noise on the parameters", "0 or more",
        |noise| *noise >= 0.0 && noise.is_finite()
    }
    {
        /// Where the search begins, with a disc by default.
        start: Start as "start", "where the search begins", STARTS
    }
    {
        "disc",
        "of the disc to start with: step and blur in pixels, less on images of fewer than 128, and the \
         share of the score left",
        "three numbers between commas",
        |method, size| (method.start == Start::Disc).then(|| Numbers::join(&method.disc_at(size))),
        |method, text| {
            let [step, blur, left] = Numbers::exactly(text)?;
            (method.disc, method.disc_left) = (Scaled::given([step, blur]), left);
            Some(())
        }
    }
} check MeaningfulPerturbation::check_numbers);

pub(crate) const METHOD: Method = Method::new(
    "meaningful-perturbation",
    "Meaningful perturbation",
    "Fong and Vedaldi 2017",
    |options| {
        options.apply(match options.preset() {
            Some("localisation") => MeaningfulPerturbation::localisation(),
            _ => MeaningfulPerturbation::new(),
        })
    },
)
.random()
.presets(&["paper", "localisation"])
.options(MeaningfulPerturbation::OPTIONS);
