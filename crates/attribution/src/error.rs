//! What can go wrong while explaining.

use elucid_graph::GraphError;

/// An error from an attribution method.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributionError {
    /// The network could not be run as asked.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The layer has no positions to attribute to.
    #[error("layer \"{layer}\" has shape {shape:?}; this needs a layer of shape [N, C, H, W]")]
    NotSpatial {
        /// The layer.
        layer: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A position or channel that the layer does not have.
    #[error("{what} {index} is outside layer \"{layer}\", which has {size}")]
    OutOfRange {
        /// `channel`, `row` or `column`.
        what: &'static str,
        /// The index asked for.
        index: usize,
        /// The layer.
        layer: String,
        /// How many there are.
        size: usize,
    },
    /// A target that cannot be understood.
    #[error("\"{text}\" is no target: {reason}")]
    Target {
        /// What was given.
        text: String,
        /// What would be right.
        reason: String,
    },
    /// What a target's closure returned is not one score per image.
    #[error("the target's closure returned shape {got:?} for {images} images, expected [{images}]")]
    Scores {
        /// Shape returned.
        got: Vec<usize>,
        /// Number of images.
        images: usize,
    },
    /// A parameter of a method is out of range.
    #[error("{parameter} is {value}, expected {expected}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// The value given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A value could not be read back from the device as the shape computed.
    #[error("the device returned {got:?} where {expected:?} was computed")]
    ReadBack {
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape read.
        got: Vec<usize>,
    },
    /// The progress callback asked to stop.
    #[error("cancelled after {done} of {total} steps")]
    Cancelled {
        /// Steps finished.
        done: usize,
        /// Steps in all.
        total: usize,
    },
}
