#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod activation;
mod attributes;
mod blocks;
mod bound;
mod builder;
pub mod device;
mod element;
mod error;
mod execute;
mod fold;
mod footprint;
mod front;
mod fuse;
mod graph;
mod heads;
mod host;
mod layers;
mod limits;
mod long_rows;
pub mod message;
mod names;
mod obstacles;
mod operator;
mod ops;
mod pass;
mod place;
mod plan;
mod plans;
mod profile;
mod receptive;
mod record;
mod registry;
mod rules;
mod run;
mod together;

pub use activation::{Activation, backward};
pub use attributes::{Attribute, Attributes};
pub use blocks::{
    Affine, Block, Blocks, GateFunction, Layout, Layouts, Pattern, Statistics, TokenAxis,
};
pub use bound::{BoundGraph, INPUT, ImageBatch, LOGITS};
pub use builder::GraphBuilder;
pub use element::ElementType;
pub use error::GraphError;
pub use front::InputLayout;
pub use graph::{Graph, GraphInput, Node, ValueId};
pub use heads::{Attends, Heads};
pub use host::{HostTensor, MAX_ELEMENTS, element_count};
pub use layers::Layer;
pub use limits::{Bytes, Excess, Ledger, Limits, host_bytes};
pub use long_rows::LongRows;
pub use names::Module;
pub use obstacles::Obstacle;
pub use operator::{
    Apart, Batch, BatchNorm, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots,
    Weighted, Weights,
};
pub use pass::{Activations, Pass};
pub use profile::{Cost, KindProfile, OperatorProfile, Profile, Profiling};
pub use receptive::{Reach, Span, Windows};
pub use record::{Recording, Step};
pub use registry::{Entry, Parse, Registry};
