//! What the tests of several members share: toy networks as ONNX files, operators as loops that can be
//! checked by eye, stored arrays, and a real browser. Never published.

pub mod array;
pub mod browser;
pub mod generated;
pub mod hostile;
pub mod onnx;
mod reference;

pub use reference::{Chelsea, assets, device, numbers, read_npy, relative_error, tensor};
