//! What the method is told: kinds of perturbation, variants and rewards by name, and all options as
//! text.

use std::str::FromStr;

use super::ExtremalPerturbation;
use crate::error::AttributionError;
use crate::methods::{Method, option};

/// What becomes of pixels that a mask hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perturbation {
    /// They are blurred.
    Blur,
    /// They fade to zero: the mean colour for networks that subtract it.
    Fade,
}

/// What a mask is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Keep the reward high where only the mask is seen.
    Preserve,
    /// Make the reward low where the mask is hidden.
    Delete,
    /// Both: the difference of the two rewards.
    Dual,
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

/// What a mask is rewarded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reward {
    /// The target's score.
    Simple,
    /// The logit of the target's class minus the largest of all others.
    Contrastive,
}

macro_rules! names {
    ($type:ident, $parameter:literal, $expected:ident = $names:literal, $($name:literal => $value:ident),*) => {
        pub(crate) const $expected: &str = $names;

        impl FromStr for $type {
            type Err = AttributionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$value),)*
                    _ => Err(AttributionError::Parameter {
                        parameter: $parameter,
                        value: format!("\"{text}\""),
                        expected: $expected,
                    }),
                }
            }
        }
    };
}

names!(Perturbation, "perturbation", PERTURBATIONS = "blur or fade", "blur" => Blur, "fade" => Fade);
names!(Variant, "variant", VARIANTS = "preserve, delete or dual",
    "preserve" => Preserve, "delete" => Delete, "dual" => Dual);
names!(Reward, "reward", REWARDS = "simple or contrastive",
    "simple" => Simple, "contrastive" => Contrastive);

/// Areas as text, joined by commas.
struct Areas(Vec<f32>);

impl FromStr for Areas {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let areas = text.split(',').map(|area| area.trim().parse());
        Ok(Self(areas.collect::<Result<_, _>>()?))
    }
}

pub(crate) const METHOD: Method = Method::new(
    "extremal-perturbation",
    "Extremal perturbation",
    "Fong, Patrick and Vedaldi 2019",
    |options| {
        let mut method = ExtremalPerturbation::new();
        method.setup = options.setup();
        if let Some(Areas(areas)) = options.get("areas", "shares of the image, as 0.05,0.1")? {
            method.areas = areas;
        }
        options.read("perturbation", PERTURBATIONS, &mut method.perturbation)?;
        options.read("variant", VARIANTS, &mut method.variant)?;
        options.read("reward", REWARDS, &mut method.reward)?;
        options.read(
            "iterations",
            "a number of iterations",
            &mut method.iterations,
        )?;
        options.read("settled", "a number", &mut method.settled)?;
        options.read("step", "a number of pixels", &mut method.step)?;
        options.read("sigma", "a number of pixels", &mut method.sigma)?;
        options.read("coldness", "a number", &mut method.coldness)?;
        options.read("levels", "a number of levels", &mut method.levels)?;
        options.read("blur", "a number of pixels", &mut method.blur)?;
        options.read("jitter", "true or false", &mut method.jitter)?;
        options.read(
            "mask-smooth",
            "a fraction of the shorter side",
            &mut method.smooth,
        )?;
        options.read("learning-rate", "a number", &mut method.learning_rate)?;
        options.read("momentum", "a number from 0 to 1", &mut method.momentum)?;
        options.read("dampening", "a number from 0 to 1", &mut method.dampening)?;
        options.read("area-weight", "a number", &mut method.area_weight)?;
        options.read("area-growth", "a number", &mut method.area_growth)?;
        method.given.read(options, &["step", "sigma"])?;
        Ok(Box::new(method))
    },
)
.options(&[
    option(
        "areas",
        "0.1",
        "areas of the masks as shares of the image, joined by commas",
    ),
    option(
        "perturbation",
        "blur",
        "what becomes of hidden pixels: blur, or fade to zero",
    ),
    option(
        "variant",
        "preserve",
        "what a mask is to do: preserve, delete or dual",
    ),
    option(
        "reward",
        "simple",
        "simple, or contrastive: against the best of all other classes",
    ),
    option("iterations", "800", "most iterations"),
    option(
        "settled",
        "0.002",
        "ends when 50 iterations change a pixel by no more than this on average; 0 never",
    ),
    option("step", "7", "pixels between parameters of the mask"),
    option("sigma", "21", "smoothness of the mask, in pixels"),
    option(
        "coldness",
        "20",
        "coldness of the soft-max pool that makes the mask",
    ),
    option("levels", "8", "levels between blurred and whole"),
    option("blur", "20", "sigma of the strongest blur, in pixels"),
    option("jitter", "true", "false never mirrors the image"),
    option(
        "mask-smooth",
        "0",
        "blurs the masks found, as a fraction of the shorter side",
    ),
    option("learning-rate", "0.01", "learning rate"),
    option(
        "momentum",
        "0.9",
        "share of the last step that is taken again",
    ),
    option(
        "dampening",
        "0.9",
        "share of the new gradient that is left out",
    ),
    option("area-weight", "300", "weight of the area at first"),
    option(
        "area-growth",
        "1.0035",
        "growth of the area's weight at each iteration",
    ),
]);
