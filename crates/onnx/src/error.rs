//! What can go wrong between a file and a graph.

use std::path::PathBuf;

use elucid_graph::{Excess, GraphError, message};

/// An error from importing a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    #[error("cannot read model {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model, or are one cut short.
    #[error("not a readable ONNX model: {reason}")]
    Decode {
        /// What the decoder met.
        reason: String,
    },
    /// Weights live in another file, which is not there or not long enough.
    #[error(
        "tensor {} keeps its data in {}: {reason}",
        message::quoted(tensor),
        file.display()
    )]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The file that should hold it.
        file: PathBuf,
        /// Why it could not be read.
        reason: String,
    },
    /// What the file describes is no graph, or takes more memory than is allowed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl ImportError {
    pub(crate) fn decode(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Decode { reason }
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Graph(GraphError::Malformed { reason })
    }

    /// What would take more memory than is left.
    pub(crate) fn too_large(what: impl Into<String>, excess: Excess) -> Self {
        Self::Graph(excess.of(what))
    }
}
