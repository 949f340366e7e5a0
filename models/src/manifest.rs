//! What is known about each model file: its hash, where it is hosted, what its input means.
//!
//! The facts lie in `manifest.json` beside this crate's `Cargo.toml`.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;

/// How a picture becomes the input of a network.
///
/// The picture is resized by [`resize`](Self::resize) to `height` x `width`, its channels are
/// put in [`order`](Self::order), and each value is normalised as
/// `x[c] = (pixel[c] * scale - mean[c]) / std[c]` with `pixel` in 0..=255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Width of the input, in pixels.
    pub width: u32,
    /// Height of the input, in pixels.
    pub height: u32,
    /// Order of the channels in the input tensor.
    pub order: ChannelOrder,
    /// Factor on the pixel value: 1 keeps 0..=255, 1/255 makes 0..=1.
    pub scale: f32,
    /// Subtracted after scaling; in the order of the tensor's channels.
    pub mean: [f32; 3],
    /// Divisor after the mean; in the order of the tensor's channels.
    pub std: [f32; 3],
    /// How a picture of another size is fitted.
    pub resize: Resize,
}

/// Order of the colour channels in an input tensor. Parsed from `rgb` and `bgr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as Caffe's networks have it.
    Bgr,
}

/// How a picture of any size is fitted to the input's size. Parsed from `crop:PIXELS`,
/// `squash` and `pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side is resized to `short` and the centre is cropped to the input's size.
    ShortSideCrop {
        /// The shorter side's length before the crop, in pixels.
        short: u32,
    },
    /// Both sides are stretched to the input's, whatever the aspect ratio.
    Squash,
    /// The picture is fitted inside the input, and black fills the rest evenly.
    Pad,
}

/// A text is not the name of a [`ChannelOrder`] or a [`Resize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

impl FromStr for ChannelOrder {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.to_ascii_lowercase().as_str() {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            _ => Err(ParseError {
                text: text.to_owned(),
                expected: "a channel order: rgb or bgr",
            }),
        }
    }
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

impl FromStr for Resize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let lower = text.to_ascii_lowercase();
        let short = lower.strip_prefix("crop:").map(str::parse);
        match (lower.as_str(), short) {
            ("squash", _) => Ok(Self::Squash),
            ("pad", _) => Ok(Self::Pad),
            (_, Some(Ok(short))) if short > 0 => Ok(Self::ShortSideCrop { short }),
            _ => Err(ParseError {
                text: text.to_owned(),
                expected: "a way to resize: crop:PIXELS (of the shorter side, before the crop), \
                           squash or pad",
            }),
        }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortSideCrop { short } => write!(f, "crop:{short}"),
            Self::Squash => f.write_str("squash"),
            Self::Pad => f.write_str("pad"),
        }
    }
}

/// One known model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, as in `elucid models pull NAME`.
    pub name: String,
    /// Other names that mean this file.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its file name, without folders.
    pub file: String,
    /// The feature of this crate that carries it, for a network that the program can carry.
    #[serde(default)]
    pub feature: Option<String>,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Where it is hosted, best first; empty when it is hosted nowhere.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Licence of the weights: an SPDX identifier, or a sentence.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// The file of this crate that has the names of its classes.
    pub labels: String,
    /// Name of the input tensor, if known.
    pub input_tensor: Option<String>,
    /// How a picture becomes its input.
    pub input: Preprocessing,
    /// The tensor that holds the logits, if known. A network that ends in a softmax has them
    /// in the softmax's input.
    pub logits: Option<String>,
}

impl Entry {
    /// Whether the file can be downloaded.
    pub fn is_hosted(&self) -> bool {
        !self.urls.is_empty()
    }

    /// The names of its classes.
    pub fn labels(&self) -> Option<Labels> {
        Labels::of_file(&self.labels)
    }

    /// Whether `name` is this entry's name or one of its aliases, in upper or lower case.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Manifest {
    models: Vec<Entry>,
}

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../manifest.json"))
        .expect("manifest.json is part of this crate and parsed by its tests")
});

/// Every known model; the embedded ones first.
pub fn all() -> &'static [Entry] {
    &MANIFEST.models
}

/// The model of this name or alias, in upper or lower case.
pub fn by_name(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.is_called(name))
}

/// The model whose file has this SHA-256 (hexadecimal, upper or lower case).
pub fn by_sha256(sha256: &str) -> Option<&'static Entry> {
    all()
        .iter()
        .find(|entry| entry.sha256.eq_ignore_ascii_case(sha256))
}

/// The model whose file has exactly these bytes.
pub fn by_bytes(bytes: &[u8]) -> Option<&'static Entry> {
    if !all().iter().any(|entry| entry.bytes == bytes.len() as u64) {
        return None;
    }
    by_sha256(&crate::sha256::of_bytes(bytes))
}

/// Names of the models that `name` may have meant, at most three, nearest first.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let mut scored: Vec<(f64, &'static str)> = all()
        .iter()
        .map(|entry| {
            let score = entry
                .names()
                .map(|known| crate::similarity(&name, &known.to_lowercase()))
                .fold(0.0, f64::max);
            (score, entry.name.as_str())
        })
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn entries_are_well_formed_and_names_unique() {
        let mut seen = HashSet::new();
        for entry in all() {
            for name in entry.names() {
                assert!(seen.insert(name.to_lowercase()), "{name} names two models");
            }
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
            assert!(
                entry
                    .sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{}",
                entry.name
            );
            assert!(entry.bytes > 1_000_000, "{}", entry.name);
            assert!(entry.file.ends_with(".onnx"), "{}", entry.name);
            assert!(entry.urls.iter().all(|url| url.starts_with("https://")));
            assert!(entry.labels().is_some_and(|labels| labels.len() > 1));
            assert!(entry.input.std.iter().all(|std| *std > 0.0));
        }
    }

    #[test]
    fn lookups() {
        assert_eq!(by_name("googlenet").unwrap().name, "googlenet-12");
        assert_eq!(by_name("GoogLeNet-12").unwrap().name, "googlenet-12");
        assert_eq!(by_name("resnet50").unwrap().name, "resnet50-v1-12");
        assert!(by_name("nothing").is_none());
        let googlenet = by_name("googlenet").unwrap();
        assert_eq!(by_sha256(&googlenet.sha256.to_uppercase()), Some(googlenet));
        assert_eq!(googlenet.input.order, ChannelOrder::Bgr);
        assert_eq!(googlenet.input.mean, [103.939, 116.779, 123.68]);
        assert_eq!(googlenet.input.resize, Resize::ShortSideCrop { short: 256 });
        assert!(by_bytes(b"not a model").is_none());
        // Not the zoo's InceptionV1, which keeps its names.
        for name in ["embedded", "inception_v1_small", "Inception-Small"] {
            assert_eq!(by_name(name).unwrap().name, crate::EMBEDDED);
        }
        assert_eq!(by_name("inception-v1").unwrap().name, "inception-v1-12");
        assert_eq!(by_name("squeezenet").unwrap().name, "squeezenet1_1");
        let names = |name| by_name(name).unwrap().labels().unwrap();
        assert_eq!(names("squeezenet"), Labels::imagenet());
        assert_eq!(names("embedded").name(10), Some("cat"));
    }

    #[test]
    fn orders_and_resizes_are_parsed_as_they_are_written() {
        for order in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        let crop = Resize::ShortSideCrop { short: 256 };
        for resize in [crop, Resize::Squash, Resize::Pad] {
            assert_eq!(resize.to_string().parse(), Ok(resize));
        }
        for text in [
            "",
            "crop",
            "crop:",
            "crop:0",
            "crop:-1",
            "crop:9999999999",
            "fit",
        ] {
            let error = text.parse::<Resize>().unwrap_err();
            assert!(error.to_string().contains("crop:PIXELS"), "{error}");
        }
        assert!("grb".parse::<ChannelOrder>().is_err());
    }

    #[test]
    fn a_miss_names_the_nearest() {
        assert_eq!(nearest("googlnet").first(), Some(&"googlenet-12"));
        assert_eq!(nearest("resnet-50").first(), Some(&"resnet50-v1-12"));
        assert!(nearest("zzzz").is_empty());
    }
}
