//! Captured modules against burn's own forward pass.

mod common;
mod functions;
mod modules;
mod normal;
