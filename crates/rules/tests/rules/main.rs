//! Rules and kernels as burn operations against naive twins.

mod built_in;
mod conv;
mod lrn;
mod operator_rules;
mod pairs;
mod pointwise;
mod pool;
mod redirected;
mod rows;
mod steps;
