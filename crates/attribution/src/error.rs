//! What can go wrong while explaining.

use elucid_factor::FactorError;
use elucid_graph::{Excess, GraphError, Layout};
use elucid_vision::ModelError;

/// An error from an attribution method.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributionError {
    /// The network could not be run as asked.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network has no such class, or the picture cannot be prepared for it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The layer has no positions to attribute to.
    #[error("layer \"{layer}\" has shape {shape:?}; this needs a layer of shape [N, C, H, W]")]
    NotSpatial {
        /// The layer.
        layer: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It is not known which axes of the layer are channels, and which are positions.
    #[error(
        "the layout of layer \"{layer}\" of shape {shape:?} is not known: something between the \
         picture and it moves axes, so that none can be told to be its channels; this needs a \
         layer [N, C, H, W], [N, H, W, C] or of tokens on a known grid{}",
        nearest.as_ref().map_or(String::new(), |(n, layout)| format!(", such as \"{n}\", {layout}"))
    )]
    LayerLayout {
        /// The layer.
        layer: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The nearest layer before it whose layout is known.
        nearest: Option<(String, Layout)>,
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
    /// More memory would be taken than the network may.
    #[error("{what} would take {}", Excess { needed: *needed, held: 0, limit: *limit })]
    TooLarge {
        /// What, by the options that it grows with.
        what: String,
        /// The bytes that it would take.
        needed: u64,
        /// The most bytes allowed.
        limit: u64,
    },
    /// A number of the result, or of the target's scores, is none.
    #[error("{what} of \"{target}\" is {value} at {place}: the network leaves the numbers")]
    NotFinite {
        /// The attribution by a method, or the score.
        what: String,
        /// The target.
        target: String,
        /// What stands there.
        value: f32,
        /// Where, by image and index.
        place: String,
    },
    /// A value could not be read back from the device as the shape computed.
    #[error("the device returned {got:?} where {expected:?} was computed")]
    ReadBack {
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape read.
        got: Vec<usize>,
    },
    /// The target does not depend on the layer, or not differentiably.
    #[error(
        "the target \"{target}\" has no gradient at layer \"{layer}\": it does not depend on it, or \
         through nothing differentiable"
    )]
    NoPath {
        /// The layer attributed to.
        layer: String,
        /// The target.
        target: String,
    },
    /// The images cannot be explained.
    #[error("cannot explain these images: {reason}")]
    Images {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A closure was asked for something that only a model has.
    #[error("{what} needs a model; this network is a closure, which has images and scores only")]
    NeedsModel {
        /// What was asked for.
        what: String,
    },
    /// No layer of the network has positions, so none can be chosen by default.
    #[error("\"{network}\" has no layer of shape [N, C, H, W] with positions; name a layer")]
    NeedsLayer {
        /// The network.
        network: String,
    },
    /// A method cannot explain some operators of the network.
    #[error(
        "{method} has no rule for {}: assign one to each, or take another method",
        by_kind(nodes)
    )]
    Uncovered {
        /// The method, or its set of rules.
        method: String,
        /// The operators, by kind and name.
        nodes: Vec<String>,
    },
    /// A method shares probabilities out among numbers of 0 and more, and layers read others.
    #[error(
        "{method} shares probabilities out among numbers of 0 and more, and numbers below 0 reach {}: lrp by \
         epsilon-plus splits them by their sign; allow_signed(true) takes them as they are",
        by_kind(nodes)
    )]
    Signed {
        /// The method.
        method: &'static str,
        /// The operators, by kind and name.
        nodes: Vec<String>,
    },
    /// The network has no attention to look at.
    #[error(
        "{method} looks at attention, and nothing that \"{target}\" of \"{network}\" is computed from attends: \
         there is no softmax between two products of values that depend on the image, and none of the operators \
         Attention, com.microsoft.Attention and com.microsoft.MultiHeadAttention; grad-cam and the other methods \
         at layers apply"
    )]
    NoAttention {
        /// The method.
        method: &'static str,
        /// The network.
        network: String,
        /// What was to be explained.
        target: String,
    },
    /// A block attends in a way that a method cannot show in the picture.
    #[error("the attention \"{block}\" cannot be followed: {reason}")]
    Attention {
        /// The block, by the name of its weights or of what it makes.
        block: String,
        /// Why not.
        reason: String,
    },
    /// A method replaces the gradient of ReLU and Clip, and there is none to replace. Other activations can
    /// be given rules of their own, such as [`GuidedActivation`](elucid_rules::GuidedActivation), and the
    /// gradient taken under them.
    #[error(
        "{method} replaces the gradient of ReLU and Clip, and there is none between \"{layer}\" and \
         \"{target}\"{}; take another method",
        if activations.is_empty() { ", nor any other activation".to_owned() }
        else { format!(", only {}", activations.join(", ")) },
    )]
    NoRectifier {
        /// The method.
        method: &'static str,
        /// The layer attributed to.
        layer: String,
        /// The layer that the target is computed from.
        target: String,
        /// The kinds of activations in between.
        activations: Vec<String>,
    },
    /// No method has this name.
    #[error(
        "no method is called \"{name}\"{}",
        nearest.as_ref().map_or(String::new(), |n| format!("; did you mean {n}?"))
    )]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<&'static str>,
    },
    /// A method has no such option.
    #[error(
        "{method} has no option \"{option}\"; it takes {}",
        if options.is_empty() { "none".to_owned() } else { options.join(", ") }
    )]
    UnknownOption {
        /// The method.
        method: &'static str,
        /// What was given.
        option: String,
        /// The options there are.
        options: Vec<&'static str>,
    },
    /// An option's value cannot be understood.
    #[error("option \"{option}\" is \"{value}\", expected {expected}")]
    OptionValue {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The layer has activations that a non-negative reducer cannot take.
    #[error(
        "layer \"{layer}\" holds {value} (image {image}, channel {channel}), and {reducer} groups \
         activations of 0 and more: take a layer after a ReLU, or the reducer pca"
    )]
    NegativeActivations {
        /// The layer.
        layer: String,
        /// The reducer.
        reducer: &'static str,
        /// Image of the first negative value.
        image: usize,
        /// Its channel.
        channel: usize,
        /// The value.
        value: f64,
    },
    /// More groups were asked for than the layer can have.
    #[error(
        "{groups} groups of layer \"{layer}\": there can be at most {limit} by {reducer}, from {images} \
         image(s) of {positions} position(s) and {channels} channels"
    )]
    TooManyGroups {
        /// The layer.
        layer: String,
        /// The reducer.
        reducer: &'static str,
        /// What was asked for.
        groups: usize,
        /// The most there can be.
        limit: usize,
        /// Number of images.
        images: usize,
        /// Channels of the layer.
        channels: usize,
        /// Positions of the layer in one image.
        positions: usize,
    },
    /// A reducer could not group the channels of a layer.
    #[error("cannot group the channels of layer \"{layer}\" by {reducer}: {source}")]
    Factor {
        /// The layer.
        layer: String,
        /// The reducer.
        reducer: &'static str,
        /// Why not.
        source: Box<FactorError>,
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

impl AttributionError {
    /// A text that cannot be understood.
    pub(crate) fn unread(parameter: &'static str, text: &str, expected: &'static str) -> Self {
        Self::Parameter {
            parameter,
            value: format!("\"{text}\""),
            expected,
        }
    }
}

/// Operators by kind, the first few of each by name: `3 Mul ("a", "b", "c"), 1 Softmax ("d")`.
fn by_kind(nodes: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for node in nodes {
        let (kind, name) = node.split_once(' ').unwrap_or((node, ""));
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name),
            None => kinds.push((kind, vec![name])),
        }
    }
    let each = kinds.into_iter().map(|(kind, names)| {
        let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match names[..] {
            [only] => format!("{kind} {only}"),
            _ => format!("{} {kind} ({}{more})", names.len(), shown.join(", ")),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

impl From<elucid_progress::Cancelled> for AttributionError {
    fn from(cancelled: elucid_progress::Cancelled) -> Self {
        Self::Cancelled {
            done: cancelled.done,
            total: cancelled.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_operators_are_a_line() {
        let nodes = (0..100).map(|i| format!("{} \"n{i}\"", ["Mul", "Sigmoid"][i % 2]));
        let mut nodes: Vec<String> = nodes.collect();
        nodes.push("Softmax \"s\"".to_owned());
        let error = AttributionError::Uncovered {
            method: "lrp".to_owned(),
            nodes,
        };
        assert_eq!(
            error.to_string(),
            "lrp has no rule for 50 Mul (\"n0\", \"n2\", \"n4\" and 47 more), 50 Sigmoid (\"n1\", \"n3\", \
             \"n5\" and 47 more), Softmax \"s\": assign one to each, or take another method"
        );
    }
}
