//! What becomes of transparent pixels.

use std::fmt;
use std::str::FromStr;

/// What becomes of pixels that are transparent, where the network's channels do not hold the opacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transparency {
    /// The picture is laid over white, as a browser shows it.
    White,
    /// The picture is laid over black.
    Black,
    /// Each pixel has its colour, however transparent it is: Pillow's `convert("RGB")`, which is what
    /// most networks were trained with.
    Dropped,
}

impl Transparency {
    const NAMES: [(&'static str, Self); 3] = [
        ("white", Self::White),
        ("black", Self::Black),
        ("dropped", Self::Dropped),
    ];

    /// Its name: `white`, `black` or `dropped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Black => "black",
            Self::Dropped => "dropped",
        }
    }

    /// What is under the picture, of 0 for black and 1 for white; `None` where opacity is dropped.
    pub(super) fn ground(self) -> Option<f32> {
        match self {
            Self::White => Some(1.0),
            Self::Black => Some(0.0),
            Self::Dropped => None,
        }
    }

    /// What was done, for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::White => "it is laid over white",
            Self::Black => "it is laid over black",
            Self::Dropped => "its opacity is dropped",
        }
    }
}

impl fmt::Display for Transparency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Transparency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMES
            .into_iter()
            .find(|(name, _)| *name == text.trim());
        let named = named.map(|(_, transparency)| transparency);
        named.ok_or_else(|| format!("\"{text}\" is none of white, black and dropped"))
    }
}
