//! Blocks of operators: each spelling on a graph of its own, near misses, and networks as exporters write
//! them.

mod attention;
#[path = "../common/mod.rs"]
mod common;
mod gates;
mod layers;
mod layouts;
#[path = "../common/modern.rs"]
mod modern;
mod networks;
mod norms;
mod numbers;
mod references;
mod toy;
