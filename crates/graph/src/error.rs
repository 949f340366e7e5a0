//! What can go wrong between a file and an activation.

use std::path::PathBuf;

use elucid_rules::RuleError;

use crate::device::DeviceError;
use crate::limits::Excess;

/// An error from importing, looking up or running a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
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
    /// The graph is not well formed.
    #[error("malformed graph: {reason}")]
    Malformed {
        /// Which node or tensor, and what is wrong with it.
        reason: String,
    },
    /// Nodes depend on each other in a circle.
    #[error("the graph has a cycle through {}", quoted_list(nodes))]
    Cycle {
        /// Nodes on or behind the cycle.
        nodes: Vec<String>,
    },
    /// A node reads a tensor that nothing makes.
    #[error(
        "{node} reads tensor {}, which no input, initializer or node provides",
        quoted(tensor)
    )]
    MissingTensor {
        /// The reading node, with its operator.
        node: String,
        /// The tensor.
        tensor: String,
    },
    /// Operators that are not implemented, all of them at once.
    #[error("operators that are not supported: {}", operator_list(.0))]
    UnsupportedOperators(
        /// Operator, and the names of the nodes that use it.
        Vec<(String, Vec<String>)>,
    ),
    /// An operator has attributes or inputs that do not go together, or that are not supported.
    #[error("{node}: {reason}")]
    Operator {
        /// The node, with its operator.
        node: String,
        /// What was expected and what came.
        reason: String,
    },
    /// Weights live in another file, which is not there or not long enough.
    #[error("tensor {} keeps its data in {}: {reason}", quoted(tensor), file.display())]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The file that should hold it.
        file: PathBuf,
        /// Why it could not be read.
        reason: String,
    },
    /// More memory would be taken than [`Limits`](crate::Limits) allow.
    #[error("{what} would take {}", Excess { needed: *needed, held: *held, limit: *limit })]
    TooLarge {
        /// The tensor, node or pass.
        what: String,
        /// The bytes that it would take.
        needed: u64,
        /// The bytes that are taken already.
        held: u64,
        /// The most bytes allowed.
        limit: u64,
    },
    /// No layer has this name.
    #[error("no layer is called {}{}", quoted(name), did_you_mean(nearest))]
    UnknownLayer {
        /// What was asked for.
        name: String,
        /// Layers that exist, nearest first.
        nearest: Vec<String>,
    },
    /// A short name fits several layers.
    #[error(
        "{} could be {}; give one of them in full",
        quoted(name),
        quoted_list(candidates)
    )]
    AmbiguousLayer {
        /// What was asked for.
        name: String,
        /// The layers that it fits.
        candidates: Vec<String>,
    },
    /// What is fed does not suffice to compute what is fetched.
    #[error(
        "cannot compute {0} from {1}: {2} is not fed, and {0} depends on it through {3}",
        quoted(fetch),
        quoted_list(fed),
        quoted(needed),
        quoted_list(path)
    )]
    NotCut {
        /// The layer asked for.
        fetch: String,
        /// The layers given.
        fed: Vec<String>,
        /// The graph input that is reached.
        needed: String,
        /// The values between that input and the fetch, in order.
        path: Vec<String>,
    },
    /// A tensor has another shape than the one needed.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: Vec<usize>,
    },
    /// The model has no class scores that can be found by following its outputs.
    #[error("{reason}")]
    NoLogits {
        /// What the outputs are instead.
        reason: String,
    },
    /// A replaced gradient does not fit its operator.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A name as a message shows it: of a very long one, which no program gave, the ends.
pub(crate) fn quoted(name: impl AsRef<str>) -> String {
    const SHOWN: usize = 200;
    const END: usize = 60;
    let name = name.as_ref();
    match name.chars().count() {
        0..=SHOWN => format!("\"{name}\""),
        count => {
            let first: String = name.chars().take(SHOWN - END).collect();
            let last: String = name.chars().skip(count - END).collect();
            format!("\"{first}...{last}\"")
        }
    }
}

/// `"a", "b" and 3 more`: enough to act on, never a screenful.
pub(crate) fn quoted_list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<_> = names.iter().take(SHOWN).map(quoted).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `[1, 2, 3]`, or the beginning of a list that would fill a screen.
pub(crate) fn few<T: std::fmt::Debug>(values: &[T]) -> String {
    const SHOWN: usize = 12;
    match values.get(..SHOWN) {
        Some(first) if values.len() > SHOWN => {
            let list = format!("{first:?}");
            format!(
                "{}, ... {} in all]",
                list.trim_end_matches(']'),
                values.len()
            )
        }
        _ => format!("{values:?}"),
    }
}

fn operator_list(operators: &[(String, Vec<String>)]) -> String {
    let each: Vec<_> = operators
        .iter()
        .map(|(op, nodes)| format!("{op} ({})", quoted_list(nodes)))
        .collect();
    each.join("; ")
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        String::new()
    } else {
        format!("; nearest: {}", quoted_list(nearest))
    }
}
