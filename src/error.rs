//! One error for programs that use several parts.

/// Any error of this library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Importing a network.
    #[error(transparent)]
    Import(#[from] elucid_onnx::ImportError),
    /// Making, looking up or running a network.
    #[error(transparent)]
    Graph(#[from] elucid_graph::GraphError),
    /// Opening a network, preparing a picture for it, or naming its classes.
    #[error(transparent)]
    Model(#[from] elucid_vision::ModelError),
    /// A forward pass that cannot be captured, or parameters that do not fit.
    #[cfg(feature = "capture")]
    #[error(transparent)]
    Capture(#[from] elucid_capture::CaptureError),
    /// An attribution method.
    #[error(transparent)]
    Attribution(#[from] elucid_attribution::AttributionError),
    /// Factorising activations.
    #[error(transparent)]
    Factor(#[from] elucid_factor::FactorError),
    /// Measuring an explanation.
    #[error(transparent)]
    Metric(#[from] elucid_metrics::MetricError),
    /// A study of methods on many images.
    #[error(transparent)]
    Study(Box<elucid_study::StudyError>),
    /// Visualising features.
    #[error(transparent)]
    Vis(#[from] elucid_optvis::VisError),
    /// Drawing or writing.
    #[error(transparent)]
    Render(#[from] elucid_render::RenderError),
    /// A device.
    #[error(transparent)]
    Device(#[from] elucid_graph::device::DeviceError),
    /// Replaced gradients.
    #[error(transparent)]
    Rule(#[from] elucid_rules::RuleError),
    /// Preparing a photograph.
    #[error(transparent)]
    Input(#[from] elucid_vision::input::InputError),
    /// A file of results.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Finding a model.
    #[error(transparent)]
    Models(#[from] elucid_models::ResolveError),
}

impl From<elucid_study::StudyError> for Error {
    fn from(error: elucid_study::StudyError) -> Self {
        Self::Study(Box::new(error))
    }
}
