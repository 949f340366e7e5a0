#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod channels;
mod error;
mod kernel;
mod matrix;
pub mod mini_batch;
pub mod nmf;
pub mod reducer;
mod scalar;
mod settings;
mod start;
mod svd;
mod update;

pub use channels::{ChannelGroups, ChannelReducer, Layout};
pub use elucid_progress::Progress;
pub use error::FactorError;
pub use mini_batch::{MiniBatchFit, MiniBatchNmf};
pub use nmf::{Loss, Nmf, NmfFit, Solver};
pub use reducer::{Ica, KMeans, Method, Pca, Reduced, Reducer, Reduction, Summary};
pub use scalar::Scalar;
pub use start::Start;
