#![doc = include_str!("../README.md")]

mod composite;
mod conv;
mod cpu;
mod error;
mod kind;
mod lrn;
mod operation;
mod pool;
mod relu;
mod rule;
mod rules;
mod smooth;
mod tap;
mod window;

pub use composite::{Composite, Entry, Subject, Which};
pub use conv::{Conv2d, conv2d, conv2d_transpose};
pub use cpu::{cpu_threads, vectorised};
pub use error::{PoolError, RuleError};
pub use kind::{Algebra, InvalidOpKind, OpKind, Operator};
pub use lrn::{Lrn, local_response_norm};
pub use pool::{Pool2d, avg_pool2d, max_pool2d};
pub use relu::{DeconvRelu, GuidedRelu, RedirectedRelu};
pub use rule::{GradRule, Rule, apply};
pub use rules::{Rules, TrueRule};
pub use smooth::SmoothMaxPool;
pub use tap::Tap;
