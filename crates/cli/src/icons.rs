//! How pictures of features are made: flags and facts that several commands share.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use clap::{Args, ValueEnum};
use elucid::attribution::{Progress, map_shape};
use elucid::optvis::{MAX_SIDE, VisError};
use elucid::prelude::*;
use serde::{Deserialize, Serialize};

use crate::args::parse_size;
use crate::error::CliError;

/// How many steps each picture is optimised by default.
pub const STEPS: u32 = 512;
/// How many pictures are optimised together by default.
const BATCH_SIZE: u32 = 6;

/// Pictures are held until all of them are there, up to this many bytes.
const MAX_BYTES: usize = 2 << 30;
/// What a pixel takes: single precision twice, as bytes twice.
const BYTES_PER_PIXEL: usize = 3 * (4 + 4 + 1 + 1);

/// Flags of feature visualisation.
#[derive(Debug, Clone, Args)]
pub struct IconArgs {
    /// How many steps each picture is optimised
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,

    /// What is optimised
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Param::Fft)]
    param: Param,

    /// What happens to a picture before each look of the network
    #[arg(long, value_enum, value_name = "NAME", default_value_t = TransformSet::Default)]
    transforms: TransformSet,

    /// How far each step of Adam goes; by default 0.05, 0.005 for cppn, and 0.3 for maco
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    learning_rate: Option<f32>,

    /// How many pictures to optimise together; more take more memory
    #[arg(long, value_name = "N", default_value_t = BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,

    /// Where the random numbers begin; the picture of channel, direction or class N begins with
    /// this plus N
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// A parametrisation, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Param {
    /// The picture's spectrum
    Fft,
    /// Its pixels
    Pixel,
    /// Its Laplacian pyramid
    Pyramid,
    /// A small network that paints it
    Cppn,
    /// The phases of its spectrum, whose magnitudes are those of photographs
    Maco,
}

/// Transforms, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransformSet {
    /// Padding, small movements, scales and rotations
    Default,
    /// Nothing
    None,
}

/// All that a picture depends on beside the network, the objective and its size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IconFacts {
    pub steps: usize,
    pub param: String,
    pub transforms: String,
    pub learning_rate: f32,
    pub seed: u64,
}

impl fmt::Display for IconFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} steps of {}, transforms {}, seed {}",
            self.param, self.steps, self.learning_rate, self.transforms, self.seed
        )
    }
}

impl IconArgs {
    /// What pages show: spectra under the default transforms.
    pub fn for_pages(steps: u32, batch_size: Option<u32>, seed: u64) -> Self {
        Self {
            steps,
            param: Param::Fft,
            transforms: TransformSet::Default,
            learning_rate: None,
            batch_size: batch_size.unwrap_or(BATCH_SIZE),
            seed,
        }
    }

    pub fn facts(&self) -> IconFacts {
        IconFacts {
            steps: self.steps as usize,
            param: name(self.param),
            transforms: name(self.transforms),
            learning_rate: self.learning_rate(),
            seed: self.seed,
        }
    }

    fn learning_rate(&self) -> f32 {
        let usual = match self.param {
            Param::Cppn => 0.005,
            Param::Maco => 0.3,
            Param::Fft | Param::Pixel | Param::Pyramid => 0.05,
        };
        self.learning_rate.unwrap_or(usual)
    }

    /// How many steps each picture takes.
    pub fn steps(&self) -> usize {
        self.steps as usize
    }

    /// How many pictures are optimised together.
    pub fn batch_size(&self) -> usize {
        self.batch_size as usize
    }

    /// The optimisation of pictures of `size` that have these numbers, which give each its own
    /// seed: a picture is the same whichever others it is made with.
    pub fn vis(
        &self,
        size: [usize; 2],
        numbers: &[usize],
        progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> FeatureVis {
        let [height, _] = size;
        let vis = match self.param {
            Param::Fft => FeatureVis::fourier(height),
            Param::Pixel => FeatureVis::pixels(height),
            Param::Pyramid => FeatureVis::pyramid(height),
            Param::Cppn => FeatureVis::cppn(height),
            Param::Maco => FeatureVis::maco(height),
        };
        let transforms = match self.transforms {
            TransformSet::Default => Transforms::lucid_at(size),
            TransformSet::None => Transforms::none(),
        };
        vis.size(size)
            .steps(self.steps())
            .transforms(transforms)
            .learning_rate(self.learning_rate())
            .batch_size(self.batch_size())
            .seed(self.seed)
            .seeds(numbers.iter().map(|&n| self.seed.wrapping_add(n as u64)))
            .progress(progress)
    }
}

/// What the flag calls a value.
fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Refuses more pictures than memory should hold, before minutes are spent on them.
pub fn check_memory(pictures: usize, [height, width]: [usize; 2]) -> Result<(), CliError> {
    let bytes = [height, width, BYTES_PER_PIXEL]
        .into_iter()
        .fold(pictures, usize::saturating_mul);
    match bytes <= MAX_BYTES {
        true => Ok(()),
        false => Err(CliError::Failure(format!(
            "{pictures} pictures of {height} x {width} pixels take more than {} GiB; make fewer or \
             smaller ones at a time, or a map of a whole layer with elucid spritemap",
            MAX_BYTES >> 30
        ))),
    }
}

fn parse_rate(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// A side of a picture in pixels.
pub fn parse_side(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(side) if (1..=MAX_SIDE).contains(&side) => Ok(side),
        _ => Err(format!("expected 1 to {MAX_SIDE} pixels")),
    }
}

/// `HxW` of a picture, or one number for a square.
pub fn parse_sides(text: &str) -> Result<[usize; 2], String> {
    match parse_size(text)? {
        sides if sides.iter().all(|side| (1..=MAX_SIDE).contains(side)) => Ok(sides),
        _ => Err(format!("expected 1 to {MAX_SIDE} pixels a side")),
    }
}

/// Channels and ranges of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels(Vec<RangeInclusive<usize>>);

/// Parses `3,8-15`.
pub fn parse_channels(text: &str) -> Result<Channels, String> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = |part: &str| {
        let ends = match part.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|one| (one, one)),
        };
        match ends {
            Some((first, last)) if first <= last => Ok(first..=last),
            _ => Err("expected channels and ranges of them, such as 3,8-15".to_owned()),
        }
    };
    text.split(',')
        .map(range)
        .collect::<Result<_, _>>()
        .map(Channels)
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let (first, last) = (range.start(), range.end());
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Channels {
    /// Each channel once, in the order in which they were named.
    ///
    /// # Errors
    ///
    /// The layer does not have one of them.
    pub fn of(&self, model: &Model, layer: &Layer) -> Result<Vec<usize>, CliError> {
        let count = channel_count(model, layer)?;
        if let Some(range) = self.0.iter().find(|range| *range.end() >= count) {
            return Err(CliError::from(VisError::Channel {
                layer: layer.name().to_owned(),
                channel: *range.end(),
                channels: count,
            }));
        }
        let mut taken = vec![false; count];
        let each = self.0.iter().cloned().flatten();
        Ok(each
            .filter(|&channel| !std::mem::replace(&mut taken[channel], true))
            .collect())
    }
}

/// How many channels a layer has.
pub fn channel_count(model: &Model, layer: &Layer) -> Result<usize, CliError> {
    match layer.shape() {
        [_, channels] => Ok(*channels),
        [_, _, _] | [_, _, _, _] => Ok(map_shape(model, layer.name())?[1]),
        shape => Err(CliError::from(VisError::NoChannels {
            layer: layer.name().to_owned(),
            shape: shape.to_vec(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_parsed_as_documented() {
        for text in ["0", "3,8-15", "0-0", "5,4,5"] {
            parse_channels(text).unwrap();
        }
        assert_eq!(parse_channels(" 3 , 8 - 15").unwrap().to_string(), "3,8-15");
        for wrong in ["", "-1", "3-", "8-3", "a", "1,,2", "1-2-3", "1.5"] {
            assert!(parse_channels(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sides_are_parsed_as_documented() {
        assert_eq!(parse_sides("96"), Ok([96, 96]));
        assert_eq!(parse_sides("48x64"), Ok([48, 64]));
        for wrong in ["0", "0x5", "5000", "48x", "a", "-3"] {
            assert!(parse_sides(wrong).is_err(), "{wrong}");
            assert!(parse_side(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0", "-1", "NaN", "inf", ""] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
