#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod align;
mod captured;
mod error;
mod host;
mod inputs;
mod mark;
mod names;
mod normal;
mod parameters;
mod program;
mod quiet;
mod record;
mod translate;
mod write;

pub use captured::Captured;
pub use error::{CaptureError, Obstacle};
pub use inputs::{Beside, Inputs, Outputs};
pub use mark::layer;
