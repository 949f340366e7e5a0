//! Blocks of operators: each spelling on a graph of its own, near misses, and networks as exporters write
//! them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/modern.rs"]
mod modern;
mod networks;
mod numbers;
mod references;
mod toys;
