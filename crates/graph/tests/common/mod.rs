//! What the tests share.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

pub mod hostile;
pub mod onnx;
mod reference;
pub mod torchvision;

pub use reference::*;
