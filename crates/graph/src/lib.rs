#![doc = include_str!("../README.md")]

mod activation;
pub mod device;
mod error;
mod execute;
mod graph;
mod host;
mod import;
pub mod input;
mod layers;
mod model;
mod names;
mod op;
mod pass;
mod plan;
mod proto;
mod receptive;
mod record;
mod resolve;

pub use activation::Activation;
pub use error::GraphError;
pub use graph::{Graph, GraphInput, Node, ValueId};
pub use host::{ElementType, HostBinary, HostTensor, MAX_ELEMENTS};
pub use input::InputSpec;
pub use layers::Layer;
pub use model::{Guess, INPUT, ImageBatch, LOGITS, Model, Photo, Scores};
pub use op::{Op, PadKind, Padding, SliceAttributes, Unary, Window};
pub use pass::{Activations, Pass};
pub use receptive::{Span, Windows};
pub use record::{Recording, Step, Weights};
