//! Classes, and what they are compared with.

use std::fmt;

use super::bound::BoundSide;
use crate::error::AttributionError;
use crate::network::Network;

/// A class by its index or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassRef {
    /// Index, from 0.
    Index(usize),
    /// Name, as the model's labels have it.
    Label(String),
}

impl From<usize> for ClassRef {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for ClassRef {
    fn from(label: &str) -> Self {
        Self::Label(label.to_owned())
    }
}

impl From<String> for ClassRef {
    fn from(label: String) -> Self {
        Self::Label(label)
    }
}

impl ClassRef {
    /// `class 1`, or its name.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Index(index) => format!("class {index}"),
            Self::Label(label) => label.clone(),
        }
    }
}

impl fmt::Display for ClassRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Label(label) => f.write_str(label),
        }
    }
}

/// One side of [`Target::difference`](crate::Target::difference).
///
/// A number or a text is a class. The text that users type, in which `none` and `logsumexp` are
/// words, is parsed by [`Target`](crate::Target)'s [`FromStr`](std::str::FromStr).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// Nothing: 0, so that the other side stands alone.
    None,
    /// The logit of a class.
    Class(ClassRef),
    /// `log sum exp` over all logits.
    LogSumExp,
}

impl<C: Into<ClassRef>> From<C> for Side {
    fn from(class: C) -> Self {
        Self::Class(class.into())
    }
}

impl Side {
    /// What users type: `none`, `logsumexp`, or a class by its number or its name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let name = text.trim();
        Some(match name {
            "" => return None,
            _ if name.eq_ignore_ascii_case("none") => Self::None,
            _ if name.eq_ignore_ascii_case("logsumexp") => Self::LogSumExp,
            _ => Self::Class(
                name.parse()
                    .map_or_else(|_| ClassRef::from(name), ClassRef::Index),
            ),
        })
    }

    pub(super) fn bind(&self, network: &dyn Network) -> Result<BoundSide, AttributionError> {
        Ok(match self {
            Self::None => BoundSide::None,
            Self::Class(class) => BoundSide::Class(network.class(class)?),
            Self::LogSumExp => BoundSide::LogSumExp,
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Class(class) => write!(f, "{class}"),
            Self::LogSumExp => f.write_str("log sum exp"),
        }
    }
}
