use std::path::PathBuf;

/// What can go wrong while arrays become pictures and pages.
///
/// Every message says what came and what would have been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// An array or a list of pictures has nothing in it.
    #[error("{what} is empty (shape {shape:?}): every side must be at least 1")]
    Empty {
        /// The array in question.
        what: String,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// Two arrays that belong together differ in shape, or an axis has the wrong length.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The array in question.
        what: String,
        /// The shape that would have been right.
        expected: Vec<usize>,
        /// The shape that came.
        got: Vec<usize>,
    },

    /// A value is NaN or infinite.
    #[error("{what} holds {value} at {index:?}: every value must be finite")]
    NotFinite {
        /// The array in question.
        what: String,
        /// Position of the first such value.
        index: Vec<usize>,
        /// The value.
        value: f32,
    },

    /// A parameter lies outside its range.
    #[error("{parameter} is {value}, expected {expected}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// What came.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },

    /// No colour map has this name.
    #[error("no colour map is called {name:?}; did you mean {nearest:?}? There are {known}")]
    UnknownColorMap {
        /// The name that came.
        name: String,
        /// The existing name that is spelled most like it.
        nearest: &'static str,
        /// All names, separated by commas.
        known: String,
    },

    /// No normalisation is written so.
    #[error(
        "{text:?} names no normalisation; did you mean {nearest:?}? There are {known}; percentiles as percentile:95, \
         ranges as range:LOW,HIGH"
    )]
    UnknownNormalisation {
        /// What came.
        text: String,
        /// The existing name that is spelled most like it.
        nearest: &'static str,
        /// All names, separated by commas.
        known: String,
    },

    /// A page was asked for without anything to show.
    #[error("the page has no view: add at least one with `view`")]
    NoViews,

    /// A page of figures was asked for without any, or one of its sections has none.
    #[error("{what} has no figure: add at least one")]
    NoFigures {
        /// The page, or the section by its title.
        what: String,
    },

    /// Class names and hint maps do not go together.
    #[error(
        "{what}: a page compares one or two classes, and every hint has one map per class name"
    )]
    Classes {
        /// What does not match.
        what: String,
    },

    /// A picture would have more pixels than [`Picture`](crate::Picture) allows.
    #[error("a picture of {height} x {width} pixels is too large, at most {limit} pixels")]
    PictureTooLarge {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Largest number of pixels.
        limit: usize,
    },

    /// A page would be larger than a browser opens comfortably.
    #[error(
        "the page would take {bytes} bytes, at most {limit}: \
         show less on it (deeper layers, fewer views or figures), or smaller pictures"
    )]
    PageTooLarge {
        /// Size the page would have.
        bytes: usize,
        /// Largest size.
        limit: usize,
    },

    /// Sprite maps that do not belong together were to be merged.
    #[error("sprite maps differ in their {what}, {first:?} and {second:?}: they cannot be merged")]
    Merge {
        /// What differs.
        what: &'static str,
        /// What the first map says.
        first: String,
        /// What the other one says.
        second: String,
    },

    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file holds something else than a sprite map, or its parts do not fit together.
    #[error("{} is not part of a sprite map: {what}", path.display())]
    Malformed {
        /// The file, or what it would be where bytes were given.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// An encoder or the page template failed.
    #[error("cannot encode the {what}: {source}")]
    Encode {
        /// What was being encoded.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RenderError {
    pub(crate) fn encode(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        RenderError::Encode {
            what,
            source: source.into(),
        }
    }
}
