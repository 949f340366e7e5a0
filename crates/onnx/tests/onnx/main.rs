//! Files to graphs.

mod files;
mod functions;
