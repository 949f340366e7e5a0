//! All options as text.

use std::str::FromStr;

use super::MeaningfulPerturbation;
use super::start::STARTS;
use crate::error::AttributionError;
use crate::methods::{Method, option};
use crate::perturbation::BASELINE_HELP;
use crate::perturbation::extremal::VARIANTS;

pub(crate) const METHOD: Method = Method::new(
    "meaningful-perturbation",
    "Meaningful perturbation",
    "Fong and Vedaldi 2017",
    |options| {
        let presets = "paper or localisation";
        let refuse = |option: &str, value: String, expected: &str| {
            Err(AttributionError::OptionValue {
                option: option.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        let mut method = match options.get::<String>("preset", presets)?.as_deref() {
            None | Some("paper") => MeaningfulPerturbation::new(),
            Some("localisation") => MeaningfulPerturbation::localisation(),
            Some(other) => return refuse("preset", other.to_owned(), presets),
        };
        method.setup = options.setup();
        let scores = "probability or target";
        match options.get::<String>("score", scores)?.as_deref() {
            None | Some("probability") => {}
            Some("target") => method.is_probability = false,
            Some(other) => return refuse("score", other.to_owned(), scores),
        }
        options.read("baseline", BASELINE_HELP, &mut method.baseline)?;
        options.read("variant", VARIANTS, &mut method.variant)?;
        options.read(
            "iterations",
            "a number of iterations",
            &mut method.iterations,
        )?;
        options.read("settled", "a number", &mut method.settled)?;
        options.read("learning-rate", "a number", &mut method.learning_rate)?;
        options.read("mask-scale", "a number of pixels", &mut method.scale)?;
        options.read("mask-blur", "a number of pixels", &mut method.blur)?;
        options.read("l1", "a number", &mut method.l1)?;
        options.read("tv", "a number", &mut method.tv)?;
        options.read("tv-beta", "a number", &mut method.beta)?;
        options.read("offsets", "a number of pixels", &mut method.jitter)?;
        options.read("mask-noise", "a number", &mut method.noise)?;
        options.read("start", STARTS, &mut method.start)?;
        let lengths = ["mask-scale", "mask-blur", "offsets"];
        method.given.read(options, &lengths)?;
        let three = "three numbers joined by commas";
        if let Some(Three([decay, square_decay, epsilon])) = options.get("adam", three)? {
            method = method.adam(decay, square_decay, epsilon);
        }
        if let Some(Three([step, blur, left])) = options.get("disc", three)? {
            method = method.disc(step, blur, left);
        }
        Ok(Box::new(method))
    },
)
.random()
.options(&[
    option(
        "preset",
        "paper",
        "paper or localisation; the options below change it",
    ),
    option("baseline", "blur", BASELINE_HELP),
    option(
        "variant",
        "delete",
        "what a mask is to do: preserve, delete or dual",
    ),
    option(
        "score",
        "probability",
        "what a mask is to take away: probability, or target (as it is)",
    ),
    option("iterations", "300", "most iterations"),
    option(
        "settled",
        "0.002",
        "ends when 50 iterations change a pixel by no more than this on average; 0 never",
    ),
    option("learning-rate", "0.1", "learning rate"),
    option(
        "adam",
        "0.9,0.999,1e-8",
        "decay of the mean gradient and of its mean square, and epsilon",
    ),
    option(
        "mask-scale",
        "8",
        "pixels that share a parameter along each axis",
    ),
    option(
        "mask-blur",
        "5",
        "sigma of the blur that makes the mask, in pixels",
    ),
    option(
        "l1",
        "0.0001",
        "weight of the mask's size; 0.001 of localisation",
    ),
    option("tv", "0.01", "weight of its total variation"),
    option(
        "tv-beta",
        "3",
        "exponent of its total variation; 2 of localisation",
    ),
    option(
        "offsets",
        "4",
        "offsets along each axis that the image takes under the mask",
    ),
    option(
        "mask-noise",
        "0",
        "standard deviation of noise on the parameters",
    ),
    option("start", "disc", STARTS),
    option(
        "disc",
        "5,10,0.01",
        "of the disc to start with: step and blur in pixels, share of the score left",
    ),
]);

/// Three numbers as text, joined by commas.
struct Three([f32; 3]);

impl FromStr for Three {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split(',').map(|number| number.trim().parse());
        let numbers: Vec<f32> = numbers.collect::<Result<_, _>>().map_err(|_| ())?;
        numbers.try_into().map(Self).map_err(|_| ())
    }
}
