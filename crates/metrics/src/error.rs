//! What can go wrong while measuring.

use elucid_attribution::AttributionError;
use elucid_graph::GraphError;
use elucid_vision::ModelError;

/// An error from a metric.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Attributing again, or a name that the network does not have.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// The network could not be run as asked.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network has no such class.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A parameter of a metric is out of range.
    #[error("{parameter} is {value}, expected {expected}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// The value given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The image cannot be measured on.
    #[error("cannot measure on this image: {reason}")]
    Image {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A map or a mask has another size than the image.
    #[error("the {what} is {got:?} and the image {expected:?} (height, width)")]
    Size {
        /// `map` or `mask`.
        what: &'static str,
        /// Its height and width.
        got: [usize; 2],
        /// Those of the image.
        expected: [usize; 2],
    },
    /// A box that encloses nothing of the image.
    #[error(
        "box {given:?} holds nothing of an image of {width} x {height} pixels; \
         expected [xmin, ymin, xmax, ymax]"
    )]
    Box {
        /// What was given.
        given: [f32; 4],
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
    },
    /// The network has no such class.
    #[error("class {class} is outside the network's {classes} classes")]
    Class {
        /// The class asked for.
        class: usize,
        /// How many there are.
        classes: usize,
    },
    /// The network returned scores that are no numbers, or not one row for each image.
    #[error("the network returned {got} for {images} images")]
    Scores {
        /// What came.
        got: String,
        /// Number of images.
        images: usize,
    },
    /// No metric has this name.
    #[error(
        "no metric is called \"{name}\"{}",
        nearest.as_ref().map_or(String::new(), |n| format!("; did you mean {n}?"))
    )]
    UnknownMetric {
        /// What was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<&'static str>,
    },
    /// A metric has no such option.
    #[error(
        "{metric} has no option \"{option}\"; it takes {}",
        if options.is_empty() { "none".to_owned() } else { options.join(", ") }
    )]
    UnknownOption {
        /// The metric.
        metric: &'static str,
        /// What was given.
        option: String,
        /// The options there are.
        options: Vec<&'static str>,
    },
    /// An option's value cannot be understood.
    #[error("{option} is \"{value}\", expected {expected}")]
    OptionValue {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
}
