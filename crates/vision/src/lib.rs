#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "capture")]
mod captured;
mod error;
mod head;
pub mod input;
mod model;
mod names;
mod noise;
mod opening;
mod photo;
mod pictures;
mod preparation;
mod scores;
mod within;

pub use elucid_graph::InputLayout;
pub use error::ModelError;
pub use head::{Head, HeadKind, Probabilities};
pub use input::InputSpec;
pub use model::Model;
pub use opening::{Opening, Remark};
pub use photo::Photo;
pub use preparation::{Origin, Preparation};
pub use scores::{Guess, Scores};
