#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod boxes;
mod compare;
mod data;
mod difference;
mod entries;
mod error;
mod expect;
mod extremes;
mod facts;
mod files;
mod folder;
mod found;
pub mod journal;
pub mod lease;
mod merge;
mod origins;
mod plan;
pub mod results;
mod settings;
mod shard;
mod study;
mod summary;
mod work;

pub use compare::{COMPARISONS, Comparison, LEVEL};
pub use data::{Data, Item};
pub use difference::difference;
pub use entries::{Common, Entry, Look, MethodFacts, fraction, metric_names, split};
pub use error::StudyError;
pub use expect::Expected;
pub use extremes::{Extremes, KEPT};
pub use facts::{Build, HeadFacts, InputFacts, ModelFacts};
pub use folder::{Begin, read};
pub use found::{Found, Image, Place, State};
pub use journal::Value;
pub use merge::Merge;
pub use origins::{ORIGINS, Origins};
pub use plan::{IMAGES, Planned};
pub use settings::{BASELINES, DataFacts, SCHEMA, SETTINGS, Settings};
pub use shard::Shard;
pub use study::{BATCH, Explained, Study, check_head, metrics};
pub use summary::{Accuracy, Cell, INTERVALS, Over, SUMMARY, Summary, TABLE, Time};
pub use work::{Control, Ended, Shown, Steps, Watch};
