//! Importing, passes, names and blocks of operators.

mod agreement;
mod blocks;
mod cases_backwards;
mod control_flow;
mod feeds;
mod hostile_graphs;
mod hostile_nodes;
mod modern_networks;
mod module_names;
mod networks;
mod onnx_conformance;
mod operator_rules;
mod operators;
mod other_weights;
mod outlines;
mod pointwise;
mod positions;
mod properties;
mod refusals;
mod several_images;
