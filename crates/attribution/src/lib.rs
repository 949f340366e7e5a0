#![doc = include_str!("../README.md")]

mod attribution;
mod attributor;
mod deep_lift;
mod error;
mod excitation;
mod gradient;
mod linear;
mod lrp;
mod methods;
mod network;
mod progress;
mod random;
mod recorded;
pub mod relevance;
mod saliency;
mod spatial;
mod target;
mod work;

pub use attribution::{Attribution, Completeness};
pub use attributor::Attributor;
pub use deep_lift::DeepLift;
pub use error::AttributionError;
pub use excitation::{ContrastiveExcitationBackprop, ExcitationBackprop};
pub use gradient::Gradient;
pub use linear::LinearApproximation;
pub use lrp::Lrp;
pub use methods::{METHODS, Method, MethodOption, MethodOptions, Place};
pub use network::{FEATURES, Network};
pub use progress::Progress;
pub use saliency::{Reduce, Saliency};
pub use spatial::{SpatialAttribution, SpatialMaps};
pub use target::{ClassRef, Target};
