//! What stands between a module and its graph.

use std::fmt;

use elucid_graph::GraphError;

/// Why a forward pass could not be captured, or weights could not be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The forward pass does something that cannot be recorded, or panics.
    #[error("the forward pass cannot be captured {at}: {reason}")]
    Forward {
        /// The last layer with weights that had been recorded: `after "layer2.0.conv1"`.
        at: String,
        /// What it does, and what would be right.
        reason: String,
    },
    /// Operations that have no counterpart among the graph's operators: all of them at once.
    #[error("operations that cannot be explained: {}", list(.0))]
    Unsupported(
        /// Each with where it stands.
        Vec<Obstacle>,
    ),
    /// A parameter is not what it was when the module was captured.
    #[error("parameter \"{path}\": {reason}")]
    Parameter {
        /// Its path: `layer4.1.conv2.weight`.
        path: String,
        /// What was expected and what there is.
        reason: String,
    },
    /// What was asked for does not go together.
    #[error("{reason}")]
    Inputs {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// burn refused the recording.
    #[error("the recording is incomplete: {reason}")]
    Recording {
        /// In burn's words.
        reason: String,
    },
    /// The graph that was recorded is none.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// An operation that has no counterpart, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// burn's name of the operation.
    pub operation: String,
    /// After which layer: `"layer2.0.conv1"`; empty at the start.
    pub after: String,
    /// Why, where more is to be said than that there is none.
    pub reason: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        match self.after.is_empty() {
            true => f.write_str(" (at the start")?,
            false => write!(f, " (after \"{}\"", self.after)?,
        }
        match self.reason.is_empty() {
            true => f.write_str(")"),
            false => write!(f, ": {})", self.reason),
        }
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    let texts: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
