//! Blocks of operators: each spelling on a graph of its own, near misses, and networks as exporters write
//! them.

mod attention;
mod gates;
mod layers;
mod layouts;
mod networks;
mod norms;
mod numbers;
mod references;
mod toy;
