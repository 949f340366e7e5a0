//! What can go wrong between a graph and an activation.

use elucid_rules::RuleError;

use crate::device::DeviceError;
use crate::limits::Excess;
use crate::message::{quoted, quoted_list};

/// An error from making, looking up or running a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
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
