use std::error::Error;

/// What can go wrong while a matrix is factorised.
///
/// Every message says what came and what would have been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// A matrix has no rows or no columns.
    #[error("{what} is empty (shape {shape:?}): every side must be at least 1")]
    Empty {
        /// The array in question.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// Two arrays that belong together differ in shape.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The array in question.
        what: &'static str,
        /// The shape that would have been right.
        expected: Vec<usize>,
        /// The shape that came.
        got: Vec<usize>,
    },

    /// A value is NaN or infinite.
    #[error("{what} holds {value} at row {row}, column {column}: every value must be finite")]
    NotFinite {
        /// The matrix in question.
        what: &'static str,
        /// Row of the first such value.
        row: usize,
        /// Its column.
        column: usize,
        /// The value.
        value: f64,
    },

    /// A matrix that has to be non-negative is not.
    #[error(
        "{what} holds {value} at row {row}, column {column}: a non-negative factorisation needs \
         values of at least 0 (activations after a ReLU; for others use PCA or ICA)"
    )]
    Negative {
        /// The matrix in question.
        what: &'static str,
        /// Row of the first such value.
        row: usize,
        /// Its column.
        column: usize,
        /// The value.
        value: f64,
    },

    /// Squares of the values leave the range of the kind of number.
    #[error(
        "the values of {what} are too {size} for {kind}: their sum of squares is {squares:e}; \
         rescale them or use f64"
    )]
    Range {
        /// The matrix in question.
        what: &'static str,
        /// `"large"` or `"small"`.
        size: &'static str,
        /// `"f32"` or `"f64"`.
        kind: &'static str,
        /// The sum of squares.
        squares: f64,
    },

    /// More components were asked for than the matrix can have.
    #[error(
        "{components} components of a matrix of {rows} rows and {columns} columns: there can be at \
         most {limit}"
    )]
    TooManyComponents {
        /// What was asked for.
        components: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
        /// The largest number that is possible.
        limit: usize,
    },

    /// The matrix varies in fewer directions than there shall be components.
    #[error(
        "{components} components were asked for, but the rows vary in only {rank} directions: \
         ask for at most that many"
    )]
    Rank {
        /// What was asked for.
        components: usize,
        /// The number of directions.
        rank: usize,
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

    /// Coordinate descent has no rule for this loss.
    #[error(
        "coordinate descent minimises the Frobenius loss only: \
         choose `Solver::MultiplicativeUpdate` for Kullback-Leibler"
    )]
    LossNeedsMultiplicativeUpdate,

    /// No method or start has this name.
    #[error("no {what} is called {name:?}; there are {known}")]
    Unknown {
        /// What was named.
        what: &'static str,
        /// The name that came.
        name: String,
        /// All names, separated by commas.
        known: String,
    },

    /// The numbers left the finite range on the way.
    #[error("{method} diverged: its result is not finite")]
    Diverged {
        /// The method.
        method: &'static str,
    },

    /// The callback asked to stop.
    #[error("cancelled after {done} of at most {total} steps")]
    Cancelled {
        /// Steps finished.
        done: usize,
        /// Steps at most.
        total: usize,
    },

    /// A source of batches failed.
    #[error("cannot read a batch: {0}")]
    Source(#[source] Box<dyn Error + Send + Sync>),

    /// A method of linfa failed.
    #[error("{method} failed: {source}")]
    Method {
        /// The method.
        method: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl From<elucid_progress::Cancelled> for FactorError {
    fn from(cancelled: elucid_progress::Cancelled) -> Self {
        Self::Cancelled {
            done: cancelled.done,
            total: cancelled.total,
        }
    }
}
