#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod conv;
mod depthwise;
pub mod gemm;
pub mod join;
pub mod lrn;
pub mod packed;
mod padded;
pub mod pairwise;
mod planes;
pub mod pointwise;
pub mod pool;
mod product;
pub mod relu;
pub mod rows;
mod shared;
pub mod steps;
mod threads;
mod vectors;
pub mod window;
pub mod winograd;
mod written;

pub use planes::Planes;
pub use threads::{among_threads, cpu_threads};
pub use vectors::vectorised;
