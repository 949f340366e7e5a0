#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adam;
mod error;
mod feature_vis;
mod matrix;
mod objective;
mod parametrisation;
mod subject;
mod transforms;
mod visualisation;

pub use elucid_attribution::Random;
pub use error::VisError;
pub use feature_vis::{FeatureVis, MAX_SIDE};
pub use objective::{ClassName, Objective, Objectives, Seen, Term};
pub use parametrisation::{Canvas, Cppn, Fourier, Maco, Parametrisation, Pixels, Pyramid, Sheet};
pub use subject::Subject;
pub use transforms::Transforms;
pub use visualisation::{Kept, Visualisation};
