#![doc = include_str!("../README.md")]

mod error;
mod gradient;
mod linear;
mod progress;
mod spatial;
mod target;

pub use error::AttributionError;
pub use gradient::{Attribution, Gradient, Reduce};
pub use linear::{LinearApproximation, Saliency};
pub use progress::Progress;
pub use spatial::{SpatialAttribution, SpatialMaps};
pub use target::{ClassRef, Target};
