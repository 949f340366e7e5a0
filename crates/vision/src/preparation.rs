//! How pictures are prepared, by whoever says it: flags, a file beside the network, the network.

mod beside;
mod strict;

use std::fmt;

pub(crate) use beside::{beside, in_metadata};
use elucid_graph::InputLayout;

use crate::input::{ChannelOrder, InputError, InputSpec, Resize, Transparency};

/// Parts of the preparation of pictures that are said; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preparation {
    /// `[height, width]`, in pixels.
    pub size: Option<[usize; 2]>,
    /// Order of the channels.
    pub order: Option<ChannelOrder>,
    /// Factor on the pixel value.
    pub scale: Option<f32>,
    /// Subtracted after scaling: one number, or one for each channel.
    pub mean: Option<Vec<f32>>,
    /// Divisor after the mean: one number, or one for each channel.
    pub std: Option<Vec<f32>>,
    /// How pictures are fitted.
    pub resize: Option<Resize>,
    /// The channels that are drawn as red, green and blue, counted from 0.
    pub drawn: Option<[usize; 3]>,
    /// What becomes of pixels that are transparent.
    pub transparency: Option<Transparency>,
}

impl Preparation {
    /// `spec` with these parts instead of its own.
    ///
    /// # Errors
    /// [`InputError`] for a part that does not do; [`InputError::PerChannel`] for as many means as there
    /// are no channels.
    pub fn apply(&self, mut spec: InputSpec) -> Result<InputSpec, InputError> {
        if let Some(size) = self.size {
            spec = spec.with_size(size)?;
        }
        if let Some(order) = self.order {
            spec = spec.with_order(order);
        }
        if self.says_values() {
            let channels = spec.channels();
            let spread = |given: &Option<Vec<f32>>, own: &[f32], what| match given.as_deref() {
                None => Ok(own.to_vec()),
                Some([all]) => Ok(vec![*all; channels]),
                Some(each) if each.len() == channels => Ok(each.to_vec()),
                Some(each) => Err(InputError::PerChannel {
                    what,
                    got: each.len(),
                    channels,
                }),
            };
            let mean = spread(&self.mean, spec.mean(), "mean")?;
            let std = spread(&self.std, spec.std(), "std")?;
            let scale = self.scale.unwrap_or(spec.scale());
            spec = spec.with_normalisation(scale, mean, std)?;
        }
        if let Some(resize) = self.resize {
            spec = spec.with_resize(resize)?;
        }
        if let Some(drawn) = self.drawn {
            spec = spec.with_drawn(drawn)?;
        }
        if let Some(transparency) = self.transparency {
            spec = spec.with_transparency(transparency);
        }
        Ok(spec)
    }

    /// Whether it says what becomes of pixel values.
    pub(crate) fn says_values(&self) -> bool {
        self.scale.is_some() || self.mean.is_some() || self.std.is_some()
    }
}

/// What else a file beside the network, or its metadata, may say of its input.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Described {
    pub preparation: Preparation,
    pub layout: Option<InputLayout>,
    pub input: Option<String>,
    /// Whether it is written for this network and no other: what contradicts the network is wrong.
    pub is_own: bool,
    /// What was asked for and is done another way.
    pub remarks: Vec<String>,
}

/// Who says how pictures are prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Whoever opened the network.
    Given,
    /// The manifest of known networks.
    Known,
    /// A file beside the network's, by its name.
    Beside(String),
    /// The metadata of the network's file.
    Metadata,
    /// The network normalises pictures itself, or takes whole numbers.
    Network,
    /// Nobody: what is usual was assumed.
    Assumed,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Known => f.write_str("known for this file"),
            Self::Beside(file) => write!(f, "said by {file}"),
            Self::Metadata => f.write_str("said by the file"),
            Self::Network => f.write_str("done by the network"),
            Self::Assumed => f.write_str("assumed"),
        }
    }
}
