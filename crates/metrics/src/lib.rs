#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod baseline;
pub mod bootstrap;
mod case;
pub mod completeness;
pub mod complexity;
pub mod csv;
mod error;
mod hidden;
pub mod infidelity;
pub mod insertion_deletion;
pub mod localisation;
pub mod mass;
mod metric;
mod options;
mod order;
pub mod paired;
pub mod pixel_flipping;
pub mod pointing;
mod probe;
pub mod randomisation;
mod region;
pub mod road;
pub mod sensitivity;
pub mod similarity;
pub mod sparseness;
mod table;

pub use bootstrap::{Bootstrap, Estimate};
pub use case::{Case, Present, Scale};
pub use completeness::Completeness;
pub use complexity::Complexity;
#[doc(hidden)]
pub use elucid_attribution::configurable;
pub use elucid_attribution::{Configurable, Configuration};
pub use error::MetricError;
pub use hidden::Hidden;
pub use infidelity::Infidelity;
pub use insertion_deletion::{Curve, InsertionDeletion};
pub use localisation::{Localisation, Threshold};
pub use mass::{MassAccuracy, RankAccuracy};
pub use metric::{Category, Direction, Metric, Needs, NotApplicable, Outcome};
pub use paired::{Paired, holm};
pub use pixel_flipping::PixelFlipping;
pub use pointing::{ClassMean, Pointing, Ties};
pub use randomisation::{ParameterRandomisation, RandomLogit, RandomNetworks};
pub use road::Road;
pub use sensitivity::SensitivityMax;
pub use similarity::Similarity;
pub use sparseness::Sparseness;
pub use table::{Build, METRICS, MetricInfo, MetricOption, MetricOptions, Metrics, metric};
