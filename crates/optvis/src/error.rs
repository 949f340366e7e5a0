//! What can go wrong in feature visualisation.

use elucid_attribution::AttributionError;
use elucid_graph::{Excess, GraphError};
use elucid_progress::Cancelled;
use elucid_vision::ModelError;

/// Why nothing was visualised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisError {
    /// Looking up layers or running the network.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network has no such class.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The network could not be run, or does not know a layer or a class.
    #[error(transparent)]
    Network(Box<AttributionError>),
    /// Nobody says how pictures are prepared for the network.
    #[error(
        "the network does not say how its pictures are prepared: say it with FeatureVis::input_spec"
    )]
    Unprepared,
    /// A term reads what it does not list.
    #[error("\"{layer}\" is not among what the objective's term lists")]
    Unlisted {
        /// The layer or the class.
        layer: String,
    },
    /// The progress callback asked to stop.
    #[error("{0}")]
    Cancelled(Cancelled),
    /// A parameter is out of range.
    #[error("{parameter} is {value}: it must be {expected}")]
    Parameter {
        /// Which.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// More memory would be taken than the network may.
    #[error("{what} would take {}", Excess { needed: *needed, held: 0, limit: *limit })]
    TooLarge {
        /// What, by the settings that it grows with.
        what: String,
        /// The bytes that it would take.
        needed: u64,
        /// The most bytes allowed.
        limit: u64,
    },
    /// A layer has no such channel.
    #[error("layer \"{layer}\" has no channel {channel}: it has channels 0 to {}", channels.saturating_sub(1))]
    Channel {
        /// The layer.
        layer: String,
        /// The channel asked for.
        channel: usize,
        /// How many channels there are.
        channels: usize,
    },
    /// A direction has another length than the layer has channels.
    #[error("a direction of {length} numbers for layer \"{layer}\", which has {channels} channels")]
    Direction {
        /// The layer.
        layer: String,
        /// Length of the direction.
        length: usize,
        /// Channels of the layer.
        channels: usize,
    },
    /// A layer has no such position, or not that many.
    #[error(
        "layer \"{layer}\" has {} x {} positions at this image size: {what} does not fit",
        size[0],
        size[1]
    )]
    Position {
        /// The layer.
        layer: String,
        /// The position or block asked for.
        what: String,
        /// `[height, width]` of the layer.
        size: [usize; 2],
    },
    /// The values of a layer are not those of channels, or it is not known which axis these are.
    #[error(
        "layer \"{layer}\" of shape {shape:?} is not known to have channels: it is none of \
         [N, C, H, W], [N, H, W, C], [N, C] and tokens on a known grid"
    )]
    NoChannels {
        /// The layer.
        layer: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An objective is bound to an image that there is not.
    #[error("an objective of image {item}, but there are {images}")]
    Item {
        /// The image, counted from 0.
        item: usize,
        /// How many images there are.
        images: usize,
    },
    /// An objective compares images, and there are too few.
    #[error("{objective} needs {least} images or more, and there are {images}")]
    TooFewImages {
        /// The objective.
        objective: String,
        /// How many it needs.
        least: usize,
        /// How many there are.
        images: usize,
    },
    /// Nothing is asked for.
    #[error("no objective")]
    NoObjective,
    /// An array has another shape than the one needed.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// What it should be.
        expected: Vec<usize>,
        /// What it is.
        got: Vec<usize>,
    },
    /// Transforms leave nothing of the image.
    #[error("{transform} leaves nothing of an image of {} x {} pixels", size[0], size[1])]
    Nothing {
        /// The transform.
        transform: String,
        /// `[height, width]` of the image that it was given.
        size: [usize; 2],
    },
    /// The objective does not depend on the image.
    #[error("{objective} does not depend on the image")]
    NoGradient {
        /// The objective.
        objective: String,
    },
    /// The objective or the image ceased to be a number.
    #[error("{what} is not a finite number after {step} steps")]
    NotFinite {
        /// What it is.
        what: String,
        /// Steps taken.
        step: usize,
    },
}

impl From<Cancelled> for VisError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

/// A parameter that must be a finite number above zero.
pub(crate) fn positive(parameter: &'static str, value: f32) -> Result<(), VisError> {
    refuse_unless(
        value.is_finite() && value > 0.0,
        parameter,
        value,
        "a number above 0",
    )
}

/// The error for a parameter unless `holds`.
pub(crate) fn refuse_unless(
    holds: bool,
    parameter: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Result<(), VisError> {
    match holds {
        true => Ok(()),
        false => Err(VisError::Parameter {
            parameter,
            value: value.to_string(),
            expected,
        }),
    }
}

impl From<AttributionError> for VisError {
    fn from(error: AttributionError) -> Self {
        match error {
            AttributionError::Graph(error) => Self::Graph(error),
            AttributionError::Model(error) => Self::Model(error),
            other => Self::Network(Box::new(other)),
        }
    }
}
