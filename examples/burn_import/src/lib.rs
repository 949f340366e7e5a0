//! A network that burn's importer generated from an ONNX file, captured.

use burn::tensor::Device;
use elucid::vision::{InputSpec, Model, ModelError};

/// What the importer wrote: a module with fields `conv2d1`, `maxpool2d1` and so on, and no name of the file.
#[allow(clippy::all, clippy::pedantic, missing_docs, unused)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/model/inception_v1_small.rs"));
}

pub use generated::Model as Generated;

/// The generated module with its weights.
pub fn generated(device: &Device) -> Generated {
    Generated::from_embedded(device)
}

/// The generated module as a model; `like` is our own import of the same file, which knows how its pictures are
/// prepared and what its classes are called.
///
/// # Errors
///
/// As [`Model::capture`].
pub fn captured(net: &Generated, like: &Model) -> Result<Model, ModelError> {
    let spec: InputSpec = like.input_spec().clone();
    let model = Model::capture(net, spec, |m, x| m.forward(x))?;
    match like.labels() {
        Some(labels) => model.with_labels(labels.clone()),
        None => Ok(model),
    }
}
