//! Blocks of operators: each spelling on a graph of its own, near misses, and networks as exporters write
//! them.

#[path = "../common/mod.rs"]
mod common;
mod networks;
mod toys;
