#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod any_rank;
mod attention;
mod by_hand;
mod composite;
mod conv;
mod error;
mod host;
mod join;
mod kind;
mod lrn;
mod matmul;
mod operation;
mod operator_rule;
mod pairwise;
mod pointwise;
mod pool;
mod power;
mod products;
mod relu;
mod rows;
mod rule;
mod rules;
mod smooth;
mod statistics;
mod steps;
mod tap;
mod window;

pub use any_rank::AnyRank;
pub use attention::{ConstantAttention, UniformAttention};
pub use by_hand::{clip, max_pool, relu};
pub use composite::{Composite, Depth, Entry, Subject, Which};
pub use conv::{conv2d, conv2d_then, conv2d_transpose};
pub use elucid_kernels::conv::Conv2d;
pub use elucid_kernels::lrn::Lrn;
pub use elucid_kernels::pairwise::Pairwise;
pub use elucid_kernels::pointwise::Pointwise;
pub use elucid_kernels::pool::{Pool2d, PoolError};
pub use elucid_kernels::winograd;
pub use error::RuleError;
pub use join::cat;
pub use kind::{Algebra, InvalidOpKind, OpKind, Operator};
pub use lrn::local_response_norm;
pub use matmul::matmul;
pub use operation::has_kernels;
pub use operator_rule::{
    BoundRule, Execution, Forward, OperatorRule, RuleUse, Site, SiteInput, Statistics,
    apply_operator, pullback,
};
pub use pairwise::pairwise;
pub use pointwise::pointwise;
pub use pool::{avg_pool2d, max_pool2d};
pub use power::powf;
pub use products::{
    ConstantDivisor, ConstantFactor, Detached, GatedOrUniform, GuidedActivation, SignalTakesAll,
    UniformProduct, ValuesTakeAll,
};
pub use relu::{DeconvRelu, GuidedRelu, RedirectedRelu};
pub use rows::{Affine, scale_and_shift, softmax_of_rows, standardise};
pub use rule::{GradRule, Rule, apply};
pub use rules::{Rules, TrueRule};
pub use smooth::SmoothMaxPool;
pub use statistics::ConstantStatistics;
pub use steps::{narrowed, stepped};
pub use tap::Tap;
