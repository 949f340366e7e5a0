#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]

pub mod cache;
#[cfg(feature = "download")]
pub mod download;
mod embedded;
mod label_file;
mod labels;
pub mod manifest;
pub mod photographs;
pub mod sha256;

pub use cache::{Cache, Found, ResolveError, resolve};
#[cfg(feature = "download")]
pub use download::{Progress, PullError, PullOptions, Stage, pull};
pub use embedded::{EMBEDDED, Embedded};
pub use label_file::{LabelFileError, is_synset};
pub use labels::{LabelError, Labels};
pub use manifest::{ChannelOrder, Entry, ParseError, Preprocessing, Resize};

/// How alike two lower-case names are, 0 to 1.
fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
