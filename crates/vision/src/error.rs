//! What can go wrong between a file, a photograph and a class.

use elucid_graph::GraphError;
use elucid_onnx::ImportError;

use crate::input::InputError;

/// An error from opening a network, preparing pictures for it, or naming its classes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The network is none, takes more memory than is allowed, or could not be run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A module's forward pass could not be captured.
    #[cfg(feature = "capture")]
    #[error(transparent)]
    Capture(#[from] elucid_capture::CaptureError),
    /// The file of the network could not be read. What is wrong with the graph in it is
    /// [`ModelError::Graph`].
    #[error(transparent)]
    File(ImportError),
    /// The photograph or its preparation.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No input of the network, or none of those that are left, takes the pictures, or another lacks a
    /// value.
    #[error("{reason}")]
    Pictures {
        /// What was expected, and which inputs there are, with their shapes.
        reason: String,
    },
    /// Neither a file nor a known model has this name.
    #[error(transparent)]
    NotFound(#[from] elucid_models::ResolveError),
    /// The model has no class scores that can be found by following its outputs.
    #[error("{reason}")]
    NoLogits {
        /// What the outputs are instead.
        reason: String,
    },
    /// What was said of the network's output does not fit it.
    #[error("{reason}")]
    Head {
        /// What was said and what there is.
        reason: String,
    },
    /// Names of classes that do not fit the network, or a file of names that cannot be read.
    #[error("{reason}")]
    Labels {
        /// What was given and what was expected.
        reason: String,
    },
    /// A class index or label that the model does not have.
    #[error("{reason}")]
    UnknownClass {
        /// What was asked for and what exists.
        reason: String,
    },
}

impl From<ImportError> for ModelError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Graph(error) => Self::Graph(error),
            other => Self::File(other),
        }
    }
}
