//! Captured modules against burn's own forward and backward pass.

mod batches;
mod common;
mod functions;
mod modules;
mod names;
mod networks;
mod normal;
mod refusals;
mod wgpu;
