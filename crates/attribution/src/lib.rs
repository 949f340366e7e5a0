#![doc = include_str!("../README.md")]

mod attribution;
mod attributor;
mod error;
mod gradient;
mod linear;
mod methods;
mod network;
mod progress;
mod random;
mod saliency;
mod spatial;
mod target;
mod work;

pub use attribution::{Attribution, Completeness};
pub use attributor::Attributor;
pub use error::AttributionError;
pub use gradient::Gradient;
pub use linear::LinearApproximation;
pub use methods::{METHODS, Method, MethodOption, MethodOptions, Place};
pub use network::{FEATURES, Network};
pub use progress::Progress;
pub use saliency::{Reduce, Saliency};
pub use spatial::{SpatialAttribution, SpatialMaps};
pub use target::{ClassRef, Target};
