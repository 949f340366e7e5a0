//! What the method is told: kinds of perturbation, variants and rewards by name, and all options as
//! text.

use super::{ExtremalPerturbation, MAX_LEVELS};
use crate::methods::Method;
use crate::options::{Configurable, Numbers, Setting, words};

words! {
    /// What becomes of pixels that a mask hides.
    pub enum Perturbation: "perturbation", PERTURBATIONS = "blur, or fade to zero" {
        /// They are blurred.
        Blur = "blur",
        /// They fade to zero: the mean colour for networks that subtract it.
        Fade = "fade",
    }
}

words! {
    /// What a mask is to do.
    pub enum Variant: "variant", VARIANTS = "preserve, delete or dual" {
        /// Keep the reward high where only the mask is seen.
        Preserve = "preserve",
        /// Make the reward low where the mask is hidden.
        Delete = "delete",
        /// Both: the difference of the two rewards.
        Dual = "dual",
    }
}

impl Variant {
    /// For each image that a mask is seen by: whether the mask is shown, or else hidden.
    pub(crate) fn sides(self) -> &'static [bool] {
        match self {
            Self::Preserve => &[true],
            Self::Delete => &[false],
            Self::Dual => &[true, false],
        }
    }
}

words! {
    /// What a mask is rewarded for.
    pub enum Reward: "reward", REWARDS = "simple, or contrastive: against the best of all other classes" {
        /// The target's score.
        Simple = "simple",
        /// The logit of the target's class minus the largest of all others.
        Contrastive = "contrastive",
    }
}

crate::options!(ExtremalPerturbation {
    {
        "areas", "areas of the masks, each with a mask of its own",
        "shares of the image above 0 and below 1, between commas",
        |method, _| Some(Numbers::join(&method.areas)),
        |method, text| {
            method.areas = Numbers::read(text)?.0;
            Some(())
        }
    }
    {
        /// What becomes of hidden pixels, blurred by default.
        perturbation: Perturbation as "perturbation", "what becomes of hidden pixels", PERTURBATIONS
    }
    {
        /// What a mask is to do, to preserve by default.
        variant: Variant as "variant", "what a mask is to do", VARIANTS
    }
    {
        /// What it is rewarded for, the target's score by default.
        reward: Reward as "reward", "what a mask is rewarded for", REWARDS
    }
    {
        /// Most iterations, 800 by default.
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
        /// Pixels between parameters, 7 by default, and fewer on images of less than 128.
        step: usize as "step",
        "pixels between parameters of the mask; less on images of fewer than 128", "1 or more",
        |step| *step > 0
    }
    {
        /// Smoothness of masks in pixels, 21 by default, and less on images of less than 128.
        sigma: f32 as "sigma",
        "smoothness of the mask, in pixels; less on images of fewer than 128",
        "above 0 and at most 10000", |sigma| *sigma > 0.0 && *sigma <= 10_000.0
    }
    {
        /// Coldness of the soft-max pool, 20 by default; below 80.
        coldness: f32 as "coldness", "coldness of the soft-max pool that makes the mask",
        "above 0 and below 80", |coldness| *coldness > 0.0 && *coldness < 80.0
    }
    {
        /// Levels between blurred and whole, 8 by default; 2 to 1000.
        levels: usize as "levels", "levels between blurred and whole", "2 to 1000",
        |levels| (2..=MAX_LEVELS).contains(levels)
    }
    {
        /// Sigma of the strongest blur in pixels, 20 by default.
        blur: f32 as "blur", "sigma of the strongest blur, in pixels", "above 0 and at most 10000",
        |sigma| *sigma > 0.0 && *sigma <= 10_000.0
    }
    {
        /// Whether the perturbed image is mirrored left to right on even iterations, as it is by default.
        jitter: bool as "jitter", "whether the image is mirrored on even iterations", "true or false"
    }
    {
        /// Blurs the masks that were found, with a sigma of this fraction of the image's shorter side and
        /// zeros beyond its edges; 0, the default, leaves them.
        smooth: f32 as "mask-smooth", "blurs the masks found, by a fraction of the shorter side",
        "from 0 to 1", |fraction| (0.0..=1.0).contains(fraction)
    }
    {
        /// Learning rate, .01 by default.
        learning_rate: f32 as "learning-rate", "learning rate", "above 0",
        |rate| *rate > 0.0 && rate.is_finite()
    }
    {
        /// Share of the last step that is taken again, .9 by default.
        momentum: f32 as "momentum", "share of the last step that is taken again", "0 to 1",
        |share| (0.0..=1.0).contains(share)
    }
    {
        /// Share of the new gradient that is left out, .9 by default.
        dampening: f32 as "dampening", "share of the new gradient that is left out", "0 to 1",
        |share| (0.0..=1.0).contains(share)
    }
    {
        /// Weight of the area at the first iteration, 300 by default.
        area_weight: f32 as "area-weight", "weight of the area at first", "0 or more",
        |weight| *weight >= 0.0 && weight.is_finite()
    }
    {
        /// Growth of the area's weight at each iteration, 1.0035 by default.
        area_growth: f32 as "area-growth", "growth of the area's weight at each iteration", "above 0",
        |growth| *growth > 0.0 && growth.is_finite()
    }
} check ExtremalPerturbation::check_areas);

pub(crate) const METHOD: Method = Method::new(
    "extremal-perturbation",
    "Extremal perturbation",
    "Fong, Patrick and Vedaldi 2019",
    |options| {
        options.apply(match options.preset() {
            Some("voc") => ExtremalPerturbation::voc(),
            Some("coco") => ExtremalPerturbation::coco(),
            _ => ExtremalPerturbation::new(),
        })
    },
)
.presets(&["paper", "voc", "coco"])
.options(ExtremalPerturbation::OPTIONS);
